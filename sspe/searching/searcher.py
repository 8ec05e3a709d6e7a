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
from sspe.searching.familiar import FamiliarPhrases
from sspe.searching.probability import search_evidence
from sspe.searching.query import Asked
from sspe.searching.scan import AGAIN, Ranked, Scanner, Sought, merged
from sspe.vision.boxes import scale


@dataclass(frozen=True)
class Query:
    """P phrases, read.

    Attributes:
        read: by the model.
        sought: as a scan needs them: set apart from the phrases like them.
        tops: (P,) the calibration bank's 99.5th percentile for what is sought; None without calibration.
        familiar: (P,) the mean of the best cosines with the training phrases; 0 where there are none.
        names: (P,) 1 where a phrase names one of a detector's things, else 0.
    """

    read: ReadPhrases
    sought: Sought
    tops: np.ndarray | None
    familiar: np.ndarray
    names: np.ndarray


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
        self._spoken_of = FamiliarPhrases(fit)

    def read(self, asked: Sequence[Asked]) -> Query:
        """Read the phrases of a query."""
        texts, size = [a.text for a in asked], self.model.settings.network.embedding
        read = self.model.read(texts, [a.context for a in asked])
        y = read.embeddings.float().cpu()
        learnt, named = self._spoken_of.set_apart(y[:, :size], texts), y[:, size:]
        tops = None
        if self.model.calibration is not None:
            whole = torch.cat([learnt, named], dim=1).to(self.model.device)
            tops = bank_top(self.model.scores(whole, self.model.calibration.bank).cpu().numpy())
        sought = Sought(learnt.numpy(), named.numpy())
        names = named.any(dim=1).float().numpy()
        return Query(read, sought, tops, self._spoken_of.familiarity(y[:, :size]), names)

    def rank(self, query: Query | Sought, best: int = AGAIN) -> Ranked:
        """The best photos of all indexes; a place's first number counts the indexes' segments one after the other."""
        sought, tops = (query.sought, query.tops) if isinstance(query, Query) else (query, None)
        return merged([scanner.rank(sought, best, tops) for scanner in self.scanners], best)

    def rank_only(self, places: Sequence[tuple[int, int, int]], query: Query) -> Ranked:
        """Some photos, best first; the collection's figures are estimated from the first segment of each index."""
        sums = merged([scanner.sample().rank(query.sought, 1, query.tops) for scanner in self.scanners], 1).sums
        scores = self.scores(places, query)
        order = np.argsort(-scores.mean(axis=0), kind="stable")
        return Ranked([places[i] for i in order], scores[:, order], scores.mean(axis=0)[order], sums)

    def photo(self, place: tuple[int, int, int]) -> tuple[PhotoRecord, Regions]:
        """The record of a photo, and its regions as they are kept, in its pixels."""
        index, number, row = place
        scanner = self.scanners[index]
        segment, coding = scanner.segments[number], scanner.coding
        record = segment.records[row]
        kept = segment.photo(row)
        x = coding.numbers(kept.codes, kept.rows) @ coding.reading.T
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
            kept.seen.astype(np.float32) if len(kept.seen) else None,
        )

    def turned(self, embeddings: np.ndarray, phrases: bool = False) -> np.ndarray:
        """Embeddings (N, E + T) of regions, or of phrases, as the first index has them, (N, K + T).

        The dot product of a region and a phrase is the same.
        """
        size, coding = self.model.settings.network.embedding, self.scanners[0].coding
        basis = coding.reading if phrases else coding.basis
        return np.concatenate([embeddings[:, :size] @ basis, embeddings[:, size:]], axis=1)

    def scores(self, places: Sequence[tuple[int, int, int]], query: Query) -> np.ndarray:
        """Scores (P, K) of K photos, each as :meth:`rank` gives them."""
        found = [self.scanners[index].scores([(number, row)], query.sought) for index, number, row in places]
        return np.concatenate(found, axis=1) if found else np.zeros((len(query.familiar), 0), np.float32)

    def evidence(self, scores: np.ndarray, query: Query, ranked: Ranked) -> np.ndarray | None:
        """The evidence (P, K, F) of photo scores (P, K), see :mod:`sspe.searching.probability`.

        ``ranked`` has the collection's figures for this query. None without calibration.
        """
        if query.tops is None:
            return None
        standing = (scores - ranked.means[:, None]) / ranked.deviations[:, None]
        return search_evidence(scores, standing, ranked.priors, query.familiar, query.tops, query.names)

    def probabilities(self, scores: np.ndarray, query: Query, ranked: Ranked) -> np.ndarray | None:
        """How likely photos of the scores (P, K) show each phrase: (P, K); None where nothing was fitted."""
        if not len(self.weights):
            return None
        return logistic(self.evidence(scores, query, ranked), self.weights)

    def locate(self, place: tuple[int, int, int], query: Query) -> Located:
        """Where the phrases of a query are in a photo."""
        return self.model.locate_read(self.photo(place)[1], query.read)
