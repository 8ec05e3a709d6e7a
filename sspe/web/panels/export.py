"""Photos of a search to take away: a list of their paths, one COCO file, or a ZIP of the photos."""

from __future__ import annotations

import json
import secrets
import zipfile
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


def export(shelves: Shelves, folder: Path, asked: Mapping[str, Any]) -> dict[str, str]:
    """What to save, for the browser: ``name`` with ``text``, or with ``file``, a path in ``folder``.

    Args:
        shelves: has the photos.
        folder: that the page serves files from; a ZIP gets a folder of its own below it, which nobody can guess.
        asked: ``kind``, one of KINDS; ``key`` of a visitor's photos; ``tiles``, each with ``photo``, its place in the
            collection, and ``found``, its phrases with their boxes.

    Raises:
        SspeError: nothing was chosen, a photo is gone, or together they are too large.
    """
    kind = asked.get("kind")
    tiles = asked.get("tiles")
    if kind not in KINDS or not isinstance(tiles, list) or len(tiles) > MAX_TILES:
        raise SspeError("The export was not understood; load the page again.")
    if not tiles:
        raise SspeError("There is nothing to export: search for something first.")
    shelf = shelves.shelf(str(asked.get("key") or SHARED))
    if kind == "zip":
        return {"name": "photos.zip", "file": str(_zip(shelf, tiles, folder))}
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


def _zip(shelf: Shelf, tiles: list, folder: Path) -> Path:
    files = [shelf.photo(tile.get("photo")) for tile in tiles]
    try:
        size = sum(file.stat().st_size for _, file in files)
        if size > MAX_ZIP:
            raise SspeError(
                f"The photos have {size / 2**20:,.0f} MB together, and the limit of a ZIP is {MAX_ZIP // 2**20} MB; "
                "select fewer, or take the list of paths."
            )
        home = folder / secrets.token_hex(16)
        home.mkdir(parents=True)
        written = home / "photos.zip"
        with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as packed:  # pictures are compressed already
            for record, file in files:
                packed.write(file, record.path)
    except OSError as error:
        name = Path(error.filename).name if error.filename else "the ZIP"
        raise SspeError(f"{name} could not be read or written ({error.strerror}); select other photos.") from None
    return written
