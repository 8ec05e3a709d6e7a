"""The panel "Boxes", as plain data for the linked view: photo, boxes, sentence and table of one localization."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sspe.drawing import DOUBTFUL, PALETTE, UNKNOWN_WORD, format_probability, ink_on, phrase_color
from sspe.results import PRESENT_THRESHOLD, Box, Localization, LocalizedPhrase

# Columns of figures in the table: two probabilities in plain words, or the score where a checkpoint has none.
PROBABILITIES = ("In the photo", "Box right")
SCORE = ("Score",)
EXPLANATION = "In the photo: how likely the photo shows it at all. Box right: how likely its box fits, if so."
SHOWN_CANDIDATES = 5  # boxes of a phrase that the browser is sent; how many of them it shows is the visitor's choice

TAG_WIDTH, TAG_HEIGHT = 5.0, 6.0  # per cent of the photo that a number tag roughly takes
WORD = re.compile(r"\w+(?:[-'’.&/]\w+)*")  # what one click takes: a hyphen or an apostrophe inside does not end it


@dataclass(frozen=True)
class Token:
    """A piece of the sentence, verbatim; ``key`` is that of its phrase, None between phrases."""

    text: str
    key: str | None


@dataclass(frozen=True)
class Word:
    """A word of the sentence, ``sentence[start:end]``, and ``gap``, what stands between it and the word before."""

    gap: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Figure:
    """A number about a phrase: as text, and as the length of its bar in per cent."""

    text: str
    strength: float


@dataclass(frozen=True)
class Place:
    """A box in per cent of the photo, clipped to it."""

    left: float
    top: float
    width: float
    height: float

    @classmethod
    def of(cls, box: Box, width: int, height: int) -> Place:
        """The place of a box in pixels of a photo of ``width`` x ``height``."""
        x1, x2 = (100 * min(max(float(value) / width, 0.0), 1.0) for value in (box[0], box[2]))
        y1, y2 = (100 * min(max(float(value) / height, 0.0), 1.0) for value in (box[1], box[3]))
        return cls(round(x1, 3), round(y1, 3), round(max(0.0, x2 - x1), 3), round(max(0.0, y2 - y1), 3))


@dataclass(frozen=True)
class Frame:
    """One box of a phrase as it is drawn.

    Attributes:
        place: where.
        layer: stacking order; a smaller box lies above a larger one, so that both can be reached.
        raised: its tag sits above the box (False: inside, the photo ends there).
        flush_right: its tag hangs on the right corner, so that it never leaves the photo.
        shift: how many tags of earlier boxes sit at the same corner.
    """

    place: Place
    layer: int
    raised: bool
    flush_right: bool
    shift: int


@dataclass(frozen=True)
class Candidate:
    """A further box that a phrase may mean, and its score as text."""

    place: Place
    score: str


@dataclass(frozen=True)
class PhraseMark:
    """One phrase as the view draws it.

    Attributes:
        text: its words; "not: hat" where the sentence denies the hat.
        key: its number as text, "1" for the first; links phrase, box and table row.
        start, end: its place in the sentence, characters.
        known: the model knows its word; what it does not know is grey at every threshold, and has no figures.
        present: probability that the photo shows it; the browser greys what lies below its threshold. May be None.
        figures: one per column of figures, none where the word is not known; the first stands beside the phrase, too.
        score: of its box, as text.
        spoken: the figures in words, for those who hear the page.
        note: how many boxes it has, where several, and the words that chose the one; empty where there is neither.
        pixels: its boxes as text, whole pixels of the original photo.
        frames: its boxes, best first.
        candidates: the boxes that come next, best first.
    """

    key: str
    text: str
    start: int
    end: int
    color: str
    ink: str
    known: bool
    present: float | None
    figures: tuple[Figure, ...]
    score: str
    spoken: str
    note: str
    pixels: tuple[str, ...]
    frames: tuple[Frame, ...]
    candidates: tuple[Candidate, ...]


def view_data(localization: Localization, preview: str, message: str = "", corrected: bool = False) -> dict[str, Any]:
    """The whole view: photo, boxes, sentence and table of one localization, and a message above them if there is one.

    Args:
        localization: what to show.
        preview: the photo as a data URI.
        message: one sentence, shown as a hint.
        corrected: the phrases were marked by the visitor.
    """
    calibrated = is_calibrated(localization)
    return _EMPTY | {
        "width": localization.width,
        "height": localization.height,
        "src": preview,
        "sentence": localization.sentence,
        "tokens": [asdict(token) for token in split_sentence(localization.sentence, localization.phrases)],
        "words": [asdict(word) for word in split_words(localization.sentence)],
        "phrases": [asdict(mark) for mark in phrase_marks(localization)],
        "calibrated": calibrated,
        "columns": list(PROBABILITIES if calibrated else SCORE),
        "explanation": EXPLANATION if calibrated else "",
        "corrected": corrected,
        "message": message,
    }


def message_data(message: str) -> dict[str, Any]:
    """A view that shows one sentence about what went wrong, and nothing else."""
    return _EMPTY | {"message": message, "failed": True}


_EMPTY: dict[str, Any] = {
    "width": 0,
    "height": 0,
    "src": "",
    "sentence": "",
    "tokens": [],
    "words": [],
    "phrases": [],
    "calibrated": False,
    "columns": [],
    "explanation": "",
    "corrected": False,
    "message": "",
    "failed": False,
    # What the browser greys phrases with, and below which per cent, until the visitor says otherwise.
    "grey": DOUBTFUL,
    "grey_ink": ink_on(DOUBTFUL),
    "unknown": UNKNOWN_WORD,
    "threshold": round(100 * PRESENT_THRESHOLD),
    "palette": [(color, ink_on(color)) for color in PALETTE],
}


def split_sentence(sentence: str, phrases: Sequence[LocalizedPhrase]) -> list[Token]:
    """Cut the sentence at its phrases; the pieces joined are the sentence.

    Where phrases overlap, the earlier one keeps the shared words; a phrase without words of its own gets no token.
    """
    tokens = []
    done = 0
    for index in sorted(range(len(phrases)), key=lambda i: (phrases[i].start, phrases[i].end)):
        start, end = max(done, phrases[index].start), phrases[index].end
        if start >= end:
            continue
        if done < start:
            tokens.append(Token(sentence[done:start], None))
        tokens.append(Token(sentence[start:end], str(index + 1)))
        done = end
    if done < len(sentence):
        tokens.append(Token(sentence[done:], None))
    return tokens


def split_words(sentence: str) -> list[Word]:
    """The words of the sentence with the gaps before them; a last one without text holds what follows."""
    words = []
    done = 0
    for found in WORD.finditer(sentence):
        words.append(Word(sentence[done : found.start()], found.group(), found.start(), found.end()))
        done = found.end()
    return [*words, Word(sentence[done:], "", len(sentence), len(sentence))]


def phrase_marks(localization: Localization) -> list[PhraseMark]:
    """One mark per phrase, in the order of the localization."""
    phrases = localization.phrases
    size = localization.width, localization.height
    calibrated = is_calibrated(localization)
    frames = _frames(localization)
    return [
        PhraseMark(
            key=str(index + 1),
            text=phrase.label,
            start=phrase.start,
            end=phrase.end,
            color=phrase_color(index),
            ink=ink_on(phrase_color(index)),
            known=phrase.known,
            present=None if phrase.present is None else float(phrase.present),
            figures=(figures := _figures(phrase, calibrated)),
            score=format_score(phrase.score),
            spoken=_spoken(figures, calibrated) if phrase.known else UNKNOWN_WORD,
            note=_note(phrase),
            pixels=tuple(", ".join(str(round(float(value))) for value in box) for box in phrase.boxes),
            frames=frames[index],
            candidates=tuple(
                Candidate(Place.of(c.box, *size), format_score(c.score)) for c in phrase.candidates[1:SHOWN_CANDIDATES]
            ),
        )
        for index, phrase in enumerate(phrases)
    ]


def _frames(localization: Localization) -> list[tuple[Frame, ...]]:
    """The boxes of every phrase as they are drawn; a tag makes way for those of the boxes before it."""
    size = localization.width, localization.height
    places = [[Place.of(box, *size) for box in phrase.boxes] for phrase in localization.phrases]
    numbers = [(i, k) for i, of_phrase in enumerate(places) for k in range(len(of_phrase))]
    largest_first = sorted(numbers, key=lambda n: -places[n[0]][n[1]].width * places[n[0]][n[1]].height)
    layers = {number: layer for layer, number in enumerate(largest_first, 1)}
    corners: list[tuple[float, float, bool]] = []  # where tags hang: x, y in per cent of the photo, on the right?
    frames = []
    for i, of_phrase in enumerate(places):
        drawn = []
        for k, place in enumerate(of_phrase):
            flush_right = place.left > 60
            corner = (place.left + place.width if flush_right else place.left, place.top, flush_right)
            shift = sum(_collide(corner, other) for other in corners)
            drawn.append(Frame(place, layers[i, k], place.top > TAG_HEIGHT, flush_right, shift))
            corners.append(corner)
        frames.append(tuple(drawn))
    return frames


def _note(phrase: LocalizedPhrase) -> str:
    several = [f"{len(phrase.boxes)} boxes"] if len(phrase.boxes) > 1 else []
    return ", ".join([*several, *([f"chosen by: {phrase.chosen_by}"] if phrase.chosen_by else [])])


def is_calibrated(localization: Localization) -> bool:
    """Whether every phrase of a known word has both probabilities, and there is a phrase; else the score is shown."""
    return bool(localization.phrases) and all(
        phrase.present is not None and phrase.confidence is not None for phrase in localization.phrases if phrase.known
    )


def format_score(score: float) -> str:
    """A score with two decimals and a true minus sign; never "-0.00"."""
    text = f"{float(score):.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def _figures(phrase: LocalizedPhrase, calibrated: bool) -> tuple[Figure, ...]:
    """As many as there are columns; none of a word that is not known."""
    if not phrase.known:
        return ()
    if calibrated:
        return tuple(Figure(format_probability(p), _strength(p)) for p in (phrase.present, phrase.confidence))
    return (Figure(format_score(phrase.score), _strength(phrase.score)),)


def _strength(value: float) -> float:
    return round(100 * min(1.0, max(0.0, float(value))), 1)


def _spoken(figures: Sequence[Figure], calibrated: bool) -> str:
    """ "in the photo 87 %, box right 64 %" or "score 0.61"."""
    names = PROBABILITIES if calibrated else SCORE
    return ", ".join(f"{name.lower()} {figure.text}" for name, figure in zip(names, figures, strict=True))


def _collide(corner: tuple[float, float, bool], other: tuple[float, float, bool]) -> bool:
    return corner[2] == other[2] and abs(corner[0] - other[0]) < TAG_WIDTH and abs(corner[1] - other[1]) < TAG_HEIGHT
