"""The order of photos: how well a photo as a whole fits a phrase, comparable from photo to photo.

A photo's score is a soft maximum over its regions, TEMPERATURE times the log of the sum of exp(score / TEMPERATURE):
several regions that fit count more than a single lucky one. Some photos lie near every phrase; half of this hubness is
taken off (as cross-domain similarity local scaling does, Conneau et al., ICLR 2018). A score standardised within the
photo would make all photos alike.
"""

from __future__ import annotations

import numpy as np

TEMPERATURE = 0.04
HUB_WEIGHT = 0.5
NEAREST = 0.1  # a photo's hubness is its mean score over the tenth of the training phrases that fit it best


def soft_maximum(scores: np.ndarray, first: np.ndarray, best: np.ndarray | None = None) -> np.ndarray:
    """Photo scores (P, N) of region scores (P, R); photo n has the regions first[n] to first[n + 1].

    ``best`` (P, N) is their :func:`maximum`, where it is known already.
    """
    best = maximum(scores, first) if best is None else best
    counts = np.diff(first)
    alike = len(counts) and (counts == counts[0]).all()
    apart = scores.reshape(*best.shape, -1) - best[:, :, None] if alike else scores - np.repeat(best, counts, axis=1)
    apart /= TEMPERATURE
    np.exp(apart, out=apart)
    total = apart.sum(axis=2) if alike else np.add.reduceat(apart, first[:-1], axis=1)
    return best + TEMPERATURE * np.log(total)


def maximum(scores: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The best region score of each photo (P, N); every photo has at least one region."""
    counts = np.diff(first)
    if len(counts) and (counts == counts[0]).all():
        return scores.reshape(len(scores), len(counts), -1).max(axis=2)
    return np.maximum.reduceat(scores, first[:-1], axis=1)


def hubness(numbers: np.ndarray, things: np.ndarray, phrases: np.ndarray) -> float:
    """How near a photo lies to phrases in general; 0 where there are none.

    Args:
        numbers: (R, K) its regions' embeddings in the basis.
        things: (R, T) what the detector sees, 0..1.
        phrases: (M, K + T) as in :class:`sspe.models.search_fit.SearchFit`.
    """
    if not len(phrases):
        return 0.0
    size = numbers.shape[1]
    scores = phrases[:, :size] @ numbers.T + phrases[:, size : size + things.shape[1]] @ things.T  # (M, R)
    of_photo = np.sort(soft_maximum(scores, np.array([0, len(numbers)]))[:, 0])
    return float(of_photo[-max(1, round(NEAREST * len(of_photo))) :].mean())
