"""The manifest: the one small file that says which segments are the index, and the lock of its only writer.

What the manifest does not name is not there. It is written aside, flushed to the disk and renamed, so that a kill at
any moment leaves the old index whole; a reader keeps the files of the manifest that it opened. Files left over by a
writer that died are removed by the next one.

    manifest.json   {"checksum": SHA-256 of the content as it is written, "content": {...}}
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sspe.errors import CollectionError
from sspe.files import atomic_write, locked
from sspe.indexing.segments import SegmentEntry, flush

VERSION = 2
FILE, LOCK, CODING = "manifest.json", "lock", "coding.safetensors"
FOLDER = ".sspe"  # where an index is, in the folder of its photos


@dataclass(frozen=True)
class Manifest:
    """What an index consists of.

    Attributes:
        checkpoint: identity of the weights that embedded it, see :func:`sspe.checkpoint.identity`.
        coding: SHA-256 of the file of its bases and scales.
        proposals: regions of a photo that were embedded, at most.
        roots: the folders of its photos; "." stands for the folder that the index lies in as ``.sspe``.
        segments: in the order they are searched.
        skipped: files that could not be indexed, path below its root -> reason.
    """

    checkpoint: str
    coding: str
    proposals: int
    roots: tuple[str, ...] = ()
    segments: tuple[SegmentEntry, ...] = ()
    skipped: tuple[tuple[int, str, str], ...] = ()

    def with_segments(self, segments: tuple[SegmentEntry, ...]) -> Manifest:
        """The same with other segments."""
        return replace(self, segments=segments)

    def root(self, number: int, index: Path) -> Path:
        """The folder of a root, of an index at ``index``."""
        given = self.roots[number]
        if given != ".":
            return Path(given)
        home = index if index.name == FOLDER else index.parent  # a part lies one folder deeper
        return home.parent


def read_manifest(index: Path) -> Manifest:
    """The manifest of an index. Raises CollectionError where there is none, or it is damaged or of another version."""
    file = index / FILE
    try:
        read = json.loads(file.read_bytes())
        content, checksum = read["content"], read["checksum"]
        if _checksum(content) != checksum:
            raise ValueError
    except FileNotFoundError:
        raise CollectionError(f"There is no index at {index}; make one with `sspe index FOLDER`.") from None
    except OSError as error:
        raise CollectionError(f"The index {file} cannot be read ({error.strerror}); check the disk.") from None
    except (ValueError, KeyError, TypeError):
        raise CollectionError(
            f"The index {file} is damaged: its checksum is not the one written; delete the folder {index} and run "
            "`sspe index` again."
        ) from None
    if content.pop("version") != VERSION:
        raise CollectionError(
            f"The index at {index} is of another version than this sspe writes ({VERSION}); delete it and run "
            "`sspe index` again, or install the sspe that made it."
        )
    segments = tuple(SegmentEntry(**entry) for entry in content.pop("segments"))
    skipped = tuple(tuple(entry) for entry in content.pop("skipped"))
    return Manifest(roots=tuple(content.pop("roots")), segments=segments, skipped=skipped, **content)


def write_manifest(index: Path, manifest: Manifest) -> None:
    """Make the manifest the one that counts: on the disk, whole, when it returns."""
    content = {"version": VERSION, **asdict(manifest)}
    content = json.loads(json.dumps(content))  # as it will be read
    with atomic_write(index / FILE) as temporary:
        temporary.write_text(json.dumps({"checksum": _checksum(content), "content": content}), encoding="utf-8")
        flush(temporary)
    flush_folder(index)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can be asked to."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        except OSError as error:  # some network disks cannot, and their rename is safe without
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
                raise
        finally:
            os.close(handle)


def remove_leftovers(index: Path, manifest: Manifest | None) -> None:
    """Remove what a writer that died, or merged segments, left behind; for the one that holds the lock."""
    named = {FILE, LOCK, CODING} if manifest else {LOCK}
    for entry in manifest.segments if manifest else ():
        named |= {entry.file, entry.table}
    for file in index.iterdir():
        if file.name not in named and file.is_file() and file.suffix in (".json", ".safetensors"):
            file.unlink(missing_ok=True)


@contextmanager
def only_writer(index: Path) -> Iterator[None]:
    """Hold the lock of an index for a block. It dies with its process, so no lock is ever left behind.

    Raises CollectionError where another process holds it, or the folder cannot be written to.
    """
    try:
        index.mkdir(parents=True, exist_ok=True)
        lock = locked(index / LOCK)
    except OSError as error:
        raise CollectionError(
            f"The index {index} cannot be written ({error.strerror}); give another place for it with --index PATH."
        ) from None
    if lock is None:
        raise CollectionError(
            f"Another process is writing the index {index}; wait until it is done, or share the work with --part."
        )
    with lock:
        yield


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
