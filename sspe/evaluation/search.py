"""Search of a whole collection: phrases of captions over all photos of a split.

A photo is right for a phrase where one of its captions has that very phrase, with a box. Most phrases have one right
photo, though many others show the same, so the rates are low in themselves, and good for comparisons alone. Of photos
found within the first ten, the box is right where it overlaps one of the phrase's, or their union, by an intersection
over union of 0.5 or more.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.absent import singular, synonyms
from sspe.evaluation.answers import regions_of
from sspe.evaluation.nonsense import FOR_FITS, TO_MEASURE
from sspe.evaluation.probabilities import measure_probability
from sspe.evaluation.progress import Progress, without_progress
from sspe.evaluation.shown import Captions
from sspe.indexing.coding import Coding
from sspe.indexing.embedding import PROPOSALS, kept_of
from sspe.indexing.records import PhotoRecord
from sspe.indexing.segments import Segment, write_segment
from sspe.models.calibration import logistic
from sspe.models.localization import LocalizationModel, Regions
from sspe.models.search_fit import SearchFit
from sspe.phrases.head import head_of
from sspe.searching.query import Asked
from sspe.searching.searcher import Searcher
from sspe.text.words import words_of

RANKS = (1, 5, 10)
QUERIES = 1000  # phrases drawn at most
FIT_QUERIES, FIT_ABSENT, FIT_BEST = 800, 300, 50  # of a fit: phrases, phrases of what is not there, photos of each
_TOGETHER = 500  # photos of a segment here


@contextmanager
def searched(
    model: LocalizationModel,
    fit: SearchFit,
    photos: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    progress: Progress = without_progress,
    frozen: FrozenFeatures | None = None,
) -> Iterator[Searcher]:
    """A searcher of annotated photos, kept in a folder that goes with the block; row n of all is photo n."""
    coding, phrases = Coding.of(fit), fit.phrases.float().cpu().numpy()
    with tempfile.TemporaryDirectory() as name:
        folder, segments, kept = Path(name), [], []
        for number, photo in enumerate(progress(photos), start=1):
            regions = first_regions(regions_of(model, photo, store, frozen))
            record = PhotoRecord(photo.id, 0, 0, 0, "", photo.width, photo.height, None, 1)
            kept.append(kept_of(model, coding, phrases, record, regions))
            if len(kept) == _TOGETHER or number == len(photos):
                segments.append(Segment(folder, write_segment(folder, kept)))
                kept = []
        live = [np.ones(segment.entry.stored, bool) for segment in segments]
        yield Searcher(model, fit, [(coding, segments, live)])


def first_regions(regions: Regions) -> Regions:
    """Those that a collection keeps."""
    described = None if regions.described is None else regions.described[:PROPOSALS]
    return Regions(regions.width, regions.height, regions.boxes[:PROPOSALS], regions.embeddings[:PROPOSALS], described)


def phrases_of(photos: Sequence[AnnotatedPhoto]) -> list[str]:
    """The distinct phrases with a box, lower case, sorted."""
    return sorted({p.text.lower() for photo in photos for s in photo.sentences for p in s.phrases if len(p.boxes)})


@dataclass(frozen=True)
class Candidates:
    """The best photos of many searches, C in all.

    Attributes:
        evidence: (C, F), see :mod:`sspe.searching.probability`.
        shown: (C,) 1 or 0 where the photo's captions say whether it shows the phrase, else NaN.
        query: (C,) number of the search.
        nonsense: (C,) bool, of a phrase that nothing shows.
    """

    evidence: np.ndarray
    shown: np.ndarray
    query: np.ndarray
    nonsense: np.ndarray


def candidates(
    searcher: Searcher,
    photos: Sequence[AnnotatedPhoto],
    others: Sequence[str],
    rng: np.random.Generator,
    progress: Progress = without_progress,
    fitting: bool = True,
) -> Candidates:
    """Search for phrases of the photos, for ``others`` that none of them mentions, and for nonsense.

    ``fitting`` takes the half of the nonsense that is for fits, else the other one.
    """
    captions = Captions(photos)
    mentioned = set().union(*captions.mentioned)
    own = _drawn(phrases_of(photos), FIT_QUERIES, rng)
    absent = _drawn([phrase for phrase in others if _unmentioned(phrase, mentioned)], FIT_ABSENT, rng)
    nonsense = list(FOR_FITS if fitting else TO_MEASURE)
    evidence, shown, number = [], [], []
    for i, phrase in enumerate(progress([*own, *absent, *nonsense])):
        query = searcher.read([Asked(phrase)])
        if not query.read.known.all():
            continue  # nothing is found of it in any case
        ranked = searcher.rank(query)
        says = captions.show(phrase) if i < len(own) else np.zeros(len(photos))
        evidence.append(searcher.evidence(ranked.scores[:, :FIT_BEST], query, ranked)[0])
        shown += [says[_number(place)] for place in ranked.places[:FIT_BEST]]
        number += [i] * len(evidence[-1])
    number = np.array(number)
    return Candidates(np.concatenate(evidence), np.array(shown), number, number >= len(own) + len(absent))


def measure_candidates(found: Candidates, fit: SearchFit) -> dict:
    """How good the search's probability is, and how often nonsense finds nothing at the threshold."""
    probabilities = logistic(found.evidence, fit.weights.float().cpu().numpy())
    said = ~np.isnan(found.shown)
    nonsense = np.unique(found.query[found.nonsense])
    nothing = [probabilities[found.query == q].max() < float(fit.threshold) for q in nonsense]
    return {
        **measure_probability(probabilities[said], found.shown[said] > 0),
        "threshold": float(fit.threshold),
        "nonsense": len(nothing),
        "nonsense_finds_nothing": float(np.mean(nothing)) if nothing else None,
    }


def _drawn(phrases: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [phrases[i] for i in rng.permutation(len(phrases))[:count]]


def _unmentioned(phrase: str, mentioned: set[str]) -> bool:
    words = words_of(head_of(phrase))
    return bool(words) and not synonyms(singular(words[-1])) & mentioned


def _number(place: tuple[int, int, int]) -> int:
    """Of the photo among those that :func:`searched` was given."""
    return place[1] * _TOGETHER + place[2]
