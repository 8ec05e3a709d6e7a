"""The probability of a search: its evidence, and what a handful of photos is worth."""

import numpy as np
import pytest

from sspe.searching.probability import (
    EVIDENCE_OF_SEARCH,
    FEW,
    among_few,
    search_evidence,
    threshold_among_few,
)


def test_the_evidence_has_a_column_each():
    scores, standing = np.array([[0.5, 0.4]]), np.array([[3.0, 2.0]])
    of_phrase = [np.array([float(i)]) for i in range(len(EVIDENCE_OF_SEARCH) - 2)]
    evidence = search_evidence(scores, standing, *of_phrase)
    assert evidence.shape == (1, 2, len(EVIDENCE_OF_SEARCH)) and evidence.dtype == np.float32
    assert evidence[0].tolist() == [pytest.approx([0.5, 3, 0, 1, 2, 3]), pytest.approx([0.4, 2, 0, 1, 2, 3])]


def test_among_few_photos_the_single_one_is_heard():
    searched, present = np.array([0.1, 0.9]), np.array([0.8, 0.2])
    np.testing.assert_allclose(among_few(searched, present, FEW), searched, rtol=1e-6)
    np.testing.assert_allclose(among_few(searched, present, 10 * FEW), searched, rtol=1e-6)
    np.testing.assert_allclose(among_few(searched, present, 0), present, rtol=1e-6)
    # Half and half: log odds of 1/9 and 4 have the mean of log(2/3), which is a chance of 2 in 5.
    np.testing.assert_allclose(among_few(searched, present, FEW // 2), [0.4, 0.6], rtol=1e-6)
    assert np.isfinite(among_few(np.array([0.0, 1.0]), np.array([1.0, 0.0]), 10)).all()


def test_the_threshold_among_few_photos_is_nearer_to_an_even_chance():
    assert threshold_among_few(0.1, FEW) == threshold_among_few(0.1, 5000) == 0.1
    assert threshold_among_few(0.1, 0) == 0.5 and threshold_among_few(0.1, FEW // 2) == pytest.approx(0.3)
