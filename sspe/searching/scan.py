"""The scan: every region of every photo is compared with what is sought, the best photos then once more in full.

The first pass reads the codes alone, 64 signed bytes per region, of all regions; the second one scores the best photos
by all their numbers. Where the package numkong is installed the first pass takes a third of the time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from sspe.indexing.coding import Coding
from sspe.indexing.segments import Segment
from sspe.searching.ranking import HUB_WEIGHT, maximum, soft_maximum

try:
    import numkong
except ImportError:  # a little slower without
    numkong = None

AGAIN = 40  # photos that are scored once more in full; with 30 or 200 the first ten of 6,843 are the same
_BLOCK = 2048  # regions that torch turns into floats at once: they stay in the processor's cache
_WORTH_THREADS = 100_000  # regions


@dataclass(frozen=True)
class Sought:
    """P things that are looked for.

    Attributes:
        numbers: (P, E) float32, their embeddings; (P, K) once they are turned for an index.
        named: (P, T) float32, what each adds for what the detector sees of each thing; T is 0 without a detector.
        soft: photos are compared by the soft maximum over their regions, else by the best one.
    """

    numbers: np.ndarray
    named: np.ndarray
    soft: bool = True


@dataclass(frozen=True)
class Ranked:
    """The best photos, best first, K of them, and how they stand among all.

    Attributes:
        places: for each photo the number of its index, of its segment there, and its place in that.
        scores: (P, K) of the photos for each thing that is sought, by all numbers, less what is taken off for hubs.
        order: (K,) what they are sorted by: the mean over the things.
        sums: (4, P) over all photos of the collection: their number, the sum of their best regions' scores, of the
            squares of these, and the number of photos whose best region is above the bank's 99.5th percentile.
    """

    places: list[tuple[int, int, int]]
    scores: np.ndarray
    order: np.ndarray
    sums: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The mean (P,) of the best region's score over all photos."""
        return self.sums[1] / np.maximum(self.sums[0], 1)

    @property
    def deviations(self) -> np.ndarray:
        """Its standard deviation (P,)."""
        return np.sqrt(np.maximum(self.sums[2] / np.maximum(self.sums[0], 1) - self.means**2, 0)) + 1e-3

    @property
    def priors(self) -> np.ndarray:
        """The logarithm (P,) of the share of photos that seem to show the thing."""
        return np.log((self.sums[3] + 0.5) / (self.sums[0] + 1))


def merged(found: Sequence[Ranked], best: int) -> Ranked:
    """What several indexes gave as one: the same photos as if they had been one index."""
    places = [(i, *place[1:]) for i, ranked in enumerate(found) for place in ranked.places]
    order = np.concatenate([ranked.order for ranked in found])
    first = np.argsort(-order, kind="stable")[:best]
    scores = np.concatenate([ranked.scores for ranked in found], axis=1)[:, first]
    return Ranked([places[i] for i in first], scores, order[first], sum(ranked.sums for ranked in found))


class Scanner:
    """Segments ready to be searched. What a segment's table has lost is passed over."""

    def __init__(self, segments: Sequence[Segment], coding: Coding, live: Sequence[np.ndarray]):
        """``live``: per segment (N,) bool, the photos to search."""
        self.segments, self.coding, self.live = segments, coding, live
        self._packed = [
            numkong.dots_pack(s.codes, dtype="int8") if numkong and len(s.codes) else None for s in segments
        ]

    def sample(self) -> Scanner:
        """The first segment alone."""
        return Scanner(self.segments[:1], self.coding, self.live[:1])

    def rank(self, sought: Sought, best: int = AGAIN, tops: np.ndarray | None = None) -> Ranked:
        """The best photos; where several things are sought, those that fit all of them on average.

        ``tops`` (P,) are scores from which a region seems to show a thing, for the number of such photos.
        """
        sought = replace(sought, numbers=sought.numbers @ self.coding.reading)
        with_hubs = HUB_WEIGHT if sought.soft else 0.0
        alive = np.concatenate(self.live) if self.segments else np.zeros(0, bool)
        if not alive.any():
            nothing = np.zeros((len(sought.numbers), 0), np.float32)
            return Ranked([], nothing, nothing[0], np.zeros((4, len(sought.numbers))))
        jobs = range(len(self.segments))
        if sum(len(s.codes) for s in self.segments) >= _WORTH_THREADS:
            of_segments = list(_threads(os.getpid()).map(lambda i: self._by_codes(i, sought), jobs))
        else:
            of_segments = [self._by_codes(i, sought) for i in jobs]
        top, scores = (np.concatenate(parts, axis=1) for parts in zip(*of_segments, strict=True))
        living = top[:, alive].astype(np.float64)
        above = np.zeros(len(top)) if tops is None else (living >= tops[:, None]).sum(axis=1)
        sums = np.stack([np.full(len(top), alive.sum()), living.sum(axis=1), (living**2).sum(axis=1), above])
        hubs = with_hubs * np.concatenate([s.hubness for s in self.segments])
        estimate = np.where(alive, scores.mean(axis=0) - hubs, -np.inf)
        found = np.argsort(-estimate, kind="stable")[: min(best, int(alive.sum()))]
        return self._again(sought, found, sums)

    def scores(self, places: Sequence[tuple[int, int]], sought: Sought) -> np.ndarray:
        """Scores (P, K) of K photos by all numbers of their regions, less what is taken off for hubs."""
        return self._of_photos(replace(sought, numbers=sought.numbers @ self.coding.reading), places)

    def _of_photos(self, sought: Sought, places: Sequence[tuple[int, int]]) -> np.ndarray:
        scores, first = self._full(places, sought)
        if not sought.soft:
            return maximum(scores, first)
        hubs = np.array([self.segments[s].hubness[place] for s, place in places], np.float32)
        return soft_maximum(scores, first) - HUB_WEIGHT * hubs

    def _again(self, sought: Sought, photos: np.ndarray, sums: np.ndarray) -> Ranked:
        """Score the photos, numbers counted through all segments, once more, by all numbers of their regions."""
        starts = np.concatenate([[0], np.cumsum([s.entry.stored for s in self.segments])])
        of_segment = np.searchsorted(starts, photos, side="right") - 1
        places = [(int(s), int(photo - starts[s])) for s, photo in zip(of_segment, photos, strict=True)]
        of_photo = self._of_photos(sought, places)
        order = np.argsort(-of_photo.mean(axis=0), kind="stable")
        return Ranked([(0, *places[i]) for i in order], of_photo[:, order], of_photo.mean(axis=0)[order], sums)

    def _full(self, places: Sequence[tuple[int, int]], sought: Sought) -> tuple[np.ndarray, np.ndarray]:
        """Scores (P, R) of all regions of some photos, and where each photo's begin."""
        parts, counts = [], []
        query = self.coding.weighed(sought.numbers)
        for segment, place in places:
            s = self.segments[segment]
            regions = slice(s.first[place], s.first[place + 1])
            numbers = self.coding.signed_bytes(s.codes[regions], s.photo_rows(place))
            parts.append(query @ numbers.astype(np.float32).T)  # one photo at a time stays in the processor's cache
            counts.append(len(numbers))
        scores = np.concatenate(parts, axis=1)
        first = np.concatenate([[0], np.cumsum(counts)])
        for t in np.flatnonzero(sought.named.any(axis=0)):
            seen = [self._things(s, place, t) for s, place in places]
            scores += sought.named[:, t : t + 1] * (np.concatenate(seen).astype(np.float32) / 255)
        return scores, first

    def _things(self, segment: int, place: int, thing: int) -> np.ndarray:
        """How surely the detector sees a thing in each region of a photo: (R,) uint8."""
        s = self.segments[segment]
        return s.things[thing, s.first[place] : s.first[place + 1]]

    def _by_codes(self, number: int, sought: Sought) -> tuple[np.ndarray, np.ndarray]:
        """The best region's score (P, N) of each photo of a segment, and what photos are compared by, (P, N)."""
        scores, first = self._scores(number, sought), self.segments[number].first
        best = maximum(scores, first)
        return best, soft_maximum(scores, first, best) if sought.soft else best

    def _scores(self, number: int, sought: Sought) -> np.ndarray:
        """Scores (P, R) of all regions of a segment, by their codes and what is seen."""
        s, size = self.segments[number], self.coding.code_size
        query = (sought.numbers * self.coding.scale)[:, :size].astype(np.float32)
        if self._packed[number] is not None:
            steps = np.abs(query).max(axis=1, keepdims=True) / 127 + 1e-12
            signed = np.ascontiguousarray(np.round(query / steps).astype(np.int8))
            scores = np.asarray(numkong.dots_packed(signed, self._packed[number])).astype(np.float32) * steps
        else:
            scores = _by_torch(s.codes, query)
        for t in np.flatnonzero(sought.named.any(axis=0)):
            scores += sought.named[:, t : t + 1] * (s.things[t].astype(np.float32) / 255)
        return scores


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Threads for the scans of a process, kept because to start them takes some ms; a forked one makes its own."""
    return ThreadPoolExecutor(torch.get_num_threads())


def _by_torch(codes: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Products (P, R) float32 of signed bytes (R, C) with a query (P, C)."""
    scores = torch.empty(len(codes), len(query))
    query = torch.from_numpy(query.T.copy())
    codes = torch.from_numpy(codes)
    block = torch.empty(min(_BLOCK, len(codes)), codes.shape[1])
    for start in range(0, len(codes), _BLOCK):
        part = codes[start : start + _BLOCK]
        torch.mm(block[: len(part)].copy_(part), query, out=scores[start : start + len(part)])
    return np.ascontiguousarray(scores.numpy().T)
