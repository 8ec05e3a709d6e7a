"""What an annotated photo is, whichever format it was read from: photo -> sentences -> phrases -> boxes.

A `box` is x1, y1, x2, y2 in continuous, half-open pixels of the photo file (after its EXIF rotation): a box that covers
pixel columns 0..9 has x1 = 0 and x2 = 10.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sspe.errors import DataError
from sspe.vision.boxes import union

PHRASE_TYPES = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other")
NOT_VISUAL = "0"  # the chain of phrases that name nothing one could see ("it", "a break")


@dataclass(frozen=True, eq=False)
class AnnotatedPhrase:
    """A phrase of a sentence and the boxes people drew for it.

    text: the words, verbatim: `sentence.text[start:end]`.
    start, end: offsets into the sentence, in characters, `end` exclusive.
    boxes: (B, 4) float32, read-only (records are shared), pixels of the photo; B is 0 for a phrase without a box, and
        above 1 where one phrase names several things ("three dogs").
    types: of `PHRASE_TYPES`, mostly one; empty where the data names none.
    chain: phrases of one photo that name the same thing share it; "0" means not visual.
    """

    text: str
    start: int
    end: int
    boxes: np.ndarray  # (B, 4)
    types: tuple[str, ...] = ()
    chain: str = NOT_VISUAL

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, dtype=np.float32)  # a copy: freezing must not reach the caller's array
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"boxes of {self.text!r} have shape {boxes.shape}, expected (B, 4)")
        boxes.setflags(write=False)
        object.__setattr__(self, "boxes", boxes)

    @property
    def box(self) -> np.ndarray:
        """The smallest box around all boxes of the phrase, (4,) float32; ValueError if it has none."""
        if not len(self.boxes):
            raise ValueError(f"the phrase {self.text!r} has no box; check len(phrase.boxes) first")
        return union(self.boxes)

    # Arrays compare element by element, so the comparison a dataclass writes would fail on `boxes`.
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AnnotatedPhrase):
            return NotImplemented
        return self._words() == other._words() and np.array_equal(self.boxes, other.boxes)

    def __hash__(self) -> int:
        return hash(self._words())

    def _words(self) -> tuple:
        return self.text, self.start, self.end, self.types, self.chain


@dataclass(frozen=True)
class AnnotatedSentence:
    """One caption of a photo; `index` is its line number in its file, from 0."""

    text: str
    phrases: tuple[AnnotatedPhrase, ...]
    index: int

    def __post_init__(self) -> None:
        for phrase in self.phrases:
            cut = self.text[phrase.start : phrase.end]
            if cut != phrase.text:
                raise ValueError(f"characters {phrase.start} to {phrase.end} are {cut!r}, expected {phrase.text!r}")


@dataclass(frozen=True)
class AnnotatedPhoto:
    """A photo file with its sentences; `width` and `height` are the file's, in pixels, EXIF rotation applied."""

    id: str
    path: Path
    width: int
    height: int
    sentences: tuple[AnnotatedSentence, ...]


class LazyPhotos(Sequence[AnnotatedPhoto]):
    """Annotated photos by position; each is read when first asked for, then kept."""

    def __init__(self, ids: tuple[str, ...]) -> None:
        self.ids = ids
        self._kept: dict[int, AnnotatedPhoto] = {}

    @abstractmethod
    def _read_photo(self, id: str) -> AnnotatedPhoto:
        """The photo with this id, read from its files; DataError or PhotoError if they cannot be understood."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index):  # int -> AnnotatedPhoto, slice -> list of them
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        i = range(len(self))[index]  # negative numbers, and the IndexError that ends a loop
        if i not in self._kept:
            self._kept[i] = self._read_photo(self.ids[i])
        return self._kept[i]


def read_lines(file: Path) -> list[str]:
    """Lines of a UTF-8 file without the blanks at their ends; DataError if it is missing or not UTF-8."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"Cannot read {file} as UTF-8 text ({error}).") from error
    # Not splitlines(), which also splits at characters that may stand inside a caption (U+2028, vertical tab).
    return [line.strip() for line in text.split("\n")]


def read_ids(file: str | Path) -> list[str]:
    """Ids from a file with one per line, in its order; blank lines are passed over."""
    return [line for line in read_lines(Path(file)) if line]


def short(value: object) -> str:
    """A value as JSON for an error message, cut to what one reads."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
