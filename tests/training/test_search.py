"""After the calibration: what searches need is fitted, and travels in the checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.data import open_dataset
from sspe.data.caches import FeatureStore
from sspe.evaluation.answers import regions_of
from sspe.evaluation.search import searched
from sspe.models.calibration import unfitted
from sspe.searching.probability import EVIDENCE_OF_SEARCH
from sspe.searching.query import Asked
from sspe.training.calibration import make_bank
from sspe.training.search import fit_search


@pytest.fixture(scope="module")
def scene(make_localization_model, scenes, cache):
    """A model with a bank, fitted; its photos, their store, and the measures of the fit."""
    model = make_localization_model().for_inference("cpu", "float32")
    store = FeatureStore(96, model.settings.proposals)
    train, val = open_dataset(scenes, "train", limit=6), open_dataset(scenes, "val")
    model.calibration = unfitted(make_bank(model, train, store))
    return model, train, val, store, fit_search(model, train, val, store)


def test_a_basis_keeps_what_regions_are(scene):
    model, _, val, store, _ = scene
    fit = model.search
    assert torch.allclose(fit.basis.T @ fit.basis, torch.eye(24), atol=1e-4)
    regions = regions_of(model, val[0], store, None)
    numbers = regions.embeddings @ fit.basis
    assert (numbers.abs() / fit.scale < 127).float().mean() > 0.99  # hardly anything is cut
    energy = numbers.square().mean(dim=0)
    assert energy[:8].sum() > 0.9 * energy.sum()
    back = (regions.described - fit.described_mean) @ fit.described_basis @ fit.described_basis.T + fit.described_mean
    assert (back - regions.described).abs().max() < 0.01


def test_the_probability_is_judged_on_the_other_half(scene):
    model, *_, measured = scene
    search = measured["search"]
    assert model.search.weights.shape == (len(EVIDENCE_OF_SEARCH) + 1,)
    assert 0 <= search["ece"] <= 1 and search["count"] > 50
    assert 0 <= search["nonsense_finds_nothing"] <= 1 and search["threshold"] == pytest.approx(
        float(model.search.threshold)
    )


def test_probabilities_of_right_photos_are_higher(scene):
    model, _, val, store, measured = scene
    assert measured["search"]["auroc"] is None or measured["search"]["auroc"] > 0.3
    with searched(model, model.search, val, store) as searcher:
        query = searcher.read([Asked("a red ball")])
        ranked = searcher.rank(query)
        sure = searcher.probabilities(ranked.scores, query, ranked)[0]
    assert sure.shape == (len(val),) and ((sure > 0) & (sure < 1)).all()


def test_it_travels_in_the_checkpoint(scene, tmp_path):
    model = scene[0]
    save_checkpoint(model, tmp_path / "fitted.safetensors", {})
    again, _ = load_checkpoint(tmp_path / "fitted.safetensors")
    for name, tensor in vars(model.search).items():
        assert torch.allclose(getattr(again.search, name), tensor, rtol=2e-3, atol=1e-3), name


def test_a_model_without_probabilities_stays_without(scene):
    model, train, val, store, _ = scene
    search, calibration = model.search, model.calibration
    model.calibration = model.search = None
    try:
        assert fit_search(model, train, val, store) == {} and model.search is None
    finally:
        model.search, model.calibration = search, calibration


def test_hubs_are_known_by_their_nearness_to_phrases(scene):
    model, _, val, store, _ = scene
    hub = replace(model.search, phrases=model.search.phrases[:0])
    with searched(model, model.search, val, store) as known, searched(model, hub, val, store) as unknown:
        hubness = known.scanners[0].segments[0].hubness
        assert np.ptp(hubness) > 0 and not unknown.scanners[0].segments[0].hubness.any()
