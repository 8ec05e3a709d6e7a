"""The detector: what it names on the example photos, where it says things are, and whose weights it takes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sspe.errors import CheckpointError
from sspe.files import DETECTOR_FILE, SHIPPED
from sspe.settings import DetectorSettings
from sspe.vision.boxes import iou
from sspe.vision.detections import THINGS, Detections
from sspe.vision.detector import BINS, SIDE, STRIDES, Detector, decode, published_detector
from sspe.vision.photo import open_photo

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def detector() -> Detector:
    return published_detector(DetectorSettings(boxes=30))


def best_of(found: Detections, thing: str) -> tuple[float, np.ndarray]:
    """The highest score of a thing, and its box."""
    scores = found.scores[:, THINGS.index(thing)]
    return float(scores.max()), found.boxes[scores.argmax()]


def test_eighty_things_in_cocos_order():
    assert len(THINGS) == len(set(THINGS)) == 80
    assert [THINGS[i] for i in (0, 15, 16, 41, 79)] == ["person", "cat", "dog", "cup", "toothbrush"]
    assert all(name == " ".join(name.split()) for name in THINGS)


@pytest.mark.parametrize(
    ("name", "thing", "box"),  # framed by hand, pixels
    [("coffee", "cup", [172, 18, 410, 308]), ("photographer", "person", [0, 63, 332, 512])],
)
def test_it_names_what_is_on_an_example_photo(detector, name, thing, box):
    found = detector.detect(open_photo(ASSETS / f"{name}.jpg"))
    assert THINGS[found.scores[0].argmax()] == thing  # the surest of all
    score, place = best_of(found, thing)
    assert score > 0.5 and iou(place, np.array(box))[0, 0] >= 0.5


def test_what_it_returns(detector):
    photo = open_photo(ASSETS / "photographer.jpg")[:, :301]
    found = detector.detect(photo)
    assert found.boxes.dtype == found.scores.dtype == np.float32
    assert found.boxes.shape == (len(found.boxes), 4) and found.scores.shape == (len(found.boxes), 80)
    assert 2 <= len(found.boxes) <= 100
    assert found.boxes.min() >= 0 and (found.boxes[:, 2:] <= [301, 512]).all()
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
    best = found.scores.max(axis=1)
    assert (np.diff(best) <= 0).all() and best.min() >= 0.05 and found.scores.max() <= 1
    for thing in set(found.scores.argmax(axis=1)):
        alike = found.boxes[found.scores.argmax(axis=1) == thing]
        assert np.triu(iou(alike, alike), 1).max() <= 0.6001


def test_its_settings_decide_what_counts(detector):
    photo = open_photo(ASSETS / "coffee.jpg")
    counts = []
    for settings in (DetectorSettings(least=0.05), DetectorSettings(least=0.3), DetectorSettings(overlap=0.3)):
        other = published_detector(settings)
        counts.append(len(other.detect(photo).boxes))
        assert other.key() != detector.key()
    assert counts[0] > counts[1] >= 1 and counts[0] > counts[2]


def test_mixed_precision_around_it_changes_nothing(detector):
    photo = open_photo(ASSETS / "coffee.jpg")
    plain = detector.detect(photo)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = detector.detect(photo)
    assert np.array_equal(plain.boxes, mixed.boxes) and np.array_equal(plain.scores, mixed.scores)


def test_a_photo_of_nothing_has_no_detections(detector):
    found = published_detector(DetectorSettings(least=0.9)).detect(np.full((40, 60, 3), 128, np.uint8))
    assert found.boxes.shape == (0, 4) and found.scores.shape == (0, 80)


def test_nothing_of_it_learns(detector):
    assert not any(p.requires_grad for p in detector.parameters())
    assert not any(p.requires_grad for p in Detector(DetectorSettings()).parameters())


def test_a_cells_outputs_become_its_box():
    outputs = [torch.full((1, 80 + 4 * BINS, SIDE // s, SIDE // s), -9.0) for s in STRIDES]
    cell = outputs[1][0, :, 5, 7]  # stride 16: its centre is x 120, y 88
    cell[3] = 9.0
    for side, distance in enumerate((2, 1, 3, 10)):  # strides to the left, up, right, down
        cell[80 + side * BINS + distance] = 30.0
    scores, boxes = decode(outputs)
    assert scores.shape == (1, 2704 + 676 + 169, 80) and boxes.shape == (1, 2704 + 676 + 169, 4)
    place = 2704 + 5 * 26 + 7
    np.testing.assert_allclose(boxes[0, place], [120 - 32, 88 - 16, 120 + 48, 88 + 160], atol=1e-3)
    assert scores[0, place].argmax() == 3 and scores[0, place, 3] > 0.999
    # All distances alike: the mean of 0 to 10 strides, and cut off at the border.
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 4 + 40, 4 + 40], atol=1e-3)


def one_sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text and text.endswith(".")
    return text


def test_other_weights_than_the_published_are_refused(tmp_path):
    content = bytearray((SHIPPED / DETECTOR_FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed").write_bytes(content)
    with pytest.raises(CheckpointError, match="SHA-256") as error:
        published_detector(DetectorSettings(), tmp_path / "changed")
    assert str(tmp_path / "changed") in one_sentence(error)
    with pytest.raises(CheckpointError, match="No such file") as error:
        published_detector(DetectorSettings(), tmp_path / "absent")
    assert "detector.boxes=0" in one_sentence(error)
