"""What a Localizer returns: the phrases of a sentence with their boxes, and the ways to take them away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sspe.palette import DOUBTFUL, ink_on, phrase_color

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]  # x1, y1, x2, y2: continuous pixels of the original photo, half-open

PRESENT_THRESHOLD = 0.3  # a phrase less likely than this to be in the photo at all is shown in grey

LABEL_CHARACTERS = 40  # a longer phrase is cut short on its label, never in the data


@dataclass(frozen=True)
class Candidate:
    """One box a phrase may mean, and the cosine of their embeddings, -1 to 1."""

    box: Box
    score: float


@dataclass(frozen=True)
class LocalizedPhrase:
    """A phrase and where it is: ``sentence[start:end] == text``; ``head`` is its head noun, verbatim.

    ``box`` and ``score`` (cosine, -1 to 1) are those of ``candidates[0]``; the others follow, best score first.

    ``present`` is the probability that the photo shows the phrase at all, and ``confidence`` the probability that
    ``box`` is right if it does (intersection over union with what a person would draw of at least 0.5). Both are None
    where the checkpoint was not calibrated.
    """

    text: str
    start: int
    end: int
    head: str
    box: Box
    score: float
    candidates: tuple[Candidate, ...]
    confidence: float | None = None
    present: float | None = None

    @property
    def doubtful(self) -> bool:
        """Probably not in the photo: less so than :data:`PRESENT_THRESHOLD`."""
        return self.present is not None and self.present < PRESENT_THRESHOLD


@dataclass(frozen=True)
class Localization:
    """The phrases of one sentence in one photo, in the order of the sentence; none where it has no noun phrase.

    Attributes:
        sentence: verbatim as given.
        width, height: of the photo in pixels, upright.
        phrases: may be empty.
        photo: (height, width, 3) uint8 RGB; left out when two localizations are compared or printed.
    """

    sentence: str
    width: int
    height: int
    phrases: tuple[LocalizedPhrase, ...]
    photo: np.ndarray = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dictionaries, ready for JSON. Boxes to 0.01 pixel, the rest to 0.0001.

        ``score`` is the cosine, -1 to 1; ``confidence`` the probability, 0 to 1, that the box is right if the photo
        shows the phrase; ``present`` that it does. The last two are None (null in JSON) without calibration.
        """
        return {
            "width": self.width,
            "height": self.height,
            "sentence": self.sentence,
            "phrases": [
                {
                    "text": phrase.text,
                    "start": phrase.start,
                    "end": phrase.end,
                    "head": phrase.head,
                    "box": _plain_box(phrase.box),
                    "score": _plain_score(phrase.score),
                    "confidence": _plain_probability(phrase.confidence),
                    "present": _plain_probability(phrase.present),
                    "candidates": [
                        {"box": _plain_box(c.box), "score": _plain_score(c.score)} for c in phrase.candidates
                    ],
                }
                for phrase in self.phrases
            ],
        }

    def to_coco(self, file_name: str = "") -> dict[str, Any]:
        """This localization alone as a COCO annotation dictionary; see :func:`to_coco`."""
        return to_coco([self], [file_name])

    def draw(self, threshold: float = PRESENT_THRESHOLD) -> Image.Image:
        """The photo with its boxes and labels as a new PIL image of the same size, RGB.

        Lines and letters grow with the photo. Colours and numbers are those of the page. Labels keep off each other
        where the photo has room for that. A label ends in the probability that the photo shows the phrase, or in the
        cosine without calibration. A doubtful phrase, one whose ``present`` is below ``threshold``, is grey and
        dashed, and its number has a question mark.
        """
        from PIL import Image, ImageDraw, ImageFont

        image = Image.fromarray(self.photo).convert("RGB")
        draw = ImageDraw.Draw(image)
        line = max(2, round(max(image.size) / 320))
        font = ImageFont.load_default(size=max(11, round(max(image.size) / 42)))
        doubtful = [phrase.present is not None and phrase.present < threshold for phrase in self.phrases]
        colors = [DOUBTFUL if doubt else phrase_color(i) for i, doubt in enumerate(doubtful)]
        for i in sorted(range(len(self.phrases)), key=lambda i: not doubtful[i]):
            (_draw_dashed_box if doubtful[i] else _draw_box)(draw, self.phrases[i].box, colors[i], line)
        taken: list[Box] = []
        for index, (phrase, color) in enumerate(zip(self.phrases, colors, strict=True)):
            number = f"{index + 1}?" if doubtful[index] else f"{index + 1}"
            figure = f"{phrase.score:.2f}" if phrase.present is None else format_probability(phrase.present)
            text = f"{number}  {shorten(phrase.text)}  {figure}"
            taken.append(_draw_label(draw, phrase.box, text, color, font, taken))
        return image


def to_coco(localizations: Sequence[Localization], file_names: Sequence[str]) -> dict[str, Any]:
    """Several localizations as one COCO annotation dictionary.

    A category is a phrase text; phrases of the same text share it. ``bbox`` is x, y, width, height in pixels of the
    original photo; ``score`` is the cosine; ``start`` and ``end`` cut the phrase out of its image's ``sentence``.
    ``confidence`` and ``present``, probabilities as in :class:`LocalizedPhrase`, are there where they are known.

    Args:
        localizations: one a photo (or one a photo and sentence).
        file_names: of the photos, in the same order.
    """
    if len(localizations) != len(file_names):
        raise ValueError(
            f"{len(localizations)} localizations need as many file names, and {len(file_names)} were given."
        )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for localization, file_name in zip(localizations, file_names, strict=True):
        image_id = len(images) + 1
        images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "width": localization.width,
                "height": localization.height,
                "sentence": localization.sentence,
            }
        )
        for phrase in localization.phrases:
            x1, y1, x2, y2 = _plain_box(phrase.box)
            width, height = round(x2 - x1, 2), round(y2 - y1, 2)
            sure = {"confidence": phrase.confidence, "present": phrase.present}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": categories.setdefault(phrase.text, len(categories) + 1),
                    "bbox": [x1, y1, width, height],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "score": _plain_score(phrase.score),
                    **{name: _plain_probability(value) for name, value in sure.items() if value is not None},
                    "start": phrase.start,
                    "end": phrase.end,
                }
            )
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": text} for text, number in categories.items()],
    }


def shorten(text: str, characters: int = LABEL_CHARACTERS) -> str:
    """One line of at most ``characters``: white space runs become one space, a long text ends in an ellipsis."""
    text = " ".join(text.split())
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def format_probability(probability: float) -> str:
    """A probability as whole per cent, "87 %".

    Rounded down: what is shown as 30 % is never below a threshold of 30 %, and 100 % is certainty.
    """
    percent = math.floor(100 * float(probability) + 1e-9)  # 100 * 0.29 is a little less than 29
    return "<1 %" if percent < 1 else f"{percent} %"


def _plain_box(box: Sequence[float]) -> list[float]:
    return [round(float(value), 2) for value in box]


def _plain_score(score: float) -> float:
    return round(float(score), 4)


def _plain_probability(probability: float | None) -> float | None:
    return None if probability is None else round(float(probability), 4)


def _draw_box(draw: ImageDraw.ImageDraw, box: Box, color: str, line: int) -> None:
    """A coloured frame between a dark and a light hair line, so that it stands out on any photo."""
    x1, y1, x2, y2 = _covered(box)
    hair = max(1, line // 3)
    # The frame grows inwards; a box smaller than its own frame is filled.
    for inset, fill, width in ((0, "#000000", hair), (hair, color, line), (hair + line, "#FFFFFF", hair)):
        if x2 - inset < x1 + inset or y2 - inset < y1 + inset:
            break
        draw.rectangle((x1 + inset, y1 + inset, x2 - inset, y2 - inset), outline=fill, width=width)


def _draw_dashed_box(draw: ImageDraw.ImageDraw, box: Box, color: str, line: int) -> None:
    """A thinner frame of dashes on white, in a dark hair line, so that it reads as less sure and still stands out."""
    x1, y1, x2, y2 = _covered(box)
    hair, thin = max(1, line // 3), max(1, round(0.6 * line))
    draw.rectangle((x1, y1, x2, y2), outline="#000000", width=hair)
    x1, y1, x2, y2 = x1 + hair, y1 + hair, x2 - hair, y2 - hair
    if x2 < x1 or y2 < y1:
        return
    draw.rectangle((x1, y1, x2, y2), outline="#FFFFFF", width=thin)
    dash = 4 * line
    for x in range(x1, x2 + 1, 2 * dash):
        for y in (y1, max(y1, y2 - thin + 1)):
            draw.rectangle((x, y, min(x + dash - 1, x2), min(y + thin - 1, y2)), fill=color)
    for y in range(y1, y2 + 1, 2 * dash):
        for x in (x1, max(x1, x2 - thin + 1)):
            draw.rectangle((x, y, min(x + thin - 1, x2), min(y + dash - 1, y2)), fill=color)


def _covered(box: Box) -> tuple[int, int, int, int]:
    """The first and the last pixel that the half-open box covers: x1, y1, x2, y2."""
    x1, y1, x2, y2 = (round(value) for value in box)
    return x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)


def _draw_label(
    draw: ImageDraw.ImageDraw, box: Box, text: str, color: str, font: ImageFont.FreeTypeFont, taken: Sequence[Box]
) -> Box:
    """Draw the label above its box, or inside where the photo ends, below labels already there; return its place."""
    image_width, image_height = draw.im.size
    ascent, descent = font.getmetrics()  # of the font, not of this text, so that all labels are equally high
    pad = max(2, (ascent + descent) // 6)
    width, height = draw.textlength(text, font=font) + 2 * pad, ascent + descent + 2
    x = max(0.0, min(box[0], image_width - width))
    y = box[1] - height if box[1] >= height else box[1]
    while any(x < t[2] and t[0] < x + width and y < t[3] and t[1] < y + height for t in taken):
        y += 1
    if y + height > image_height:  # no free place below: the lowest one, over whatever is there
        y = max(0.0, image_height - height)
    draw.rectangle((x, y, x + width, y + height), fill=color, outline="#000000")
    draw.text((x + pad, y + 1), text, font=font, fill=ink_on(color), anchor="la")
    return x, y, x + width, y + height
