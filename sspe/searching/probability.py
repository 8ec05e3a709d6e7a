"""How likely a photo that a search brings to the top does show the phrase.

``present`` of one photo is no answer to that: a search picks, of all photos, those that look right, so that among its
best ones "91 % likely" may come true once in sixty times. Here a logistic regression is fitted on the candidates of
searches. Its evidence is the photo's score, how that stands among all photos, and what is known of the phrase alone:
how many photos of the collection seem to show such a thing (its prior), how easily it fits anything, and how near it is
to the phrases of training: of a thing that no caption ever spoke of the best photo says little.

Within a search the probability grows with the score, so photos are in the same order by either. Evidence on the single
region that was found (its size, the agreement on it, ``present`` itself) was tried beside it: it tells right from wrong
hardly better and orders photos worse. Fitted by :mod:`sspe.training.search`.

A handful of photos cannot tell how a score stands among photos, and the best of few is not picked from many. There
``present`` of the single photo is heard as well, the more the fewer there are.
"""

from __future__ import annotations

import numpy as np

EVIDENCE_OF_SEARCH = (
    "score",  # of the photo, less its part of hubness
    "standing",  # the score above the mean of all photos' best regions, in their standard deviations
    "prior",  # logarithm of the share of photos whose best region is above the bank's 99.5th percentile
    "familiar",  # the mean of the phrase's three best cosines with training phrases
    "bank_top",  # the bank's 99.5th percentile for the phrase
    "named",  # 1 where the phrase names one of a detector's things
)


FEW = 50  # photos; in a collection of so many and more, they alone tell what a score is worth


def among_few(probabilities: np.ndarray, present: np.ndarray, photos: int) -> np.ndarray:
    """The probability of a search that photos show phrases, where the collection is small.

    The mean of the log odds of ``probabilities``, a search's, and of ``present``, the single photo's, both 0..1; of 10
    photos ``present`` counts four fifths, of 25 a half, of 50 and more nothing.
    """
    alone = _alone(photos)
    searched, single = (np.log(p / (1 - p)) for p in (np.clip(q, 1e-6, 1 - 1e-6) for q in (probabilities, present)))
    return 1 / (1 + np.exp(-((1 - alone) * searched + alone * single)))


def threshold_among_few(threshold: float, photos: int) -> float:
    """The threshold of a search in a collection of so many photos: nearer to an even chance where there are few.

    One photo in ten being right is much among a thousand photos, and no news among ten.
    """
    return (1 - _alone(photos)) * threshold + _alone(photos) * 0.5


def _alone(photos: int) -> float:
    """How much the single photo's own probability counts, 0..1."""
    return max(0.0, 1 - photos / FEW)


def search_evidence(scores: np.ndarray, standing: np.ndarray, *of_phrase: np.ndarray) -> np.ndarray:
    """The evidence (P, K, F) on K photos for P phrases, columns as in :data:`EVIDENCE_OF_SEARCH`.

    Args:
        scores, standing: (P, K).
        of_phrase: the other columns, (P,) each.
    """
    columns = [scores, standing, *(np.broadcast_to(column[:, None], scores.shape) for column in of_phrase)]
    return np.stack(columns, axis=2).astype(np.float32)
