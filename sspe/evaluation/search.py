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
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.errors import DataError
from sspe.evaluation.absent import singular, synonyms
from sspe.evaluation.answers import THRESHOLD, regions_of
from sspe.evaluation.nonsense import FOR_FITS, TO_MEASURE
from sspe.evaluation.probabilities import measure_probability
from sspe.evaluation.progress import Progress, without_progress
from sspe.evaluation.shown import Captions
from sspe.indexing.coding import Coding
from sspe.indexing.embedding import PROPOSALS, check_searchable, kept_of
from sspe.indexing.records import PhotoRecord
from sspe.indexing.segments import Segment, write_segment
from sspe.localizer import Localizer
from sspe.models.calibration import logistic
from sspe.models.localization import LocalizationModel, Regions
from sspe.models.search_fit import SearchFit
from sspe.phrases.head import head_of
from sspe.searching.query import Asked
from sspe.searching.searcher import Searcher
from sspe.searching.unfitted import unfitted_search
from sspe.text.words import words_of
from sspe.vision.boxes import iou, union

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
    parts = {name: getattr(regions, name) for name in ("boxes", "embeddings", "described")}
    return replace(regions, **{name: part if part is None else part[:PROPOSALS] for name, part in parts.items()})


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
        absent: (C,) bool, of a phrase whose thing no caption of the photos mentions.
        nonsense: (C,) bool, of a phrase that nothing shows.
        asked_nonsense: such phrases, with those of no known word, which have no candidate.
    """

    evidence: np.ndarray
    shown: np.ndarray
    query: np.ndarray
    absent: np.ndarray
    nonsense: np.ndarray
    asked_nonsense: int


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
    if not evidence:
        raise DataError("Of the phrases of these photos the model knows no word, so nothing can be fitted on them.")
    number = np.array(number)
    of_nonsense = number >= len(own) + len(absent)
    of_absent = (number >= len(own)) & ~of_nonsense
    return Candidates(np.concatenate(evidence), np.array(shown), number, of_absent, of_nonsense, len(nonsense))


def measure_candidates(found: Candidates, fit: SearchFit) -> dict:
    """How good the search's probability is, and how often nonsense finds nothing at the threshold."""
    probabilities = logistic(found.evidence, fit.weights.float().cpu().numpy())
    said = ~np.isnan(found.shown)
    best = {q: probabilities[found.query == q].max() for q in np.unique(found.query)}
    nonsense = set(found.query[found.nonsense])
    own = set(found.query[found.shown == 1])  # of which some candidate is right
    unknown = found.asked_nonsense - len(nonsense)  # of no known word: they find nothing
    absent = set(found.query[found.absent])
    groups = {"nonsense": nonsense, "own": own, "absent": absent}
    below = {name: sum(best[q] < float(fit.threshold) for q in group) for name, group in groups.items()}
    return {
        **measure_probability(probabilities[said], found.shown[said] > 0),
        "threshold": float(fit.threshold),
        "nonsense": found.asked_nonsense,
        "nonsense_finds_nothing": (below["nonsense"] + unknown) / found.asked_nonsense,
        "known_nonsense": len(nonsense),
        "known_nonsense_finds_nothing": below["nonsense"] / max(len(nonsense), 1),
        "own_finds_nothing": below["own"] / max(len(own), 1),
        "absent_finds_nothing": below["absent"] / max(len(absent), 1),
    }


def _drawn(phrases: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [phrases[i] for i in rng.permutation(len(phrases))[:count]]


def _unmentioned(phrase: str, mentioned: set[str]) -> bool:
    words = words_of(head_of(phrase))
    return bool(words) and not synonyms(singular(words[-1])) & mentioned


def _number(place: tuple[int, int, int]) -> int:
    """Of the photo among those that :func:`searched` was given."""
    return place[1] * _TOGETHER + place[2]


def evaluate_search(
    localizer: Localizer,
    photos: Sequence[AnnotatedPhoto],
    *,
    train: Sequence[AnnotatedPhoto] = (),
    queries: int = QUERIES,
    frozen: FrozenFeatures | None = None,
    progress: Progress = without_progress,
) -> dict:
    """Search for phrases of the photos among all of them and measure; `sspe evaluate search` from Python.

    Args:
        localizer: what is measured. Its proposals of the photos are kept in the cache folder.
        train: training photos; their phrases that no photo here mentions stand for what is not there.
        frozen: features of a backbone that is not trained, kept in the cache folder; None computes them.
        queries: phrases of two or more words that are drawn at most, and half as many of one word.

    Returns:
        "recall_at_1" and so on, the share of phrases with a right photo among the first; "mean_average_precision";
        "right_box" of the right photos, all for phrases of two or more words, and under "by_words" for each length;
        under "probability" how good that is on the candidates of searches, and how often nonsense finds nothing, where
        the checkpoint has one. Rates in 0..1.

    Raises:
        DataError: no phrase has a box.
    """
    check_searchable(localizer.model)
    model = localizer.model
    fit = model.search or unfitted_search(model)
    store = FeatureStore(model.settings.regions.side, model.settings.proposals, detector=model.detector)
    store.prepare([photo.path for photo in photos], progress)
    rng = np.random.default_rng(0)
    phrases = phrases_of(photos)
    several = _drawn([phrase for phrase in phrases if len(words_of(phrase)) >= 2], queries, rng)
    single = _drawn([phrase for phrase in phrases if len(words_of(phrase)) < 2], queries // 2, rng)
    if not several:
        raise DataError("The chosen photos have no phrase of two words with a box to search for; choose others.")
    with searched(model, fit, photos, store, progress, frozen) as searcher:
        boxes = _boxes_of(photos)
        found = {
            phrase: _searched_for(searcher, phrase, photos, boxes[phrase]) for phrase in progress(several + single)
        }
        measured = {**_rates([found[phrase] for phrase in several]), "photos": len(photos), "by_words": {}}
        for name, count in (("1", [1]), ("2", [2]), ("3", [3]), ("4 and more", range(4, 100))):
            if group := [found[phrase] for phrase in found if len(words_of(phrase)) in count]:
                measured["by_words"][name] = _rates(group)
        if len(fit.weights):
            drawn = candidates(searcher, photos, phrases_of(train), rng, progress, fitting=False)
            measured["probability"] = measure_candidates(drawn, fit)
    return measured


def table(measured: dict) -> str:
    """The measures as text, in percent."""
    lines = [
        f"{measured['photos']} photos; a photo is right where a caption has the very phrase",
        f"{'':24}" + "".join(f"{name:>9}" for name in ("R@1", "R@5", "R@10", "mAP", "box", "phrases")),
    ]
    groups = {"2 words or more": measured, **{f". {name} words": row for name, row in measured["by_words"].items()}}
    for name, row in groups.items():
        rates = [row[f"recall_at_{k}"] for k in RANKS] + [row["mean_average_precision"], row["right_box"]]
        lines.append(f"{name:24}" + "".join(f"{100 * rate:9.1f}" for rate in rates) + f"{row['phrases']:9}")
    if p := measured.get("probability"):
        lines.append(
            f"probability: ECE {p['ece']:.3f}, Brier {p['brier']:.3f}, AUROC {p['auroc']:.3f} over {p['count']} "
            f"candidates of searches, {100 * p['rate']:.1f} % of them right as far as captions say"
        )
        lines.append(
            f"at the threshold of {p['threshold']:.2f} {p['nonsense']} nonsense phrases find nothing in "
            f"{100 * p['nonsense_finds_nothing']:.1f} %, phrases of things that no caption mentions in "
            f"{100 * p['absent_finds_nothing']:.1f} %, phrases of the photos in {100 * p['own_finds_nothing']:.1f} %"
        )
    return "\n".join(lines)


@dataclass(frozen=True)
class _Searched:
    """One search: places of the right photos in the order, from 0, and whether the box is right in each of them."""

    places: np.ndarray
    boxes: np.ndarray


def _searched_for(
    searcher: Searcher, phrase: str, photos: Sequence[AnnotatedPhoto], boxes: dict[int, np.ndarray]
) -> _Searched:
    """``boxes``: of the phrase in each right photo, by the photo's number, (B, 4) and their union last."""
    query = searcher.read([Asked(phrase)])
    ranked = searcher.rank(query, len(photos))
    places, right = [], []
    for place, index in enumerate(ranked.places):
        if (number := _number(index)) in boxes:
            located = searcher.locate(index, query)
            places.append(place)
            right.append(iou(located.boxes[0, located.kept[0][0]], boxes[number]).max() >= THRESHOLD)
    return _Searched(np.array(places), np.array(right))


def _boxes_of(photos: Sequence[AnnotatedPhoto]) -> dict[str, dict[int, np.ndarray]]:
    """Phrase -> number of each photo that has it -> its boxes there, (B, 4), and the union of each mention."""
    found: dict[str, dict[int, list[np.ndarray]]] = {}
    for number, photo in enumerate(photos):
        for phrase in (p for s in photo.sentences for p in s.phrases if len(p.boxes)):
            mentions = found.setdefault(phrase.text.lower(), {}).setdefault(number, [])
            mentions += [phrase.boxes, union(phrase.boxes)[None]]
    return {
        phrase: {number: np.concatenate(parts) for number, parts in mentions.items()}
        for phrase, mentions in found.items()
    }


def _rates(found: Sequence[_Searched]) -> dict:
    precisions = [np.mean(np.arange(1, len(f.places) + 1) / (f.places + 1)) for f in found]
    return {
        **{f"recall_at_{k}": float(np.mean([f.places[0] < k for f in found])) for k in RANKS},
        "mean_average_precision": float(np.mean(precisions)),
        "right_box": float(np.concatenate([f.boxes for f in found]).mean()),
        "phrases": len(found),
    }
