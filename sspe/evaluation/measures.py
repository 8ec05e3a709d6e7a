"""Rates over the results of phrases: recall at K, its bound and floors, average precision, by type and size."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import singular
from sspe.evaluation.answers import THRESHOLD, AbsentResult, PhraseResult, read_both_ways
from sspe.evaluation.probabilities import auroc, measure_probability
from sspe.phrases.head import head_of
from sspe.vision.boxes import area

RANKS = (1, 5, 10)
SIZES = {"under 3 % of the photo": 0.03, "3 to 12 %": 0.12, "12 to 40 %": 0.4, "over 40 %": 1.01}


def measure_localization(
    results: Sequence[PhraseResult],
    absent: Sequence[AbsentResult] = (),
    full_size: Collection[str] = (),
    seen_heads: Collection[str] = (),
) -> dict:
    """Rates in 0..1 over all phrases; see the keys below. Raises DataError when there is no phrase to measure.

    ``full_size`` are the ids of the photos to be measured apart from the others, ``seen_heads`` the head nouns of the
    training phrases, by :func:`heads_of`: phrases with another head are measured apart, under "by_head".
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
        "by_head": _by_head(results, absent, seen_heads),
        "several": _several(results),
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


def _several(results: Sequence[PhraseResult]) -> dict:
    """Of the phrases with several boxes of their own: how well the boxes given frame the single things, and all."""
    found = [r for r in results if r.boxes_f1 is not None]
    if not found:
        return {}
    return {
        "boxes_f1": float(np.mean([r.boxes_f1 for r in found])),
        "recall_at_1_merged": rate(r.ious[0] >= THRESHOLD for r in found),
        "recall_at_1_any_box": rate(r.any_iou >= THRESHOLD for r in found),
        "phrases": len(found),
    }


def heads_of(photos: Iterable[AnnotatedPhoto]) -> set[str]:
    """The head nouns, singular and lower case, of all phrases with a box."""
    return {
        _head(phrase.text)
        for photo in photos
        for sentence in photo.sentences
        for phrase in sentence.phrases
        if len(phrase.boxes)
    }


def _head(phrase: str) -> str:
    return singular(head_of(phrase).lower())


def _by_head(results: Sequence[PhraseResult], absent: Sequence[AbsentResult], seen: Collection[str]) -> dict:
    """Apart by whether the head noun was seen in training: R@1, and AUROC of presence against absent phrases alike."""
    if not seen:
        return {}
    groups = {}
    for name, wanted in (("head noun seen in training", True), ("head noun never seen", False)):
        found = [r for r in results if (_head(r.text) in seen) is wanted]
        missing = [a for a in absent if (_head(a.text) in seen) is wanted]
        if found:
            groups[name] = _group(found)
            if missing and found[0].judged.present is not None:
                judged = read_both_ways(found)[0]
                present = np.array([j.present for j in judged] + [a.judged.present for a in missing])
                groups[name]["present_auroc"] = auroc(present, np.arange(len(present)) < len(judged))
    return groups


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


def row(title: str, rates: Sequence[float]) -> str:
    """A line of a table: its title and rates, in percent."""
    return f"{title:28}" + "".join(f"{100 * rate:8.2f}" for rate in rates)
