"""Phrase localization on annotated photos: what is found, how well its boxes fit, and how far its figures can be held.

A phrase is found when its box overlaps its merged box (the union of its boxes) by an intersection over union of 0.5 or
more. Phrases without a box are left out. A phrase with two types counts in both. Every phrase is read in its sentence,
as a user's would be; what the same phrase gives without it is measured beside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from sspe.data.caches import FeatureStore
from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import AbsentPhrase
from sspe.evaluation.probabilities import measure_probability
from sspe.models.localization import LocalizationModel, Located
from sspe.text.context import ALONE, Context
from sspe.vision.boxes import area, iou
from sspe.vision.photo import open_photo

RANKS = (1, 5, 10)
THRESHOLD = 0.5  # intersection over union from which a box is right
CENTRED = 0.8  # the second floor: a centred box of this share of width and height
SIZES = {"under 3 % of the photo": 0.03, "3 to 12 %": 0.12, "12 to 40 %": 0.4, "over 40 %": 1.01}


@dataclass(frozen=True)
class Judged:
    """How sure the model is of one answer; all None where it is not calibrated.

    Attributes:
        evidence: (F,) float32, see :mod:`sspe.models.calibration`.
        confidence, present: probabilities, 0..1.
    """

    evidence: np.ndarray | None = None
    confidence: float | None = None
    present: float | None = None

    @classmethod
    def of(cls, located: Located, i: int) -> Judged:
        """Of the i-th phrase."""
        if located.evidence is None:
            return cls()
        return cls(located.evidence[i], float(located.confidence[i]), float(located.present[i]))


@dataclass(frozen=True)
class PhraseResult:
    """One phrase of one photo, its candidates ranked by score.

    Attributes:
        photo, sentence, start: where the phrase stands: photo id, line, character.
        types: of the annotation.
        right: (4,) float32, its merged box, pixels.
        answer: (4,) float32, the box given, pixels.
        frame: width and height of the photo, pixels.
        ious: (R,) float32, overlap of every region's box with the merged box: the answer, then the others by score.
        scores: (R,) float32, in the same order.
        kept: indices into ``ious`` that stay after non-maximum suppression at 0.5, in the same order.
        any_iou: overlap of the answer with the nearest of the phrase's own boxes.
        alone_iou: overlap with the merged box of the answer that the phrase gets without its sentence.
        floors: overlap of the whole photo and of the centred box.
        judged, judged_alone: how sure the model is of the two answers.
    """

    photo: str
    sentence: int
    start: int
    text: str
    types: tuple[str, ...]
    right: np.ndarray
    answer: np.ndarray
    frame: tuple[int, int]
    ious: np.ndarray
    scores: np.ndarray
    kept: np.ndarray
    any_iou: float
    alone_iou: float
    floors: tuple[float, float]
    judged: Judged = field(default_factory=Judged)
    judged_alone: Judged = field(default_factory=Judged)


@dataclass(frozen=True)
class AbsentResult:
    """A phrase asked of a photo that does not show it."""

    photo: str
    text: str
    judged: Judged


def localize_annotated(
    model: LocalizationModel,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Callable[[Iterable], Iterable] = lambda photos: photos,
    absent: Mapping[str, Sequence[AbsentPhrase]] | None = None,
) -> tuple[list[PhraseResult], list[AbsentResult]]:
    """Rank every proposal of every photo for every annotated phrase, and for the ``absent`` ones of each photo id.

    ``progress`` wraps the photos, as tqdm does.
    """
    results: list[PhraseResult] = []
    missing: list[AbsentResult] = []
    for photo in progress(photos):
        phrases = [(s, p) for s in photo.sentences for p in s.phrases if len(p.boxes)]
        if not phrases:
            continue
        pixels = open_photo(photo.path)
        height, width = pixels.shape[:2]
        boxes = store.get(photo.path).boxes * np.array([width, height, width, height], np.float32)
        regions = model.embed_regions(pixels, boxes)
        texts = [p.text for _, p in phrases]
        located = model.locate(regions, texts, [Context.of(s.text, p.start, p.end) for s, p in phrases])
        distinct = sorted(set(texts))  # without its sentence a phrase is the same in all of them
        alone = model.locate(regions, distinct)
        centred = np.array([width, height, width, height]) * np.array([1 - CENTRED] * 2 + [1 + CENTRED] * 2) / 2
        floors = np.stack([np.array([0, 0, width, height]), centred]).astype(np.float32)
        for i, (sentence, phrase) in enumerate(phrases):
            # The answer, then the others by score.
            first = np.where(np.arange(len(boxes)) == located.kept[i][0], np.inf, located.scores[i])
            order = np.argsort(-first, kind="stable")
            rank = np.empty_like(order)
            rank[order] = np.arange(len(order))
            answer = located.boxes[i, located.kept[i][0]]
            other = distinct.index(phrase.text)
            other_answer = alone.boxes[other, alone.kept[other][0]]
            floor = iou(phrase.box, floors)[0]
            results.append(
                PhraseResult(
                    photo.id,
                    sentence.index,
                    phrase.start,
                    phrase.text,
                    phrase.types,
                    phrase.box,
                    answer,
                    (width, height),
                    iou(phrase.box, located.boxes[i, order])[0],
                    located.scores[i, order],
                    rank[located.kept[i]],
                    float(iou(answer, phrase.boxes).max()),
                    float(iou(phrase.box, other_answer)[0, 0]),
                    (floor[0], floor[1]),
                    Judged.of(located, i),
                    Judged.of(alone, other),
                )
            )
        wanted = (absent or {}).get(photo.id, ())
        if wanted:
            # Every other one alone, as a search would ask for it.
            contexts = [a.context if i % 2 else ALONE for i, a in enumerate(wanted)]
            found = model.locate(regions, [a.text for a in wanted], contexts)
            missing += [AbsentResult(photo.id, a.text, Judged.of(found, i)) for i, a in enumerate(wanted)]
    return results, missing


def measure_localization(
    results: Sequence[PhraseResult], absent: Sequence[AbsentResult] = (), full_size: Collection[str] = ()
) -> dict:
    """Rates in 0..1 over all phrases; see the keys below. Raises DataError when there is no phrase to measure.

    ``full_size`` are the ids of the photos to be measured apart from the others.
    """
    if not results:
        raise DataError("The chosen photos have no phrase with a box, so there is nothing to measure; choose others.")
    raw = {k: rate(r.ious[:k].max() >= THRESHOLD for r in results) for k in RANKS}
    suppressed = {k: rate(r.ious[r.kept[:k]].max() >= THRESHOLD for r in results) for k in RANKS}
    measured = {
        **{f"recall_at_{k}": raw[k] for k in RANKS},
        **{f"recall_at_{k}_nms": suppressed[k] for k in RANKS},
        "upper_bound": rate(r.ious.max() >= THRESHOLD for r in results),
        "recall_at_1_any_box": rate(r.any_iou >= THRESHOLD for r in results),
        "recall_at_1_without_sentence": rate(r.alone_iou >= THRESHOLD for r in results),
        "mean_iou": float(np.mean([r.ious[r.kept[0]] for r in results])),
        "by_type": {name: _group(found, ap=True) for name, found in _by_type(results).items()},
        "by_size": {name: _group(found) for name, found in _by_size(results).items()},
        "by_resolution": {name: _group(found) for name, found in _by_resolution(results, full_size).items()},
        "floor_whole_photo": rate(r.floors[0] >= THRESHOLD for r in results),
        "floor_centred_box": rate(r.floors[1] >= THRESHOLD for r in results),
        "phrases": len(results),
        "photos": len({r.photo for r in results}),
        "protocol": (
            f"merged box, IoU >= {THRESHOLD}; recall_at_k on the raw ranking (the answer, then all regions by score), "
            "recall_at_k_nms after NMS at 0.5; each phrase read in its sentence"
        ),
    }
    if results[0].judged.present is not None:
        judged, right = read_both_ways(results)
        measured["confidence"] = measure_probability([j.confidence for j in judged], right)
        if absent:
            measured["present"] = measure_probability(
                [j.present for j in judged] + [a.judged.present for a in absent],
                [True] * len(judged) + [False] * len(absent),
            )
    return measured


def read_both_ways(results: Sequence[PhraseResult]) -> tuple[list[Judged], list[bool]]:
    """How sure of each answer, and whether it was right; every other phrase read alone, the rest in their sentences.

    So are the absent phrases: a search for a bare phrase is to be judged as fairly as a sentence.
    """
    judged = [r.judged if i % 2 else r.judged_alone for i, r in enumerate(results)]
    overlap = [r.ious[r.kept[0]] if i % 2 else r.alone_iou for i, r in enumerate(results)]
    return judged, [bool(value >= THRESHOLD) for value in overlap]


def average_precision(results: Sequence[PhraseResult]) -> float:
    """AP of the phrases of one type, as the evaluation code published with Flickr30K Entities computes it.

    All phrases' boxes after non-maximum suppression are pooled and sorted by score. Of each phrase the best scored
    right box is the one true positive, all other boxes are false ones; the precision is averaged over the eleven
    recalls 0, 0.1, ..., 1 of PASCAL VOC 2007.
    """
    scores, true = [], []
    for r in results:
        right = r.ious[r.kept] >= THRESHOLD
        first = np.zeros(len(right), bool)
        if right.any():
            first[np.where(right, r.scores[r.kept], -np.inf).argmax()] = True
        scores.append(r.scores[r.kept])
        true.append(first)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    found = np.concatenate(true)[order].cumsum()
    recall, precision = found / len(results), found / np.arange(1, len(found) + 1)
    # A recall is k/N in floating point, and 3/10 must reach the threshold 0.3.
    reached = [precision[recall >= step / 10 - 1e-9] for step in range(11)]
    return float(np.mean([p.max() if len(p) else 0.0 for p in reached]))


def _group(results: Sequence[PhraseResult], ap: bool = False) -> dict:
    rates = {
        "recall_at_1": rate(r.ious[0] >= THRESHOLD for r in results),
        "upper_bound": rate(r.ious.max() >= THRESHOLD for r in results),
        "phrases": len(results),
    }
    return {**rates, "average_precision": average_precision(results)} if ap else rates


def _by_type(results: Sequence[PhraseResult]) -> dict[str, list[PhraseResult]]:
    groups = {name: [r for r in results if name in r.types] for name in PHRASE_TYPES}
    return {name: found for name, found in groups.items() if found}


def _by_size(results: Sequence[PhraseResult]) -> dict[str, list[PhraseResult]]:
    """By the merged box's share of the photo's area."""
    groups: dict[str, list[PhraseResult]] = {name: [] for name in SIZES}
    for r in results:
        share = float(area(r.right)) / (r.frame[0] * r.frame[1])
        groups[next(name for name, end in SIZES.items() if share < end)].append(r)
    return {name: found for name, found in groups.items() if found}


def _by_resolution(results: Sequence[PhraseResult], full_size: Collection[str]) -> dict[str, list[PhraseResult]]:
    if not full_size:
        return {}
    groups = {
        "full-size photos": [r for r in results if r.photo in full_size],
        "smaller photos": [r for r in results if r.photo not in full_size],
    }
    return {name: found for name, found in groups.items() if found}


def rate(hits: Iterable[bool]) -> float:
    """The share of hits, 0..1."""
    return float(np.mean([bool(hit) for hit in hits]))


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    m = measured
    lines = [
        f"{m['phrases']} phrases of {m['photos']} photos; {m['protocol']}",
        f"{'':28}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'bound':>8}{'AP':>8}{'phrases':>9}",
        row("raw ranking", [m[f"recall_at_{k}"] for k in RANKS] + [m["upper_bound"]]),
        row("after NMS at 0.5", [m[f"recall_at_{k}_nms"] for k in RANKS]),
        row("any of the phrase's boxes", [m["recall_at_1_any_box"]]),
        row("without the sentence", [m["recall_at_1_without_sentence"]]),
    ]
    for groups in (m["by_type"], m["by_size"], m["by_resolution"]):
        for name, group in sorted(
            groups.items(), key=lambda item: -item[1]["phrases"] if groups is m["by_type"] else 0
        ):
            ap = f"{100 * group['average_precision']:8.2f}" if "average_precision" in group else " " * 8
            rates = f"{100 * group['recall_at_1']:8.2f}{'':16}{100 * group['upper_bound']:8.2f}"
            lines.append(f"  {name:26}{rates}{ap}{group['phrases']:9}")
    lines.append(row("floor: whole photo", [m["floor_whole_photo"]]))
    lines.append(row("floor: centred 0.8 box", [m["floor_centred_box"]]))
    lines.append(row("mean IoU of the answers", [m["mean_iou"]]))
    for name in ("confidence", "present"):
        if name in m:
            p = m[name]
            separation = "undefined" if p["auroc"] is None else f"{p['auroc']:.3f}"
            quality = f"ECE {p['ece']:.3f}, Brier {p['brier']:.3f}, AUROC {separation}"
            lines.append(f"{name}: {quality} over {p['count']} answers, {100 * p['rate']:.1f} % of them true")
    return "\n".join(lines)


def row(title: str, rates: Sequence[float]) -> str:
    """A line of a table: its title and rates, in percent."""
    return f"{title:28}" + "".join(f"{100 * rate:8.2f}" for rate in rates)
