"""After the calibration: fit what the search of collections needs, see :mod:`sspe.models.search_fit`.

The basis comes from the calibration's bank of training regions, the phrases that tell hubs from the training captions.
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

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.answers import regions_of
from sspe.evaluation.cross_fitting import halves
from sspe.evaluation.progress import Progress, without_progress
from sspe.evaluation.search import candidates, first_regions, measure_candidates, phrases_of, searched
from sspe.models.calibration import fit_weights, logistic
from sspe.models.localization import LocalizationModel
from sspe.models.search_fit import SearchFit, principal_directions, scales_of
from sspe.searching.unfitted import unfitted_search

log = logging.getLogger("sspe.train")

KEPT, DESCRIBED = 192, 128  # numbers of a region, and of what box refinement reads: with more no box is better
PHRASES = 1024  # that tell hubs
DESCRIBED_PHOTOS = 100
LEAST = 0.1  # threshold: one photo in ten is right
NONSENSE_FOUND = 0.05  # the threshold is where so much of the nonsense still finds something


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
    fit = _coding(model, fitted_on[:DESCRIBED_PHOTOS], store, frozen)
    fit = replace(fit, phrases=_hub_phrases(model, fit, phrases_of(train), rng))
    with searched(model, fit, fitted_on, store, progress, frozen) as searcher:
        found = candidates(searcher, fitted_on, phrases_of(train), rng, progress)
    said = ~np.isnan(found.shown)
    if not 0 < found.shown[said].sum() < said.sum():
        log.warning("The val photos are too few to fit a probability for searches on; collections go without.")
        model.search = fit
        return {}
    weights = fit_weights(found.evidence[said], found.shown[said] > 0)
    threshold = _threshold(logistic(found.evidence, weights), found.query, found.nonsense)
    fit = replace(fit, weights=torch.from_numpy(weights).float(), threshold=torch.tensor(threshold))
    model.search = fit
    with searched(model, fit, measured_on, store, progress, frozen) as searcher:
        measured = candidates(searcher, measured_on, phrases_of(train), rng, progress, fitting=False)
    return {"search": measure_candidates(measured, fit)}


def _coding(
    model: LocalizationModel, photos: Sequence[AnnotatedPhoto], store: FeatureStore, frozen: FrozenFeatures | None
) -> SearchFit:
    """Bases and scales; the rest as where nothing is fitted."""
    size = model.settings.network.embedding
    bank = model.calibration.bank[:, :size].float().cpu()
    basis = principal_directions(bank, min(KEPT, size))
    fit = replace(unfitted_search(model), basis=basis, scale=scales_of(bank @ basis))
    if model.network.refiner is None:
        return fit
    described = torch.cat([first_regions(regions_of(model, p, store, frozen)).described.cpu() for p in photos])
    mean = described.mean(dim=0)
    directions = principal_directions(described - mean, min(DESCRIBED, described.shape[1]))
    return replace(
        fit,
        described_mean=mean,
        described_basis=directions,
        described_scale=scales_of((described - mean) @ directions),
    )


def _hub_phrases(
    model: LocalizationModel, fit: SearchFit, phrases: Sequence[str], rng: np.random.Generator
) -> torch.Tensor:
    size = model.settings.network.embedding
    drawn = [phrases[i] for i in rng.permutation(len(phrases))[:PHRASES]]
    y = model.embed_phrases(drawn).float().cpu()
    return torch.cat([y[:, :size] @ fit.basis, y[:, size:]], dim=1)


def _threshold(probabilities: np.ndarray, query: np.ndarray, nonsense: np.ndarray) -> float:
    """The probability from which a photo counts as found: so that hardly any nonsense finds one, and LEAST at least."""
    best = [probabilities[query == q].max() for q in np.unique(query[nonsense])]
    if not best:
        return 0.5
    return float(np.clip(np.quantile(best, 1 - NONSENSE_FOUND) + 0.01, LEAST, 0.8))
