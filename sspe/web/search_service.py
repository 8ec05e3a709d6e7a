"""One search of the page or its endpoint: check what was asked, search, and give plain data back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sspe.drawing import shorten
from sspe.errors import PhotoError, SspeError
from sspe.vision.boxes import iou
from sspe.vision.photo import open_photo
from sspe.web.panels.wall import EMPTY, photo_tile, shelf_data, wall_data
from sspe.web.service import MAX_PREVIEW, check_characters, preview_uri
from sspe.web.shelves import SHARED, Shelf, Shelves

if TYPE_CHECKING:
    from sspe.collection import Collection, SearchResult

PAGE = 60  # tiles shown at first, and so many more each time
MAX_TILES = 1200
SUGGESTIONS = ("a cat", "a man and a camera", "a man without a hat", "a tall rocket")  # for the example photos
DRAWN_AT_ONCE = 4  # pictures: each opens a photo, which may take 0.2 GB
MAX_CHARACTERS = 300  # of a phrase
MAX_PHRASES = 10
MAX_REGIONS = 20  # that are not meant
LOOKS_ALIKE = 0.75  # cosine of two regions from which one counts as like the other
SAME_PLACE = 0.5  # intersection over union of a phrase's box and the region that looks alike
MAX_MEMORY = 24 * 2**20  # bytes of pictures kept per collection: about a thousand tiles

Region = tuple[int, tuple[float, float, float, float]]  # a photo's place in the collection, and a box in its pixels


@dataclass(frozen=True)
class Query:
    """What a visitor looks for.

    Attributes:
        key: of the visitor's own photos; empty for those of the page.
        text: being typed; alone it is read as a sentence, beside chips as one more phrase.
        wanted, unwanted: phrases of the chips.
        like: a region whose like is looked for, instead of phrases.
        unlike: regions whose like is left out.
        at_least: the probability asked of each phrase, 0..1; None is the checkpoint's own threshold.
        top: so many hits at most.
    """

    key: str = SHARED
    text: str = ""
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()
    like: Region | None = None
    unlike: tuple[Region, ...] = ()
    at_least: float | None = None
    top: int = PAGE

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Query:
        """The query in what a browser sent, which may be anything. Raises SspeError."""
        if not isinstance(asked, Mapping):
            raise SspeError("The search was not understood; load the page again.")
        like = asked.get("like")
        unlike = asked.get("unlike") or ()
        if not isinstance(unlike, list | tuple) or len(unlike) > MAX_REGIONS:
            raise SspeError(f"At most {MAX_REGIONS} regions can be left out; remove some.")
        top = asked.get("top", PAGE)
        if type(top) is not int or not 1 <= top <= MAX_TILES:
            raise SspeError(f"The number of photos is {shorten(repr(top))}; give a whole number from 1 to {MAX_TILES}.")
        return cls(
            key=str(asked.get("key") or SHARED),
            text=_phrases([asked.get("text") or ""])[0],
            wanted=_phrases(asked.get("wanted") or ()),
            unwanted=_phrases(asked.get("unwanted") or ()),
            like=None if like is None else _region(like),
            unlike=tuple(_region(region) for region in unlike),
            at_least=_probability(asked.get("at_least")),
            top=top,
        )

    @property
    def empty(self) -> bool:
        """Nothing is asked: every photo is shown."""
        return not (self.text.strip() or self.wanted or self.like)


class SearchService:
    """Searches of the collections on the shelves, and the pictures of what was found. Safe to call from threads."""

    def __init__(self, shelves: Shelves, max_memory: int = MAX_MEMORY) -> None:
        self.shelves = shelves
        self._max_memory = max_memory  # bytes
        self._lock = threading.Lock()
        self._drawing = threading.Semaphore(DRAWN_AT_ONCE)

    def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The wall for a browser's question; bad input becomes its sentence on the wall."""
        try:
            query = Query.of(asked)
            shelf = self.shelves.shelf(query.key)
        except SspeError as error:  # not understood, or the visitor's photos are gone
            return EMPTY | {"message": str(error), "failed": True}
        examples = self.shelves.examples and not shelf.own
        answer = {"key": query.key, "text": query.text, "examples": examples}
        answer["suggestions"] = list(SUGGESTIONS) if examples else []
        if shelf.collection is None:
            return shelf_data(shelf) | answer | {"message": shelf.problem, "failed": bool(shelf.problem)}
        try:
            return self._wall(query, shelf) | answer
        except SspeError as error:
            return shelf_data(shelf) | answer | {"message": str(error), "failed": True}

    def search(
        self, phrases: str | Sequence[str], without: Sequence[str] = (), top: int = PAGE, at_least: float | None = None
    ) -> dict[str, Any]:
        """Search the page's own collection, for its endpoint; without the folders of the server. Raises SspeError."""
        if not isinstance(phrases, str | list | tuple) or not isinstance(without, list | tuple):
            raise SspeError("phrases is a sentence or a list of phrases, and without a list of phrases; give these.")
        whole = isinstance(phrases, str)
        checked = _phrases([phrases] if whole else phrases)
        if type(top) is not int or not 1 <= top <= MAX_TILES:
            raise SspeError(f"top is {shorten(repr(top))}; give a whole number from 1 to {MAX_TILES}.")
        shelf = self.shelves.shelf()
        if shelf.collection is None:
            raise SspeError(shelf.problem or "The photos are still being embedded; ask again in a few seconds.")
        result = shelf.collection.search(
            checked[0] if whole else checked, without=_phrases(without), top=top, at_least=_probability(at_least)
        )
        plain = result.to_dict()
        skipped = [{"photo": name, "reason": reason} for name, reason in sorted(shelf.skipped.items())]
        return plain | {"hits": [_endpoint_hit(hit) for hit in plain["hits"]], "skipped": skipped}

    def picture(self, asked: Mapping[str, Any]) -> str:
        """A part of a photo, or all of it, as a JPEG data URI; a sentence where the photo cannot be shown.

        Args:
            asked: ``key``; ``photo``, its place in the collection; ``crop``, x1 y1 x2 y2 in pixels, None for all of
                it; ``side``, the most pixels of a side.
        """
        try:
            shelf = self.shelves.shelf(str(asked.get("key") or SHARED))
            crop = asked.get("crop")
            crop = None if crop is None else tuple(round(edge) for edge in checked_box(crop))
            side = min(MAX_PREVIEW, max(16, int(asked.get("side", 320))))
            record, file = shelf.photo(asked.get("photo"))
            wanted = (record.digest, crop, side)
            with self._lock:
                if wanted in shelf.pictures:
                    shelf.pictures.move_to_end(wanted)
                    return shelf.pictures[wanted]
            with self._drawing:
                drawn = _jpeg_uri(file, (record.width, record.height), crop, side)
        except PhotoError:
            return "This photo is gone, or has changed since it was indexed."
        except (SspeError, TypeError, ValueError, AttributeError) as error:
            return str(error) if isinstance(error, SspeError) else "This picture was not understood; search again."
        with self._lock:
            shelf.pictures[wanted] = drawn
            while sum(map(len, shelf.pictures.values())) > self._max_memory:
                shelf.pictures.popitem(last=False)  # least recently used
        return drawn

    def _wall(self, query: Query, shelf: Shelf) -> dict[str, Any]:
        collection = shelf.collection
        if query.like:
            result, hidden = self._like(query, shelf), 0
        elif query.empty:
            if query.unwanted:
                raise SspeError("The search names only what is not to be there; add a phrase for what is.")
            shown = [photo_tile(shelf, record) for record in collection.photos[: query.top]]
            return shelf_data(shelf) | {"hits": shown, "more": len(collection.photos) > len(shown)}
        else:
            wanted = [*query.wanted, *([query.text] if query.text.strip() else [])]
            result = collection.search(
                wanted[0] if not query.wanted else wanted,
                without=query.unwanted,
                top=query.top,
                at_least=query.at_least,
            )
            result, hidden = self._without_like(query, shelf, result)
        full = len(result.hits) + hidden >= query.top and query.top < min(MAX_TILES, len(collection.photos))
        wall = wall_data(shelf, result, "like" if query.like else "phrases", hidden) | {"more": full}
        return wall | ({} if result.hits else {"message": nothing_found(result, hidden)})

    def _like(self, query: Query, shelf: Shelf) -> SearchResult:
        number, box = query.like
        others = [(str(shelf.photo(other)[1]), region) for other, region in query.unlike]
        return shelf.collection.like(str(shelf.photo(number)[1]), box, top=query.top, less_like=others)

    def _without_like(self, query: Query, shelf: Shelf, result: SearchResult) -> tuple[SearchResult, int]:
        """The result without hits whose own box looks like a region that is not meant, and how many these were."""
        collection: Collection = shelf.collection
        hits = result.hits
        for number, box in query.unlike:
            alike = collection.like(str(shelf.photo(number)[1]), box, top=len(collection.photos)).hits
            boxes = {hit.file: hit.phrases[0].box for hit in alike if hit.phrases[0].score >= LOOKS_ALIKE}
            hits = [
                hit
                for hit in hits
                if hit.file not in boxes or iou([p.box for p in hit.phrases], boxes[hit.file]).max() < SAME_PLACE
            ]
        return replace(result, hits=tuple(hits)), len(result.hits) - len(hits)


def nothing_found(result: SearchResult, hidden: int = 0) -> str:
    """The sentence for a search without hits."""
    wanted = [phrase for phrase in result.phrases if not phrase.without]
    unknown = [phrase.text for phrase in wanted if not phrase.known]
    if unknown:
        return f"Nothing found: “{shorten(unknown[0], 60)}” is not a word it knows; try a more common one."
    if result.excluded + hidden:
        left_out = result.excluded + hidden
        photos = "1 photo was" if left_out == 1 else f"{left_out:,} photos were"
        return (
            f"Nothing is left: {photos} left out for what is not to be there; remove one of the phrases with a minus."
        )
    named = " and ".join(f"“{shorten(phrase.text, 60)}”" for phrase in wanted)
    together = " together, each in a place of its own" if len(wanted) > 1 else ""
    if not result.at_least:
        return f"Nothing found: no photo shows {named}{together}; try other words."
    return (
        f"Nothing found: no photo shows {named}{together} with a probability of {100 * result.at_least:.0f} % or more; "
        "ask for less with the slider, or try other words."
    )


def _endpoint_hit(hit: dict[str, Any]) -> dict[str, Any]:
    """Without the server's folder, and no "path": gradio_client would take what has one for a file to fetch."""
    return {"photo": hit["path"], **{name: value for name, value in hit.items() if name not in ("path", "file")}}


def _phrases(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(phrase, str) for phrase in given):
        raise SspeError(f"The phrases are {shorten(repr(given))}; give a list of texts.")
    if len(given) > MAX_PHRASES:
        raise SspeError(f"The search has {len(given)} phrases and the limit is {MAX_PHRASES}; remove some.")
    for phrase in given:
        if len(phrase) > MAX_CHARACTERS:
            raise SspeError(f"A phrase has {len(phrase):,} characters and the limit is {MAX_CHARACTERS}; shorten it.")
        check_characters(phrase)
    return tuple(given)


def _probability(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise SspeError(f"The probability asked for is {shorten(repr(given))}; give a number from 0 to 1.")
    return float(given)


def _region(given: object) -> Region:
    if not isinstance(given, Mapping):
        raise SspeError("A region of the search was not understood; choose it again.")
    return given.get("photo"), checked_box(given.get("box"))


def checked_box(given: object) -> tuple[float, float, float, float]:
    """x1 y1 x2 y2 in what a browser sent. Raises SspeError."""
    numbers = isinstance(given, list | tuple) and all(type(edge) in (int, float) for edge in given)
    if not numbers or len(given) != 4 or not (0 <= given[0] < given[2] < 1e6 and 0 <= given[1] < given[3] < 1e6):
        raise SspeError(f"The box {shorten(repr(given))} is none; give x1 y1 x2 y2 in pixels.")
    return tuple(float(edge) for edge in given)


def _jpeg_uri(file: Path, size: tuple[int, int], crop: tuple[int, int, int, int] | None, side: int) -> str:
    photo = open_photo(file)
    if (photo.shape[1], photo.shape[0]) != size:
        raise PhotoError(f"{file} has changed since it was indexed.")
    if crop:
        photo = photo[crop[1] : crop[3], crop[0] : crop[2]]
        if not photo.size:
            raise SspeError("This part lies outside its photo; search again.")
    return preview_uri(photo, side)
