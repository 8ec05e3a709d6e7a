"""How an answer is drawn: one colour per phrase, on the page and in drawn pictures alike.

The seven hues of Okabe and Ito ("Color Universal Design", 2008) stay apart for readers with any common colour vision
deficiency. Colour is never the only sign: every phrase also carries its number, and a doubtful one a question mark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sspe.lettering import Lettering
from sspe.vision.boxes import Box

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

LABEL_CHARACTERS = 40  # a longer phrase is cut short on its label, never in the data
PALETTE = ("#E69F00", "#56B4E9", "#D55E00", "#009E73", "#F0E442", "#0072B2", "#CC79A7")
UNKNOWN_WORD = "not a word it knows"  # stands in place of figures beside a phrase that the model cannot read
DOUBTFUL = "#707070"  # of a phrase probably not there, or not known; apart from the hues for colour blind eyes, too
DARK_INK = "#111111"
LIGHT_INK = "#FFFFFF"


def phrase_color(index: int) -> str:
    """Colour of the phrase at ``index`` (from 0) as "#RRGGBB"; the palette starts over after its last colour."""
    return PALETTE[index % len(PALETTE)]


def ink_on(color: str) -> str:
    """Whichever of the two inks is easier to read on ``color`` ("#RRGGBB")."""
    return max((DARK_INK, LIGHT_INK), key=lambda ink: contrast(ink, color))


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two "#RRGGBB" colours as WCAG 2 defines it, 1 (equal) to 21 (black on white)."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def rgb(color: str) -> tuple[int, int, int]:
    """ "#RRGGBB" as red, green, blue in 0..255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in rgb(color))]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@dataclass(frozen=True)
class DrawnPhrase:
    """One phrase to draw: its boxes in pixels of the photo, words, the figure beside them, and whether it is doubtful.

    The label stands at the highest box.
    """

    boxes: Sequence[Box]
    text: str
    figure: str
    doubtful: bool


def draw_phrases(photo: np.ndarray, phrases: Sequence[DrawnPhrase]) -> Image.Image:
    """A photo (H, W, 3) uint8 RGB with numbered boxes and labels as a new PIL image of the same size.

    All boxes of a phrase have its colour, and one label names them. Lines and letters grow with the photo. Labels keep
    off each other where the photo has room for that. A doubtful phrase is grey and dashed, and its number has a
    question mark.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(photo).convert("RGB")
    draw = ImageDraw.Draw(image)
    line = max(2, round(max(image.size) / 320))
    lettering = Lettering(max(11, round(max(image.size) / 42)))
    colors = [DOUBTFUL if phrase.doubtful else phrase_color(i) for i, phrase in enumerate(phrases)]
    for i in sorted(range(len(phrases)), key=lambda i: not phrases[i].doubtful):
        for box in phrases[i].boxes:
            (_draw_dashed_box if phrases[i].doubtful else _draw_box)(draw, box, colors[i], line)
    taken: list[Box] = []
    for index, (phrase, color) in enumerate(zip(phrases, colors, strict=True)):
        number = f"{index + 1}?" if phrase.doubtful else f"{index + 1}"
        text = f"{number}  {shorten(phrase.text)}  {phrase.figure}"
        highest = min(phrase.boxes, key=lambda box: box[1])
        taken.append(_draw_label(draw, highest, text, color, lettering, taken))
    return image


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
    draw: ImageDraw.ImageDraw, box: Box, text: str, color: str, lettering: Lettering, taken: Sequence[Box]
) -> Box:
    """Draw the label above its box, or inside where the photo ends, below labels already there; return its place."""
    image_width, image_height = draw.im.size
    line = lettering.ascent + lettering.descent
    pad = max(2, line // 6)
    width, height = lettering.length(text) + 2 * pad, line + 2
    x = max(0.0, min(box[0], image_width - width))
    y = box[1] - height if box[1] >= height else box[1]
    while any(x < t[2] and t[0] < x + width and y < t[3] and t[1] < y + height for t in taken):
        y += 1
    if y + height > image_height:  # no free place below: the lowest one, over whatever is there
        y = max(0.0, image_height - height)
    draw.rectangle((x, y, x + width, y + height), fill=color, outline="#000000")
    lettering.draw(draw, x + pad, y + 1, text, ink_on(color))
    return x, y, x + width, y + height


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
