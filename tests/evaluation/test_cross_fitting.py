"""Fitting the two probabilities: the weights by a direct computation, and that a photo is judged by the others' fit."""

import numpy as np
import pytest
import torch

from sspe.errors import DataError
from sspe.evaluation import cross_fitting
from sspe.evaluation.answers import AbsentResult, AskedResult, Judged
from sspe.evaluation.cross_fitting import FOLDS, fit, halves
from sspe.models.calibration import EVIDENCE, RIDGE, logistic, unfitted

F = len(EVIDENCE)
BANK = torch.eye(4)


@pytest.fixture
def cases(result):
    """cases(evidence, right, photos) -> results whose evidence and truth are these.

    Every other phrase is judged alone, the first among them: what must not be read is nonsense.
    """

    def make(evidence, right, photos):
        made = []
        for i, (row, true, photo) in enumerate(zip(evidence, right, photos, strict=True)):
            nonsense, real = Judged(np.full(F, 1e6, np.float32), 0.5, 0.5), Judged(row.astype(np.float32), 0.5, 0.5)
            iou, wrong_iou = (0.8, 0.2) if true else (0.2, 0.8)
            if i % 2:  # in its sentence
                made.append(result([iou], photo=photo, alone_iou=wrong_iou, judged=real, judged_alone=nonsense))
            else:
                made.append(result([wrong_iou], photo=photo, alone_iou=iou, judged=nonsense, judged_alone=real))
        return made

    return make


def absent_cases(evidence, photos):
    return [
        AbsentResult(photo, "it", Judged(row.astype(np.float32), 0.5, 0.5))
        for row, photo in zip(evidence, photos, strict=True)
    ]


def direct(evidence, true):
    """The same logistic regression by Newton's method; weights of the evidence as it comes."""
    evidence = evidence.astype(float)
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-6
    x = np.column_stack([(evidence - mean) / deviation, np.ones(len(evidence))])
    ridge = np.append(np.full(F, 2 * RIDGE), 0)
    w = np.zeros(F + 1)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        gradient = x.T @ (p - true) / len(x) + ridge * w
        w -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x / len(x) + np.diag(ridge), gradient)
    return np.append(w[:-1] / deviation, w[-1] - (w[:-1] / deviation) @ mean)


@pytest.fixture
def problem():
    """Known and unknown evidence of 20 photos: 200 answers whose chance to be right is known, 200 absent phrases."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(200, F)) * np.linspace(0.1, 3, F) + np.linspace(-1, 1, F)
    right = rng.random(200) < 1 / (1 + np.exp(-(8 * known[:, 0] + known[:, 5] + 7)))
    unknown = rng.normal(size=(200, F)) * np.linspace(0.1, 3, F) + np.linspace(-1.2, 0.8, F)
    photos = [f"{n % 20}" for n in range(200)]
    return known, right, unknown, photos


def test_weights_are_those_of_a_direct_computation(cases, problem):
    known, right, unknown, photos = problem
    fitted, measured = fit(cases(known, right, photos), absent_cases(unknown, photos), BANK)
    assert fitted.bank is BANK
    both, shown = np.concatenate([known, unknown]), np.arange(400) < 200
    for weights, evidence, true in ((fitted.confidence, known, right), (fitted.present, both, shown)):
        assert weights.dtype == torch.float32
        expected = logistic(evidence, direct(evidence, true))
        np.testing.assert_allclose(logistic(evidence, weights.numpy()), expected, atol=1e-3)
        np.testing.assert_allclose(weights.numpy(), direct(evidence, true), rtol=0.01, atol=0.01)
    assert set(measured) == {"confidence", "present"}
    assert (measured["confidence"]["count"], measured["present"]["count"]) == (200, 400)
    assert measured["confidence"]["rate"] == pytest.approx(right.mean()) and measured["present"]["rate"] == 0.5


def test_what_can_be_told_apart_is(cases):
    rng = np.random.default_rng(1)
    known, unknown = rng.normal(size=(120, F)), rng.normal(size=(120, F)) - np.eye(F)[6] * 20
    right, photos = known[:, 2] > 0, [str(n % 12) for n in range(120)]
    fitted, measured = fit(cases(known, right, photos), absent_cases(unknown, photos), BANK)
    assert measured["confidence"]["auroc"] > 0.98 and measured["present"]["auroc"] == 1
    assert measured["present"]["brier"] < 0.001
    confidence, present = fitted.probabilities(np.concatenate([known, unknown]).astype(np.float32))
    assert ((confidence[:120] > 0.5) == right).mean() > 0.95
    assert present[:120].min() > 0.9 and present[120:].max() < 0.1


def test_a_photo_is_judged_by_the_fit_on_the_others(cases, problem, monkeypatch):
    known, right, unknown, photos = problem
    known[:, 9] = unknown[:, 9] = [int(photo) for photo in photos]  # which photo a row is of
    seen, whole = [], cross_fitting.fit_weights
    monkeypatch.setattr(cross_fitting, "fit_weights", lambda e, true: seen.append(set(e[:, 9])) or whole(e, true))
    fit(cases(known, right, photos), absent_cases(unknown, photos), BANK)
    everyone = set(range(20))
    assert len(seen) == 2 * (FOLDS + 1)
    for of_one in (seen[: FOLDS + 1], seen[FOLDS + 1 :]):
        left_out = [everyone - some for some in of_one[:FOLDS]]
        assert [len(some) for some in left_out] == [4] * FOLDS and set().union(*left_out) == everyone
        assert of_one[FOLDS] == everyone  # what is kept is fitted on all


def test_knowing_the_photo_is_of_no_use(cases):
    # The evidence says which of ten photos it is and no more; in every photo all answers are right or all are wrong.
    photos = [str(n % 10) for n in range(100)]
    known = np.eye(F)[[int(photo) for photo in photos]]
    right = np.array([int(photo) % 2 == 0 for photo in photos])
    fitted, measured = fit(cases(known, right, photos), absent_cases(known, photos), BANK)
    assert ((fitted.probabilities(known.astype(np.float32))[0] > 0.5) == right).all()
    assert measured["confidence"]["auroc"] <= 0.5


def test_too_little_to_fit_is_said_in_a_sentence(cases, problem):
    known, right, unknown, photos = problem
    few = [str(int(photo) % 4) for photo in photos]
    absent = absent_cases(unknown, photos)
    for results, others, told in (
        (cases(known, right, few), absent_cases(unknown, few), "'confidence' cannot be fitted on 4 photos"),
        (cases(known, np.ones(200, bool), photos), absent, "with 200 true and 0 false answers"),
        (cases(known, np.zeros(200, bool), photos), absent, "with 0 true and 200 false answers"),
        (cases(known, right, photos), [], "'present' cannot be fitted"),
    ):
        with pytest.raises(DataError, match=rf"{told}.*; give more val photos\.$"):
            fit(results, others, BANK)


def test_an_unfitted_calibration_knows_nothing():
    confidence, present = unfitted(BANK).probabilities(np.random.default_rng(0).normal(size=(3, F)))
    assert confidence.tolist() == present.tolist() == [0.5] * 3


def test_bare_nouns_count_for_presence_alone(cases, problem):
    known, right, unknown, photos = problem
    rng = np.random.default_rng(5)
    results, absent = cases(known, right, photos), absent_cases(unknown, photos)
    nouns = [
        AskedResult(photos[i % len(photos)], "cup", bool(i % 2), Judged(row.astype(np.float32), 0.5, 0.5))
        for i, row in enumerate(rng.normal(size=(30, F)))
    ]
    without, with_nouns = fit(results, absent, BANK), fit(results, absent, BANK, nouns)
    assert with_nouns[1]["present"]["count"] == without[1]["present"]["count"] + 30
    assert with_nouns[1]["confidence"] == without[1]["confidence"]
    assert not torch.equal(with_nouns[0].present, without[0].present)


def test_halves_share_no_photo():
    assert halves(list(range(5))) == ([0, 2, 4], [1, 3]) and halves([7]) == ([7], [7])
