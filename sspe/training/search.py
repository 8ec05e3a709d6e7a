"""After the calibration: fit what the search of collections needs, see :mod:`sspe.models.search_fit`.

The basis comes from the calibration's bank of training regions, regions of the first val photos, and training phrases;
those that tell hubs and what is familiar are training phrases as well.

The probability is fitted on one half of the val photos, searched as a collection: for phrases of its captions, for
phrases that none of its photos shows, and for nonsense, the best photos, each with the evidence and whether its
captions say that it shows the phrase.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.answers import regions_of
from sspe.evaluation.cross_fitting import halves
from sspe.evaluation.progress import Progress, without_progress
from sspe.evaluation.search import Candidates, candidates, first_regions, measure_candidates, phrases_of, searched
from sspe.models.calibration import fit_weights, logistic
from sspe.models.localization import LocalizationModel
from sspe.models.search_fit import SearchFit, directions_seen, principal_directions, scales_of
from sspe.searching.unfitted import unfitted_search

log = logging.getLogger("sspe.train")

KEPT = 304  # numbers of a region: with 192 twice as many of the first ten photos are others than by exact scores
DESCRIBED = 128  # of what box refinement reads of it: with more no box is better
DESCRIBED_HEADROOM = 1.25  # they have one byte each, so the steps are to be small
PHRASES = 1024  # that tell hubs
FAMILIAR, FAMILIAR_NUMBERS = 8192, 64  # phrases that tell what captions speak of, and numbers of each
DESCRIBED_PHOTOS = 100
NONSENSE_FOUND = 0.05  # of the nonsense may still find something at the threshold
FOUND_COUNTS = 1.5  # a phrase that finds something, as so many that find nothing: a wrong hit is seen to be wrong
MOST = 0.8  # threshold


def fit_search(
    model: LocalizationModel,
    train: Sequence[AnnotatedPhoto],
    val: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Progress = without_progress,
    frozen: FrozenFeatures | None = None,
    seed: int = 0,
) -> dict:
    """Set ``model.search``; returns the measures of the other half of val, under "search".

    A model without probabilities of its own, or whose score is no dot product, stays without.
    """
    if model.calibration is None or model.settings.network.kind == "similarity":
        return {}
    rng = np.random.default_rng(seed)
    fitted_on, measured_on = halves(val)
    drawn = rng.permutation(phrases_of(train))[:FAMILIAR]
    spoken_of = model.embed_phrases(drawn.tolist()).float().cpu()
    fit = _coding(model, spoken_of, fitted_on[:DESCRIBED_PHOTOS], store, frozen)
    with searched(model, fit, fitted_on, store, progress, frozen) as searcher:
        found = candidates(searcher, fitted_on, phrases_of(train), rng, progress)
    said = ~np.isnan(found.shown)
    if not 0 < found.shown[said].sum() < said.sum():
        log.warning("The val photos are too few to fit a probability for searches on; collections go without.")
        model.search = fit
        return {}
    weights = fit_weights(found.evidence[said], found.shown[said] > 0)
    threshold = chosen_threshold(logistic(found.evidence, weights), found)
    fit = replace(fit, weights=torch.from_numpy(weights).float(), threshold=torch.tensor(threshold))
    model.search = fit
    with searched(model, fit, measured_on, store, progress, frozen) as searcher:
        measured = candidates(searcher, measured_on, phrases_of(train), rng, progress, fitting=False)
    return {"search": measure_candidates(measured, fit)}


def _coding(
    model: LocalizationModel,
    spoken_of: torch.Tensor,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    frozen: FrozenFeatures | None,
) -> SearchFit:
    """Bases, scales and phrases, of which (L, E + T) ``spoken_of`` are given; the rest as where nothing is fitted."""
    size = model.settings.network.embedding
    shown = [first_regions(regions_of(model, photo, store, frozen)) for photo in photos]
    parts = [model.calibration.bank, *(regions.embeddings for regions in shown)]
    bank = torch.cat([part[:, :size].float().cpu() for part in parts])
    learnt = functional.normalize(spoken_of[:, :size], dim=1)
    basis, reading = directions_seen(bank, learnt, min(KEPT, size))
    familiar_basis = principal_directions(learnt, min(FAMILIAR_NUMBERS, size))
    fit = replace(
        unfitted_search(model),
        basis=basis,
        reading=reading,
        scale=scales_of(bank @ basis),
        phrases=torch.cat([spoken_of[:PHRASES, :size] @ reading, spoken_of[:PHRASES, size:]], dim=1),
        familiar=functional.normalize(learnt @ familiar_basis, dim=1).half(),
        familiar_basis=familiar_basis,
    )
    if model.network.refiner is None:
        return fit
    described = torch.cat([regions.described.cpu() for regions in shown])
    mean = described.mean(dim=0)
    directions = principal_directions(described - mean, min(DESCRIBED, described.shape[1]))
    return replace(
        fit,
        described_mean=mean,
        described_basis=directions,
        described_scale=scales_of((described - mean) @ directions, DESCRIBED_HEADROOM),
    )


def chosen_threshold(probabilities: np.ndarray, found: Candidates) -> float:
    """The probability, 0..1, from which a photo counts as found.

    It is where the share of the photos' own phrases that find something, times FOUND_COUNTS, and that of phrases of
    what no caption mentions that find nothing are largest together; higher where more than NONSENSE_FOUND of the
    nonsense would find something.

    Args:
        probabilities: (C,) of the candidates ``found``.
    """
    best = {q: probabilities[found.query == q].max() for q in np.unique(found.query)}
    own, absent, nonsense = (
        np.array([best[q] for q in np.unique(found.query[chosen])])
        for chosen in (found.shown == 1, found.absent, found.nonsense)
    )
    least = np.quantile(nonsense, 1 - NONSENSE_FOUND) + 1e-3 if len(nonsense) else 0.0
    if not len(absent):
        return float(np.clip(least or 0.5, 0, MOST))
    tried = np.unique(np.concatenate([own, absent]))
    together = [FOUND_COUNTS * (own >= t).mean() + (absent < t).mean() for t in tried]
    return float(np.clip(max(tried[int(np.argmax(together))], least), 0, MOST))
