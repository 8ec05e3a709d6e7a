"""Recall, bound and average precision against a second statement: plain loops over exact fractions, written apart.

The made data cover each odd case: equal scores, several right boxes of one phrase, none, a right box that suppression
removes, one candidate alone, an overlap of exactly a half, phrases of two types and of none.
"""

from fractions import Fraction

import numpy as np
import pytest

from sspe.evaluation.answers import PhraseResult
from sspe.evaluation.measures import average_precision, measure_localization

TYPES = ("people", "clothing", "scene")


def made(result, seed: int, phrases: int) -> list[PhraseResult]:
    """Phrases at random; every second seed with scores of one decimal, so that many are equal."""
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(phrases):
        count = int(rng.choice([1, 2, 7, 30]))
        ious = rng.random(count) * rng.choice([0.4, 0.7, 1.0])  # 0.4: nothing is right
        ious[rng.random(count) < 0.1] = 0.5
        scores = np.sort(rng.random(count))[::-1]
        kept = np.flatnonzero((rng.random(count) < 0.5) | (np.arange(count) == 0))  # the answer always stays
        types = tuple(name for name in TYPES if rng.random() < 0.4)
        scores = scores.round(1) if seed % 2 else scores
        results.append(result(ious, kept, types, scores=scores, photo=str(rng.integers(5))))
    return results


def right(r: PhraseResult, place: int) -> bool:
    return Fraction(float(r.ious[place])) >= Fraction(1, 2)


def recall(results: list[PhraseResult], k: int, suppressed: bool) -> Fraction:
    hits = 0
    for r in results:
        places = [int(place) for place in r.kept] if suppressed else list(range(len(r.ious)))
        hits += any(right(r, place) for place in places[:k])
    return Fraction(hits, len(results))


def precision_averaged(results: list[PhraseResult]) -> Fraction:
    """Pool all kept boxes, best score first; per phrase the best scored right one is true; mean over eleven recalls."""
    pool = []
    for number, r in enumerate(results):
        best = None
        for place in r.kept:
            if right(r, place) and (best is None or r.scores[place] > r.scores[best]):
                best = int(place)
        pool += [(float(r.scores[place]), number, int(place) == best) for place in r.kept]
    pool.sort(key=lambda box: -box[0])  # stable: of equal scores the earlier phrase comes first
    points, found = [], 0
    for looked, (_, _, true) in enumerate(pool, 1):
        found += true
        points.append((Fraction(found, len(results)), Fraction(found, looked)))
    total = Fraction(0)
    for tenth in range(11):
        total += max((p for r, p in points if r >= Fraction(tenth, 10)), default=Fraction(0))
    return total / 11


@pytest.mark.parametrize("phrases", [1, 3, 10, 40])
@pytest.mark.parametrize("seed", range(4))
def test_every_rate_is_the_second_statements(result, seed, phrases):
    results = made(result, seed, phrases)
    measured = measure_localization(results)
    for k in (1, 5, 10):
        assert measured[f"recall_at_{k}"] == pytest.approx(float(recall(results, k, False)))
        assert measured[f"recall_at_{k}_nms"] == pytest.approx(float(recall(results, k, True)))
    assert measured["upper_bound"] == pytest.approx(float(recall(results, 1000, False)))
    assert average_precision(results) == pytest.approx(float(precision_averaged(results)))
    for name in TYPES:
        of_type = [r for r in results if name in r.types]
        assert (name in measured["by_type"]) == bool(of_type)
        if of_type:
            group = measured["by_type"][name]
            assert group["phrases"] == len(of_type)
            assert group["recall_at_1"] == pytest.approx(float(recall(of_type, 1, False)))
            assert group["average_precision"] == pytest.approx(float(precision_averaged(of_type)))


def test_the_made_data_hold_what_they_are_made_for(result):
    results = [r for seed in range(4) for r in made(result, seed, 40)]
    hits = [[right(r, place) for place in range(len(r.ious))] for r in results]
    assert any(len(row) == 1 for row in hits) and any(not any(row) for row in hits)
    assert any(sum(row[place] for place in r.kept) > 1 for r, row in zip(results, hits, strict=True))
    assert any(any(row) and not any(row[place] for place in r.kept) for r, row in zip(results, hits, strict=True))
    assert any(len(set(r.scores.tolist())) < len(r.scores) for r in results)
    assert any(0.5 in r.ious for r in results)
    assert {len(r.types) for r in results} >= {0, 1, 2}


def test_recalls_that_end_exactly_on_a_tenth(result):
    """3 of 10 phrases found is a recall of 0.3, which floating point puts a hair below three tenths."""
    for found in range(11):
        results = [result([0.9 if i < found else 0.1], scores=[1 - i / 20]) for i in range(10)]
        assert average_precision(results) == pytest.approx(float(precision_averaged(results)))
        assert precision_averaged(results) == Fraction(found + 1 if found else 0, 11)
