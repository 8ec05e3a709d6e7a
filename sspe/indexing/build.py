"""Making an index and keeping it up to date: walk, notice what changed, embed what is new, commit every few seconds.

What a photo is goes by its content: a file of the same size and time as before is taken to be the same, any other is
read and its digest looked up, so that a photo that was moved, renamed or touched keeps its vectors, and an edited one
is a new photo. Deleted photos are forgotten beneath the folder that was walked, and nowhere else; where that is missing
or empty, a disk is more likely to be unplugged than every photo deleted, and nothing is forgotten at all.
"""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from sspe.errors import CollectionError, PhotoError
from sspe.files import atomic_write
from sspe.indexing.coding import Coding
from sspe.indexing.embedding import PROPOSALS, check_checkpoint, code, digest_of, open_coding
from sspe.indexing.manifest import (
    CODING,
    FILE,
    FOLDER,
    Manifest,
    only_writer,
    read_manifest,
    remove_leftovers,
    write_manifest,
)
from sspe.indexing.records import CodedPhoto, PhotoRecord
from sspe.indexing.segments import Segment, SegmentEntry, flush, with_table, write_segment
from sspe.indexing.walk import FoundFile, Walk, walk
from sspe.models.localization import LocalizationModel
from sspe.models.search_fit import SearchFit
from sspe.vision.photo import open_photo, photo_date, photo_orientation
from sspe.vision.proposals import Proposals

SEGMENT = 1000  # photos
COMMIT = 5.0  # seconds of work that a kill may cost
AHEAD = 2  # photos opened and searched for proposals while the network works on the one before

Report = Callable[[int, int, str], object]  # called with photos done, photos in all, and the path of the last one


@dataclass
class Built:
    """What a run of the indexer did.

    Attributes:
        embedded, copied, kept, moved, forgotten: photos; a copied one has the content of another, and its vectors.
        offline: the folder is missing or empty, and what the index has of it was kept.
        repaired: photos whose part of the index was damaged; they were embedded anew where they are still there.
        skipped: path below the folder -> why the file could not be indexed.
        passed_over: files that are no photos, and files and folders that are hidden or a system's.
        seconds: in all.
    """

    embedded: int = 0
    copied: int = 0
    kept: int = 0
    moved: int = 0
    forgotten: int = 0
    offline: bool = False
    repaired: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0
    seconds: float = 0.0


def build(
    model: LocalizationModel,
    checkpoint: str,
    fit: SearchFit,
    folder: Path,
    index: Path,
    report: Report | None = None,
    part: tuple[int, int] | None = None,
) -> Built:
    """Bring the index up to date with a folder; it is made where there is none.

    Args:
        checkpoint: identity of the model's weights.
        index: where it lies or is to lie.
        part: (i, n) leaves all photos but the i-th of n parts, 1 <= i <= n, to others.

    Raises:
        CollectionError: the index is of another checkpoint or version, damaged in its manifest, in use by another
            writer, or cannot be written.
    """
    began = time.monotonic()
    if not folder.is_dir() and not (index / FILE).exists():
        raise CollectionError(f"There is no folder {folder}; give the folder of your photos.")
    with only_writer(index):
        try:
            built = _Builder(model, checkpoint, fit, folder, index, report or (lambda *_: None), part).run()
        except OSError as error:
            raise CollectionError(
                f"The index {index} could not be written ({error.strerror}); what was committed before is whole: make "
                "room and run it again."
            ) from error
    built.seconds = time.monotonic() - began
    return built


class _Builder:
    def __init__(
        self,
        model: LocalizationModel,
        checkpoint: str,
        fit: SearchFit,
        folder: Path,
        index: Path,
        report: Report,
        part: tuple[int, int] | None,
    ):
        self.model, self.index, self.report, self.part = model, index, report, part
        self.phrases = fit.phrases.float().cpu().numpy()
        self.built = Built()
        self.folder = folder.resolve()
        self.manifest, self.coding = self._begin(checkpoint, fit)
        remove_leftovers(index, self.manifest)
        self.root, self.prefix = self._place()
        self.tables: dict[str, dict[int, PhotoRecord]] = {}  # by the segment's file
        self.changed: set[str] = set()
        self._open_segments()
        self.pending: list[CodedPhoto] = []
        self.committed = time.monotonic()

    def run(self) -> Built:
        found = walk(self.folder) if self.folder.is_dir() else Walk()
        files = [replace(file, path=self.prefix + file.path) for file in found.files]
        if self.part:
            i, n = self.part
            files = [file for file in files if zlib.crc32(file.path.encode("utf-8", "surrogateescape")) % n == i - 1]
        beneath = {path for path in self.known if path.startswith(self.prefix)}
        self.built.skipped = dict(found.unreadable)
        self.built.passed_over = found.passed_over
        if not found.files and beneath:
            self.built.offline = True
            self.built.kept = len(beneath)
            self._finish(found)
            return self.built
        there = {file.path for file in files}
        self.gone: dict[str, list[str]] = {}  # by digest: a new file of the same content is such a photo, moved
        for path in sorted(beneath - there):
            if not found.hides(path[len(self.prefix) :]):
                self.gone.setdefault(self._record(path).digest, []).append(path)
        new = []
        for file in files:
            if (known := self.known.get(file.path)) and _unchanged(self.tables[known[0]][known[1]], file):
                self.built.kept += 1
            else:
                new.append(file)
        done = self.built.kept
        self.report(done, len(files), "")
        try:
            for file, outcome in self._prepared(new):
                self._take(file, outcome)
                done += 1
                self.report(done, len(files), file.path)
                if time.monotonic() - self.committed > COMMIT or len(self.pending) >= SEGMENT:
                    self._commit()
        except KeyboardInterrupt:
            self._commit()
            raise
        for path in [path for paths in self.gone.values() for path in paths]:
            self._forget(path)
            self.built.forgotten += 1
        self._finish(found)
        return self.built

    def _begin(self, checkpoint: str, fit: SearchFit) -> tuple[Manifest, Coding]:
        """The manifest and the coding of the index as it is, or of a new one."""
        if not (self.index / FILE).exists():
            coding = Coding.of(fit)
            with atomic_write(self.index / CODING) as temporary:
                coding.save(temporary)
                flush(temporary)
            manifest = Manifest(checkpoint, digest_of(self.index / CODING), PROPOSALS)
            write_manifest(self.index, manifest)
            return manifest, coding
        manifest = read_manifest(self.index)
        check_checkpoint(self.index, manifest, checkpoint)
        return manifest, open_coding(self.index, manifest)

    def _place(self) -> tuple[int, str]:
        """Which root the folder belongs to, and where in it: a folder below a root is walked as a part of that."""
        roots = [self.manifest.root(i, self.index).resolve() for i in range(len(self.manifest.roots))]
        for i, root in enumerate(roots):
            if self.folder == root or root in self.folder.parents:
                below = self.folder.relative_to(root).as_posix()
                return i, "" if below == "." else f"{below}/"
            if self.folder in root.parents:
                raise CollectionError(
                    f"The index {self.index} has photos of {root}, which lies in {self.folder}; index the larger "
                    "folder into an index of its own, with --index PATH."
                )
        home = self.index if self.index.name == FOLDER else self.index.parent
        inside = home.name == FOLDER and home.parent.resolve() == self.folder
        self.manifest = replace(self.manifest, roots=(*self.manifest.roots, "." if inside else str(self.folder)))
        return len(roots), ""

    def _open_segments(self) -> None:
        """Read and check every segment; a damaged one is dropped, and its photos count as new."""
        self.segments: dict[str, Segment] = {}
        entries = []
        for entry in self.manifest.segments:
            try:
                segment = Segment(self.index, entry)
                for place in segment.records:
                    segment.photo_rows(place)
            except (CollectionError, FileNotFoundError):
                self.built.repaired += entry.photos
                continue
            entries.append(entry)
            self.segments[entry.file] = segment
            self.tables[entry.file] = dict(segment.records)
        self.manifest = self.manifest.with_segments(tuple(entries))
        self.known = {  # path -> segment and place, of this root
            record.path: (file, place)
            for file, table in self.tables.items()
            for place, record in table.items()
            if record.root == self.root
        }
        # Vectors at hand by the digest of their photo, its place in a segment; also of photos that were just forgotten.
        self.by_digest = {record.digest: self.known[record.path] for record in map(self._record, self.known)}

    def _record(self, path: str) -> PhotoRecord:
        file, place = self.known[path]
        return self.tables[file][place]

    def _prepared(self, files: list[FoundFile]) -> Iterator[tuple[FoundFile, object]]:
        """Each file with its digest, or its record, pixels and proposals, or the error; the next are made ahead."""
        waiting = iter(files)
        with ThreadPoolExecutor(AHEAD) as pool:
            under_way = deque((file, pool.submit(self._prepare, file)) for file in islice(waiting, AHEAD))
            try:
                while under_way:
                    file, work = under_way.popleft()
                    under_way.extend((file, pool.submit(self._prepare, file)) for file in islice(waiting, 1))
                    try:
                        yield file, work.result()
                    except (PhotoError, OSError) as error:
                        yield file, error
            finally:
                for _, work in under_way:
                    work.cancel()

    def _prepare(self, file: FoundFile, anew: bool = False) -> str | tuple[PhotoRecord, np.ndarray, Proposals]:
        path = self.manifest.root(self.root, self.index) / file.path
        digest = digest_of(path)
        if digest in self.by_digest and not anew:
            return digest
        pixels = open_photo(path)
        height, width = pixels.shape[:2]
        record = PhotoRecord(
            file.path, self.root, file.size, file.modified, digest, width, height,
            photo_date(path), photo_orientation(path),
        )  # fmt: skip
        return record, pixels, self.model.propose(pixels)

    def _take(self, file: FoundFile, outcome: object) -> None:
        """Enter a photo that is new, changed, moved or touched; or why it cannot be."""
        if isinstance(outcome, PhotoError | OSError):
            reason = outcome.strerror or str(outcome) if isinstance(outcome, OSError) else str(outcome)
            self.built.skipped[file.path[len(self.prefix) :]] = reason
            if isinstance(outcome, PhotoError) and file.path in self.known:  # no photo any more
                self._forget(file.path)
            return
        if isinstance(outcome, str):
            self._take_known(file, outcome)
            return
        if file.path in self.known:
            self._forget(file.path)
        self.pending.append(code(self.model, self.coding, self.phrases, *outcome))
        self.built.embedded += 1

    def _take_known(self, file: FoundFile, digest: str) -> None:
        """Enter a file whose content the index has already."""
        seen = {"path": file.path, "size": file.size, "modified": file.modified}
        if file.path in self.known and self._record(file.path).digest == digest:  # touched
            self._change(file.path, replace(self._record(file.path), **seen))
            self.built.kept += 1
            return
        if file.path in self.known:  # another photo's content now
            self._forget(file.path)
        if self.gone.get(digest):  # moved
            before = self.gone[digest].pop()
            self.known[file.path] = self.known.pop(before)
            self._change(file.path, replace(self._record(file.path), **seen))
            self.built.moved += 1
            return
        if digest in self.by_digest:  # a copy of another photo
            segment, place = self.by_digest[digest]
            photo = self.segments[segment].photo(place)
            self.pending.append(replace(photo, record=replace(photo.record, **seen)))
            self.built.copied += 1
        else:  # its vectors went with a segment meanwhile
            self._take(file, self._prepare(file, anew=True))

    def _change(self, path: str, record: PhotoRecord) -> None:
        file, place = self.known[path]
        self.tables[file][place] = record
        self.changed.add(file)

    def _forget(self, path: str) -> None:
        file, place = self.known.pop(path)
        del self.tables[file][place]
        self.changed.add(file)

    def _finish(self, found: Walk) -> None:
        others = [entry for entry in self.manifest.skipped if entry[0] != self.root]
        beneath = [
            entry for entry in self.manifest.skipped if entry[0] == self.root and not entry[1].startswith(self.prefix)
        ]
        skipped = beneath + [(self.root, self.prefix + path, why) for path, why in self.built.skipped.items()]
        if self.built.offline:
            skipped = [entry for entry in self.manifest.skipped if entry[0] == self.root]
        self.manifest = replace(self.manifest, skipped=tuple(others + sorted(skipped)))
        self._commit(last=True)

    def _commit(self, last: bool = False) -> None:
        """Write what is new and make it count; the last time, small and thinned-out segments become large ones."""
        entries = [
            with_table(self.index, entry, self.tables[entry.file]) if entry.file in self.changed else entry
            for entry in self.manifest.segments
        ]
        self.changed.clear()
        if self.pending:
            entries.append(self._write(self.pending))
            self.pending = []
        small = sum(entry.photos for entry in entries if entry.photos < SEGMENT // 2)
        if last or small >= SEGMENT:
            entries = self._merged(entries)
        self.manifest = self.manifest.with_segments(tuple(entry for entry in entries if entry.photos))
        write_manifest(self.index, self.manifest)
        remove_leftovers(self.index, self.manifest)
        self.committed = time.monotonic()

    def _write(self, photos: list[CodedPhoto]) -> SegmentEntry:
        entry = write_segment(self.index, photos)
        self.segments[entry.file] = Segment(self.index, entry)
        self.tables[entry.file] = {place: photo.record for place, photo in enumerate(photos)}
        for place, photo in enumerate(photos):
            if photo.record.root == self.root:
                self.known[photo.record.path] = (entry.file, place)
                self.by_digest[photo.record.digest] = (entry.file, place)
        return entry

    def _merged(self, entries: list[SegmentEntry]) -> list[SegmentEntry]:
        """The segments with those that are small, or half empty, put together."""
        loose = [entry for entry in entries if entry.photos < SEGMENT // 2 or entry.photos < entry.stored // 2]
        if len(loose) < 2 and not any(entry.photos < entry.stored // 2 for entry in loose):
            return entries
        merged = [entry for entry in entries if entry not in loose]
        photos: list[CodedPhoto] = []
        for entry in loose:
            table = self.tables.pop(entry.file)
            segment = self.segments.pop(entry.file)
            self.by_digest = {digest: place for digest, place in self.by_digest.items() if place[0] != entry.file}
            segment.records = table
            photos += [segment.photo(place) for place in sorted(table)]
            while len(photos) >= SEGMENT:
                merged.append(self._write(photos[:SEGMENT]))
                photos = photos[SEGMENT:]
        return [*merged, self._write(photos)] if photos else merged


def _unchanged(record: PhotoRecord, file: FoundFile) -> bool:
    return (record.size, record.modified) == (file.size, file.modified)
