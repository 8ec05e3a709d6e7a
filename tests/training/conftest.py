"""Tiny runs of both tasks for the tests of training."""

from __future__ import annotations

import pytest

from sspe.training.recipes import recipe

TINY = [
    "regions.side=96", "proposals.count=40", "sampled_proposals=4", "batch=4", "epochs=2", "network.hidden=64",
    "network.embedding=32", "warm_up=0.3",
]  # fmt: skip
TINY_RETRIEVAL = [
    "text.encoder=mean", "photos.backbone=efficientnet_lite0", "photos.side=64", "frozen_epochs=1", "epochs=2",
    "frozen_batch=8", "batch=4", "network.hidden=64", "network.embedding=32", "warm_up=0.3",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_drawing(plain_curves) -> None:
    """No run of this folder draws its curves."""


@pytest.fixture
def train(scenes):
    """train(output, *changes, name="synthetic", data=scenes, **options) -> the measures of a tiny run."""
    import sspe.training

    def run(output, *changes, name="synthetic", data=scenes, **options):
        options = {"limit": 8, "val_limit": 4, "device": "cpu", "precision": "float32", "quiet": True} | options
        return sspe.training.train(recipe(name, [*TINY, *changes]), data, output, **options)

    return run


@pytest.fixture
def train_retrieval(scenes):
    """The same for retrieval."""
    import sspe.training

    def run(output, *changes, name="retrieval", data=scenes, **options):
        options = {"limit": 8, "val_limit": 6, "device": "cpu", "precision": "float32", "quiet": True} | options
        made = recipe(name, [*TINY_RETRIEVAL, *changes], "retrieval")
        return sspe.training.train(made, data, output, **options)

    return run


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(task class, number) interrupts the next run in that call of its ``loss``; only the first time."""

    def stop(task, number):
        whole, calls = task.loss, []

        def loss(self, batch):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return whole(self, batch)

        monkeypatch.setattr(task, "loss", loss)

    return stop
