"""Fit the two probabilities of :mod:`sspe.models.calibration`, and measure each photo by a fit on the others.

Both are logistic regressions on the evidence of val photos. ``confidence`` learns from annotated phrases, whether their
answers were right; ``present`` from those, as many absent phrases, and bare nouns. Every other phrase is read alone,
the rest in their sentences, so that a search for a bare phrase is judged as fairly as a sentence.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sspe.data.records import AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.answers import AbsentResult, AskedResult, PhraseResult, read_both_ways
from sspe.evaluation.probabilities import measure_probability
from sspe.models.calibration import Calibration, fit_weights, logistic, of_presence

FOLDS = 5


def halves(val: Sequence[AnnotatedPhoto]) -> tuple[Sequence[AnnotatedPhoto], Sequence[AnnotatedPhoto]]:
    """Every other val photo, for choices and fits, and the rest, for figures; where there is but one, it is both."""
    return val[::2], val[1::2] or val


def fit(
    results: Sequence[PhraseResult],
    absent: Sequence[AbsentResult],
    bank: torch.Tensor,
    asked: Sequence[AskedResult] = (),
) -> tuple[Calibration, dict]:
    """The calibration fitted on all results, and both measures by five-fold cross-fitting over photos.

    Each fold's photos are judged by a fit on the other four; the measures are as
    :func:`sspe.evaluation.probabilities.measure_probability` gives them, by "confidence" and "present". Raises
    DataError where there are fewer photos than folds, or nothing to tell apart.
    """
    judged, right = read_both_ways(results)
    photo = np.array([r.photo for r in results])
    absent_photo = np.array([a.photo for a in absent])
    known = np.stack([j.evidence for j in judged])
    unknown = np.array([a.judged.evidence for a in absent], np.float32).reshape(-1, known.shape[1])
    more = np.array([a.judged.evidence for a in asked], np.float32).reshape(-1, known.shape[1])
    cases = {
        "confidence": (known, np.array(right), photo),
        "present": (
            of_presence(np.concatenate([known, unknown, more])),
            np.array([True] * len(known) + [False] * len(unknown) + [a.present for a in asked]),
            np.concatenate([photo, absent_photo, [a.photo for a in asked]]),
        ),
    }
    weights, measured = {}, {}
    for name, (evidence, true, of_photo) in cases.items():
        if len(set(of_photo)) < FOLDS or true.all() or not true.any():
            raise DataError(
                f"The probability {name!r} cannot be fitted on {len(set(of_photo))} photos with {int(true.sum())} true "
                f"and {int((~true).sum())} false answers; give more val photos."
            )
        ids = sorted(set(of_photo))
        fold = {id: place % FOLDS for place, id in enumerate(np.random.default_rng(0).permutation(ids))}
        folds = np.array([fold[id] for id in of_photo])
        probability = np.zeros(len(true))
        for f in range(FOLDS):
            out = folds == f
            probability[out] = logistic(evidence[out], fit_weights(evidence[~out], true[~out]))
        measured[name] = measure_probability(probability, true)
        weights[name] = torch.from_numpy(fit_weights(evidence, true)).float()
    return Calibration(bank, **weights), measured
