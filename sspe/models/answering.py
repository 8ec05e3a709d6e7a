"""From what phrases ask for to their boxes: each of several things, and the one that words choose among them.

Beyond the paper, which gives a phrase one box. What one of the things is called ("dog" of "three dogs") is looked for
in the same batch as the phrases, and of its best regions those are things that are likely to be one: they score near
the best, are as large, lie apart and inside the box of the whole phrase, and the detector sees the thing in them. Words
of place, order and size choose among them by their boxes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from sspe.models.calibration import logistic
from sspe.phrases.which import NEIGHBOURS, SIDES, Which
from sspe.text.context import ALONE
from sspe.vision.boxes import area, iou, shared, union

if TYPE_CHECKING:
    from sspe.models.localization import LocalizationModel, Located, Regions
    from sspe.phrases.asked import Asked

CONSIDERED = 20  # regions of which each may be one of the things
GLANCED = 5 * CONSIDERED  # regions by score that are placed for what the things are called: enough that so many stay
# A logistic regression on whether a region is one of the things, fitted to the first half of val and to photos of
# COCO's training set, where its limits were chosen, too. What it weighs is in `evidence_of_things`, the constant last.
WEIGHTS = np.array([2.0, -0.75, -0.72, 0.97, 4.39, -1.69, -0.66], np.float32)
LIKELY = 0.25  # a thing where the words do not count them
CLEAR = 0.5  # a thing that words of place and size may choose, where the detector sees such things
HOPELESS = 0.1  # no thing, although the words count one more
RIVALS = 2  # words of place and size choose among two at least, for else nobody would choose
TIED = 0.04  # a neighbour chooses among things that score so near the best: what stands around a phrase is read anyway


@dataclass(frozen=True)
class Reading:
    """One text in a photo of R regions: boxes (R, 4), scores (R,), those kept, best first, and what a detector sees."""

    boxes: np.ndarray
    scores: np.ndarray
    kept: np.ndarray
    seen: np.ndarray | None

    @classmethod
    def of(cls, located: Located, row: int) -> Reading:
        """Of the phrase at ``row``."""
        seen = located.seen.regions[row] if located.seen is not None and located.seen.named[row] else None
        return cls(located.boxes[row], located.scores[row], located.kept[row], seen)


def answer(
    model: LocalizationModel, regions: Regions, asked: Sequence[Asked]
) -> tuple[Located, tuple[np.ndarray, ...]]:
    """Where each of P phrases is, and where the single things are that it speaks of.

    Returns:
        Of the phrases what :meth:`LocalizationModel.locate` gives, the thing that words chose first; and per phrase
        boxes (K, 4), best first, K at least 1: of one thing the answer's alone.
    """
    more = [one.number.one for one in asked if one.number]
    more += [one.which.other for one in asked if one.which and one.which.other]
    rows = {text: place for place, text in enumerate(dict.fromkeys(more))}
    contexts = [one.context for one in asked] + [ALONE] * len(rows)
    phrases = model.read([one.text for one in asked] + list(rows), contexts)
    located = model.locate_read(regions, phrases.rows(slice(len(asked))))
    others = model.glance(regions, phrases.rows(slice(len(asked), None)), GLANCED) if rows else None
    kept, things = list(located.kept), []
    for i, one in enumerate(asked):
        whole = Reading.of(located, i)
        if not one.number and not one.which:
            things.append(whole.boxes[whole.kept[:1]])
            continue
        read = Reading.of(others, rows[one.number.one]) if one.number else whole
        frame = whole.boxes[whole.kept[0]] if one.number else None
        if not one.which:
            found = read.boxes[things_of_a_kind(read, frame, one.number.count)]
            # The best guess at one, where most of it lies outside what the whole phrase names, is none of them.
            strayed = len(found) == 1 and shared(found, frame[None])[0, 0] < 0.5
            things.append(frame[None] if strayed else found)
            continue
        neighbour = rows.get(one.which.other)
        other = None if neighbour is None else others.boxes[neighbour, others.kept[neighbour][0]]
        chosen = _choose(read, one, regions, other)
        things.append(read.boxes[chosen])
        if one.number:
            whole.boxes[whole.kept[0]] = union(things[-1])
        else:
            kept[i] = np.concatenate([chosen, whole.kept[whole.kept != chosen[0]]])
    return replace(located, kept=tuple(kept)), tuple(things)


def things_of_a_kind(
    read: Reading, frame: np.ndarray | None = None, count: int | None = None, limit: float = LIKELY, at_least: int = 1
) -> np.ndarray:
    """The regions that are each one of the things, the likeliest first: indices (K,), K at least 1.

    Args:
        read: what one of the things is called.
        frame: (4,) the box of all of them together; None where nothing is known of it.
        count: how many there are; fewer are returned where the rest are hopeless. None: all that are likely.
        limit: how likely, 0..1.
        at_least: so many, where that many are considered, however unlikely they are.
    """
    considered = read.kept[:CONSIDERED]
    likely = logistic(evidence_of_things(read, considered, frame), WEIGHTS)
    order = np.argsort(-likely, kind="stable")
    enough = int((likely >= (HOPELESS if count else limit)).sum())
    return considered[order[: max(1, at_least, min(enough, count or enough))]]


def evidence_of_things(read: Reading, considered: np.ndarray, frame: np.ndarray | None) -> np.ndarray:
    """What tells whether each of K regions is one of the things: (K, 6) float32.

    The score less the first one's; the logarithm of its rank; how far its area is from that of the best three, a
    logarithm; the share of it inside the frame; what the detector sees in it; its overlap with a better one.
    """
    boxes, scores = read.boxes[considered], read.scores[considered]
    areas = area(boxes) + 1
    overlap = np.tril(iou(boxes, boxes), -1)
    return np.stack(
        [
            scores - scores[0],
            np.log1p(np.arange(len(considered))),
            np.abs(np.log(areas / np.median(areas[:3]))),
            np.ones(len(considered)) if frame is None else shared(boxes, frame[None])[:, 0],
            np.zeros(len(considered)) if read.seen is None else read.seen[considered],
            overlap.max(axis=1),
        ],
        axis=1,
    ).astype(np.float32)


def _choose(read: Reading, one: Asked, regions: Regions, other: np.ndarray | None) -> np.ndarray:
    """The regions (K,) of the things that the words mean, K at least 1, and 1 where they mean one."""
    which, count = one.which, one.number.count if one.number else 1
    limit = LIKELY if read.seen is None else CLEAR
    found = things_of_a_kind(read, limit=limit, at_least=max(RIVALS, which.rank, count or 0))
    if which.by[0] in NEIGHBOURS:
        near = found[read.scores[found] >= read.scores[read.kept[0]] - TIED]
        found = np.union1d(near, read.kept[:1])
    order = in_order(read.boxes[found], which, regions.width, regions.height, other)
    if not one.number:
        return found[order[[min(which.rank, len(order)) - 1]]]
    return found[order[: count or _on_that_side(read.boxes[found], which, regions)]]


def in_order(boxes: np.ndarray, which: Which, width: int, height: int, other: np.ndarray | None = None) -> np.ndarray:
    """Indices (K,) of boxes (K, 4), the one first that ``which`` means most: the leftmost, the biggest, the nearest.

    ``other`` is the box (4,) of what they are compared with, where ``which`` names that; width and height are the
    photo's, pixels.
    """
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 / width, (boxes[:, 1] + boxes[:, 3]) / 2 / height
    tall = boxes[:, 3] - boxes[:, 1]
    if other is not None:
        far = _gap(boxes, other, width, height) + 10 * (iou(boxes, other)[:, 0] > 0.7)  # not the other thing itself
        ox, oy = (other[0] + other[2]) / 2 / width, (other[1] + other[3]) / 2 / height
        wrong = {"left of": x > ox, "right of": x < ox, "above": y > oy, "below": y < oy}.get(which.by[0])
        return np.argsort(far if wrong is None else far + 5 * wrong, kind="stable")
    values = {
        "left": x,
        "right": -x,
        "top": y,
        "bottom": -y,
        "biggest": -area(boxes),
        "smallest": area(boxes),
        "tallest": -tall,
        "shortest": tall,
    }
    if which.by == ("middle",):
        centre = np.median(x) if len(x) > 2 else 0.5
        return np.argsort(np.abs(x - centre), kind="stable")
    return np.argsort(sum(values[by] for by in which.by), kind="stable")


def _on_that_side(boxes: np.ndarray, which: Which, regions: Regions) -> int:
    """How many of the boxes lie on the side that is meant, at least 1: "the dogs on the left"."""
    if which.by[0] not in SIDES or which.by == ("middle",):
        return 1
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2 / regions.width, (boxes[:, 1] + boxes[:, 3]) / 2 / regions.height
    there = {"left": x < 0.5, "right": x > 0.5, "top": y < 0.5, "bottom": y > 0.5}
    return max(1, int(np.logical_and.reduce([there[by] for by in which.by]).sum()))


def _gap(boxes: np.ndarray, other: np.ndarray, width: int, height: int) -> np.ndarray:
    """How far boxes (N, 4) lie from another (4,): (N,), the gap between them, and a little of that of the centres."""
    frame = np.array([width, height], np.float32)
    apart = np.maximum(np.maximum(other[:2] - boxes[:, 2:], boxes[:, :2] - other[2:]), 0) / frame
    centres = (boxes[:, :2] + boxes[:, 2:] - other[:2] - other[2:]) / 2 / frame
    return np.hypot(*apart.T) + 0.2 * np.hypot(*centres.T)
