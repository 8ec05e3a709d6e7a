"""Fitting the second look: it learns how the things of a sentence lie, and a refit fits it."""

import numpy as np
import pytest
import torch

from sspe.checkpoint import load_checkpoint
from sspe.models.second_look import Pairs
from sspe.training import refit, second_look
from sspe.training.second_look import Looked, fit


def hats(count, seed):
    """Sentences of a man and a hat: of six hats that score alike one lies at the top of the man."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 0.5, (count, 2))
    men = np.concatenate([corners, corners + np.array([0.2, 0.5])], axis=1)
    corners = np.concatenate([men[:, None, :2] + [0.05, 0], rng.uniform(0, 0.9, (count, 5, 2))], axis=1)
    order = rng.permuted(np.tile(np.arange(6), (count, 1)), axis=1)
    corners = np.take_along_axis(corners, order[..., None], axis=1)

    def in_turn(of_man, of_hat):  # a sentence's man, then its hat
        return np.stack([of_man, of_hat], axis=1).reshape(2 * count, *of_hat.shape[1:]).astype(np.float32)

    boxes = in_turn(np.repeat(men[:, None], 6, axis=1), np.concatenate([corners, corners + 0.1], axis=2))
    return Looked(
        y=np.tile(np.eye(2, 16, dtype=np.float16), (count, 1)),
        boxes=boxes,
        scores=np.full((2 * count, 6), 0.4, np.float32),
        overlap=in_turn(np.zeros((count, 6)), order == 0),
        answers=boxes[:, 0],
        places=np.array([[n, *place] for n in range(count) for place in ((0, 5), (11, 16))]),
    )


def test_it_learns_how_things_lie(monkeypatch):
    monkeypatch.setattr(second_look, "EPOCHS", 30)
    net = fit(hats(240, 0)).eval()
    other = hats(100, 1)
    tensors = (torch.from_numpy(v).float() for v in (other.y, other.boxes, other.scores, other.answers))
    with torch.no_grad():
        logits = net(*tensors, Pairs.among(other.places)).numpy()
    assert (logits[1::2].argmax(axis=1) == other.overlap[1::2].argmax(axis=1)).mean() > 0.8


def test_fitting_is_seeded_and_leaves_the_generator_alone(monkeypatch):
    monkeypatch.setattr(second_look, "EPOCHS", 1)
    before = torch.random.get_rng_state()
    nets = [fit(hats(30, 0), seed=seed).state_dict() for seed in (0, 0, 1)]
    assert torch.equal(before, torch.random.get_rng_state())
    same = [all(torch.equal(nets[0][name], other[name]) for name in other) for other in nets[1:]]
    assert same == [True, False]


@pytest.fixture
def few_regions(few_words, monkeypatch):
    """Ten regions per phrase are enough."""
    for module in ("sspe.models.localization", "sspe.training.second_look"):
        monkeypatch.setattr(f"{module}.BEST", 10)


def test_a_frozen_backbone_is_trained_with_a_second_look(train, few_regions, tmp_path, scenes):
    train(tmp_path / "run", name="frozen")
    model, _ = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert model.second_look is not None
    refit(
        tmp_path / "run" / "best.safetensors",
        scenes,
        tmp_path / "refit",
        limit=8,
        val_limit=4,
        device="cpu",
        quiet=True,
    )
    again, _ = load_checkpoint(tmp_path / "refit" / "best.safetensors")
    for net in (model.second_look, again.second_look):
        assert net.beside[-1].weight.any()


def test_without_context_or_regions_there_is_none(train, few_regions, tmp_path, caplog):
    train(tmp_path / "alone", "text.context=0", name="frozen")
    assert load_checkpoint(tmp_path / "alone" / "best.safetensors")[0].second_look is None
    assert not caplog.messages or "looked at again" not in caplog.text
    train(tmp_path / "few", "proposals.count=8", name="frozen")
    assert load_checkpoint(tmp_path / "few" / "best.safetensors")[0].second_look is None
    assert "No training photo has 10 regions and a sentence of two phrases" in caplog.text
