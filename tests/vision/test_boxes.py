"""Box arithmetic on numbers checked by hand."""

import numpy as np
import pytest

from sspe.vision.boxes import area, clip, consensus, flip, iou, nms, scale, shared, union

NONE = np.zeros((0, 4), np.float32)


def test_iou_of_no_boxes():
    one = np.array([[0, 0, 2, 2]])
    assert iou(NONE, one).shape == (0, 1) and iou(one, NONE).shape == (1, 0) and iou(NONE, NONE).shape == (0, 0)


def test_how_much_of_a_box_lies_in_another():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 20, 30]], np.float32)
    np.testing.assert_allclose(shared(boxes, boxes[:2]), [[1, 0.5], [1, 1], [0, 0]])


def test_iou_by_hand():
    a = np.array([[0, 0, 10, 10], [0, 0, 10, 5]])
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4]])
    expected = [[1, 50 / 150, 0, 4 / 100], [0.5, 25 / 125, 0, 4 / 50]]
    overlap = iou(a, b)
    np.testing.assert_allclose(overlap, expected, rtol=1e-6)
    assert overlap.dtype == np.float32 and overlap.shape == (2, 4)
    np.testing.assert_array_equal(iou(b, a), overlap.T)
    np.testing.assert_array_equal(iou(a[0], b), overlap[:1])  # one box needs no brackets


def test_iou_equals_the_one_over_inclusive_pixels():
    rng = np.random.default_rng(0)
    first = rng.integers(1, 20, (50, 2, 2))
    size = rng.integers(0, 20, (50, 2, 2))
    inclusive = np.concatenate([first, first + size], axis=2)  # xmin, ymin, xmax, ymax, from 1
    for a, b in inclusive:
        width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
        overlap = max(width, 0) * max(height, 0)
        areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
        ours = iou(a - [1, 1, 0, 0], b - [1, 1, 0, 0])[0, 0]
        assert ours == pytest.approx(overlap / (sum(areas) - overlap), rel=1e-6)


def test_iou_of_boxes_without_area_is_zero_not_nan():
    point, inverted, whole = [[5, 5, 5, 5]], [[8, 8, 2, 2]], [[0, 0, 10, 10]]
    for odd in (point, inverted):
        assert iou(odd, odd)[0, 0] == 0 and iou(odd, whole)[0, 0] == 0
    np.testing.assert_array_equal(area(np.array(inverted + whole + point)), [0, 100, 0])


def test_union_is_the_merged_box():
    boxes = np.array([[5, 6, 7, 8], [1, 9, 3, 20], [2, 2, 30, 3]])
    np.testing.assert_array_equal(union(boxes), [1, 2, 30, 20])
    np.testing.assert_array_equal(union(boxes[:1]), boxes[0])
    assert union(boxes).shape == (4,) and union(boxes).dtype == np.float32
    with pytest.raises(ValueError, match="at least one box"):
        union(NONE)


def test_clip_and_scale():
    boxes = np.array([[-5, -1, 30, 7], [2, 3, 4, 5], [50, 50, 60, 60]])
    np.testing.assert_array_equal(clip(boxes, 20, 6), [[0, 0, 20, 6], [2, 3, 4, 5], [20, 6, 20, 6]])
    np.testing.assert_array_equal(scale(boxes[1:2], 10, 0.5), [[20, 1.5, 40, 2.5]])
    np.testing.assert_array_equal(scale(boxes[1], 10, 0.5), [20, 1.5, 40, 2.5])
    assert clip(NONE, 5, 5).shape == scale(NONE, 2, 2).shape == flip(NONE, 4).shape == (0, 4)
    assert clip(boxes, 20, 6).dtype == scale(boxes, 0.1, 0.1).dtype == flip(boxes, 9).dtype == np.float32


def test_flip_mirrors_and_twice_is_nothing():
    boxes = np.array([[1, 2, 4, 9], [0, 0, 10, 10]], np.float32)
    np.testing.assert_array_equal(flip(boxes, 10), [[6, 2, 9, 9], [0, 0, 10, 10]])
    np.testing.assert_array_equal(flip(flip(boxes, 10), 10), boxes)
    photo = np.zeros((10, 10), bool)
    photo[2:9, 1:4] = True
    x1, y1, x2, y2 = flip(boxes[0], 10).astype(int)
    assert photo[:, ::-1][y1:y2, x1:x2].all() and photo.sum() == (x2 - x1) * (y2 - y1)


def test_nms_keeps_the_best_of_what_overlaps():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]], np.float32)
    scores = np.array([0.5, 0.9, 0.1, 0.7], np.float32)
    # 0 and 3 overlap the best, 1, by 0.9 and 5/9.
    np.testing.assert_array_equal(nms(boxes, scores, 0.5), [1, 2])
    np.testing.assert_array_equal(nms(boxes, scores, 0.6), [1, 3, 2])
    np.testing.assert_array_equal(nms(boxes, scores, 0.95), [1, 3, 0, 2])


def test_nms_at_exactly_the_threshold_keeps_and_no_boxes_give_none():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # they overlap by exactly a half
    assert list(nms(boxes, np.array([1, 0.5]), 0.5)) == [0, 1]
    assert nms(NONE, np.zeros(0)).shape == (0,)


def test_nms_of_equal_scores_keeps_their_order():
    apart = np.array([[i * 20, 0, i * 20 + 10, 10] for i in range(6)], np.float32)
    assert list(nms(apart, np.ones(6))) == [0, 1, 2, 3, 4, 5]


# Consensus


def test_a_crowd_outvotes_one_slightly_better_box():
    crowd = [[10, 10, 50, 50], [12, 10, 52, 50], [10, 12, 50, 52]]
    boxes, scores = np.array([[100, 100, 140, 140], *crowd], np.float32), np.array([0.51, 0.5, 0.5, 0.5], np.float32)
    index, box, agreement = consensus(boxes, scores)
    assert index == 1  # nearest to the other two
    np.testing.assert_allclose(box, np.mean(crowd, axis=0), rtol=1e-5)  # equal scores, equal weights
    weights = np.exp(np.array([0, -0.01, -0.01, -0.01]) / 0.04)
    expected = (iou(boxes[1], boxes)[0] ** 2 * weights).sum() / weights.sum()
    assert agreement == pytest.approx(expected, rel=1e-5) and 0 < agreement < 1


def test_a_clearly_better_box_wins_alone():
    boxes = np.array([[100, 100, 140, 140], [10, 10, 50, 50], [12, 10, 52, 50]], np.float32)
    index, box, agreement = consensus(boxes, np.array([0.9, 0.5, 0.5], np.float32))
    assert index == 0 and agreement > 0.99
    np.testing.assert_array_equal(box, boxes[0])


def test_only_the_best_scored_vote_and_only_near_ones_move_the_box():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 2], *[[50, 50, 60, 60]] * 3], np.float32)
    scores = np.array([0.5, 0.5, 0.5, 0.49, 0.49, 0.49], np.float32)
    index, box, _ = consensus(boxes, scores, top=3)
    assert index == 1  # between the other two
    np.testing.assert_allclose(box, [0, 0, 10, 9], rtol=1e-6)  # the flat one overlaps it by less than a half
    assert consensus(boxes, scores, top=6)[0] == 3  # together the three outvote them


def test_one_box_and_boxes_without_area():
    index, box, agreement = consensus(np.array([[1, 2, 3, 4]], np.float32), np.array([-0.2], np.float32))
    assert (index, agreement) == (0, 1) and box.tolist() == [1, 2, 3, 4]
    flat = np.array([[5, 5, 5, 9], [7, 7, 7, 7]], np.float32)
    index, box, agreement = consensus(flat, np.array([0.2, 0.1], np.float32))
    assert index == 0 and agreement == 0 and box.tolist() == [5, 5, 5, 9]
