"""After the calibration: what searches need is fitted, and travels in the checkpoint."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.data import open_dataset
from sspe.data.caches import FeatureStore
from sspe.evaluation.answers import regions_of
from sspe.evaluation.search import Candidates, phrases_of, searched
from sspe.indexing.embedding import PROPOSALS
from sspe.models.calibration import unfitted
from sspe.searching.familiar import LIKENESS, SHARED, FamiliarPhrases
from sspe.searching.probability import EVIDENCE_OF_SEARCH
from sspe.searching.query import Asked
from sspe.searching.unfitted import unfitted_search
from sspe.training.calibration import make_bank
from sspe.training.search import chosen_threshold, fit_search


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
    assert torch.allclose(fit.basis.T @ fit.reading, torch.eye(24), atol=1e-4)
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
        assert torch.equal(getattr(again.search, name), tensor.float()), name


def test_an_older_fit_has_less_and_is_searched_all_the_same(scene, tmp_path):
    model, _, val, store, _ = scene
    older = unfitted_search(model)
    older = replace(older, phrases=model.embed_phrases(["a red ball", "a dog"]) @ older.basis)
    fitted, model.search = model.search, older
    try:
        save_checkpoint(model, tmp_path / "older.safetensors", {})
    finally:
        model.search = fitted
    again, _ = load_checkpoint(tmp_path / "older.safetensors")
    assert again.search.reading is None and again.search.familiar is None
    with searched(model, again.search, val[:2], store) as searcher:
        query = searcher.read([Asked("a red ball")])
        scores = model.scores(query.read.embeddings, regions_of(model, val[0], store, None).embeddings[:PROPOSALS])
        kept = searcher.photo((0, 0, 0))[1].embeddings
        assert torch.allclose(model.scores(query.read.embeddings, kept), scores, atol=0.01)
        assert torch.equal(torch.from_numpy(query.sought.numbers), query.read.embeddings)
        assert query.familiar == pytest.approx(1, abs=1e-3)


def test_the_phrases_of_training_are_kept(scene):
    model, train, *_ = scene
    texts = ["a red ball", "two green chairs"]
    y, phrases = model.embed_phrases(texts), model.embed_phrases(phrases_of(train))
    near = y @ phrases.T
    familiar = FamiliarPhrases(model.search)
    assert familiar.familiarity(y) == pytest.approx(near.topk(3, dim=1).values.mean(dim=1).numpy(), abs=2e-3)
    shared = torch.softmax(near / LIKENESS, dim=1) @ phrases
    assert torch.allclose(familiar.set_apart(y, texts), y - SHARED * shared, atol=2e-3)


def test_the_threshold_parts_what_is_there_from_what_is_not():
    own, absent, nonsense = [0.05, 0.3, 0.4, 0.5, 0.6], [0.02, 0.1, 0.2, 0.25, 0.7], [0.01] * 40
    best = np.array(own + absent + nonsense)
    kind = np.repeat([0, 1, 2], [len(own), len(absent), len(nonsense)])
    shown = np.where(kind == 0, 1.0, 0.0)
    found = Candidates(np.zeros((len(best), 1)), shown, np.arange(len(best)), kind == 1, kind == 2, len(nonsense))
    assert chosen_threshold(best, found) == pytest.approx(0.3)  # keeps four of five, and shuts out four of five
    best[kind == 2] = 0.45
    assert 0.45 < chosen_threshold(best, found) < 0.46  # nonsense is to find nothing in any case
    best[kind == 2] = 0.99
    assert chosen_threshold(best, found) == 0.8


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
