"""Proposals of both kinds, in one order; what the detector found goes with them wherever they go."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from sspe.settings import DetectorSettings, EdgeBoxesSettings
from sspe.vision.detections import Detections
from sspe.vision.edge_boxes import EdgeBoxes
from sspe.vision.proposals import Proposals, one_thread, propose

FOUND = Detections(
    np.array([[10, 10, 30, 30], [0, 0, 20, 40], [50, 50, 60, 60]], np.float32),
    np.array([[0.8, 0.1], [0.3, 0.6], [0.1, 0.2]], np.float32),
    np.array([0.8, 0.6], np.float32),
)


@pytest.fixture
def photo() -> np.ndarray:
    photo = np.full((90, 120, 3), 230, np.uint8)
    cv2.rectangle(photo, (20, 20), (60, 70), (200, 30, 30), -1)
    cv2.circle(photo, (90, 45), 20, (20, 60, 200), -1)
    return photo


def detector(boxes: int) -> SimpleNamespace:
    """Finds the same in every photo."""
    return SimpleNamespace(settings=DetectorSettings(boxes=boxes), detect=lambda photo: FOUND)


def test_the_detectors_boxes_stand_between_the_whole_photo_and_edge_boxes(photo):
    edge_boxes = EdgeBoxes(EdgeBoxesSettings(count=12, size=96))
    plain = edge_boxes(photo)
    made = propose(photo, edge_boxes, detector(2))
    np.testing.assert_array_equal(made.boxes, np.concatenate([plain[:1], FOUND.boxes[:2], plain[1:10]]))
    assert made.boxes.dtype == np.float32 and len(made.boxes) == 12
    assert made.detections is FOUND  # all three of them, for the regions' features


def test_there_are_never_more_proposals_than_the_settings_say(photo):
    edge_boxes = EdgeBoxes(EdgeBoxesSettings(count=3, size=96))
    np.testing.assert_array_equal(propose(photo, edge_boxes, detector(9)).boxes[1:], FOUND.boxes[:2])
    only = propose(photo, EdgeBoxes(EdgeBoxesSettings(count=1)), detector(9))
    np.testing.assert_array_equal(only.boxes, [[0, 0, 120, 90]])


def test_without_a_detector_there_are_edge_boxes_alone(photo):
    edge_boxes = EdgeBoxes(EdgeBoxesSettings(count=12, size=96))
    made = propose(photo, edge_boxes)
    np.testing.assert_array_equal(made.boxes, edge_boxes(photo))
    assert made.detections is None and made.first(3).detections is None and made.scaled(2, 2).detections is None


def test_detections_move_with_the_boxes():
    made = Proposals(np.array([[0, 0, 100, 80], [10, 20, 30, 40]], np.float32), FOUND)
    small = made.scaled(0.1, 0.5)
    np.testing.assert_allclose(small.boxes, [[0, 0, 10, 40], [1, 10, 3, 20]])
    np.testing.assert_allclose(small.detections.boxes[0], [1, 5, 3, 15])
    turned = made.flipped(100)
    np.testing.assert_allclose(turned.boxes[1], [70, 20, 90, 40])
    np.testing.assert_allclose(turned.detections.boxes[0], [70, 10, 90, 30])
    assert small.detections.scores is turned.detections.scores is FOUND.scores
    first = made.first(1)
    assert len(first.boxes) == 1 and first.detections is FOUND


def test_side_by_side_they_find_the_same_with_a_core_for_edge_boxes(photo):
    before, used = torch.get_num_threads(), []
    edge_boxes = EdgeBoxes(EdgeBoxesSettings(count=12, size=96))
    finds = SimpleNamespace(
        settings=DetectorSettings(boxes=2), detect=lambda photo: used.append(torch.get_num_threads()) or FOUND
    )
    try:
        for threads, left in ((3, 2), (1, 1)):
            torch.set_num_threads(threads)
            made = propose(photo, edge_boxes, finds, side_by_side=True)
            np.testing.assert_array_equal(made.boxes, propose(photo, edge_boxes, detector(2)).boxes)
            assert used.pop() == left and torch.get_num_threads() == threads
        torch.set_num_threads(2)
        with pytest.raises(ZeroDivisionError):
            propose(photo, edge_boxes, SimpleNamespace(detect=lambda photo: 1 / 0), side_by_side=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_one_thread_ends_with_the_block_however_it_ends():
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(2)
    torch.set_num_threads(2)
    try:
        with pytest.raises(ZeroDivisionError), one_thread(detector(1)):
            assert (cv2.getNumThreads(), torch.get_num_threads()) == (1, 1)
            _ = 1 / 0
        assert (cv2.getNumThreads(), torch.get_num_threads()) == (2, 2)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
