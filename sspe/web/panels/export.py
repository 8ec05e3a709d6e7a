"""Photos of a search to take away: a list of their paths, one COCO file, or a ZIP of the photos."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sspe.collection import FoundPhrase, Hit
from sspe.errors import SspeError
from sspe.searching.results import to_coco
from sspe.web.search_service import MAX_TILES, checked_box
from sspe.web.shelves import SHARED, Shelf, Shelves

KINDS = ("paths", "coco", "zip")
MAX_ZIP = 500 * 2**20  # bytes of photos in one ZIP
MAX_HELD = 2 * 2**30  # bytes of all ZIPs that are on the disk at a time; the oldest make room
AT_ONCE = 2  # ZIPs that are written at a time


class Packer:
    """Writes ZIPs, few at a time, and keeps few: a public page must not fill its disk. Safe to call from threads."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is served by the page; each ZIP has a folder of its own in it, which nobody can guess."""
        self.folder = folder
        self._held: OrderedDict[Path, int] = OrderedDict()  # ZIP -> bytes, oldest first
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(AT_ONCE)

    def pack(self, files: Mapping[str, Path]) -> Path:
        """A ZIP of files by the names that they get in it. Raises SspeError where it is no time for it, and OSError."""
        size = sum(file.stat().st_size for file in files.values())
        if size > MAX_ZIP:
            raise SspeError(
                f"The photos have {size / 2**20:,.0f} MB together, and the limit of a ZIP is {MAX_ZIP // 2**20} MB; "
                "select fewer, or take the list of paths."
            )
        if not self._turns.acquire(blocking=False):
            raise SspeError("Photos of other visitors are being packed; try again in a moment.")
        try:
            self._make_room(size)
            home = self.folder / secrets.token_hex(16)
            home.mkdir(parents=True)
            written = home / "photos.zip"
            with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as packed:  # pictures are compressed already
                for name, file in files.items():
                    packed.write(file, name)
        finally:
            self._turns.release()
        with self._lock:
            self._held[written] = size
        return written

    def _make_room(self, size: int) -> None:
        with self._lock:
            while self._held and sum(self._held.values()) + size > MAX_HELD:
                oldest, _ = self._held.popitem(last=False)
                shutil.rmtree(oldest.parent, ignore_errors=True)


def export(shelves: Shelves, packer: Packer, asked: Mapping[str, Any]) -> dict[str, str]:
    """What to save, for the browser: ``name`` with ``text``, or with ``file``, a path of the server.

    Args:
        shelves: has the photos.
        packer: writes a ZIP.
        asked: ``kind``, one of KINDS; ``key`` of a visitor's photos; ``tiles``, each with ``photo``, its place in the
            collection, and ``found``, its phrases with their boxes.

    Raises:
        SspeError: nothing was chosen, a photo is gone, together they are too large, or too many are packed just now.
    """
    kind = asked.get("kind")
    tiles = asked.get("tiles")
    if kind not in KINDS or not isinstance(tiles, list) or len(tiles) > MAX_TILES:
        raise SspeError("The export was not understood; load the page again.")
    if not tiles:
        raise SspeError("There is nothing to export: search for something first.")
    shelf = shelves.shelf(str(asked.get("key") or SHARED))
    if kind == "zip":
        return {"name": "photos.zip", "file": str(_zip(shelf, tiles, packer))}
    hits = [_hit(shelf, tile) for tile in tiles]
    if kind == "paths":
        return {"name": "photos.txt", "text": "".join(f"{hit.path}\n" for hit in hits)}
    return {"name": "photos_coco.json", "text": json.dumps(to_coco(hits), ensure_ascii=False, indent=2) + "\n"}


def _hit(shelf: Shelf, tile: Mapping[str, Any]) -> Hit:
    record, file = shelf.photo(tile.get("photo"))
    found = [
        FoundPhrase(
            str(phrase["text"]), checked_box(phrase["box"]), float(phrase["score"]), _optional(phrase["probability"])
        )
        for phrase in tile.get("found") or ()
    ]
    size = record.width, record.height
    return Hit(record.path, file, *size, record.date, 0.0, None, tuple(found))


def _optional(number: Any) -> float | None:
    return None if number is None else float(number)


def _zip(shelf: Shelf, tiles: list, packer: Packer) -> Path:
    files = [shelf.photo(tile.get("photo")) for tile in tiles]
    try:
        return packer.pack({record.path: file for record, file in files})
    except OSError as error:
        name = Path(error.filename).name if error.filename else "the ZIP"
        raise SspeError(f"{name} could not be read or written ({error.strerror}); select other photos.") from None
