"""Image-sentence retrieval: how far down the right sentence, or the right photo, stands when all are ranked.

image to sentence      a photo asks; the best ranked of its own sentences counts (usually one of five)
sentence to image      a sentence asks; it has one right photo
sentence to sentence   a sentence asks all others; the best ranked of its photo's other sentences counts

A rank is 1 + the number of wrong answers that score at least as high as the right one: a tie counts against it, so a
network that scores everything alike finds nothing. What has no right answer (a photo without a sentence; in the third
measure the only sentence of a photo) does not ask, and can still be found wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sspe.errors import DataError, SspeError
from sspe.evaluation.progress import Progress, without_progress

if TYPE_CHECKING:
    from sspe.data.captions import Captions
    from sspe.retriever import Retriever

RANKS = (1, 5, 10)
DIRECTIONS = ("image_to_sentence", "sentence_to_image", "sentence_to_sentence")
ROUNDING = 1e-6  # float32 scores this close are a tie: equal sentences come out of encoder and product that far apart
BLOCK = 500  # rows compared at once; of 25,000 sentences that is 50 MB

# R@1/5/10 in percent, as published, image to sentence and sentence to image; what is not known to us is left out.
PUBLISHED = (
    ("Flickr8K: this paper, run by others", (30.1, 60.4, 73.7), (23.0, 51.3, 64.8)),
    ("Flickr8K: 2WayNet", (43.4,), (29.3,)),
    ("Flickr8K: SCAN, detectors of Visual Genome", (52.2,), (38.3,)),
    ("Flickr30K: this paper", (40.3, 68.9, 79.9), (29.7, 60.1, 72.1)),
    ("MSCOCO, 1,000 photos: this paper", (50.1, 79.7, 89.2), (39.6, 75.2, 86.9)),
)
# What photos and sentences are compared by, the most first.
MEASURES = {
    "regions": "by photo, sentence and regions, with local scaling",
    "whole": "by photo and sentence, with local scaling",
    "plain": "by the cosine of photo and sentence alone, as in the paper",
}


def evaluate_retrieval(
    retriever: Retriever,
    captions: Captions,
    *,
    plain: bool = False,
    fold: int | None = None,
    progress: Progress = without_progress,
) -> dict:
    """Embed photos and sentences, compare all with all, and measure; `sspe evaluate retrieval` from Python.

    Args:
        retriever: what is measured.
        captions: as :func:`sspe.data.captions.open_captions` gives them.
        plain: compare by the cosine of photo and sentence alone, as the paper does.
        fold: measure also folds of so many photos, and average; see :func:`measure_retrieval`.
        progress: wraps the photos, as tqdm does.

    Returns:
        What :func:`measure_retrieval` does, for the most that the retriever compares by, which "measure" names as in
        :data:`MEASURES`. The lesser ones stand beside by their names, without "sentence_to_sentence", in which photos
        have no part. "left_out" are the photos without five sentences or a file, see
        :attr:`sspe.data.captions.Captions.left_out`.

    Raises:
        DataError: there is no sentence, or fewer photos than a fold has.
        PhotoError: a photo cannot be opened.
    """
    check_fold(fold, len(captions))
    photos = retriever.embed_photos(progress([photo.path for photo in captions]))
    for error in photos.errors.values():
        raise error
    sentences = retriever.embed_sentences(captions.sentences)
    compare = {"regions": retriever.scores, "whole": retriever.whole_scores, "plain": retriever.cosines}
    names = ["plain"] if plain else [name for name in compare if name != "regions" or retriever.localizer is not None]
    vectors = sentences.embeddings.cpu().numpy()
    first, *others = names
    return {
        "measure": first,
        **measure_retrieval(compare[first](photos, sentences), captions.owners, vectors, fold),
        **{name: measure_retrieval(compare[name](photos, sentences), captions.owners, None, fold) for name in others},
        "left_out": captions.left_out,
    }


def measure_retrieval(
    scores: np.ndarray, owners: Sequence[int], vectors: np.ndarray | None = None, fold: int | None = None
) -> dict:
    """Measure all directions.

    Args:
        scores: (N, M), photos against sentences, higher is better.
        owners: (M,), the photo of each sentence, 0..N-1.
        vectors: (M, E) unit vectors of the sentences; None leaves sentence to sentence out.
        fold: measure also folds of so many photos, in order, each for itself, and average: MSCOCO's 5,000 test photos
            are published whole and in folds of 1,000. Photos beyond the last whole fold are left out of these.

    Returns:
        By direction ("image_to_sentence", "sentence_to_image", "sentence_to_sentence") "recall_at_1", "recall_at_5",
        "recall_at_10" in 0..1, "median_rank" and the number of "queries"; "mean_recall", of the six recalls of the
        first two; "photos", "sentences", "protocol"; and "folds" with the same figures, averaged, their "count" and
        "photos_per_fold". "sentence_to_sentence" is absent where no photo has two sentences.

    Raises:
        DataError: there is no sentence, or fewer photos than a fold has.
        SspeError: a score or vector is not a finite number.
        ValueError: shapes do not fit.
    """
    scores, owners = np.asarray(scores), np.asarray(owners, np.int64)
    vectors = None if vectors is None else np.asarray(vectors)
    _check(scores, owners, vectors)
    check_fold(fold, len(scores))
    measured = {
        **_measure(scores, owners, vectors),
        "photos": len(scores),
        "sentences": len(owners),
        "protocol": "the best ranked right answer counts; a wrong answer with the same score ranks before it",
    }
    if fold is not None:
        parts = []
        for start in range(0, len(scores) - fold + 1, fold):
            inside = np.flatnonzero((owners >= start) & (owners < start + fold))
            if not len(inside):
                raise DataError(f"The photos {start + 1} to {start + fold} have no sentence; choose larger folds.")
            of_fold = None if vectors is None else vectors[inside]
            parts.append(_measure(scores[start : start + fold, inside], owners[inside] - start, of_fold))
        measured["folds"] = {"count": len(parts), "photos_per_fold": fold, **_average(parts)}
    return measured


def check_fold(fold: int | None, photos: int) -> None:
    """Raise DataError where so many photos give no fold of this size: for use before long work, too."""
    if fold is not None and not 1 <= fold <= photos:
        raise DataError(f"Folds of {fold} photos cannot be made of {photos}; give a number from 1 to {photos}.")


def image_to_sentence_ranks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(Q,) int64, from 1: the rank of the best of its sentences for every photo that has one, in order."""
    ranks = []
    for start in range(0, len(scores), BLOCK):
        block = scores[start : start + BLOCK]  # (B, M)
        right = owners == np.arange(start, start + len(block))[:, None]
        ranks.append(_ranks(block, right, ~right))
    return np.concatenate(ranks)


def sentence_to_image_ranks(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(M,) int64, from 1: the rank of its photo for every sentence."""
    own = scores[owners, np.arange(len(owners))] - ROUNDING  # (M,)
    # The right photo is among those that score at least as high as itself, so the count is the rank.
    return sum((scores[start : start + BLOCK] >= own).sum(axis=0) for start in range(0, len(scores), BLOCK))


def sentence_to_sentence_ranks(vectors: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """(Q,) int64, from 1: for every sentence whose photo has another one, the rank of the best of these, by cosine."""
    ranks = []
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors.T  # (B, M)
        same = owners[start : start + BLOCK, None] == owners
        right = same.copy()
        here = np.arange(len(block))
        right[here, start + here] = False  # a sentence does not find itself
        ranks.append(_ranks(block, right, ~same))
    return np.concatenate(ranks)


def _ranks(scores: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Ranks of the rows, (B, M) each, that have a right answer."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((scores >= best - ROUNDING) & wrong).sum(axis=1)
    return ranks[right.any(axis=1)]


def _measure(scores: np.ndarray, owners: np.ndarray, vectors: np.ndarray | None) -> dict:
    ranks = {
        "image_to_sentence": image_to_sentence_ranks(scores, owners),
        "sentence_to_image": sentence_to_image_ranks(scores, owners),
    }
    if vectors is not None:
        ranks["sentence_to_sentence"] = sentence_to_sentence_ranks(vectors, owners)
    measured = {
        direction: {
            **{f"recall_at_{k}": float((found <= k).mean()) for k in RANKS},
            "median_rank": float(np.median(found)),
            "queries": len(found),
        }
        for direction, found in ranks.items()
        if len(found)
    }
    measured["mean_recall"] = float(np.mean([measured[d][f"recall_at_{k}"] for d in DIRECTIONS[:2] for k in RANKS]))
    return measured


def _average(parts: Sequence[dict]) -> dict:
    """The mean of every figure over the folds; a direction that one of them lacks is left out."""
    directions = [d for d in DIRECTIONS if all(d in part for part in parts)]
    figures = [*(f"recall_at_{k}" for k in RANKS), "median_rank"]
    return {
        **{d: {name: float(np.mean([part[d][name] for part in parts])) for name in figures} for d in directions},
        "mean_recall": float(np.mean([part["mean_recall"] for part in parts])),
    }


def _check(scores: np.ndarray, owners: np.ndarray, vectors: np.ndarray | None) -> None:
    if scores.ndim != 2 or owners.shape != scores.shape[1:] or (vectors is not None and len(vectors) != len(owners)):
        found = f"scores {scores.shape}, owners {owners.shape}"
        found += "" if vectors is None else f", vectors {np.shape(vectors)}"
        raise ValueError(f"{found}: expected (N, M), (M,), (M, E)")
    if not scores.size:
        raise DataError("The chosen photos have no sentence, so there is nothing to measure; choose others.")
    if owners.min() < 0 or owners.max() >= len(scores):
        raise ValueError(f"owners reach from {owners.min()} to {owners.max()}, expected 0 to {len(scores) - 1}")
    # A comparison with "not a number" is never true, and no wrong answer would stand before the right one.
    for name, array in (("scores", scores), ("sentence vectors", vectors)):
        if array is not None and not np.isfinite(array).all():
            raise SspeError(f"Some {name} are not finite numbers, so nothing can be ranked; train the network anew.")


def table(measured: dict) -> str:
    """The measures as text, recalls in percent; what names no measure was compared by cosine."""
    m = measured
    lines = [
        f"{m['sentences']} sentences of {m['photos']} photos; {m['protocol']}",
        f"{'':28}{'R@1':>8}{'R@5':>8}{'R@10':>8}{'median rank':>14}{'queries':>10}",
        MEASURES[m.get("measure", "plain")],
        *_rows_and_folds(m),
    ]
    for name, about in MEASURES.items():
        if name in m:
            lines += [about, *_rows_and_folds(m[name])]
    lines.append("published on the official test splits, so not comparable with figures on val or on other photos")
    lines.append(f"{'  R@1, R@5, R@10':44}{'image to sentence':>24}{'sentence to image':>24}")
    for title, *directions in PUBLISHED:
        cells = [f"{rates[i]:8.1f}" if i < len(rates) else f"{'':8}" for rates in directions for i in range(len(RANKS))]
        lines.append(f"  {title:42}{''.join(cells)}".rstrip())
    return "\n".join(lines)


def _rows_and_folds(measured: dict) -> list[str]:
    rows = _rows(measured)
    if folds := measured.get("folds"):
        rows.append(f"the same in {folds['count']} folds of {folds['photos_per_fold']} photos, averaged")
        rows += _rows(folds)
    return rows


def _rows(measured: dict) -> list[str]:
    rows = []
    for direction in DIRECTIONS:
        if direction in measured:
            m = measured[direction]
            rates = "".join(f"{100 * m[f'recall_at_{k}']:8.2f}" for k in RANKS)
            rows.append(f"  {direction.replace('_', ' '):26}{rates}{m['median_rank']:14.1f}{m.get('queries', ''):>10}")
    rows.append(f"  {'mean of the six recalls':26}{100 * measured['mean_recall']:8.2f}")
    return [row.rstrip() for row in rows]
