"""What an annotated phrase and sentence hold to."""

import numpy as np
import pytest

from sspe.data import AnnotatedPhrase, AnnotatedSentence


def test_no_boxes_in_any_shape():
    for empty in ([], np.zeros((0, 4)), np.zeros((0,))):
        assert AnnotatedPhrase("a hat", 0, 5, empty).boxes.shape == (0, 4)


def test_boxes_are_a_frozen_copy():
    given = np.array([[1, 2, 3, 4]], np.float32)
    phrase = AnnotatedPhrase("a hat", 0, 5, given)
    given[:] = 0
    np.testing.assert_array_equal(phrase.boxes, [[1, 2, 3, 4]])
    with pytest.raises(ValueError, match="read-only"):
        phrase.boxes[0, 0] = 9
    assert phrase.box.flags.writeable


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[1, 2, 3]]])
def test_boxes_of_another_shape_are_refused(wrong):
    with pytest.raises(ValueError, match=r"expected \(B, 4\)"):
        AnnotatedPhrase("a hat", 0, 5, wrong)


def test_equal_means_equal_words_and_boxes():
    phrase = AnnotatedPhrase("a hat", 0, 5, [[1, 2, 3, 4]])
    same, other = AnnotatedPhrase("a hat", 0, 5, [[1, 2, 3, 4]]), AnnotatedPhrase("a hat", 0, 5, [[1, 2, 3, 5]])
    assert phrase == same and hash(phrase) == hash(same) and phrase != other and phrase != "a hat"
    assert AnnotatedSentence("a hat", (phrase,), 0) == AnnotatedSentence("a hat", (same,), 0)


def test_a_span_that_does_not_cut_its_phrase_is_refused():
    with pytest.raises(ValueError, match="'the h', expected 'a hat'"):
        AnnotatedSentence("the hat", (AnnotatedPhrase("a hat", 0, 5, []),), 0)
