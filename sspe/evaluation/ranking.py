"""Phrase localization as the paper measures it: every region ranked by its score with the phrase, and nothing else.

No consensus, no refinement, no probabilities, and every phrase read alone. Of a frozen backbone the region features
are taken from the cache folder, so that many networks are measured for the price of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto, AnnotatedPhrase
from sspe.errors import DataError, SspeError
from sspe.evaluation.answers import THRESHOLD, floor_boxes, regions_of
from sspe.evaluation.measures import RANKS, rate, row
from sspe.evaluation.progress import Progress, without_progress
from sspe.localizer import Localizer
from sspe.models.localization import LocalizationModel
from sspe.vision.boxes import iou, scale

_TEXTS = 2048  # phrases embedded at once


def evaluate_ranking(
    localizer: Localizer,
    photos: Sequence[AnnotatedPhoto],
    *,
    proposals: Sequence[int] = (),
    frozen: bool = False,
    progress: Progress = without_progress,
) -> dict:
    """Measure phrase localization as the paper does; `sspe evaluate localization --plain` from Python.

    Args:
        localizer: what is measured. Its proposals of the photos are kept in the cache folder.
        photos: as :func:`sspe.data.open_dataset` gives them.
        proposals: measure also with so many proposals per photo, each at least 1, under "by_proposals".
        frozen: the backbone was not trained: its region features are kept in the cache folder as well.
        progress: wraps the photos, as tqdm does.

    Returns:
        Rates in 0..1, see :func:`measure_ranking`.

    Raises:
        SspeError: a number of proposals is below 1.
        DataError: no phrase has a box.
        PhotoError: a photo cannot be opened.
    """
    if any(count < 1 for count in proposals):
        raise SspeError(f"{min(proposals)} proposals were asked for, and a photo has at least 1; give at least 1.")
    model = localizer.model
    settings = model.settings.proposals
    # The best so many of a larger number are what a smaller number would have been.
    many = replace(settings, count=max([settings.count, *proposals]))
    store = FeatureStore(model.settings.regions.side, many, detector=model.detector)
    store.prepare([photo.path for photo in photos], progress)
    features = FrozenFeatures(model.regions, model.precision) if frozen else None
    results = rank_annotated(model, photos, store, features, progress)
    measured = measure_ranking(results, settings.count)
    if proposals:
        measured["by_proposals"] = by_proposals(results, proposals)
    return measured


@dataclass(frozen=True)
class Ranked:
    """One phrase of one photo.

    Attributes:
        types: of the annotation.
        right: (R,) bool, regions whose box overlaps the merged box by 0.5 or more, in the order of the proposals.
        order: (R,) regions by falling score; of equal scores the earlier proposal comes first.
        floors: whether the whole photo and the centred box would be right.
    """

    types: tuple[str, ...]
    right: np.ndarray
    order: np.ndarray
    floors: tuple[bool, bool]


def rank_annotated(
    model: LocalizationModel,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    frozen: FrozenFeatures | None = None,
    progress: Progress = without_progress,
) -> list[Ranked]:
    """Rank every proposal for every phrase that has a box; ``frozen`` gives the features of a frozen backbone."""
    texts = sorted({p.text.lower() for photo in photos for s in photo.sentences for p in s.phrases if len(p.boxes)})
    place = {text: i for i, text in enumerate(texts)}
    y = torch.cat(
        [model.embed_phrases(texts[i : i + _TEXTS]) for i in range(0, len(texts), _TEXTS)] or [torch.empty(0)]
    )
    results = []
    for photo in progress(photos):
        phrases = [p for s in photo.sentences for p in s.phrases if len(p.boxes)]
        if not phrases:
            continue
        relative = store.proposals(photo.path)
        x = regions_of(model, photo, store, frozen).embeddings
        scores = model.scores(y[[place[p.text.lower()] for p in phrases]], x).cpu().numpy()
        results += rank_phrases(phrases, scale(relative.boxes, photo.width, photo.height), scores, photo)
    return results


def rank_phrases(
    phrases: Sequence[AnnotatedPhrase], boxes: np.ndarray, scores: np.ndarray, photo: AnnotatedPhoto
) -> list[Ranked]:
    """P phrases of a photo, each with a box, that score (P, R) with its regions, whose boxes (R, 4) are in pixels."""
    merged = np.stack([p.box for p in phrases])
    right = iou(merged, boxes) >= THRESHOLD
    floors = iou(merged, floor_boxes(photo.width, photo.height)) >= THRESHOLD
    order = np.argsort(-scores, axis=1, kind="stable")
    return [
        Ranked(phrase.types, right[i], order[i], (bool(floors[i, 0]), bool(floors[i, 1])))
        for i, phrase in enumerate(phrases)
    ]


def measure_ranking(results: Sequence[Ranked], count: int | None = None) -> dict:
    """Rates in 0..1 over all phrases; ``count`` lets only the first so many proposals of each photo take part.

    Raises DataError when there is no phrase to measure.
    """
    if not results:
        raise DataError("The chosen photos have no phrase with a box, so there is nothing to measure; choose others.")
    ranks = [_rank(r, count) for r in results]
    return {
        **{f"recall_at_{k}": rate(rank < k for rank in ranks) for k in RANKS},
        "upper_bound": rate(rank < np.inf for rank in ranks),
        "by_type": {
            name: {"recall_at_1": rate(rank < 1 for rank in found), "phrases": len(found)}
            for name in PHRASE_TYPES
            if (found := [rank for rank, r in zip(ranks, results, strict=True) if name in r.types])
        },
        "floor_whole_photo": rate(r.floors[0] for r in results),
        "floor_centred_box": rate(r.floors[1] for r in results),
        "phrases": len(results),
        "protocol": f"merged box, IoU >= {THRESHOLD}; regions ranked by score alone, no NMS; each phrase read alone",
    }


def by_proposals(results: Sequence[Ranked], counts: Sequence[int]) -> dict[str, dict[str, float]]:
    """For each number of proposals, as text, what of :func:`measure_ranking` it changes: R@K and the upper bound."""
    names = [*(f"recall_at_{k}" for k in RANKS), "upper_bound"]
    rates = {count: measure_ranking(results, count) for count in counts}
    return {str(count): {name: measured[name] for name in names} for count, measured in rates.items()}


def _rank(result: Ranked, count: int | None) -> float:
    """How many regions stand before the first right one; infinite where none is right."""
    order = result.order if count is None else result.order[result.order < count]
    right = result.right[order]
    return int(right.argmax()) if right.any() else np.inf


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    m = measured
    lines = [
        f"{m['phrases']} phrases; {m['protocol']}",
        f"{'':28}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'bound':>8}{'phrases':>9}",
        row("all", [m[f"recall_at_{k}"] for k in RANKS] + [m["upper_bound"]]),
    ]
    for name, group in sorted(m["by_type"].items(), key=lambda item: -item[1]["phrases"]):
        lines.append(f"  {name:26}{100 * group['recall_at_1']:8.2f}{'':24}{group['phrases']:9}")
    for count, rates in m.get("by_proposals", {}).items():
        lines.append(row(f"{count} proposals", [rates[f"recall_at_{k}"] for k in RANKS] + [rates["upper_bound"]]))
    lines.append(row("floor: whole photo", [m["floor_whole_photo"]]))
    lines.append(row("floor: centred 0.8 box", [m["floor_centred_box"]]))
    return "\n".join(lines)
