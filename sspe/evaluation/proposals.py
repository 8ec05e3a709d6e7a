"""How well proposals cover the annotated phrases: recall at several counts and overlaps, and the time they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.progress import Progress, without_progress
from sspe.extras import import_extra
from sspe.files import written
from sspe.settings import EdgeBoxesSettings
from sspe.vision.boxes import iou
from sspe.vision.detector import Detector
from sspe.vision.edge_boxes import EdgeBoxes
from sspe.vision.photo import open_photo
from sspe.vision.proposals import one_thread, propose

COUNTS = (50, 100, 200, 500, 1000)
OVERLAPS = (0.5, 0.7)


def evaluate_proposals(
    photos: Sequence[AnnotatedPhoto],
    settings: EdgeBoxesSettings | None = None,
    progress: Progress = without_progress,
    detector: Detector | None = None,
) -> dict:
    """Recall of the merged boxes of all phrases with a box, in 0..1, and milliseconds per photo on one core.

    `sspe evaluate proposals` from Python, with the settings and the detector of a checkpoint or the default ones.

    Recall at a count is taken among the first boxes of 1,000, which are those that asking for fewer gives. The time is
    that of the settings' own count, on the decoded photo. Raises DataError when no phrase has a box.
    """
    settings = settings or EdgeBoxesSettings()
    timed, many = EdgeBoxes(settings), EdgeBoxes(replace(settings, count=max(COUNTS)))
    first: list[np.ndarray] = []  # per phrase: for each overlap, how many boxes it takes to cover it (inf: never)
    types: list[tuple[str, ...]] = []
    seconds: list[float] = []
    with one_thread(detector):
        for photo in progress(photos):
            phrases = [p for s in photo.sentences for p in s.phrases if len(p.boxes)]
            pixels = open_photo(photo.path)
            begun = time.perf_counter()
            propose(pixels, timed, detector)
            seconds.append(time.perf_counter() - begun)
            if phrases:
                overlap = iou(np.stack([p.box for p in phrases]), propose(pixels, many, detector).boxes)  # (P, R)
                hits = np.stack([overlap >= least for least in OVERLAPS])  # (2, P, R)
                needed = np.where(hits.any(axis=2), hits.argmax(axis=2) + 1.0, np.inf)
                first.extend(needed.T)
                types.extend(p.types for p in phrases)
    if not first:
        raise DataError("The chosen photos have no phrase with a box, so there is nothing to measure; choose others.")
    needed = np.stack(first)  # (P, 2)
    of_type = {name: np.array([name in t for t in types]) for name in PHRASE_TYPES}
    return {
        "recall": _recalls(needed),
        "by_type": {name: _recalls(needed[mask]) for name, mask in of_type.items() if mask.any()},
        "ms_per_photo": 1000 * float(np.median(seconds)),
        "count": settings.count,
        "phrases": len(needed),
        "photos": len(photos),
        "protocol": "merged box; the whole photo is among the boxes; median time on one core, photo already decoded",
    }


def _recalls(needed: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        str(least): {str(count): float((needed[:, i] <= count).mean()) for count in COUNTS}
        for i, least in enumerate(OVERLAPS)
    }


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    lines = [
        f"{measured['phrases']} phrases of {measured['photos']} photos; {measured['protocol']}",
        f"{'recall, boxes per photo':26}" + "".join(f"{count:>8}" for count in COUNTS),
    ]
    rows = [("all", measured["recall"]), *((f"  {name}", recall) for name, recall in measured["by_type"].items())]
    for name, recall in rows:
        for least in map(str, OVERLAPS):
            rates = "".join(f"{100 * recall[least][str(count)]:8.2f}" for count in COUNTS)
            lines.append(f"{name + ', IoU ' + least:26}{rates}")
    lines.append(f"{measured['ms_per_photo']:.0f} ms per photo for {measured['count']} boxes")
    return "\n".join(lines)


def draw_curve(measured: dict, path: Path) -> None:
    """Recall against the number of boxes, as a PNG."""
    matplotlib = import_extra("matplotlib.figure", "plots", "Drawing a curve")
    figure = matplotlib.Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for least, style in zip(map(str, OVERLAPS), ("o-", "s--"), strict=True):
        axes.plot(COUNTS, [measured["recall"][least][str(c)] for c in COUNTS], style, label=f"IoU ≥ {least}")
    axes.set(xscale="log", xlabel="boxes per photo", ylabel="recall of annotated phrases", ylim=(0, 1), xticks=COUNTS)
    axes.set_xticks(COUNTS, [str(c) for c in COUNTS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    with written(path) as temporary:
        figure.savefig(temporary, dpi=150)
