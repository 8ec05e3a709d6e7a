"""Features of the regions of all photos, computed once for every row of `ablation.py`.

A checkpoint's backbone, frozen, describes every proposal; its features of the box itself are taken, without
surroundings and geometry. Of a training photo the annotated boxes and some of the proposals are kept, for a step sees
few of them. A principal component analysis, fitted on the training photos, leaves so few numbers that a row is trained
in about a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sspe.checkpoint import identity, load_checkpoint
from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.errors import CheckpointError
from sspe.files import settings_key, written
from sspe.training.localization_data import TrainingPhoto
from sspe.vision.boxes import iou
from sspe.vision.detections import things_in

SIZE = 256  # numbers that the PCA leaves
KEPT = 40  # proposals of a training photo that are described, up to half of them near an annotated box
NEAR = 0.4  # intersection over union from which a proposal is near
_FITTED_ON = 50_000  # regions


@dataclass(frozen=True)
class PhotoRegions:
    """The regions of one photo: its A annotated boxes (none of a val photo), then proposals.

    Attributes:
        boxes: (R, 4) float32, relative: 0..1 of width and height.
        ranks: (R - A,) which of the photo's proposals each is: 0 the whole photo, then the detector's, then Edge Boxes.
        detected: how many of the photo's proposals are the detector's.
        vectors: (R, SIZE) float32.
        things: (R, T) float32, what the detector sees in each, see :func:`sspe.vision.detections.things_in`.
    """

    boxes: np.ndarray
    ranks: np.ndarray
    detected: int
    vectors: np.ndarray
    things: np.ndarray

    @property
    def annotated(self) -> int:
        """How many annotated boxes there are."""
        return len(self.boxes) - len(self.ranks)


def region_vectors(
    checkpoint: Path,
    train: Sequence[TrainingPhoto],
    val: Sequence[AnnotatedPhoto],
    folder: Path,
    bar: Callable[[Iterable, int], Iterable] = lambda work, _: work,
) -> tuple[list[PhotoRegions], list[PhotoRegions]]:
    """The regions of training and val photos, from ``folder`` where they have been described before.

    ``checkpoint`` is a localization checkpoint with a detector; its proposals are used, and its features of all of them
    are kept in the cache folder. ``bar`` wraps (iterable, total). Raises CheckpointError for another, and PhotoError.
    """
    paths = [photo.record.path for photo in train], [photo.path for photo in val]
    names = [photo.record.id for photo in train], [photo.id for photo in val]
    file = folder / f"vectors-{settings_key(identity(checkpoint), names, KEPT, SIZE)}.npz"
    if not file.exists():
        model = load_checkpoint(checkpoint)[0].eval()
        settings = model.settings
        if model.detector is None:
            raise CheckpointError(f"{checkpoint} has no detector; give sspe-lite0, or one of --recipe region-features.")
        store = FeatureStore(settings.regions.side, settings.proposals, detector=model.detector)
        store.prepare([*paths[0], *paths[1]], bar)
        known = [photo.annotated for photo in train], [np.zeros((0, 4), np.float32)] * len(val)
        arrays: dict[str, np.ndarray] = {}
        for split, files, boxes, kept in zip(("train", "val"), paths, known, (KEPT, None), strict=True):
            arrays |= {f"{split}_{name}": a for name, a in _described(model, store, files, boxes, kept, bar).items()}
        mean, basis = _principal(arrays["train_vectors"])
        for split in ("train", "val"):
            raw = arrays[f"{split}_vectors"]
            parts = [(raw[i : i + 8192].astype(np.float32) - mean) @ basis for i in range(0, len(raw), 8192)]
            arrays[f"{split}_vectors"] = np.concatenate(parts).astype(np.float16)
        with written(file) as temporary, temporary.open("wb") as out:
            np.savez(out, **arrays)
    with np.load(file) as arrays:
        return tuple(_split({n.partition("_")[2]: arrays[n] for n in arrays.files if n.startswith(split)})
                     for split in ("train_", "val_"))  # fmt: skip


def _described(model, store, paths, annotated, kept, bar) -> dict[str, np.ndarray]:
    """Everything about the regions of some photos, photo after photo, and how many there are of each."""
    frozen = FrozenFeatures(model.regions, "float32")
    of_box = model.regions.appearance_size - model.settings.regions.surroundings

    def describe(i: int) -> tuple[np.ndarray, ...]:
        found = store.proposals(paths[i])
        ranks = np.arange(len(found.boxes))
        if kept is not None:
            rng = np.random.default_rng([0, i])
            near = iou(annotated[i], found.boxes).max(axis=0) >= NEAR
            order = rng.permutation(len(ranks))
            first = order[near[order]][: kept // 2]
            ranks = np.sort(np.concatenate([first, order[~np.isin(order, first)][: kept - len(first)]]))
        everything = np.concatenate([annotated[i], found.boxes])
        rows = np.concatenate([np.arange(len(annotated[i])), len(annotated[i]) + ranks])
        vectors = frozen.get(paths[i], everything, rows)[:, :of_box]
        boxes = everything[rows]
        things = things_in(boxes, found.detections)
        counts = [len(boxes), len(annotated[i]), len(found.detections.boxes[: model.settings.detector.boxes])]
        return vectors.astype(np.float16), things.astype(np.float16), boxes, ranks, counts

    found = [describe(i) for i in bar(range(len(paths)), len(paths))]
    names = ("vectors", "things", "boxes", "ranks")
    arrays = {n: np.concatenate(part) for n, part in zip(names, zip(*found, strict=True), strict=False)}
    return {**arrays, "counts": np.array([of[-1] for of in found])}


def _principal(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and the first components (D, SIZE), scaled so that the projections have a mean square of 1 together."""
    rows = np.random.default_rng(0).permutation(len(raw))[:_FITTED_ON]
    x = raw[np.sort(rows)].astype(np.float32)
    mean = x.mean(axis=0)
    x -= mean
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    kept = vectors[:, ::-1][:, :SIZE]
    return mean, (kept / np.sqrt(values[::-1][:SIZE].mean())).astype(np.float32)


def _split(arrays: dict[str, np.ndarray]) -> list[PhotoRegions]:
    """Arrays of all photos, cut into photos."""
    regions, known, detected = arrays["counts"].T
    ends, proposals = np.cumsum(regions), np.cumsum(regions - known)
    vectors, things = (arrays[name].astype(np.float32) for name in ("vectors", "things"))
    found = []
    for end, n, last, a, d in zip(ends, regions, proposals, known, detected, strict=True):
        part, ranks = slice(end - n, end), arrays["ranks"][last - n + a : last]
        found.append(PhotoRegions(arrays["boxes"][part], ranks, int(d), vectors[part], things[part]))
    return found
