"""Tiny runs of both tables of rows."""

from collections.abc import Callable
from pathlib import Path

import ablation
import pytest

TEXT = ("network.hidden=32", "network.embedding=16", "text.pca=8", "text.centres=2")
LOCALIZATION = ("epochs=2", "batch=3", *TEXT)
RETRIEVAL = ("photos.backbone=efficientnet_lite0", "photos.side=64", "frozen_epochs=2", "frozen_batch=4", *TEXT)


@pytest.fixture(scope="session")
def features(make_localization_model, tmp_path_factory) -> Path:
    """A tiny checkpoint whose model has a detector."""
    from sspe.checkpoint import save_checkpoint

    path = tmp_path_factory.mktemp("features") / "tiny.safetensors"
    save_checkpoint(make_localization_model(detector=5), path, {"recipe": "none"})
    return path


@pytest.fixture
def run(plain_curves, few_words, scenes, vectors, features, tmp_path) -> Callable[..., int]:
    """run(ablation or ablation_retrieval, *more) -> the exit code; its runs are in ``tmp_path / "runs"``."""

    def run(table, *more: str) -> int:
        line = ["--data", scenes, "--vectors", vectors, "--output", tmp_path / "runs", "--quiet", "--seeds", "1"]
        if table is ablation:
            line += ["--limit", "6", "--val-limit", "3", "--features", features]
        else:
            line += ["--limit", "8", "--val-limit", "4", "--device", "cpu"]
        for change in LOCALIZATION if table is ablation else RETRIEVAL:
            line += ["--set", change]
        return table.main([*map(str, line), *more])

    return run
