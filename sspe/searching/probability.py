"""How likely a photo that a search brings to the top does show the phrase.

``present`` of one photo is no answer to that: a search picks, of all photos, those that look right, so that among its
best ones "91 % likely" may come true once in sixty times. Here a logistic regression weighs evidence on the candidates
of searches: what :mod:`sspe.models.calibration` makes of the photo, how the photo stands among all of the collection,
how many photos of the collection seem to show such a thing (its prior), and how near the phrase is to those of
training: of what no caption ever spoke of, the best photo says little. Fitted by :mod:`sspe.training.search`.
"""

from __future__ import annotations

import numpy as np

from sspe.models.calibration import EVIDENCE, NAMED_EVIDENCE

EVIDENCE_OF_SEARCH = (
    "present",  # logit of what the photo alone says
    "score",  # the photo's, less its part of hubness
    "standing",  # the score above the collection's mean, in its standard deviations
    "prior",  # logarithm of the share of photos whose best region is above the bank's 99.5th percentile
    "familiar",  # the best cosine of the phrase with the training phrases
    "above_bank",  # as in sspe.models.calibration, as the next ones
    "bank_deviations",
    "bank_top",
    "above_photo",
    "share",
    "agreement",
    "size",
    "named",
    "seen",
    "seen_here",
)
_FROM_PHOTO = ("above_bank", "bank_deviations", "bank_top", "above_photo", "share", "agreement", "size")


def search_evidence(
    evidence: np.ndarray,
    present: np.ndarray,
    scores: np.ndarray,
    standing: np.ndarray,
    prior: np.ndarray,
    familiar: np.ndarray,
) -> np.ndarray:
    """The evidence (P, F) on one photo for P phrases, columns as in :data:`EVIDENCE_OF_SEARCH`.

    Args:
        evidence: (P, G) of :func:`sspe.models.calibration.evidence_of`.
        present: (P,) 0..1.
        scores, standing, prior, familiar: (P,) as above.
    """
    sure = np.clip(present, 1e-4, 1 - 1e-4)
    columns = [np.log(sure / (1 - sure)), scores, standing, prior, familiar]
    columns += [evidence[:, EVIDENCE.index(name)] for name in _FROM_PHOTO]
    if evidence.shape[1] > len(EVIDENCE):
        columns += [evidence[:, len(EVIDENCE) + i] for i in range(len(NAMED_EVIDENCE))]
    else:
        columns += [np.zeros(len(evidence))] * len(NAMED_EVIDENCE)
    return np.stack(columns, axis=1).astype(np.float32)
