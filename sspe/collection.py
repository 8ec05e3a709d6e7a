"""Collection, what users import: a folder of photos embedded once, then any phrase is a search, with boxes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sspe.errors import CollectionError, SspeError
from sspe.indexing import build as indexing
from sspe.indexing.embedding import check_searchable, open_coding
from sspe.indexing.manifest import FOLDER, Manifest
from sspe.indexing.opening import indexes_at, open_index
from sspe.indexing.records import PhotoRecord
from sspe.localizer import UNSAVED, Localizer
from sspe.searching.likeness import kept_embedding, made_embedding
from sspe.searching.placing import placed
from sspe.searching.probability import FEW, among_few, threshold_among_few
from sspe.searching.qdrant import ask, export
from sspe.searching.query import Asked, asked_in
from sspe.searching.results import FoundPhrase, Hit, SearchResult, SoughtPhrase
from sspe.searching.scan import AGAIN, Ranked, Sought
from sspe.searching.searcher import Query, Searcher
from sspe.searching.unfitted import unfitted_search
from sspe.vision.detections import THINGS

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from sspe.indexing.build import Built, Report
    from sspe.localizer import PhotoSource
    from sspe.vision.boxes import Box

TOP = 50  # hits of a search, unless asked otherwise
LIKE_THIS = "like this"  # what stands for the phrase where none was given


class Collection:
    """Photos whose regions are embedded; made with :meth:`build`, opened with :meth:`open`.

    Attributes:
        photos: a record per photo, see :class:`sspe.indexing.records.PhotoRecord`.
        skipped: files that could not be indexed, path below their root -> reason.
        built: what :meth:`build` did; None where the collection was only opened.
    """

    def __init__(self, indexes: Sequence[Path], localizer: Localizer, built: Built | None = None):
        """See :meth:`open`."""
        self.localizer, self.built = localizer, built
        self.skipped: dict[str, str] = {}
        self.fit = localizer.model.search or unfitted_search(localizer.model)
        self._indexes = list(indexes)
        self._manifests: list[Manifest] = []
        self._places: dict[tuple[Path, str], tuple[int, int, int]] = {}
        opened = []
        for number, index in enumerate(self._indexes):
            manifest, segments = open_index(index, localizer.identity)
            coding = open_coding(index, manifest)
            self._manifests.append(manifest)
            live = []
            for s, segment in enumerate(segments):
                alive = np.zeros(segment.entry.stored, bool)
                for row, record in segment.records.items():
                    key = (manifest.root(record.root, index), record.path)
                    if key not in self._places:  # another part may have it as well
                        self._places[key] = (number, s, row)
                        alive[row] = True
                live.append(alive)
            opened.append((coding, segments, live))
            self.skipped |= {path: reason for _, path, reason in manifest.skipped}
        self._searcher = Searcher(localizer.model, self.fit, opened)
        self.photos = tuple(self._record(place) for place in self._places.values())
        self._files = {id(record): root / path for record, (root, path) in zip(self.photos, self._places, strict=True)}

    @classmethod
    def build(
        cls,
        folder: str | Path,
        index: str | Path | None = None,
        localizer: Localizer | None = None,
        report: Report | None = None,
        part: tuple[int, int] | None = None,
    ) -> Collection:
        """Embed the photos of a folder, or those that are new since; then open the collection.

        What is done is kept every few seconds, and a run that was stopped goes on where it was.

        Args:
            folder: every photo in it and below.
            index: where the index is to lie; None is ``.sspe`` in the folder.
            localizer: None is the shipped one. A collection belongs to its checkpoint.
            report: called with the photos done, the photos in all, and the path of the last one.
            part: (i, n): only the i-th of n parts, 1 <= i <= n, so that n processes or machines share the work. Each
                part is an index of its own within the index; once they lie side by side, they are searched as one.

        Raises:
            CollectionError: there is no such folder; the index is of another checkpoint or version, damaged, in use
                by another writer, or cannot be written.
            CheckpointError: there is no checkpoint.
        """
        if part is not None and not 1 <= part[0] <= part[1]:
            raise SspeError(f"The part is {part[0]} of {part[1]}; give one from 1 of {part[1]} on, such as 1/4.")
        localizer = _checked(localizer or Localizer.from_pretrained())
        home = (Path(index) if index else Path(folder) / FOLDER).absolute()
        target = home / f"part-{part[0]}-of-{part[1]}" if part else home
        fit = localizer.model.search or unfitted_search(localizer.model)
        built = indexing.build(localizer.model, localizer.identity, fit, Path(folder), target, report, part)
        return cls(indexes_at(home), localizer, built)

    @classmethod
    def open(cls, folder_or_index: str | Path, localizer: Localizer | None = None) -> Collection:
        """Open a collection for searching; what a writer adds later is not seen.

        Args:
            folder_or_index: the folder of the photos, or of the index. The photos need not be there.
            localizer: None is the shipped one.

        Raises:
            CollectionError: there is no index, or it is of another checkpoint or version, or damaged.
        """
        home = Path(folder_or_index).absolute()
        if not indexes_at(home) and indexes_at(home / FOLDER):
            home = home / FOLDER
        indexes = indexes_at(home)
        if not indexes:
            raise CollectionError(f"There is no index at {home}; make one with `sspe index {folder_or_index}`.")
        return cls(indexes, _checked(localizer or Localizer.from_pretrained()))

    @property
    def offline(self) -> tuple[Path, ...]:
        """Folders of photos that are not there now; they are searched all the same, and cannot be shown."""
        roots = dict.fromkeys(root for root, _ in self._places)
        return tuple(root for root in roots if not root.is_dir())

    @property
    def nbytes(self) -> int:
        """Bytes of the index on disk."""
        return sum(file.stat().st_size for index in self._indexes for file in index.iterdir() if file.is_file())

    @property
    def threshold(self) -> float | None:
        """The probability from which a photo counts as found by default; None where nothing was fitted."""
        if not len(self.fit.weights):
            return None
        return threshold_among_few(float(self.fit.threshold), len(self.photos))

    def path_of(self, record: PhotoRecord) -> Path:
        """The file of one of :attr:`photos`."""
        return self._files[id(record)]

    def search(
        self,
        phrases: str | Sequence[str],
        *,
        without: str | Sequence[str] = (),
        top: int = TOP,
        at_least: float | None = None,
        qdrant: tuple[QdrantClient, str] | None = None,
    ) -> SearchResult:
        """The photos that show all the phrases, each in a region of its own.

        Args:
            phrases: a phrase, a whole sentence, or several phrases. What a sentence denies is left out: "a dog without
                a leash".
            without: phrases that photos must not show; left out is what shows them as likely as a hit would.
            top: so many hits at most.
            at_least: the probability, 0..1, of each phrase. None is the checkpoint's own threshold, 0 shows all.
            qdrant: a client and the name of what :meth:`to_qdrant` made: Qdrant proposes the photos, approximately, in
                place of the scan; what the probability takes from all photos is estimated from the first thousand.

        Returns:
            A result, most probable hits first. Its hits are empty where nothing of the kind was found, and where the
            model does not know a word.

        Raises:
            SspeError: a phrase is empty, none is to be found, or a number is out of range.
            CollectionError: the index is damaged.
        """
        began = time.perf_counter()
        _check_numbers(top, at_least)
        asked = asked_in(phrases, without)
        wanted = [a for a in asked if not a.without]
        unwanted = [a for a in asked if a.without]
        query = self._searcher.read(wanted)
        others = self._searcher.read(unwanted) if unwanted else None
        least = self.threshold if at_least is None else at_least
        if self.threshold is None:
            if at_least:
                raise SspeError(
                    f"A probability of at least {at_least} was asked for, and this checkpoint has none for searches; "
                    "leave it out, or fit them with `sspe train --refit CHECKPOINT`."
                )
            least = None
        hits: list[Hit] = []
        excluded = 0
        if query.read.known.all() and self.photos:
            hits, excluded = self._hits(wanted, query, others, top, least, qdrant)
        sought = [
            SoughtPhrase(a.text, a.without, bool(known))
            for group, read in ((wanted, query), (unwanted, others))
            if read is not None
            for a, known in zip(group, read.read.known, strict=True)
        ]
        return self._result(hits, sought, began, least, excluded, exact=qdrant is None)

    def to_qdrant(self, client: QdrantClient, name: str) -> int:
        """Export every region as a point of a new Qdrant collection, grouped by photo; returns the number of points.

        Raises:
            CollectionError: Qdrant has a collection of this name already.
            MissingPackageError: qdrant-client is not installed.
        """
        size = self._searcher.scanners[0].coding.basis.shape[1] + self._things
        return export(client, name, size, self._exported())

    def _exported(self) -> Iterator[tuple[str, PhotoRecord, np.ndarray, np.ndarray]]:
        for (root, path), place in self._places.items():
            record, regions = self._searcher.photo(place)
            yield (
                str(root / path),
                record,
                self._searcher.turned(regions.embeddings.float().cpu().numpy()),
                regions.boxes,
            )

    def like(
        self,
        photo: str | PhotoSource,
        box: Box,
        *,
        top: int = TOP,
        less_like: Sequence[tuple[str | PhotoSource, Box]] = (),
    ) -> SearchResult:
        """Photos with a region that looks like one of a photo; the region itself, where it is in the collection, first.

        Args:
            photo: the path of a photo of the collection, relative to its root, or any photo.
            box: x1 y1 x2 y2, pixels of the upright photo.
            less_like: photos and boxes of what is not meant: their likeness is taken off, half of it.

        Hits have no probability; their score is the cosine of the two regions.

        Raises:
            SspeError: the box is empty or outside the photo. PhotoError: the photo cannot be opened.
        """
        began = time.perf_counter()
        _check_numbers(top, None)
        x = self._embedding(photo, box)
        if less_like:
            x = x - 0.5 * np.mean([self._embedding(p, b) for p, b in less_like], axis=0)
            x /= np.linalg.norm(x) + 1e-9
        named = np.zeros((1, self._things), np.float32)
        ranked = self._searcher.rank(Sought(x[None], named, soft=False), max(top, AGAIN))
        hits = []
        for place in ranked.places[:top]:
            regions = self._searcher.photo(place)[1]
            kept = regions.embeddings[:, : len(x)].float().cpu().numpy()
            cosines = kept @ x / (np.linalg.norm(kept, axis=1) + 1e-9)  # rounded, they are not quite of unit length
            best = int(cosines.argmax())
            found = FoundPhrase(LIKE_THIS, tuple(regions.boxes[best].tolist()), float(cosines[best]), None)
            hits.append(self._hit(place, found.score, None, (found,)))
        hits.sort(key=lambda hit: -hit.score)
        return self._result(hits, [SoughtPhrase(LIKE_THIS)], began, None, 0)

    def _hits(
        self,
        wanted: Sequence[Asked],
        query: Query,
        others: Query | None,
        top: int,
        least: float | None,
        qdrant: tuple[QdrantClient, str] | None,
    ) -> tuple[list[Hit], int]:
        """The hits, best first, and how many photos were left out for what they show as well."""
        searcher = self._searcher
        if qdrant is None:
            ranked = searcher.rank(query, max(top, AGAIN))
        else:
            files = {str(root / path): place for (root, path), place in self._places.items()}
            embeddings = np.concatenate([query.sought.numbers, query.sought.named], axis=1)
            vectors = searcher.turned(embeddings, phrases=True)
            proposed = ask(*qdrant, vectors, max(top, AGAIN))
            ranked = searcher.rank_only([files[key] for key in proposed if key in files], query)
        sure = searcher.probabilities(ranked.scores, query, ranked)
        of_others = searcher.rank(others, 1) if others else None
        hits: list[Hit] = []
        excluded, few = 0, len(self.photos) < FEW
        for i, place in enumerate(ranked.places):
            if len(hits) == top and not few:
                break
            located = searcher.locate(place, query) if few else None
            if sure is not None and few:
                sure[:, i] = among_few(sure[:, i], located.present, len(self.photos))
            if sure is not None and sure[:, i].min() < least:
                continue
            located = located or searcher.locate(place, query)
            found = placed(wanted, located, None if sure is None else sure[:, i])
            if found is None or (sure is not None and min(p.probability for p in found) < least):
                continue
            if others and self._shows(place, others, of_others):
                excluded += 1
                continue
            probability = None if sure is None else min(p.probability for p in found)
            hits.append(self._hit(place, float(ranked.order[i]), probability, found))
        if few and sure is not None:
            hits.sort(key=lambda hit: -hit.probability)
        return hits[:top], excluded

    def _shows(self, place: tuple[int, int, int], query: Query, ranked: Ranked) -> bool:
        """Whether a photo shows any of the phrases, of those whose words are known."""
        sure, threshold = (
            self._searcher.probabilities(self._searcher.scores([place], query), query, ranked),
            self.threshold,
        )
        if sure is not None and len(self.photos) < FEW:
            sure = among_few(sure[:, 0], self._searcher.locate(place, query).present, len(self.photos))
        if sure is None:  # nothing was fitted for searches: what the photo alone says, or nothing
            sure, threshold = self._searcher.locate(place, query).present, 0.5
        return sure is not None and bool((sure.reshape(-1)[query.read.known] >= threshold).any())

    def _hit(
        self, place: tuple[int, int, int], score: float, probability: float | None, found: tuple[FoundPhrase, ...]
    ) -> Hit:
        record = self._record(place)
        root = self._manifests[place[0]].root(record.root, self._indexes[place[0]])
        return Hit(record.path, root / record.path, record.width, record.height, record.date, score, probability, found)

    def _result(
        self,
        hits: Sequence[Hit],
        phrases: Sequence[SoughtPhrase],
        began: float,
        least: float | None,
        excluded: int,
        exact: bool = True,
    ) -> SearchResult:
        milliseconds = 1000 * (time.perf_counter() - began)
        count = len(self.photos)
        return SearchResult(
            tuple(hits), tuple(phrases), count, count, milliseconds, exact, least, dict(self.skipped), excluded
        )

    def _record(self, place: tuple[int, int, int]) -> PhotoRecord:
        index, segment, row = place
        return self._searcher.scanners[index].segments[segment].records[row]

    @property
    def _things(self) -> int:
        model = self.localizer.model
        return 0 if model.network.named is None else len(THINGS)

    def _embedding(self, photo: str | PhotoSource, box: Box) -> np.ndarray:
        """Unit embedding (E,) of a box of a photo."""
        kept = self._kept(photo)
        if kept is None:
            return made_embedding(self.localizer.model, photo, box)
        return kept_embedding(self._searcher, self._places[kept], kept[0] / kept[1], box)

    def _kept(self, photo: str | PhotoSource) -> tuple[Path, str] | None:
        """Root and path of a photo of the collection; None where it is none."""
        if not isinstance(photo, str | Path):
            return None
        for root, path in self._places:
            if path == Path(photo).as_posix() or root / path == Path(photo):
                return root, path
        return None


def _checked(localizer: Localizer) -> Localizer:
    check_searchable(localizer.model)
    if localizer.identity == UNSAVED:
        raise SspeError(
            "A collection belongs to a checkpoint, and this localizer's weights are no file's; save them first, and "
            "load them with Localizer.from_pretrained."
        )
    return localizer


def _check_numbers(top: int, at_least: float | None) -> None:
    if top < 1:
        raise SspeError(f"The number of hits is {top}; give 1 or more.")
    if at_least is not None and not 0 <= at_least <= 1:
        raise SspeError(f"The probability asked for is {at_least}; give a number from 0 to 1.")
