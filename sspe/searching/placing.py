"""Several phrases, each in a region of its own: of the boxes that each may mean, those that are not the same one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from sspe.models.calibration import TEMPERATURE
from sspe.models.localization import Located
from sspe.searching.query import Asked
from sspe.searching.results import FoundPhrase
from sspe.vision.boxes import iou

SAME = 0.7  # intersection over union from which two boxes are the same one
CANDIDATES = 5  # boxes of a phrase that are tried
_COMBINATIONS = 4000  # beyond them phrases choose one after the other


def placed(
    wanted: Sequence[Asked], located: Located, probabilities: np.ndarray | None
) -> tuple[FoundPhrase, ...] | None:
    """Each phrase in a region of its own; None where the photo has not as many.

    ``probabilities`` (P,) are those of the phrases' own answers; one that has to take another box is less likely.
    """
    boxes = [located.boxes[i, kept] for i, kept in enumerate(located.kept)]
    scores = [located.scores[i, kept] for i, kept in enumerate(located.kept)]
    chosen = apart(boxes, scores)
    if chosen is None:
        return None
    found = []
    for i, (phrase, c) in enumerate(zip(wanted, chosen, strict=True)):
        sure = None
        if probabilities is not None:
            less = min(0.0, float(scores[i][c] - scores[i][0])) / TEMPERATURE
            sure = float(probabilities[i] * np.exp(less))
        found.append(FoundPhrase(phrase.text, tuple(boxes[i][c].tolist()), float(scores[i][c]), sure))
    return tuple(found)


def apart(boxes: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> list[int] | None:
    """For each of P phrases which of its boxes to take, so that none is the same and the scores' sum is largest.

    Args:
        boxes: per phrase (K, 4), best first.
        scores: per phrase (K,).

    Returns:
        P places among the boxes; None where there are not as many different boxes.
    """
    boxes = [b[:CANDIDATES] for b in boxes]
    scores = [s[:CANDIDATES] for s in scores]
    if len(boxes) == 1:
        return [0]
    everything = np.concatenate(boxes)
    starts = np.concatenate([[0], np.cumsum([len(b) for b in boxes])])
    same = iou(everything, everything) >= SAME
    if np.prod([float(len(b)) for b in boxes]) > _COMBINATIONS:
        return _one_after_the_other(scores, same, starts)
    best, most = None, -np.inf
    for choice in product(*(range(len(b)) for b in boxes)):
        total = sum(float(s[c]) for s, c in zip(scores, choice, strict=True))
        places = [starts[i] + c for i, c in enumerate(choice)]
        if total > most and not any(same[a, b] for i, a in enumerate(places) for b in places[:i]):
            best, most = list(choice), total
    return best


def _one_after_the_other(scores: Sequence[np.ndarray], same: np.ndarray, starts: np.ndarray) -> list[int] | None:
    """Phrases that have the better boxes choose first."""
    chosen: dict[int, int] = {}
    for i in sorted(range(len(scores)), key=lambda i: -float(scores[i][0])):
        free = [
            c for c in range(len(scores[i])) if not any(same[starts[i] + c, starts[j] + k] for j, k in chosen.items())
        ]
        if not free:
            return None
        chosen[i] = free[0]
    return [chosen[i] for i in range(len(scores))]
