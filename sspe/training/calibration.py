"""After training for localization: fit the two probabilities of :mod:`sspe.models.calibration` on val photos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import choose_absent, choose_nouns
from sspe.evaluation.answers import ask, localize_annotated
from sspe.evaluation.cross_fitting import fit, halves
from sspe.evaluation.measures import measure_localization
from sspe.models.calibration import unfitted
from sspe.models.localization import LocalizationModel
from sspe.vision.photo import open_photo

log = logging.getLogger("sspe.train")

BANK_PHOTOS, BANK_REGIONS = 128, 16  # 2,048 regions: enough for a 99.5th percentile, 2 MB in the checkpoint


def calibrate(
    model: LocalizationModel,
    train: Sequence[AnnotatedPhoto],
    val: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Callable[[Iterable], Iterable] = lambda photos: photos,
    frozen: FrozenFeatures | None = None,
) -> dict:
    """Fit the model's probabilities on one half of the val photos, with a bank of regions of training photos.

    Returns the measures of the other half, those of :func:`sspe.evaluation.measures.measure_localization`; so no figure
    that is printed comes from a photo that anything was fitted on. The five-fold cross-fitted measures of the first
    half are beside them as "confidence_of_fit" and "present_of_fit". Where val is too small to fit anything on, the
    model stays without probabilities.
    """
    fitted_on, measured_on = halves(val)
    model.calibration = unfitted(make_bank(model, train, store), model.network.named is not None)
    results, absent = localize_annotated(model, fitted_on, store, progress, choose_absent(fitted_on), frozen)
    asked = ask(model, fitted_on, store, choose_nouns(fitted_on, _detected(store)), progress, frozen)
    cross_fitted = {}
    try:
        model.calibration, cross_fitted = fit(results, absent, model.calibration.bank, asked)
    except DataError as error:
        log.warning("%s", error)
        model.calibration = None
    chosen = choose_absent(measured_on) if model.calibration else None
    measured = measure_localization(*localize_annotated(model, measured_on, store, progress, chosen, frozen))
    return {**measured, **{f"{name}_of_fit": value for name, value in cross_fitted.items()}}


def _detected(store: FeatureStore) -> Callable[[AnnotatedPhoto], np.ndarray] | None:
    """The detector's best score (T,) of each thing in a photo; None without a detector."""
    if store.detector is None:
        return None

    def best(photo: AnnotatedPhoto) -> np.ndarray:
        return store.proposals(photo.path).detections.anywhere

    return best


def make_bank(
    model: LocalizationModel, photos: Sequence[AnnotatedPhoto], store: FeatureStore, seed: int = 0
) -> torch.Tensor:
    """Embeddings (B, E) float32 of regions drawn from at most 128 of the photos, 16 per photo."""
    rng = np.random.default_rng(seed)
    parts = []
    for i in sorted(rng.choice(len(photos), min(BANK_PHOTOS, len(photos)), replace=False)):
        pixels = open_photo(photos[int(i)].path)
        height, width = pixels.shape[:2]
        proposals = store.proposals(photos[int(i)].path).scaled(width, height)
        boxes = proposals.boxes
        drawn = boxes[rng.choice(len(boxes), min(BANK_REGIONS, len(boxes)), replace=False)]
        parts.append(model.embed_regions(pixels, drawn, proposals.detections).embeddings)
    return torch.cat(parts).float()
