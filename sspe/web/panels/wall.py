"""The wall of photos that a search shows, as plain data for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sspe.drawing import PALETTE, format_probability, ink_on, phrase_color
from sspe.vision.boxes import Box, union
from sspe.web.panels.boxes import Place, format_score
from sspe.web.shelves import Shelf

if TYPE_CHECKING:
    from sspe.collection import Hit, SearchResult
    from sspe.indexing.records import PhotoRecord

MARGIN = 0.3  # of the longer side of what was found: so much more of the photo is seen around it
LEAST_CROP = 48  # pixels of a tile's side in the photo; of a smaller box, more of what is around it is shown


def wall_data(shelf: Shelf, result: SearchResult, kind: str, hidden: int = 0) -> dict[str, Any]:
    """What a search found, for the browser.

    Args:
        shelf: of the collection that was searched.
        result: of the search.
        kind: "phrases", or "like" for what looks like a region.
        hidden: hits left out since, for what they look like.
    """
    wanted = [phrase for phrase in result.phrases if not phrase.without]
    return shelf_data(shelf) | {
        "kind": kind,
        "searched": result.searched,
        "milliseconds": round(result.milliseconds),
        "exact": result.exact,
        "excluded": result.excluded + hidden,
        "at_least": result.at_least,
        "phrases": [
            {
                "text": phrase.text,
                "without": phrase.without,
                "known": phrase.known,
                "color": None if phrase.without else phrase_color(wanted.index(phrase)),
            }
            for phrase in result.phrases
        ],
        "hits": [hit_tile(shelf, hit) for hit in result.hits],
    }


def shelf_data(shelf: Shelf) -> dict[str, Any]:
    """Which photos are searched, and the default probability; no hits yet."""
    collection = shelf.collection
    return EMPTY | {
        "own": shelf.own,
        "photos": len(collection.photos) if collection else 0,
        "threshold": collection.threshold if collection else None,
        "skipped": [{"name": name, "reason": reason} for name, reason in sorted(shelf.skipped.items())],
        "building": None if collection else {"done": shelf.done, "total": shelf.total},
    }


EMPTY: dict[str, Any] = {
    "text": "",  # that was being typed
    "suggestions": [],
    "key": "",  # of the visitor's own photos
    "kind": "all",
    "own": False,
    "examples": False,  # the photos are the page's examples
    "building": None,
    "message": "",
    "failed": False,
    "photos": 0,
    "searched": 0,
    "milliseconds": 0,
    "exact": True,
    "excluded": 0,
    "at_least": None,
    "threshold": None,
    "phrases": [],
    "hits": [],
    "more": False,
    "skipped": [],
    "palette": list(PALETTE),
}


def photo_tile(shelf: Shelf, record: PhotoRecord) -> dict[str, Any]:
    """A tile that shows a whole photo, for the wall of all photos."""
    number = shelf.number_of(shelf.collection.path_of(record))
    return _tile(number, record.path, record.width, record.height, record.date, (0, 0, record.width, record.height))


def hit_tile(shelf: Shelf, hit: Hit) -> dict[str, Any]:
    """A tile cropped around the boxes of a hit, which the browser needs no arithmetic to draw."""
    crop = crop_around([phrase.box for phrase in hit.phrases], hit.width, hit.height)
    tile = _tile(shelf.number_of(hit.file), hit.path, hit.width, hit.height, hit.date, crop)
    plain = hit.to_dict()
    figure = format_score(hit.score) if hit.probability is None else format_probability(hit.probability)
    tile |= {"probability": plain["probability"], "score": plain["score"], "figure": figure, "found": plain["phrases"]}
    left, top, right, bottom = crop
    for index, phrase in enumerate(hit.phrases):
        x1, y1, x2, y2 = phrase.box
        sure = format_score(phrase.score) if phrase.probability is None else format_probability(phrase.probability)
        inside = Place.of((x1 - left, y1 - top, x2 - left, y2 - top), right - left, bottom - top)
        tile["boxes"].append(
            {
                "text": phrase.text,
                "figure": sure,
                "color": phrase_color(index),
                "ink": ink_on(phrase_color(index)),
                "place": asdict(Place.of(phrase.box, hit.width, hit.height)),
                "inside": asdict(inside),
            }
        )
    return tile


def crop_around(boxes: Sequence[Box], width: int, height: int) -> Box:
    """The part of a photo of ``width`` x ``height`` to show of these boxes: square where the photo has room for that.

    Whole pixels, x1 y1 x2 y2.
    """
    x1, y1, x2, y2 = union(boxes) if boxes else (0, 0, width, height)
    side = max((1 + 2 * MARGIN) * max(x2 - x1, y2 - y1), LEAST_CROP)
    spans = []
    for first, last, end in ((x1, x2, width), (y1, y2, height)):
        length = min(side, end)
        start = min(max((first + last - length) / 2, 0), end - length)
        spans.append((int(start), min(end, max(int(start) + 1, round(start + length)))))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _tile(number: int, name: str, width: int, height: int, date: str | None, crop: Box) -> dict[str, Any]:
    left, top, right, bottom = crop
    return {
        "photo": number,
        "name": name,
        "width": width,
        "height": height,
        "date": date,
        "crop": [left, top, right, bottom],
        "probability": None,
        "score": None,
        "figure": "",
        "found": [],
        "boxes": [],
    }
