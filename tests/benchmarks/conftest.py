"""Tiny runs of both tables of rows."""

from collections.abc import Callable

import ablation
import ablation_retrieval
import pytest

TEXT = ("network.hidden=32", "network.embedding=16", "text.pca=8", "text.centres=2")
LOCALIZATION = ("regions.side=96", "proposals.count=30", "epochs=1", "batch=3", *TEXT)
RETRIEVAL = ("photos.backbone=efficientnet_lite0", "photos.side=64", "frozen_epochs=2", "frozen_batch=4", *TEXT)
TINY = {ablation: ("6", "3", LOCALIZATION), ablation_retrieval: ("8", "4", RETRIEVAL)}  # photos of train and of val


@pytest.fixture
def run(plain_curves, few_words, scenes, vectors, tmp_path) -> Callable[..., int]:
    """run(ablation or ablation_retrieval, *more) -> the exit code; its runs are in ``tmp_path / "runs"``."""

    def run(table, *more: str) -> int:
        train, val, changes = TINY[table]
        line = ["--data", scenes, "--vectors", vectors, "--output", tmp_path / "runs", "--device", "cpu", "--quiet"]
        line += ["--limit", train, "--val-limit", val]
        for change in changes:
            line += ["--set", change]
        return table.main([*map(str, line), *more])

    return run
