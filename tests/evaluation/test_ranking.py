"""The paper's measure: ranks by hand, and against a second statement of recall on made data."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.errors import DataError
from sspe.evaluation.ranking import Ranked, measure_ranking, rank_annotated, table
from sspe.vision.boxes import scale
from sspe.vision.proposals import Proposals

BOXES = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 0.48, 1], [0.5, 0, 1, 1], [0.6, 0.2, 0.8, 0.8]], np.float32)
STORE = SimpleNamespace(proposals=lambda path: Proposals(BOXES))
SCORES = {"a man": [0.1, 0.8, 0.9, 0.3, 0.2], "his hat": [0.9, 0.5, 0.6, 0.7, 0.7]}


class Scores:
    """A model with the scores above; an embedded phrase is its row among them."""

    device, precision = torch.device("cpu"), "float32"

    def embed_phrases(self, texts):
        assert list(texts) == sorted(SCORES)  # once each, lower case
        return torch.tensor([SCORES[text] for text in texts])

    def embed_regions(self, pixels, boxes, detections):
        assert pixels.shape == (50, 100, 3)
        np.testing.assert_allclose(boxes, scale(BOXES, 100, 50))
        return SimpleNamespace(embeddings="the regions")

    def embed_features(self, features, boxes, detections, width, height):
        assert features.shape == (5, 3) and detections is None and (width, height) == (100, 50)
        np.testing.assert_allclose(boxes, scale(BOXES, 100, 50))
        return SimpleNamespace(embeddings="the regions")

    def scores(self, y, x):
        assert x == "the regions"
        return y


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (100, 50)).save(tmp_path / "a.png")
    said = {
        "A man": ([[0, 0, 50, 50]], ("people",)),
        "his hat": ([[60, 10, 70, 40], [70, 10, 80, 40]], ("clothing", "other")),
        "the sky": ([], ("scene",)),
    }
    text = " ".join(said)
    phrases = [AnnotatedPhrase(t, text.index(t), text.index(t) + len(t), b, k) for t, (b, k) in said.items()]
    return AnnotatedPhoto("1", tmp_path / "a.png", 100, 50, (AnnotatedSentence(text, tuple(phrases), 0),))


def test_proposals_are_ranked_by_score_and_judged_by_the_merged_box(photo):
    man, hat = rank_annotated(Scores(), [photo], STORE)
    assert man.order.tolist() == [2, 1, 3, 4, 0] and hat.order.tolist() == [0, 3, 4, 2, 1]  # 3 and 4 tie
    assert man.right.tolist() == [True, True, True, False, False]  # the whole photo overlaps a half by exactly .5
    assert hat.right.tolist() == [False, False, False, False, True]
    assert man.floors == (True, False) and hat.floors == (False, False)
    assert hat.types == ("clothing", "other")


def test_features_of_a_frozen_backbone_are_not_computed_again(photo):
    asked = []

    def get(path, boxes):
        asked.append(path)
        np.testing.assert_array_equal(boxes, BOXES)
        return np.zeros((5, 3), np.float32)

    model = Scores()
    model.embed_regions = None
    found = rank_annotated(model, [photo], STORE, SimpleNamespace(get=get))
    expected = rank_annotated(Scores(), [photo], STORE)
    assert asked == [photo.path]
    assert [r.order.tolist() for r in found] == [r.order.tolist() for r in expected]


def test_the_measure_by_hand(photo):
    measured = measure_ranking(rank_annotated(Scores(), [photo], STORE))
    assert [measured[f"recall_at_{k}"] for k in (1, 5, 10)] == [0.5, 1, 1]
    assert measured["upper_bound"] == 1 and measured["floor_whole_photo"] == 0.5 and measured["floor_centred_box"] == 0
    assert measured["by_type"] == {
        "people": {"recall_at_1": 1, "phrases": 1},
        "clothing": {"recall_at_1": 0, "phrases": 1},
        "other": {"recall_at_1": 0, "phrases": 1},
    }
    assert measured["phrases"] == 2 and json.loads(json.dumps(measured)) == measured
    rows = {line[:28].strip(): line[28:].split() for line in table(measured).splitlines()[1:]}
    assert rows["all"] == ["50.00", "100.00", "100.00", "100.00"] and rows["people"] == ["100.00", "1"]


def test_fewer_proposals_are_the_first_ones_of_each_photo(photo):
    results = rank_annotated(Scores(), [photo], STORE)
    of_two, of_four = measure_ranking(results, 2), measure_ranking(results, 4)
    assert (of_two["recall_at_1"], of_two["upper_bound"]) == (0.5, 0.5)
    assert (of_four["recall_at_5"], of_four["upper_bound"]) == (0.5, 0.5)
    assert measure_ranking(results, 5) == measure_ranking(results)
    # Without its best two the man has the whole photo alone, which is right by a hair.
    assert measure_ranking(results, 1)["recall_at_1"] == 0.5


def literal_recall(results: list[Ranked], k: int, count: int) -> float:
    """Recall at k, one phrase after the other: is there a right one among the k best scored of the first ``count``?"""
    hits = 0
    for r in results:
        looked = 0
        for region in r.order:
            if region >= count:
                continue
            looked += 1
            if looked > k:
                break
            if r.right[region]:
                hits += 1
                break
    return hits / len(results)


def test_recall_is_the_literal_count_on_made_data():
    rng = np.random.default_rng(0)
    results = []
    for _ in range(60):
        size = int(rng.integers(1, 40))
        right = rng.random(size) < rng.choice([0, 0.05, 0.3, 1])
        results.append(Ranked((), right, rng.permutation(size), (False, True)))
    for count in (1, 3, 17, 40):
        measured = measure_ranking(results, count)
        for k in (1, 5, 10):
            assert measured[f"recall_at_{k}"] == pytest.approx(literal_recall(results, k, count))
        assert measured["upper_bound"] == pytest.approx(literal_recall(results, 40, count))


def test_nothing_to_measure_is_said(photo):
    with pytest.raises(DataError, match=r"no phrase with a box.*choose others\.$"):
        measure_ranking([])


def test_a_real_pipeline(make_localization_model, scenes, tmp_path):
    """The plain ranking is the one that locate would give, were it not for its consensus."""
    from sspe.data import open_dataset
    from sspe.data.caches import FeatureStore, FrozenFeatures
    from sspe.vision.photo import open_photo

    model = make_localization_model(refiner=0)
    photos = open_dataset(scenes, "val", limit=2)
    store = FeatureStore(96, model.settings.proposals, tmp_path)
    results = rank_annotated(model, photos, store)
    photo = photos[0]
    pixels = open_photo(photo.path)
    regions = model.embed_regions(pixels, scale(store.proposals(photo.path).boxes, photo.width, photo.height))
    texts = [p.text for s in photo.sentences for p in s.phrases if len(p.boxes)]
    expected = model.locate(regions, texts).scores
    for result, row in zip(results, expected, strict=False):
        np.testing.assert_allclose(row[result.order], np.sort(row)[::-1], atol=1e-5)
    assert len(results) == sum(len(p.boxes) > 0 for photo in photos for s in photo.sentences for p in s.phrases)
    with_surroundings = FrozenFeatures(model.regions, "float32", tmp_path / "features")
    again = rank_annotated(model, photos, store, with_surroundings)
    same = [np.array_equal(a.order[:3], b.order[:3]) for a, b in zip(results, again, strict=True)]
    assert np.mean(same) > 0.7  # half precision turns some near ties around
