"""Phrase localization on annotated photos: recall at 1, 5 and 10, the proposals' bound, and trivial floors.

A phrase is found when a box overlaps its merged box (the union of its boxes) by an intersection over union of 0.5 or
more. Phrases without a box are left out. A phrase with two types counts in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sspe.boxes import iou, nms
from sspe.data.feature_store import FeatureStore
from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto
from sspe.errors import DataError
from sspe.photo import open_photo
from sspe.pipeline import Pipeline

RANKS = (1, 5, 10)
CENTRED = 0.8  # the second floor: a centred box of this share of width and height


@dataclass(frozen=True)
class PhraseResult:
    """One phrase of one photo, its candidates ranked by score.

    Attributes:
        ious: (R,) float32, overlap of every proposal with the merged box, best score first.
        kept: indices into ``ious`` that stay after non-maximum suppression at 0.5, best first.
        floors: overlap of the whole photo and of the centred box.
    """

    photo: str
    sentence: int
    text: str
    types: tuple[str, ...]
    ious: np.ndarray
    kept: np.ndarray
    floors: tuple[float, float]


def localize_annotated(
    pipeline: Pipeline,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Callable[[Iterable], Iterable] = lambda photos: photos,
) -> list[PhraseResult]:
    """Rank every proposal of every photo for every annotated phrase. ``progress`` wraps the photos, as tqdm does."""
    results: list[PhraseResult] = []
    for photo in progress(photos):
        phrases = [(s.index, p) for s in photo.sentences for p in s.phrases if len(p.boxes)]
        if not phrases:
            continue
        pixels = open_photo(photo.path)
        height, width = pixels.shape[:2]
        boxes = store.get(photo.path).boxes * np.array([width, height, width, height], np.float32)
        texts = sorted({p.text for _, p in phrases})  # each distinct phrase of a photo is scored once
        scores = (pipeline.embed_phrases(texts) @ pipeline.embed_regions(pixels, boxes).T).float().cpu().numpy()
        ranked = {text: (np.argsort(-s, kind="stable"), nms(boxes, s)) for text, s in zip(texts, scores, strict=True)}
        centred = np.array([width, height, width, height]) * np.array([1 - CENTRED] * 2 + [1 + CENTRED] * 2) / 2
        floors = np.stack([np.array([0, 0, width, height]), centred]).astype(np.float32)
        for index, phrase in phrases:
            order, kept = ranked[phrase.text]
            overlap = iou(phrase.box, boxes)[0]
            rank = np.empty_like(order)
            rank[order] = np.arange(len(order))
            floor = iou(phrase.box, floors)[0]
            results.append(
                PhraseResult(
                    photo.id, index, phrase.text, phrase.types, overlap[order], rank[kept], (floor[0], floor[1])
                )
            )
    return results


def measure_localization(results: Sequence[PhraseResult], threshold: float = 0.5) -> dict:
    """Rates in 0..1 over all phrases; see the keys below. Raises DataError when there is no phrase to measure."""
    if not results:
        raise DataError("The chosen photos have no phrase with a box, so there is nothing to measure; choose others.")
    raw = {k: _rate(r.ious[:k].max() >= threshold for r in results) for k in RANKS}
    suppressed = {k: _rate(r.ious[r.kept[:k]].max() >= threshold for r in results) for k in RANKS}
    of_type = {name: [r for r in results if name in r.types] for name in PHRASE_TYPES}
    of_type = {name: found for name, found in of_type.items() if found}
    return {
        **{f"recall_at_{k}": raw[k] for k in RANKS},
        **{f"recall_at_{k}_nms": suppressed[k] for k in RANKS},
        "upper_bound": _rate(r.ious.max() >= threshold for r in results),
        "by_type": {name: _rate(r.ious[0] >= threshold for r in found) for name, found in of_type.items()},
        "upper_bound_by_type": {
            name: _rate(r.ious.max() >= threshold for r in found) for name, found in of_type.items()
        },
        "phrases_by_type": {name: len(found) for name, found in of_type.items()},
        "floor_whole_photo": _rate(r.floors[0] >= threshold for r in results),
        "floor_centred_box": _rate(r.floors[1] >= threshold for r in results),
        "phrases": len(results),
        "photos": len({r.photo for r in results}),
        "protocol": f"merged box, IoU >= {threshold}; recall_at_k on the raw ranking, recall_at_k_nms after NMS at 0.5",
    }


def _rate(hits: Iterable[bool]) -> float:
    return float(np.mean([bool(hit) for hit in hits]))


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    m = measured
    lines = [
        f"{m['phrases']} phrases of {m['photos']} photos; {m['protocol']}",
        f"{'':22}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'bound':>8}{'phrases':>9}",
        _row("raw ranking", [m[f"recall_at_{k}"] for k in RANKS] + [m["upper_bound"]]),
        _row("after NMS at 0.5", [m[f"recall_at_{k}_nms"] for k in RANKS]),
    ]
    for name, phrases in sorted(m["phrases_by_type"].items(), key=lambda item: -item[1]):
        rates = f"{100 * m['by_type'][name]:8.2f}{'':16}{100 * m['upper_bound_by_type'][name]:8.2f}"
        lines.append(f"  {name:20}{rates}{phrases:9}")
    lines.append(_row("floor: whole photo", [m["floor_whole_photo"]]))
    lines.append(_row("floor: centred 0.8 box", [m["floor_centred_box"]]))
    return "\n".join(lines)


def _row(title: str, rates: Sequence[float]) -> str:
    return f"{title:22}" + "".join(f"{100 * rate:8.2f}" for rate in rates)
