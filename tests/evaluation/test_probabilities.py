"""The measures of a probability, counted by hand and by a literal double loop."""

import json

import numpy as np
import pytest
from PIL import Image

from sspe.evaluation.probabilities import auroc, draw_reliability, measure_probability, shares_below


def test_by_hand():
    measured = measure_probability([0.15, 1.0, 0.05, 0.95, 0.15], [False, True, False, True, True])
    # Bins 0 to .1: one, false; .1 to .2: two, one of them true; .9 to 1: two, both true; 1 belongs to the last.
    assert [count for *_, count in measured["curve"]] == [1, 2, 2]
    assert [share for _, share, _ in measured["curve"]] == [0, 0.5, 1]
    assert [mean for mean, *_ in measured["curve"]] == pytest.approx([0.05, 0.15, 0.975])
    assert measured["ece"] == pytest.approx((1 * 0.05 + 2 * 0.35 + 2 * 0.025) / 5)
    assert measured["brier"] == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0.05**2 + 0) / 5)
    # Of the six pairs of a true and a false one, five are in order and one is a tie.
    assert measured["auroc"] == pytest.approx(5.5 / 6)
    assert (measured["rate"], measured["count"]) == (0.6, 5)
    assert json.loads(json.dumps(measured))["ece"] == measured["ece"]  # plain numbers


def test_certainty_that_is_always_right_and_always_wrong():
    right = measure_probability([1.0, 0.0, 1.0], [True, False, True])
    assert (right["ece"], right["brier"], right["auroc"]) == (0, 0, 1)
    assert [count for *_, count in right["curve"]] == [1, 2]
    wrong = measure_probability([0.0, 1.0], [True, False])
    assert (wrong["ece"], wrong["brier"], wrong["auroc"]) == (1, 1, 0)


def test_errors_of_one_bin_do_not_cancel_those_of_another():
    measured = measure_probability([0.3] * 10 + [0.7] * 10, [True] * 5 + [False] * 5 + [True] * 5 + [False] * 5)
    assert measured["ece"] == pytest.approx(0.2) and measured["auroc"] == pytest.approx(0.5)


def test_shares_below_a_threshold_of_true_and_of_false_events():
    probabilities = [0.05, 0.29, 0.3, 0.9, 0.1, 0.29, 0.31, 0.95]
    measured = measure_probability(probabilities, [True] * 4 + [False] * 4)
    assert shares_below(measured, 0.3) == pytest.approx((0.5, 0.5))
    assert shares_below(measured, 0.2) == pytest.approx((0.25, 0.25))
    assert shares_below(measure_probability([0.1, 0.8], [True, True]), 0.3) == (0.5, 0)


def test_auroc_with_ties_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    for levels in (1, 2, 5, 1000):
        scores = rng.integers(0, levels, 60) / levels
        true = rng.random(60) < 0.3 + 0.4 * scores
        won = [
            1.0 if a > b else 0.5 if a == b else 0.0
            for a, is_true in zip(scores, true, strict=True)
            for b, other_is_true in zip(scores, true, strict=True)
            if is_true and not other_is_true
        ]
        assert 0 < true.sum() < 60
        assert auroc(scores, true) == pytest.approx(np.mean(won), abs=1e-12)


def test_auroc_of_a_single_kind_is_not_a_number():
    for true in (True, False):
        assert auroc(np.array([0.1, 0.9]), np.array([true, true])) is None


@pytest.mark.parametrize("names", [("confidence",), ("confidence", "present")])
def test_reliability_diagrams(tmp_path, names):
    rng = np.random.default_rng(0)
    p = rng.random(200)
    file = tmp_path / "deep" / "reliability.png"
    draw_reliability({name: measure_probability(p, rng.random(200) < p) for name in names}, file)
    with Image.open(file) as picture:
        assert picture.format == "PNG" and picture.width == pytest.approx(len(names) * 4.2 * 120, abs=2)
        assert np.asarray(picture.convert("L")).std() > 10  # not a blank page
    assert [path.name for path in file.parent.iterdir()] == ["reliability.png"]
