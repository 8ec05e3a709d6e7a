"""What a model answers to annotated phrases, on cases small enough to count by hand, and the table of it."""

import json
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.errors import DataError
from sspe.evaluation.absent import AbsentPhrase
from sspe.evaluation.answers import Judged, f1, localize_annotated
from sspe.evaluation.localization import table
from sspe.evaluation.measures import measure_localization
from sspe.evaluation.probabilities import measure_probability
from sspe.models.localization import Located
from sspe.text.context import ALONE, Context
from sspe.vision.boxes import nms
from sspe.vision.proposals import Proposals

# Five proposals of a photo of 100 x 50 pixels, relative to it as a store keeps them.
BOXES = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0, 0, 0.48, 1], [0.5, 0, 1, 1], [0.6, 0.2, 0.8, 0.8]], np.float32)
PIXELS = (BOXES * [100, 50, 100, 50]).astype(np.float32)
# What the network would answer: the score of each proposal, for a phrase in a sentence and for one alone.
SCORES = {
    "a man": [0.1, 0.8, 0.9, 0.3, 0.2],  # ranking 2, 1, 3, 4, 0
    "his hat": [0.9, 0.5, 0.6, 0.7, 0.1],  # ranking 0, 3, 2, 1, 4
}
SCORES_ALONE = {
    "a man": [0.1, 0.2, 0.3, 0.9, 0.4],
    "his hat": [0.1, 0.2, 0.3, 0.4, 0.9],
    "a dog": [0.5, 0.4, 0.3, 0.2, 0.1],
}
REGIONS = SimpleNamespace(width=100, height=50)
STORE = SimpleNamespace(proposals=lambda path: Proposals(BOXES))


@dataclass(frozen=True)
class Phrases:
    """Phrases as the model below has read them."""

    texts: list[str]
    contexts: list[Context] | None

    def rows(self, part: slice) -> "Phrases":
        return Phrases(self.texts[part], self.contexts[part])


class Scores:
    """A model that gives exactly the scores above; remembers what it is asked.

    ``refined`` are boxes by phrase, in place of the proposals; ``answers`` are regions by phrase, in place of the best
    scored. With ``calibrated`` the evidence of a phrase is the number of the question and of the phrase in it, its
    probabilities are hundredths of those.
    """

    def __init__(self, refined=None, calibrated=False, answers=None):
        self.asked, self.refined, self.calibrated, self.answers = [], refined or {}, calibrated, answers or {}

    def embed_regions(self, pixels, boxes, detections):
        assert pixels.shape == (50, 100, 3) and boxes.dtype == np.float32
        np.testing.assert_allclose(boxes, PIXELS, rtol=1e-6)
        return REGIONS

    def read(self, phrases, contexts=None):
        return Phrases(list(phrases), contexts if contexts is None else list(contexts))

    def locate(self, regions, phrases, contexts=None):
        return self.locate_read(regions, self.read(phrases, contexts))

    def glance(self, regions, read, best):
        return self.locate_read(regions, read)

    def locate_read(self, regions, read):
        assert regions is REGIONS
        self.asked.append((read.texts, read.contexts))
        phrases, contexts = read.texts, read.contexts or [ALONE] * len(read.texts)
        scores = [(SCORES_ALONE if c == ALONE else SCORES)[p] for p, c in zip(phrases, contexts, strict=True)]
        scores = np.array(scores, np.float32)
        boxes = np.stack([self.refined.get(p, PIXELS) for p in phrases])
        first = scores.copy()
        for i, phrase in enumerate(phrases):
            first[i, self.answers.get(phrase, scores[i].argmax())] = 9
        kept = tuple(nms(places, row) for places, row in zip(boxes, first, strict=True))
        known = np.ones(len(phrases), bool)
        if not self.calibrated:
            return Located(scores, boxes, kept, known)
        evidence = np.array([[len(self.asked), i] for i in range(len(phrases))], np.float32)
        return Located(scores, boxes, kept, known, evidence, evidence[:, 0] / 100, evidence[:, 1] / 100)


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


# Ranking


def test_proposals_are_ranked_for_every_phrase_with_a_box(photo):
    model = Scores()
    results, absent = localize_annotated(model, [photo], STORE)
    man_in_its_sentence = Context("", " his hat")
    assert model.asked == [
        (["a man", "his hat", "a man"], [man_in_its_sentence, Context("a man ", ""), man_in_its_sentence]),
        (["a man", "his hat"], None),  # alone, each distinct phrase of the photo once
    ]
    assert absent == []
    assert [(r.photo, r.sentence, r.start, r.text, r.types) for r in results] == [
        ("1", 0, 0, "a man", ("people",)),
        ("1", 0, 6, "his hat", ("clothing",)),
        ("1", 2, 0, "a man", ("people", "other")),
    ]
    man, hat, other = results
    np.testing.assert_allclose(man.ious, [0.96, 1, 0, 0, 0.5], atol=1e-6)  # best score first
    np.testing.assert_allclose(hat.ious, [0.12, 0.24, 0, 0, 1], atol=1e-6)  # the union of the hat's two boxes
    np.testing.assert_allclose(other.ious, [0, 0, 1, 0.24, 0.5], atol=1e-6)
    np.testing.assert_allclose(man.scores, [0.9, 0.8, 0.3, 0.2, 0.1])
    np.testing.assert_allclose(hat.scores, [0.9, 0.7, 0.6, 0.5, 0.1])
    for r, right, answer in ((man, [0, 0, 50, 50], PIXELS[2]), (hat, [60, 10, 80, 40], PIXELS[0])):
        np.testing.assert_allclose(r.right, right)
        np.testing.assert_allclose(r.answer, answer)
        assert r.frame == (100, 50) and r.judged == r.judged_alone == Judged(None, None, None)


def test_the_nearest_box_and_the_phrase_without_its_sentence(photo):
    man, hat, other = localize_annotated(Scores(), [photo], STORE)[0]
    # The whole photo covers the hat's taller box, 10 x 30 pixels, by as much as that box is large.
    assert hat.any_iou == pytest.approx(300 / 5000) and man.any_iou == pytest.approx(0.96) and other.any_iou == 0
    # Alone, "a man" answers with the right half and "his hat" with the hat.
    assert (man.alone_iou, hat.alone_iou, other.alone_iou) == (0, pytest.approx(1), pytest.approx(1))


def test_overlaps_are_those_of_the_boxes_refined_for_the_phrase(photo):
    refined = PIXELS.copy()
    refined[0] = [60, 10, 80, 40]  # where the best scored proposal goes for the hat
    man, hat, _ = localize_annotated(Scores({"his hat": refined}), [photo], STORE)[0]
    np.testing.assert_allclose(hat.ious, [1, 0.24, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(hat.answer, [60, 10, 80, 40])
    np.testing.assert_array_equal(hat.kept, [0, 1, 2])  # proposal 4 is now the same box, and scored less
    np.testing.assert_allclose(man.ious, [0.96, 1, 0, 0, 0.5], atol=1e-6)


def test_probabilities_of_both_readings_and_of_absent_phrases(photo, tmp_path):
    dog, hat = AbsentPhrase("a dog", Context("with ", "")), AbsentPhrase("his hat", Context("and ", ""))
    empty = annotated(tmp_path / "missing.png", [("a man", [], ())], id="2")
    model = Scores(calibrated=True)
    absent = {"1": [dog, hat, dog], "2": [hat]}
    # The third phrase would be asked in its sentence, were it not for its place.
    results, missing = localize_annotated(model, [empty, photo], STORE, absent=absent)
    assert model.asked[2:] == [(["a dog", "his hat", "a dog"], [ALONE, hat.context, ALONE])]
    assert [(a.photo, a.text) for a in missing] == [("1", "a dog"), ("1", "his hat"), ("1", "a dog")]
    for place, answer in enumerate(missing):
        np.testing.assert_array_equal(answer.judged.evidence, [3, place])
        assert (answer.judged.confidence, answer.judged.present) == (pytest.approx(0.03), pytest.approx(place / 100))
    for place, (r, alone) in enumerate(zip(results, (0, 1, 0), strict=True)):
        np.testing.assert_array_equal(r.judged.evidence, [1, place])
        np.testing.assert_array_equal(r.judged_alone.evidence, [2, alone])
        assert (r.judged.confidence, r.judged.present) == (pytest.approx(0.01), pytest.approx(place / 100))
        assert isinstance(r.judged.present, float)  # not numpy's, which JSON cannot write


def test_suppression_takes_the_second_of_two_that_nearly_agree(photo):
    man, hat, other = localize_annotated(Scores(), [photo], STORE)[0]
    # Proposal 1 goes for 2, which it overlaps by .96. A half overlaps the whole photo by exactly .5 and stays.
    np.testing.assert_array_equal(man.kept, [0, 2, 3, 4])
    np.testing.assert_array_equal(hat.kept, [0, 1, 2, 4])
    np.testing.assert_array_equal(other.kept, man.kept)  # it depends on the scores alone


def test_the_answer_comes_first_whatever_its_score(photo):
    man, hat, _ = localize_annotated(Scores(answers={"a man": 1}), [photo], STORE)[0]
    np.testing.assert_allclose(man.ious, [1, 0.96, 0, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(man.scores, [0.8, 0.9, 0.3, 0.2, 0.1])
    np.testing.assert_array_equal(man.kept, [0, 2, 3, 4])  # it suppresses the better scored one
    np.testing.assert_allclose(man.answer, PIXELS[1])
    np.testing.assert_allclose(hat.scores, [0.9, 0.7, 0.6, 0.5, 0.1])


def test_floors_are_the_whole_photo_and_the_centred_box(photo):
    man, hat, other = localize_annotated(Scores(), [photo], STORE)[0]
    # The centred box is 10, 5, 90, 45. Of the man's half it covers 40 x 40 of 50 x 50.
    np.testing.assert_allclose(man.floors, [0.5, 1600 / (3200 + 2500 - 1600)], rtol=1e-6)
    np.testing.assert_allclose(hat.floors, [600 / 5000, 600 / 3200], rtol=1e-6)
    np.testing.assert_allclose(other.floors, man.floors, rtol=1e-6)


def test_a_photo_without_boxes_is_not_even_opened(photo, tmp_path):
    empty = annotated(tmp_path / "missing.png", [("a man", [], ("people",))], [], id="2")
    seen = []
    results, _ = localize_annotated(Scores(), [empty, photo], STORE, lambda photos: seen.extend(photos) or photos)
    assert {r.photo for r in results} == {"1"} and [p.id for p in seen] == ["2", "1"]


# Measure


def test_the_measure_by_hand(photo):
    measured = measure_localization(localize_annotated(Scores(), [photo], STORE)[0])
    # The man is hit at rank 1, the hat at rank 5, the other man at rank 3.
    assert measured["recall_at_1"] == measured["recall_at_1_nms"] == pytest.approx(1 / 3)
    assert measured["recall_at_5"] == measured["recall_at_10"] == measured["upper_bound"] == 1
    of_type = measured["by_type"]  # two types count in both
    assert {name: group["recall_at_1"] for name, group in of_type.items()} == {"people": 0.5, "clothing": 0, "other": 0}
    assert {name: group["phrases"] for name, group in of_type.items()} == {"people": 2, "clothing": 1, "other": 1}
    assert all(group["upper_bound"] == 1 for group in of_type.values())
    assert measured["recall_at_1_any_box"] == pytest.approx(1 / 3)
    assert measured["recall_at_1_without_sentence"] == pytest.approx(2 / 3)
    assert measured["mean_iou"] == pytest.approx((0.96 + 0.12 + 0) / 3)
    assert measured["by_resolution"] == {} and "present" not in measured and "confidence" not in measured
    assert measured["floor_whole_photo"] == pytest.approx(2 / 3) and measured["floor_centred_box"] == 0
    assert (measured["phrases"], measured["photos"]) == (3, 1)
    assert "merged box" in measured["protocol"] and "after NMS at 0.5" in measured["protocol"]
    assert "in its sentence" in measured["protocol"]


def test_single_things_by_hand(photo):
    man, hat, _ = localize_annotated(Scores(), [photo], STORE)[0]
    assert man.boxes_f1 is None and hat.boxes_f1 == 0  # one box was annotated; two, and neither is the whole photo
    annotated = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    given = np.array([[0, 0, 10, 9], [1, 0, 10, 10], [41, 0, 50, 10]], np.float32)
    assert f1(given, annotated) == pytest.approx(2 * 2 / 6)  # the second would take what the first has taken
    assert f1(annotated[:1], annotated) == pytest.approx(2 / 4) and f1(given + 100, annotated) == 0


# Text


def test_nothing_to_measure_is_said_in_a_sentence(tmp_path):
    photos = [annotated(tmp_path / "missing.png", [("a man", [], ("people",))])]
    for results in ([], localize_annotated(Scores(), photos, STORE)[0]):
        with pytest.raises(DataError, match=r"no phrase with a box.*choose others\.$"):
            measure_localization(results)


def test_json_and_table(photo):
    measured = measure_localization(localize_annotated(Scores(), [photo], STORE)[0], full_size={"1"})
    assert json.loads(json.dumps(measured)) == measured
    rows = {line[:28].strip(): line[28:].split() for line in table(measured).splitlines()[1:]}
    assert rows["raw ranking"] == ["33.33", "100.00", "100.00", "100.00"]
    assert rows["after NMS at 0.5"] == ["33.33", "100.00", "100.00"]
    assert rows["any of the phrase's boxes"] == ["33.33"] and rows["without the sentence"] == ["66.67"]
    # Pooled, the first box is true, two are false, then the other man's is true: precision 1 to recall .5, then 1/2.
    assert rows["people"] == ["50.00", "100.00", f"{100 * 8.5 / 11:.2f}", "2"]
    assert rows["clothing"][:2] == ["0.00", "100.00"] and rows["clothing"][3] == "1"
    assert rows["12 to 40 %"] == ["0.00", "100.00", "1"] and rows["over 40 %"] == ["50.00", "100.00", "2"]
    assert rows["full-size photos"] == ["33.33", "100.00", "3"]
    assert rows["floor: whole photo"] == ["66.67"] and rows["floor: centred 0.8 box"] == ["0.00"]
    assert rows["mean IoU of the answers"] == ["36.00"]
    several = (
        "1 phrases with several boxes: F1 of the boxes given 0.00, R@1 of the merged box 0.00, of any of them 0.00"
    )
    assert several in table(measured)
    assert list(rows)[5] == "people"  # the most frequent type first
    assert table(measured).startswith("3 phrases of 1 photos; merged box")


def test_the_table_tells_the_quality_of_the_probabilities(photo):
    results, _ = localize_annotated(Scores(calibrated=True), [photo], STORE)
    measured = measure_localization(results)
    m = measured["confidence"]
    told = f"confidence: ECE {m['ece']:.3f}, Brier {m['brier']:.3f}, AUROC {m['auroc']:.3f} over 3 answers, 33.3 % of"
    assert table(measured).splitlines()[-1].startswith(told) and 0 < m["auroc"] < 1
    measured["confidence"] = {**m, "auroc": None}
    assert "AUROC undefined over 3 answers" in table(measured)


def test_a_real_pipeline_measures_drawn_scenes(make_localization_model, scenes, tmp_path):
    from sspe.data import open_dataset
    from sspe.data.caches import FeatureStore

    model = make_localization_model()
    photos = open_dataset(scenes, "val", limit=2)
    store = FeatureStore(96, model.settings.proposals, tmp_path)
    results, _ = localize_annotated(model, photos, store)
    assert len(results) == sum(len(p.boxes) > 0 for photo in photos for s in photo.sentences for p in s.phrases)
    boxes_of = {photo.id: len(store.get(photo.path).boxes) for photo in photos}
    for r in results:
        assert len(r.ious) == len(r.scores) == boxes_of[r.photo]
        assert (np.diff(r.scores[1:]) <= 0).all()  # after the answer
        assert (np.diff(r.kept) > 0).all() and r.kept[0] == 0  # the answer is always kept
        assert r.any_iou >= 0 and r.judged == Judged()
    measured = measure_localization(results)
    assert 0 <= measured["recall_at_1"] <= measured["recall_at_10"] <= measured["upper_bound"] <= 1
    assert sum(group["phrases"] for group in measured["by_size"].values()) == measured["phrases"]


def test_the_table_tells_what_turns_grey():
    present = measure_probability([0.1, 0.9, 0.2, 0.25, 0.5], [True, True, False, False, False])
    measured = {
        **dict.fromkeys(("recall_at_1", "recall_at_5", "recall_at_10", "upper_bound", "mean_iou"), 0.0),
        **dict.fromkeys(("recall_at_1_nms", "recall_at_5_nms", "recall_at_10_nms", "recall_at_1_any_box"), 0.0),
        **dict.fromkeys(("recall_at_1_without_sentence", "floor_whole_photo", "floor_centred_box"), 0.0),
        **{"by_type": {}, "by_size": {}, "by_resolution": {}, "by_head": {}, "phrases": 2, "photos": 1, "protocol": ""},
        "present": present,
    }
    assert table(measured).splitlines()[-1] == (
        "below the threshold of 0.3 for present, and so grey: 50.0 % of the phrases that are there, "
        "66.7 % of those that are not"
    )
