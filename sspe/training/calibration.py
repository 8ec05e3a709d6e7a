"""After training for localization: fit the two probabilities of :mod:`sspe.models.calibration` on val photos."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from sspe.data.caches import FeatureStore
from sspe.data.records import AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import choose_absent
from sspe.evaluation.answers import localize_annotated
from sspe.evaluation.cross_fitting import fit
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
) -> dict:
    """Fit the model's probabilities on val photos, with a bank of regions of training photos; return all val measures.

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
