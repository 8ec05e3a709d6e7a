"""The localization measure, on cases small enough to count by hand."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.errors import DataError
from sspe.evaluation.localization import PhraseResult, localize_annotated, measure_localization, table

# Five proposals of a photo of 100 x 50 pixels, relative to it as a store keeps them.
BOXES = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 0.48, 1], [0.5, 0, 1, 1], [0.6, 0.2, 0.8, 0.8]], np.float32)
PIXELS = BOXES * [100, 50, 100, 50]
# What the network would answer: the score of each proposal.
SCORES = {
    "a man": [0.1, 0.8, 0.9, 0.3, 0.2],  # ranking 2, 1, 3, 4, 0
    "his hat": [0.9, 0.5, 0.6, 0.7, 0.1],  # ranking 0, 3, 2, 1, 4
}
STORE = SimpleNamespace(get=lambda path: SimpleNamespace(boxes=BOXES))


class Scores:
    """A pipeline whose embeddings make exactly the scores above; remembers what it is asked."""

    def __init__(self):
        self.asked = []

    def embed_phrases(self, texts):
        self.asked.append(list(texts))
        return torch.tensor([SCORES[text] for text in texts])

    def embed_regions(self, pixels, boxes):
        assert pixels.shape == (50, 100, 3) and boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, PIXELS, rtol=1e-6)
        return torch.eye(len(boxes))


def annotated(path, *sentences, id="1") -> AnnotatedPhoto:
    """A photo at ``path`` whose sentences, on the lines 0, 2, ..., hold phrases (text, boxes, types)."""
    made = []
    for number, phrases in enumerate(sentences):
        text = " ".join(phrase[0] for phrase in phrases)
        said = tuple(AnnotatedPhrase(t, text.index(t), text.index(t) + len(t), b, k) for t, b, k in phrases)
        made.append(AnnotatedSentence(text, said, 2 * number))
    return AnnotatedPhoto(id, path, 100, 50, tuple(made))


@pytest.fixture
def photo(tmp_path):
    Image.new("RGB", (100, 50)).save(tmp_path / "a.png")
    hat = ("his hat", [[60, 10, 70, 40], [70, 10, 80, 40]], ("clothing",))
    return annotated(
        tmp_path / "a.png",
        [("a man", [[0, 0, 50, 50]], ("people",)), hat],
        [("a man", [[50, 0, 100, 50]], ("people", "other")), ("his hat", [], ("clothing",))],
    )


def result(ious, kept=None, types=(), floors=(0.0, 0.0), photo="1") -> PhraseResult:
    ious = np.array(ious, np.float32)
    return PhraseResult(photo, 0, "it", types, ious, np.arange(len(ious)) if kept is None else np.array(kept), floors)


# Ranking


def test_proposals_are_ranked_for_every_phrase_with_a_box(photo):
    pipeline = Scores()
    results = localize_annotated(pipeline, [photo], STORE)
    assert pipeline.asked == [["a man", "his hat"]]  # each distinct phrase of the photo once
    assert [(r.photo, r.sentence, r.text, r.types) for r in results] == [
        ("1", 0, "a man", ("people",)),
        ("1", 0, "his hat", ("clothing",)),
        ("1", 2, "a man", ("people", "other")),
    ]
    man, hat, other = results
    np.testing.assert_allclose(man.ious, [0.96, 1, 0, 0, 0.5], atol=1e-6)  # best score first
    np.testing.assert_allclose(hat.ious, [0.12, 0.24, 0, 0, 1], atol=1e-6)  # the union of the hat's two boxes
    np.testing.assert_allclose(other.ious, [0, 0, 1, 0.24, 0.5], atol=1e-6)


def test_suppression_takes_the_second_of_two_that_nearly_agree(photo):
    man, hat, other = localize_annotated(Scores(), [photo], STORE)
    # Proposal 1 goes for 2, which it overlaps by .96. A half overlaps the whole photo by exactly .5 and stays.
    np.testing.assert_array_equal(man.kept, [0, 2, 3, 4])
    np.testing.assert_array_equal(hat.kept, [0, 1, 2, 4])
    np.testing.assert_array_equal(other.kept, man.kept)  # it depends on the scores alone


def test_floors_are_the_whole_photo_and_the_centred_box(photo):
    man, hat, other = localize_annotated(Scores(), [photo], STORE)
    # The centred box is 10, 5, 90, 45. Of the man's half it covers 40 x 40 of 50 x 50.
    np.testing.assert_allclose(man.floors, [0.5, 1600 / (3200 + 2500 - 1600)], rtol=1e-6)
    np.testing.assert_allclose(hat.floors, [600 / 5000, 600 / 3200], rtol=1e-6)
    np.testing.assert_allclose(other.floors, man.floors, rtol=1e-6)


def test_a_photo_without_boxes_is_not_even_opened(photo, tmp_path):
    empty = annotated(tmp_path / "missing.png", [("a man", [], ("people",))], [], id="2")
    seen = []
    results = localize_annotated(Scores(), [empty, photo], STORE, lambda photos: seen.extend(photos) or photos)
    assert {r.photo for r in results} == {"1"} and [p.id for p in seen] == ["2", "1"]


# Measure


def test_the_measure_by_hand(photo):
    measured = measure_localization(localize_annotated(Scores(), [photo], STORE))
    # The man is hit at rank 1, the hat at rank 5, the other man at rank 3.
    assert measured["recall_at_1"] == measured["recall_at_1_nms"] == pytest.approx(1 / 3)
    assert measured["recall_at_5"] == measured["recall_at_10"] == measured["upper_bound"] == 1
    assert measured["by_type"] == {"people": 0.5, "clothing": 0, "other": 0}
    assert measured["upper_bound_by_type"] == {"people": 1, "clothing": 1, "other": 1}
    assert measured["phrases_by_type"] == {"people": 2, "clothing": 1, "other": 1}  # two types count in both
    assert measured["floor_whole_photo"] == pytest.approx(2 / 3) and measured["floor_centred_box"] == 0
    assert (measured["phrases"], measured["photos"]) == (3, 1)
    assert "merged box" in measured["protocol"] and "after NMS at 0.5" in measured["protocol"]


def test_five_and_ten_count_what_is_ranked_that_far_raw_and_after_suppression():
    miss = [0.1] * 12
    sixth, twelfth = miss.copy(), miss.copy()
    sixth[5] = twelfth[11] = 0.9
    # Of the sixth's predecessors suppression leaves one; of the twelfth's, nine. The third's hit is itself suppressed.
    results = [
        result(sixth, kept=[0, 5, 6]),
        result(twelfth, kept=[0, 1, 2, 3, 4, 5, 6, 7, 8, 11]),
        result(sixth, kept=[0, 1, 2]),
        result(miss),
    ]
    measured = measure_localization(results)
    assert [measured[f"recall_at_{k}"] for k in (1, 5, 10)] == [0, 0, 0.5]
    assert [measured[f"recall_at_{k}_nms"] for k in (1, 5, 10)] == [0, 0.25, 0.5]
    assert measured["upper_bound"] == 0.75


def test_an_overlap_of_exactly_a_half_counts_and_less_does_not():
    below = float(np.nextafter(np.float32(0.5), np.float32(0)))
    people, other = ("people",), ("other",)
    measured = measure_localization(
        [result([0.5], None, people, (0.5, below)), result([below], None, other, (below,) * 2)]
    )
    assert measured["recall_at_1"] == measured["upper_bound"] == measured["floor_whole_photo"] == 0.5
    assert measured["floor_centred_box"] == 0
    assert measured["by_type"] == measured["upper_bound_by_type"] == {"people": 1, "other": 0}
    assert measure_localization([result([0.5])], threshold=0.7)["recall_at_1"] == 0


def test_fewer_proposals_than_ranks_and_phrases_without_a_type():
    measured = measure_localization([result([0.6]), result([0.2, 0.7], photo="2")])
    assert (measured["recall_at_1"], measured["recall_at_5"], measured["recall_at_10"]) == (0.5, 1, 1)
    assert measured["by_type"] == measured["phrases_by_type"] == {} and measured["photos"] == 2


def test_nothing_to_measure_is_said_in_a_sentence(tmp_path):
    photos = [annotated(tmp_path / "missing.png", [("a man", [], ("people",))])]
    for results in ([], localize_annotated(Scores(), photos, STORE)):
        with pytest.raises(DataError, match=r"no phrase with a box.*choose others\.$"):
            measure_localization(results)


def test_json_and_table(photo):
    measured = measure_localization(localize_annotated(Scores(), [photo], STORE))
    assert json.loads(json.dumps(measured)) == measured
    rows = {line[:22].strip(): line[22:].split() for line in table(measured).splitlines()[1:]}
    assert rows["raw ranking"] == ["33.33", "100.00", "100.00", "100.00"]
    assert rows["after NMS at 0.5"] == ["33.33", "100.00", "100.00"]
    assert rows["people"] == ["50.00", "100.00", "2"] and rows["clothing"] == ["0.00", "100.00", "1"]
    assert rows["floor: whole photo"] == ["66.67"] and rows["floor: centred 0.8 box"] == ["0.00"]
    assert list(rows)[3] == "people"  # the most frequent type first
    assert table(measured).startswith("3 phrases of 1 photos; merged box")


def test_a_real_pipeline_measures_drawn_scenes(make_pipeline, scenes, tmp_path):
    from sspe.data import open_dataset
    from sspe.data.feature_store import FeatureStore

    pipeline = make_pipeline()
    photos = open_dataset(scenes, "val", limit=2)
    store = FeatureStore(96, pipeline.settings.proposals, tmp_path)
    results = localize_annotated(pipeline, photos, store)
    assert len(results) == sum(len(p.boxes) > 0 for photo in photos for s in photo.sentences for p in s.phrases)
    boxes_of = {photo.id: len(store.get(photo.path).boxes) for photo in photos}
    for r in results:
        assert len(r.ious) == boxes_of[r.photo]
        assert (np.diff(r.kept) > 0).all() and r.kept[0] == 0  # the best is always kept
    measured = measure_localization(results)
    assert 0 <= measured["recall_at_1"] <= measured["recall_at_10"] <= measured["upper_bound"] <= 1
