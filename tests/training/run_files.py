"""What the tests of training runs read of a run's folder."""

import csv
from pathlib import Path

import torch


def weights(run: Path) -> dict[str, torch.Tensor]:
    """What the run trained, as its last step left it."""
    return torch.load(run / "last.pt", weights_only=True)["model"]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def rows(run: Path) -> list[dict]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))
