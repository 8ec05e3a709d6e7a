"""Box arithmetic on any boxes: what is always true of overlaps, mirrors, scales and the answers made of boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import outcome

from sspe.vision import boxes as arithmetic
from sspe.web.search_service import checked_box

EDGES = st.floats(-1e4, 1e4, width=32)
ANY = st.floats(width=32) | st.integers(-(10**30), 10**30)
BOXES = st.lists(st.tuples(EDGES, EDGES, EDGES, EDGES), min_size=1, max_size=8).map(lambda b: np.array(b, np.float32))


@given(BOXES, BOXES)
def test_overlaps(a, b):
    found = arithmetic.iou(a, b)
    assert found.shape == (len(a), len(b)) and (found >= 0).all() and (found <= 1 + 1e-5).all()
    np.testing.assert_allclose(found, arithmetic.iou(b, a).T, atol=1e-6)
    own = np.diag(arithmetic.iou(a, a))
    np.testing.assert_allclose(own[arithmetic.area(a) > 1e-3], 1, atol=1e-5)
    part = arithmetic.shared(a, b)
    assert (part >= 0).all() and (part <= 1 + 1e-5).all() and (part >= found - 1e-5).all()


@given(BOXES, st.floats(1, 1e4), st.floats(1, 1e4))
def test_clipped_boxes_lie_in_the_photo_and_mirrors_undo_each_other(boxes, width, height):
    clipped = arithmetic.clip(boxes, width, height)
    limit = np.array([width, height, width, height], np.float32)
    assert (clipped >= 0).all() and (clipped <= limit).all()
    assert np.array_equal(arithmetic.clip(clipped, width, height), clipped)
    twice = arithmetic.flip(arithmetic.flip(clipped, width), width)
    np.testing.assert_allclose(twice, clipped, atol=4e-3)
    back = arithmetic.scale(arithmetic.scale(clipped, 1 / width, 1 / height), width, height)
    np.testing.assert_allclose(back, clipped, rtol=1e-5, atol=1e-3)


@given(BOXES, st.integers(0, 2**32))
def test_agreement_and_suppression(boxes, seed):
    boxes = np.concatenate([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1)
    scores = np.random.default_rng(seed).uniform(-1, 1, len(boxes)).astype(np.float32)
    winner, mean, agreed = arithmetic.consensus(boxes, scores)
    around = arithmetic.union(boxes)
    assert 0 <= winner < len(boxes) and np.isfinite(mean).all() and 0 <= agreed <= 1 + 1e-5
    assert (mean[:2] >= around[:2]).all() and (mean[2:] <= around[2:]).all()
    kept = arithmetic.nms(boxes, scores)
    assert scores[kept[0]] == scores.max() and len(set(kept)) == len(kept)
    overlap = arithmetic.iou(boxes[kept], boxes[kept]) - np.eye(len(kept))
    assert (overlap <= 0.5 + 1e-5).all()


@given(st.lists(ANY, max_size=5) | st.text(max_size=3, alphabet="a1") | st.none())
def test_boxes_that_a_browser_sends(given_box):
    found = outcome(lambda: checked_box(given_box))
    if not isinstance(found, str):
        assert len(found) == 4 and 0 <= found[0] < found[2] < 1e6 and 0 <= found[1] < found[3] < 1e6


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none(odd):
    boxes = np.array([[0, 0, 10, 10], [odd, 0, 10, 10]], np.float32)
    with np.errstate(all="ignore"):
        assert arithmetic.iou(boxes, boxes)[0, 0] == 1
