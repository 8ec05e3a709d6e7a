"""What detections say of each region, by hand."""

from dataclasses import replace

import numpy as np

from sspe.vision.detections import Detections, things_in

FOUND = Detections(
    np.array([[10, 10, 30, 30], [0, 0, 20, 40], [50, 50, 60, 60]], np.float32),
    np.array([[0.8, 0.1], [0.3, 0.6], [0.1, 0.2]], np.float32),
    np.array([0.8, 0.6], np.float32),
)


def test_what_a_region_holds_is_the_best_of_score_times_squared_overlap():
    boxes = np.array([[10, 10, 30, 30], [10, 10, 30, 20], [0, 0, 20, 20], [90, 90, 99, 99]], np.float32)
    # Overlaps with the first two: 1 and 200/1000; 1/2 and 100/900; 100/700 and 1/2; 0 and 0.
    expected = [
        [0.8, max(0.1, 0.6 * 0.2**2)],
        [0.8 * 0.25, max(0.1 * 0.25, 0.6 / 81)],
        [max(0.8 / 49, 0.3 * 0.25), 0.6 * 0.25],
        [0, 0],
    ]
    found = things_in(boxes, FOUND)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(things_in(boxes / 100, replace(FOUND, boxes=FOUND.boxes / 100)), expected, rtol=1e-4)


def test_nothing_found_is_nothing_everywhere():
    nothing = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32), np.zeros(2, np.float32))
    assert things_in(FOUND.boxes, nothing).tolist() == [[0, 0]] * 3
    assert things_in(np.zeros((0, 4), np.float32), FOUND).shape == (0, 2)
