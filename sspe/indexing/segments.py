"""A segment: up to a thousand photos in one file that is written once and never changed, and a table beside it.

    NAME.safetensors   the arrays below, in the safetensors format, which any tool can read
    NAME-N.json        the table: for each photo that is still there its place in the file, and its record

A photo that is deleted, moved or touched changes the table alone, of which a new one is written. The codes are read
into memory; rows and things are mapped, and come off the disk when a search needs them.

    codes    (R, C) int8     of all regions, photo after photo
    things   (T, R) uint8    thing after thing, so that a search reads those it names
    rows     (R, W) uint8    of the best photos a search reads these, each a single stretch of the file
    first    (N + 1,) int64  the first region of each of N photos, and R
    hubness  (N,) float32
    seen     (N, T) float16  the best the detector sees of each thing anywhere in the photo
    sums     (N,) uint32     CRC-32 of each photo's rows, compared when they are first read
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from sspe.errors import CollectionError
from sspe.files import atomic_write
from sspe.indexing.records import CodedPhoto, PhotoRecord

_ARRAYS = ("codes", "things", "rows", "first", "hubness", "seen", "sums")
_READ_WHOLE = ("codes", "things", "first", "hubness", "seen", "sums")  # what the segment's checksum is of


@dataclass(frozen=True)
class SegmentEntry:
    """A segment as the manifest names it.

    Attributes:
        file, table: names of its two files.
        stored: photos in the file; ``photos`` of them are still in the table.
        regions: in the file.
        checksum: SHA-256 of the file's header and all of its arrays but the rows.
        table_checksum: SHA-256 of the table.
    """

    file: str
    table: str
    stored: int
    photos: int
    regions: int
    checksum: str
    table_checksum: str


def write_segment(folder: Path, photos: Sequence[CodedPhoto]) -> SegmentEntry:
    """Write photos, at least one, as a new segment; both files are on the disk when it returns."""
    from safetensors.numpy import save_file

    name = secrets.token_hex(8)
    counts = [len(photo.codes) for photo in photos]
    arrays = {
        "codes": np.concatenate([photo.codes for photo in photos]),
        "things": np.ascontiguousarray(np.concatenate([photo.things for photo in photos]).T),
        "rows": np.concatenate([photo.rows for photo in photos]),
        "first": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "hubness": np.array([photo.hubness for photo in photos], np.float32),
        "seen": np.stack([photo.seen for photo in photos]),
        "sums": np.array([zlib.crc32(photo.rows) for photo in photos], np.uint32),
    }
    file = folder / f"{name}.safetensors"
    with atomic_write(file) as temporary:
        save_file(arrays, temporary)
        flush(temporary)
    checksum = _checksum(*_header(file), file)
    table = write_table(folder, name, 0, {row: photo.record for row, photo in enumerate(photos)})
    return SegmentEntry(file.name, table[0], len(photos), len(photos), sum(counts), checksum, table[1])


def write_table(folder: Path, name: str, number: int, records: dict[int, PhotoRecord]) -> tuple[str, str]:
    """Write a segment's table, place in the file -> record; returns its file's name and checksum."""
    text = json.dumps([[row, *asdict(record).values()] for row, record in sorted(records.items())]).encode()
    file = folder / f"{name}-{number}.json"
    with atomic_write(file) as temporary:
        temporary.write_bytes(text)
        flush(temporary)
    return file.name, hashlib.sha256(text).hexdigest()


def with_table(folder: Path, entry: SegmentEntry, records: dict[int, PhotoRecord]) -> SegmentEntry:
    """The segment with another table, which is written."""
    name, _, number = entry.table.removesuffix(".json").rpartition("-")
    table, checksum = write_table(folder, name, int(number) + 1, records)
    return SegmentEntry(entry.file, table, entry.stored, len(records), entry.regions, entry.checksum, checksum)


class Segment:
    """A segment opened for reading.

    Attributes:
        entry: as the manifest names it.
        records: place in the file -> record, of the photos that are still there.
        codes, first, hubness, seen: arrays in memory, as above.
        things, rows: mapped ones.
    """

    def __init__(self, folder: Path, entry: SegmentEntry):
        """Raises CollectionError where a file is damaged, FileNotFoundError where it is gone."""
        self.folder, self.entry = folder, entry
        text = (folder / entry.table).read_bytes()
        if hashlib.sha256(text).hexdigest() != entry.table_checksum:
            raise damaged(folder / entry.table)
        self.records = {row: PhotoRecord(*values) for row, *values in json.loads(text)}
        file = folder / entry.file
        header, start = _header(file)
        if _checksum(header, start, file) != entry.checksum:
            raise damaged(file)
        arrays = {name: _mapped(file, header[name], start) for name in _ARRAYS}
        self.codes, self.first, self.hubness, self.seen, self._sums = (
            np.array(arrays[name]) for name in ("codes", "first", "hubness", "seen", "sums")
        )
        self.things, self.rows = arrays["things"], arrays["rows"]
        self._checked = np.zeros(entry.stored, bool)

    def photo_rows(self, place: int) -> np.ndarray:
        """Rows (R, W) of the photo at a place. Raises CollectionError where they are damaged."""
        rows = self.rows[self.first[place] : self.first[place + 1]]
        if not self._checked[place]:
            if zlib.crc32(rows) != self._sums[place]:
                raise damaged(self.folder / self.entry.file)
            self._checked[place] = True
        return rows

    def photo(self, place: int) -> CodedPhoto:
        """What is kept of the photo at a place."""
        regions = slice(self.first[place], self.first[place + 1])
        things = np.ascontiguousarray(self.things[:, regions].T)
        rows = np.array(self.photo_rows(place))
        record, hubness = self.records[place], float(self.hubness[place])
        return CodedPhoto(record, self.codes[regions], rows, things, hubness, self.seen[place])


def damaged(file: Path) -> CollectionError:
    """The error of a file whose bytes are not those that were written."""
    return CollectionError(
        f"The index file {file} is damaged: its checksum is not the one written. Run `sspe index` on the folder again; "
        "it embeds the photos of that file anew."
    )


def flush(file: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _header(file: Path) -> tuple[dict, int]:
    """The header of a safetensors file, and where its arrays begin; CollectionError where it has none of its own."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > file.stat().st_size:
                raise ValueError
            header = json.loads(opened.read(length))
        if set(header) - {"__metadata__"} != set(_ARRAYS):
            raise ValueError
        end = max(header[name]["data_offsets"][1] for name in _ARRAYS)
        if file.stat().st_size != 8 + length + end:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise damaged(file) from None
    return header, 8 + length


def _mapped(file: Path, described: dict, start: int) -> np.ndarray:
    types = {"I8": np.int8, "U8": np.uint8, "U32": np.uint32, "I64": np.int64, "F16": np.float16, "F32": np.float32}
    shape = tuple(described["shape"])
    if not np.prod(shape):
        return np.zeros(shape, types[described["dtype"]])
    mapped = np.memmap(file, types[described["dtype"]], "r", start + described["data_offsets"][0], shape)
    return mapped.view(np.ndarray)


def _checksum(header: dict, start: int, file: Path) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    with file.open("rb") as opened:
        for name in _READ_WHOLE:
            begin, end = header[name]["data_offsets"]
            opened.seek(start + begin)
            while begin < end and (part := opened.read(min(1 << 20, end - begin))):
                found.update(part)
                begin += len(part)
    return found.hexdigest()
