"""What a search of a collection gives: photos that show what was sought, a box for each phrase, and how sure of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sspe.coco import CocoFile
from sspe.drawing import DrawnPhrase, draw_phrases, format_probability
from sspe.errors import PhotoError
from sspe.phrases.head import head_of
from sspe.vision.boxes import Box, clip, union
from sspe.vision.photo import open_photo

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image


@dataclass(frozen=True)
class SoughtPhrase:
    """A phrase of a query.

    Attributes:
        text: as it stands in the query.
        without: photos that show it are left out.
        known: the model knows the word that names the thing; of one that it has never read nothing can be found.
    """

    text: str
    without: bool = False
    known: bool = True


@dataclass(frozen=True)
class FoundPhrase:
    """Where a hit shows one of the phrases.

    Attributes:
        text: of the phrase; of a search for what looks alike, "like this".
        box: x1 y1 x2 y2, pixels of the upright photo.
        score: of the box: a cosine, to which a detector adds what it sees of a thing named; compares boxes of a photo.
        probability: that the photo shows the phrase, 0..1, as fitted for searches; None where nothing was fitted.
    """

    text: str
    box: Box
    score: float
    probability: float | None


@dataclass(frozen=True)
class Hit:
    """A photo that was found.

    Attributes:
        path: relative to its root, with forward slashes.
        file: the whole path.
        width, height: pixels, upright.
        date: when it was taken, "2016-05-01T12:30:00"; None where its file does not say.
        score: what hits are compared by where there is no probability: the soft maximum of the regions' scores, less
            half of the photo's hubness.
        probability: the least of its phrases': that of a photo which shows all of them is at most that. None where
            nothing was fitted.
        phrases: in the order of the query, each in a region of its own.
    """

    path: str
    file: Path
    width: int
    height: int
    date: str | None
    score: float
    probability: float | None
    phrases: tuple[FoundPhrase, ...]

    def open(self) -> np.ndarray:
        """The photo, (height, width, 3) uint8 RGB. Raises PhotoError where it is gone, or another one by now."""
        photo = open_photo(self.file)
        if photo.shape[:2] != (self.height, self.width):
            height, width = photo.shape[:2]
            raise PhotoError(
                f"{self.file} has changed since it was indexed ({width} x {height} pixels, then {self.width} x "
                f"{self.height}); run `sspe index` again."
            )
        return photo

    def draw(self) -> Image.Image:
        """The photo with a box and a label for each phrase, a new PIL image of its size. Raises PhotoError."""
        drawn = [
            DrawnPhrase(
                (p.box,),
                p.text,
                f"{p.score:.2f}" if p.probability is None else format_probability(p.probability),
                False,
            )
            for p in self.phrases
        ]
        return draw_phrases(self.open(), drawn)

    def crop(self, margin: float = 0.15) -> Image.Image:
        """The part of the photo around all of its boxes, wider by ``margin`` of their sides. Raises PhotoError."""
        from PIL import Image

        x1, y1, x2, y2 = union([p.box for p in self.phrases]) if self.phrases else (0, 0, self.width, self.height)
        wide, high = margin * (x2 - x1), margin * (y2 - y1)
        x1, y1, x2, y2 = clip([x1 - wide, y1 - high, x2 + wide, y2 + high], self.width, self.height).tolist()
        left, top = min(int(x1), self.width - 1), min(int(y1), self.height - 1)
        return Image.fromarray(self.open()).crop((left, top, max(left + 1, round(x2)), max(top + 1, round(y2))))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON. Boxes to 0.01 pixel, the rest to 0.0001."""
        return {
            "path": self.path,
            "file": str(self.file),
            "width": self.width,
            "height": self.height,
            "date": self.date,
            "score": round(self.score, 4),
            "probability": None if self.probability is None else round(self.probability, 4),
            "phrases": [
                {
                    "text": p.text,
                    "box": [round(float(edge), 2) for edge in p.box],
                    "score": round(p.score, 4),
                    "probability": None if p.probability is None else round(p.probability, 4),
                }
                for p in self.phrases
            ],
        }


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and what it looked at.

    Attributes:
        hits: most probable first; none is an answer, too: nothing of the kind was found.
        phrases: what was sought, and what was not to be there.
        photos: in the collection.
        searched: of them; all but what a filter left out.
        milliseconds: that the search took.
        exact: every region of the photos searched was looked at; an approximate index may have passed over some.
        at_least: the probability that was asked of each phrase; None where nothing was fitted.
        skipped: files that could not be indexed and were not searched: path -> reason.
        excluded: photos that would have been hits, and show what was not to be there.
    """

    hits: tuple[Hit, ...]
    phrases: tuple[SoughtPhrase, ...]
    photos: int
    searched: int
    milliseconds: float
    exact: bool = True
    at_least: float | None = None
    skipped: dict[str, str] = field(default_factory=dict)
    excluded: int = 0

    @property
    def unknown(self) -> tuple[str, ...]:
        """Phrases of which the model does not know the word: where one is sought, nothing can be found."""
        return tuple(phrase.text for phrase in self.phrases if not phrase.known)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON."""
        return {
            "hits": [hit.to_dict() for hit in self.hits],
            "phrases": [{"text": p.text, "without": p.without, "known": p.known} for p in self.phrases],
            "photos": self.photos,
            "searched": self.searched,
            "milliseconds": round(self.milliseconds, 1),
            "exact": self.exact,
            "at_least": self.at_least,
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped.items()],
            "excluded": self.excluded,
        }


def to_coco(hits: Sequence[Hit]) -> dict[str, Any]:
    """Hits as one COCO annotation dictionary; see :mod:`sspe.coco`. A category is a phrase text.

    ``bbox`` is x, y, width, height in pixels of the photo; ``score`` is the phrase's probability, left out where
    nothing was fitted, and ``similarity`` its score.
    """
    coco = CocoFile("Phrases found in a collection of photos, each with its box")
    for hit in hits:
        photo = coco.add_photo(hit.path, hit.width, hit.height)
        for phrase in hit.phrases:
            coco.add_box(photo, phrase.text, head_of(phrase.text), phrase.box, phrase.probability, phrase.score)
    return coco.to_dict()
