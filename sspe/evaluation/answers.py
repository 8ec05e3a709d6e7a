"""What a model answers to every annotated phrase of photos, beside what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.absent import AbsentPhrase
from sspe.evaluation.progress import Progress, without_progress
from sspe.models.answering import answer
from sspe.models.localization import LocalizationModel, Located, Regions
from sspe.phrases.asked import ask as ask_of
from sspe.text.context import ALONE
from sspe.vision.boxes import iou
from sspe.vision.photo import open_photo

THRESHOLD = 0.5  # intersection over union from which a box is right
CENTRED = 0.8  # the second floor: a centred box of this share of width and height


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
        boxes_f1: of the boxes given for the single things, where the phrase has several boxes of its own; else None.
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
    boxes_f1: float | None = None
    judged: Judged = field(default_factory=Judged)
    judged_alone: Judged = field(default_factory=Judged)


@dataclass(frozen=True)
class AbsentResult:
    """A phrase asked of a photo that does not show it."""

    photo: str
    text: str
    judged: Judged


@dataclass(frozen=True)
class AskedResult:
    """A bare noun asked of a photo of which it is known whether it shows such a thing, but not where."""

    photo: str
    text: str
    present: bool
    judged: Judged


def ask(
    model: LocalizationModel,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    nouns: Mapping[str, Mapping[str, bool]],
    progress: Progress = without_progress,
    frozen: FrozenFeatures | None = None,
) -> list[AskedResult]:
    """Ask each photo for bare nouns, by the photo's id: noun -> whether it is there. Raises PhotoError."""
    results = []
    for photo in progress(photos):
        if asked := nouns.get(photo.id):
            located = model.locate(regions_of(model, photo, store, frozen), list(asked))
            results += [
                AskedResult(photo.id, noun, present, Judged.of(located, i))
                for i, (noun, present) in enumerate(asked.items())
            ]
    return results


def localize_annotated(
    model: LocalizationModel,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Progress = without_progress,
    absent: Mapping[str, Sequence[AbsentPhrase]] | None = None,
    frozen: FrozenFeatures | None = None,
) -> tuple[list[PhraseResult], list[AbsentResult]]:
    """Rank every proposal of every photo for every annotated phrase, and for the ``absent`` ones of each photo id.

    ``progress`` wraps the photos, as tqdm does; ``frozen`` has the features of a backbone that is not trained. Raises
    PhotoError.
    """
    results: list[PhraseResult] = []
    missing: list[AbsentResult] = []
    for photo in progress(photos):
        if not any(len(phrase.boxes) for sentence in photo.sentences for phrase in sentence.phrases):
            continue
        regions = regions_of(model, photo, store, frozen)
        results += _results_of(model, photo, regions)
        if wanted := (absent or {}).get(photo.id, ()):
            # Every other one alone, as a search would ask for it.
            contexts = [phrase.context if i % 2 else ALONE for i, phrase in enumerate(wanted)]
            located = model.locate(regions, [phrase.text for phrase in wanted], contexts)
            missing += [AbsentResult(photo.id, phrase.text, Judged.of(located, i)) for i, phrase in enumerate(wanted)]
    return results, missing


def regions_of(
    model: LocalizationModel, photo: AnnotatedPhoto, store: FeatureStore, frozen: FrozenFeatures | None
) -> Regions:
    """The regions of a photo, in its pixels; ``frozen`` has their features where the backbone is not trained."""
    relative = store.proposals(photo.path)
    if frozen is None:
        pixels = open_photo(photo.path)
        height, width = pixels.shape[:2]
        proposals = relative.scaled(width, height)
        return model.embed_regions(pixels, proposals.boxes, proposals.detections)
    features = torch.from_numpy(frozen.get(photo.path, relative.boxes)).to(model.device)
    proposals = relative.scaled(photo.width, photo.height)
    return model.embed_features(features, proposals.boxes, proposals.detections, photo.width, photo.height)


def _results_of(model: LocalizationModel, photo: AnnotatedPhoto, regions: Regions) -> list[PhraseResult]:
    """Every phrase with a box of one photo, in the order of its sentences."""
    frame = (regions.width, regions.height)
    phrases = [(s, p) for s in photo.sentences for p in s.phrases if len(p.boxes)]
    texts = [p.text for _, p in phrases]
    located, things = answer(model, regions, [ask_of(s.text, p.start, p.end) for s, p in phrases])
    distinct = sorted(set(texts))  # without its sentence a phrase is the same in all of them
    alone = model.locate(regions, distinct)
    floors = floor_boxes(*frame)
    results = []
    for i, (sentence, phrase) in enumerate(phrases):
        first = located.kept[i][0]
        by_score = np.argsort(-located.scores[i], kind="stable")
        order = np.concatenate([[first], by_score[by_score != first]])  # the answer, then the others by score
        rank = np.argsort(order)  # the inverse permutation: the place of each region
        j = distinct.index(phrase.text)
        given, given_alone = located.boxes[i, first], alone.boxes[j, alone.kept[j][0]]
        whole, centred = iou(phrase.box, floors)[0]
        results.append(
            PhraseResult(
                photo=photo.id,
                sentence=sentence.index,
                start=phrase.start,
                text=phrase.text,
                types=phrase.types,
                right=phrase.box,
                answer=given,
                frame=frame,
                ious=iou(phrase.box, located.boxes[i, order])[0],
                scores=located.scores[i, order],
                kept=rank[located.kept[i]],
                any_iou=float(iou(given, phrase.boxes).max()),
                alone_iou=float(iou(phrase.box, given_alone)[0, 0]),
                floors=(whole, centred),
                boxes_f1=f1(things[i], phrase.boxes) if len(phrase.boxes) > 1 else None,
                judged=Judged.of(located, i),
                judged_alone=Judged.of(alone, j),
            )
        )
    return results


def f1(given: np.ndarray, annotated: np.ndarray) -> float:
    """F1 of the boxes given (K, 4) for the things annotated (B, 4): 2 x right / (K + B), 0..1.

    Best first, each takes the free annotated box that it overlaps most, and is right from an intersection over union
    of 0.5 on; an annotated box is taken once.
    """
    overlap, right = iou(given, annotated), 0
    for row in range(len(given)):
        nearest = int(overlap[row].argmax())
        if overlap[row, nearest] >= THRESHOLD:
            right += 1
            overlap[:, nearest] = -1
    return 2 * right / (len(given) + len(annotated))


def floor_boxes(width: int, height: int) -> np.ndarray:
    """What one could answer without looking: the whole photo, and the centred box; (2, 4) float32, pixels."""
    frame = np.array([width, height] * 2, np.float32)
    margin = (1 - CENTRED) / 2
    return frame * np.array([[0, 0, 1, 1], [margin, margin, 1 - margin, 1 - margin]], np.float32)


def read_both_ways(results: Sequence[PhraseResult]) -> tuple[list[Judged], list[bool]]:
    """How sure of each answer, and whether it was right; every other phrase read alone, the rest in their sentences.

    So are the absent phrases: a search for a bare phrase is to be judged as fairly as a sentence.
    """
    judged = [r.judged if i % 2 else r.judged_alone for i, r in enumerate(results)]
    overlap = [r.ious[r.kept[0]] if i % 2 else r.alone_iou for i, r in enumerate(results)]
    return judged, [bool(value >= THRESHOLD) for value in overlap]
