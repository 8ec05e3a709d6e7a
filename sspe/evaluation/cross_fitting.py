"""Fit the two probabilities of :mod:`sspe.models.calibration`, and measure them on photos they were not fitted on.

Both are logistic regressions on the evidence of val photos. ``confidence`` learns from annotated phrases, whether their
answers were right; ``present`` from those and as many absent phrases. Every other phrase is read alone, the rest in
their sentences, so that a search for a bare phrase is judged as fairly as a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from sspe.data.caches import FeatureStore
from sspe.data.records import AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import choose_absent
from sspe.evaluation.answers import AbsentResult, PhraseResult, localize_annotated, read_both_ways
from sspe.evaluation.measures import measure_localization
from sspe.evaluation.probabilities import measure_probability
from sspe.models.calibration import EVIDENCE, Calibration, fit_weights, logistic, unfitted
from sspe.models.localization import LocalizationModel
from sspe.vision.photo import open_photo

log = logging.getLogger(__name__)

FOLDS = 5
BANK_PHOTOS, BANK_REGIONS = 128, 16  # 2,048 regions: enough for a 99.5th percentile, 2 MB in the checkpoint


def calibrate(
    model: LocalizationModel,
    train: Sequence[AnnotatedPhoto],
    val: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Callable[[Iterable], Iterable] = lambda photos: photos,
) -> dict:
    """Fit the model's probabilities on val photos, a bank of training photos beside; return all val measures.

    The measures are those of :func:`sspe.evaluation.measures.measure_localization`, with "confidence" and
    "present" cross-fitted. Where val is too small to fit anything on, the model stays without probabilities.
    """
    model.calibration = unfitted(make_bank(model, train, store))
    results, absent = localize_annotated(model, val, store, progress, choose_absent(val))
    measured = measure_localization(results)
    try:
        model.calibration, cross_fitted = fit(results, absent, model.calibration.bank)
    except DataError as error:
        log.warning("%s", error)
        model.calibration, cross_fitted = None, {}
    for name in ("confidence", "present"):  # what the unfitted calibration gave
        measured.pop(name, None)
    return {**measured, **cross_fitted}


def make_bank(
    model: LocalizationModel, photos: Sequence[AnnotatedPhoto], store: FeatureStore, seed: int = 0
) -> torch.Tensor:
    """Embeddings (B, E) float32 of regions drawn from at most 128 of the photos, 16 a photo."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in sorted(rng.choice(len(photos), min(BANK_PHOTOS, len(photos)), replace=False)):
        pixels = open_photo(photos[int(i)].path)
        height, width = pixels.shape[:2]
        boxes = store.get(photos[int(i)].path).boxes * np.array([width, height, width, height], np.float32)
        drawn = boxes[rng.choice(len(boxes), min(BANK_REGIONS, len(boxes)), replace=False)]
        parts.append(model.embed_regions(pixels, drawn).embeddings)
    return torch.cat(parts).float()


def fit(
    results: Sequence[PhraseResult], absent: Sequence[AbsentResult], bank: torch.Tensor
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
    unknown = np.stack([a.judged.evidence for a in absent]) if absent else np.zeros((0, len(EVIDENCE)), np.float32)
    cases = {
        "confidence": (known, np.array(right), photo),
        "present": (
            np.concatenate([known, unknown]),
            np.arange(len(known) + len(unknown)) < len(known),
            np.concatenate([photo, absent_photo]),
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
