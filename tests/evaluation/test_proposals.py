"""Recall of proposals, on boxes and phrases chosen so that every figure is known."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.errors import DataError, PhotoError
from sspe.evaluation import proposals
from sspe.evaluation.proposals import COUNTS, draw_curve, evaluate_proposals, table
from sspe.settings import DetectorSettings, EdgeBoxesSettings
from sspe.vision.detections import Detections


def photo(path: Path, *phrases: tuple[list, tuple[str, ...]], id: str = "1") -> AnnotatedPhoto:
    """A photo of 100 x 100 pixels whose one sentence has these phrases: (boxes, types)."""
    Image.new("RGB", (100, 100)).save(path)
    said = tuple(AnnotatedPhrase("it", 0, 2, boxes, types) for boxes, types in phrases)
    return AnnotatedPhoto(id, path, 100, 100, (AnnotatedSentence("it", said, 0),))


class Placed:
    """Stands in for Edge Boxes: the whole photo, then fillers, with two boxes at the places 51 and 100."""

    def __init__(self, settings):
        self.settings = settings

    def __call__(self, photo):
        boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (200, 1))
        boxes[0] = [0, 0, 100, 100]
        boxes[50] = [0, 0, 50, 40]
        boxes[99] = [0, 0, 50, 50]
        return boxes[: self.settings.count]


@pytest.fixture
def placed(monkeypatch):
    monkeypatch.setattr(proposals, "EdgeBoxes", Placed)


def test_the_detectors_boxes_count_from_the_second_place_on(tmp_path, placed):
    boxes = np.array([[90, 90, 100, 100], [0, 0, 50, 50]], np.float32)
    found = Detections(boxes, np.ones((2, 3), np.float32), np.ones(3, np.float32))
    detector = SimpleNamespace(settings=DetectorSettings(boxes=1), detect=lambda pixels: found)
    photos = [photo(tmp_path / "a.png", ([[90, 90, 100, 100]], ()), ([[0, 0, 50, 50]], ()))]
    measured = evaluate_proposals(photos, EdgeBoxesSettings(count=60), detector=detector)
    # The second box found is none of the proposals; Edge Boxes' own come a place later: 52 and not 51.
    assert measured["recall"]["0.7"] == {"50": 0.5, "100": 1.0, "200": 1.0, "500": 1.0, "1000": 1.0}
    assert evaluate_proposals(photos, EdgeBoxesSettings(count=60))["recall"]["0.7"]["50"] == 0.0


def test_recall_by_hand(tmp_path, placed):
    measured = evaluate_proposals(
        [
            photo(
                tmp_path / "a.png",
                ([[0, 0, 50, 50]], ("people", "other")),  # place 51 covers it by .8
                ([[0, 0, 20, 100], [80, 0, 100, 40]], ("people",)),  # merged, it is the whole photo: place 1
                ([[0, 0, 100, 50]], ("scene",)),  # the whole photo covers it by exactly .5
                ([[90, 90, 100, 100]], ("scene",)),  # never
                ([], ("animals",)),  # no box: left out
            ),
            photo(tmp_path / "b.png", ([[0, 0, 50, 62.5]], ("clothing",)), id="2"),  # place 51: .64, place 100: .8
        ]
    )
    assert measured["recall"] == {
        "0.5": {"50": 0.4, "100": 0.8, "200": 0.8, "500": 0.8, "1000": 0.8},
        "0.7": {"50": 0.2, "100": 0.6, "200": 0.6, "500": 0.6, "1000": 0.6},
    }
    assert set(measured["by_type"]) == {"people", "other", "scene", "clothing"}
    assert measured["by_type"]["people"]["0.5"]["50"] == 0.5 and measured["by_type"]["people"]["0.7"]["100"] == 1
    assert measured["by_type"]["other"]["0.5"]["50"] == 0 and measured["by_type"]["other"]["0.5"]["100"] == 1
    assert measured["by_type"]["scene"]["0.5"]["1000"] == 0.5 and measured["by_type"]["scene"]["0.7"]["1000"] == 0
    assert measured["by_type"]["clothing"]["0.7"] == {"50": 0, "100": 1, "200": 1, "500": 1, "1000": 1}
    assert (measured["phrases"], measured["photos"], measured["count"]) == (5, 2, EdgeBoxesSettings().count)


def test_the_time_is_the_median_of_the_settings_own_count(tmp_path, monkeypatch):
    now, asked = [0.0], []

    class Timed(Placed):
        def __call__(self, photo):
            asked.append(self.settings.count)
            now[0] += {7: len(asked) ** 2, 1000: 500.0}[
                self.settings.count
            ]  # 1, 9 and 25 seconds; the many do not count
            return super().__call__(photo)

    monkeypatch.setattr(proposals, "EdgeBoxes", Timed)
    monkeypatch.setattr(proposals.time, "perf_counter", lambda: now[0])
    photos = [photo(tmp_path / f"{i}.png", ([[0, 0, 50, 50]], ())) for i in range(3)]
    measured = evaluate_proposals(photos, EdgeBoxesSettings(count=7))
    assert asked == [7, 1000] * 3 and measured["ms_per_photo"] == 9000 and measured["count"] == 7
    assert measured["by_type"] == {}


def test_nothing_to_measure_is_said_in_a_sentence(tmp_path, placed):
    for photos in ([], [photo(tmp_path / "a.png", ([], ("people",)))]):
        with pytest.raises(DataError, match=r"no phrase with a box.*choose others\.$"):
            evaluate_proposals(photos)


def test_opencvs_threads_are_given_back_whatever_happens(tmp_path, placed):
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        seen = []
        one = photo(tmp_path / "a.png", ([[0, 0, 9, 9]], ()))
        evaluate_proposals([one], progress=lambda photos: seen.append(cv2.getNumThreads()) or photos)
        assert seen == [1] and cv2.getNumThreads() == 2
        one.path.unlink()
        with pytest.raises(PhotoError):
            evaluate_proposals([one])
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


def test_real_proposals_of_a_drawn_scene(tmp_path):
    pixels = np.full((150, 200, 3), (90, 120, 60), np.uint8)
    pixels[40:110, 50:140] = (200, 60, 50)
    drawn = photo(tmp_path / "a.png", ([[50, 40, 140, 110]], ("other",)), ([[0, 0, 200, 150]], ("scene",)))
    Image.fromarray(pixels).save(drawn.path)
    measured = evaluate_proposals([drawn])
    assert measured["recall"]["0.5"]["50"] == 1 and measured["by_type"]["scene"]["0.7"]["50"] == 1
    assert 0 < measured["ms_per_photo"] < 5000


def test_json_table_and_curve(tmp_path, placed):
    measured = evaluate_proposals([photo(tmp_path / "a.png", ([[0, 0, 50, 50]], ("people",)))])
    assert json.loads(json.dumps(measured)) == measured
    lines = table(measured).splitlines()
    assert lines[0].startswith("1 phrases of 1 photos; merged box")
    expected = ["0.00", "100.00", "100.00", "100.00", "100.00"]
    assert [line.split()[-len(COUNTS) :] for line in lines if line.startswith("all")] == [expected, expected]
    assert any("people, IoU 0.7" in line for line in lines) and lines[-1].endswith("ms per photo for 500 boxes")
    draw_curve(measured, tmp_path / "new" / "curve.png")
    with Image.open(tmp_path / "new" / "curve.png") as curve:
        assert curve.format == "PNG" and curve.width > 500
