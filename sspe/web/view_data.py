"""What the linked view shows, built as plain data: pure functions, no Gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sspe.localization import PRESENT_THRESHOLD, Box, Localization, LocalizedPhrase, format_probability
from sspe.palette import DOUBTFUL, ink_on, phrase_color

# Columns of figures in the table: two probabilities in plain words, or the cosine of a checkpoint without them.
PROBABILITIES = ("In the photo", "Box right")
COSINE = ("Cosine",)
EXPLANATION = "In the photo: how likely the photo shows it at all. Box right: how likely its box fits, if so."
DOUBT = f"Grey: probably not in this photo (below {format_probability(PRESENT_THRESHOLD)})"

TAG_WIDTH, TAG_HEIGHT = 5.0, 6.0  # per cent of the photo that a number tag roughly takes


@dataclass(frozen=True)
class Token:
    """A piece of the sentence, verbatim; ``key`` is that of its phrase, None between phrases."""

    text: str
    key: str | None


@dataclass(frozen=True)
class Figure:
    """A number about a phrase: as text, and as the length of its bar in per cent."""

    text: str
    strength: float


@dataclass(frozen=True)
class PhraseMark:
    """One phrase as the view draws it.

    Attributes:
        key: its number as text, "1" for the first; links phrase, box and table row.
        label: the number as shown; a question mark follows it where the phrase is doubtful.
        doubtful: probably not in the photo; drawn in grey.
        figures: one a column of figures; the first stands beside the phrase, too.
        spoken: the same in words, for those who hear the page.
        left, top, width, height: its box in per cent of the photo.
        pixels: its box as text, whole pixels of the original photo.
        layer: stacking order; a smaller box lies above a larger one, so that both can be reached.
        raised: its tag sits above the box (False: inside, the photo ends there).
        flush_right: its tag hangs on the right corner, so that it never leaves the photo.
        shift: how many tags of earlier phrases sit at the same corner.
    """

    key: str
    label: str
    text: str
    doubtful: bool
    color: str
    ink: str
    figures: tuple[Figure, ...]
    spoken: str
    pixels: str
    left: float
    top: float
    width: float
    height: float
    layer: int
    raised: bool
    flush_right: bool
    shift: int


def view_data(localization: Localization, preview: str, message: str = "") -> dict[str, Any]:
    """The whole view: photo, boxes, sentence and table of one localization, and a message above them if there is one.

    Args:
        localization: what to show.
        preview: the photo as a data URI.
        message: one sentence, shown as a hint.
    """
    calibrated = is_calibrated(localization)
    return {
        "width": localization.width,
        "height": localization.height,
        "src": preview,
        "tokens": [asdict(token) for token in split_sentence(localization.sentence, localization.phrases)],
        "phrases": [asdict(mark) for mark in phrase_marks(localization)],
        "columns": list(PROBABILITIES if calibrated else COSINE),
        "explanation": EXPLANATION if calibrated else "",
        "doubt": DOUBT if any(phrase.doubtful for phrase in localization.phrases) else "",
        "message": message,
        "failed": False,
    }


def message_data(message: str) -> dict[str, Any]:
    """A view that shows one sentence about what went wrong, and nothing else."""
    return {
        "width": 0,
        "height": 0,
        "src": "",
        "tokens": [],
        "phrases": [],
        "columns": [],
        "explanation": "",
        "doubt": "",
        "message": message,
        "failed": True,
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


def phrase_marks(localization: Localization) -> list[PhraseMark]:
    """One mark a phrase, in the order of the localization."""
    phrases = localization.phrases
    calibrated = is_calibrated(localization)
    places = [_in_per_cent(phrase.box, localization.width, localization.height) for phrase in phrases]
    largest_first = sorted(range(len(phrases)), key=lambda i: -places[i][2] * places[i][3])
    marks: list[PhraseMark] = []
    corners: list[tuple[float, float, bool]] = []  # where tags hang: x, y in per cent, on the right corner or not
    for index, (phrase, (left, top, width, height)) in enumerate(zip(phrases, places, strict=True)):
        flush_right = left > 60
        corner = (left + width if flush_right else left, top, flush_right)
        color = DOUBTFUL if phrase.doubtful else phrase_color(index)
        figures = _figures(phrase, calibrated)
        marks.append(
            PhraseMark(
                key=str(index + 1),
                label=f"{index + 1}?" if phrase.doubtful else str(index + 1),
                text=phrase.text,
                doubtful=phrase.doubtful,
                color=color,
                ink=ink_on(color),
                figures=figures,
                spoken=_spoken(figures, calibrated, phrase.doubtful),
                pixels=", ".join(str(round(float(value))) for value in phrase.box),
                left=left,
                top=top,
                width=width,
                height=height,
                layer=largest_first.index(index) + 1,
                raised=top > TAG_HEIGHT,
                flush_right=flush_right,
                shift=sum(_collide(corner, other) for other in corners),
            )
        )
        corners.append(corner)
    return marks


def is_calibrated(localization: Localization) -> bool:
    """Whether every phrase, and there is one, has both probabilities; otherwise the cosine is shown."""
    return bool(localization.phrases) and all(
        phrase.present is not None and phrase.confidence is not None for phrase in localization.phrases
    )


def format_score(score: float) -> str:
    """A cosine with two decimals and a true minus sign; never "-0.00"."""
    text = f"{float(score):.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def _figures(phrase: LocalizedPhrase, calibrated: bool) -> tuple[Figure, ...]:
    """As many as there are columns."""
    if calibrated:
        return tuple(Figure(format_probability(p), _strength(p)) for p in (phrase.present, phrase.confidence))
    return (Figure(format_score(phrase.score), _strength(phrase.score)),)


def _strength(value: float) -> float:
    return round(100 * min(1.0, max(0.0, float(value))), 1)


def _spoken(figures: Sequence[Figure], calibrated: bool, doubtful: bool) -> str:
    """ "in the photo 87 %, box right 64 %" or "cosine 0.61"; a doubtful phrase says so first."""
    names = PROBABILITIES if calibrated else COSINE
    said = [f"{name.lower()} {figure.text}" for name, figure in zip(names, figures, strict=True)]
    return ", ".join(["probably not in this photo", *said] if doubtful else said)


def _in_per_cent(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """left, top, width, height in per cent of the photo, clipped to it."""
    x1, x2 = (min(max(float(value) / width, 0.0), 1.0) for value in (box[0], box[2]))
    y1, y2 = (min(max(float(value) / height, 0.0), 1.0) for value in (box[1], box[3]))
    return round(100 * x1, 3), round(100 * y1, 3), round(100 * max(0.0, x2 - x1), 3), round(100 * max(0.0, y2 - y1), 3)


def _collide(corner: tuple[float, float, bool], other: tuple[float, float, bool]) -> bool:
    return corner[2] == other[2] and abs(corner[0] - other[0]) < TAG_WIDTH and abs(corner[1] - other[1]) < TAG_HEIGHT
