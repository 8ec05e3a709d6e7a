"""The two files in which a training run shows how it went: log.csv and curves.png."""

import csv
from collections.abc import Sequence
from pathlib import Path

from sspe.files import atomic_write


def write_log(rows: Sequence[dict], folder: Path) -> None:
    """Make both anew from one row an epoch, at least one; the loss and the first watched figure are drawn."""
    from matplotlib.figure import Figure

    with atomic_write(folder / "log.csv") as temporary, temporary.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    watched = next(name for name in rows[0] if name.startswith("watched_"))
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", watched), strict=True):
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker="o")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    with atomic_write(folder / "curves.png") as temporary:
        figure.savefig(temporary, dpi=120)
