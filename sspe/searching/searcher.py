"""One search, step by step: read the phrases, rank the photos, look closely at the best ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sspe.indexing.coding import Coding
from sspe.indexing.records import PhotoRecord
from sspe.indexing.segments import Segment
from sspe.models.calibration import bank_top, logistic
from sspe.models.localization import LocalizationModel, Located, ReadPhrases, Regions
from sspe.models.search_fit import SearchFit
from sspe.searching.probability import search_evidence
from sspe.searching.query import Asked
from sspe.searching.ranking import HUB_WEIGHT, soft_maximum
from sspe.searching.scan import AGAIN, Ranked, Scanner, Sought, merged
from sspe.vision.boxes import scale


@dataclass(frozen=True)
class Query:
    """P phrases, read.

    Attributes:
        read: by the model.
        sought: as a scan needs them.
        tops: (P,) the calibration bank's 99.5th percentile; None without calibration.
        familiar: (P,) the best cosine with the training phrases; 0 where there are none.
    """

    read: ReadPhrases
    sought: Sought
    tops: np.ndarray | None
    familiar: np.ndarray


@dataclass(frozen=True)
class Look:
    """P phrases in one photo, looked at closely.

    Attributes:
        located: their boxes.
        scores: (P,) of the photo.
        evidence: (P, F) for the search's probability; None without calibration.
        probabilities: (P,), None where nothing was fitted.
    """

    located: Located
    scores: np.ndarray
    evidence: np.ndarray | None
    probabilities: np.ndarray | None


class Searcher:
    """Segments of one or several indexes, and the model that embedded them."""

    def __init__(
        self,
        model: LocalizationModel,
        fit: SearchFit,
        indexes: Sequence[tuple[Coding, Sequence[Segment], Sequence[np.ndarray]]],
    ):
        """``indexes``: of each its coding, its segments and, per segment, which of its photos to search (N,) bool."""
        self.model = model
        self.scanners = [Scanner(segments, coding, live) for coding, segments, live in indexes]
        self.weights = fit.weights.float().cpu().numpy()
        self._phrases = fit.phrases.float().cpu()
        self._bases = [torch.from_numpy(coding.basis) for coding, _, _ in indexes]
        self._fit_basis = fit.basis.float().cpu()

    def read(self, asked: Sequence[Asked]) -> Query:
        """Read the phrases of a query."""
        return self._query(self.model.read([a.text for a in asked], [a.context for a in asked]))

    def _query(self, read: ReadPhrases) -> Query:
        size = self.model.settings.network.embedding
        y = read.embeddings.float().cpu()
        named = y[:, size:].numpy()
        learnt = torch.nn.functional.normalize(y[:, :size], dim=1)
        known = self._phrases[:, : self._fit_basis.shape[1]]
        familiar = np.zeros(len(y), np.float32)
        if len(known):
            near = torch.nn.functional.normalize(known, dim=1)
            familiar = (learnt @ self._fit_basis @ near.T).amax(dim=1).numpy()
        tops = None if read.bank_scores is None else bank_top(read.bank_scores)
        return Query(read, Sought(y[:, :size].numpy(), named), tops, familiar)

    def rank(self, query: Query | Sought, best: int = AGAIN) -> Ranked:
        """The best photos of all indexes; a place's first number counts the indexes' segments one after the other."""
        sought, tops = (query.sought, query.tops) if isinstance(query, Query) else (query, None)
        return merged([scanner.rank(sought, best, tops) for scanner in self.scanners], best)

    def photo(self, place: tuple[int, int, int]) -> tuple[PhotoRecord, Regions]:
        """The record of a photo, and its regions as they are kept, in its pixels."""
        index, number, row = place
        scanner = self.scanners[index]
        segment, coding = scanner.segments[number], scanner.coding
        record = segment.records[row]
        kept = segment.photo(row)
        x = coding.numbers(kept.codes, kept.rows) @ coding.basis.T
        things = kept.things.astype(np.float32) / 255
        embeddings = np.concatenate([x, things], axis=1)
        described = coding.described(kept.rows)
        boxes = scale(coding.boxes(kept.rows), record.width, record.height)
        device = self.model.device
        return record, Regions(
            record.width,
            record.height,
            boxes,
            torch.from_numpy(embeddings).to(device),
            None if described is None else torch.from_numpy(described).to(device),
            things.max(axis=0, initial=0) if things.shape[1] else None,
        )

    def look(self, place: tuple[int, int, int], query: Query, ranked: Ranked) -> Look:
        """Look closely at a photo for the phrases of a query, of which ``ranked`` has the collection's figures."""
        _, regions = self.photo(place)
        located = self.model.locate_read(regions, query.read)
        segment = self.scanners[place[0]].segments[place[1]]
        soft = soft_maximum(located.scores, np.array([0, located.scores.shape[1]]))[:, 0]
        scores = soft - HUB_WEIGHT * segment.hubness[place[2]]
        if located.evidence is None:
            return Look(located, scores, None, None)
        standing = (scores - ranked.means) / ranked.deviations
        evidence = search_evidence(located.evidence, located.present, scores, standing, ranked.priors, query.familiar)
        probabilities = logistic(evidence, self.weights) if len(self.weights) else None
        return Look(located, scores, evidence, probabilities)
