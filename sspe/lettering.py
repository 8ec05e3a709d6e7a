"""Letters of any script on drawn pictures: each is drawn in the first of several fonts that has it.

Pillow's own font comes first and has what English needs, then DejaVu Sans where matplotlib brought it (Greek, Cyrillic,
Hebrew, Arabic and more), then the fonts of the system. A letter that none of them has is an empty frame.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import ImageDraw, ImageFont

_TRIED = 32  # pixels; the size at which a font is asked for a letter
_NOBODYS = "\U0010ffff"  # a code point that is no character in any font: what is drawn for it means "missing"
_SUFFIXES = (".ttf", ".otf", ".ttc")


class Lettering:
    """Text of one size, in pixels: how long it is, and drawing it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ascent, self.descent = _font(None, size).getmetrics()  # of one font, so that all lines are equally high

    def length(self, text: str) -> float:
        """Pixels from its beginning to its end."""
        return sum(font.getlength(part) for part, font in self._parts(text))

    def draw(self, draw: ImageDraw.ImageDraw, x: float, y: float, text: str, color: str) -> None:
        """Write a text, beginning at ``x``, the top of its line at ``y``."""
        for part, font in self._parts(text):
            draw.text((x, y + self.ascent), part, font=font, fill=color, anchor="ls")
            x += font.getlength(part)

    def _parts(self, text: str) -> Iterator[tuple[str, ImageFont.FreeTypeFont]]:
        """The text cut where the font changes."""
        part, file = "", None
        for letter in text:
            if unicodedata.category(letter) == "Cc":
                continue
            its_file = _file_with(letter) if _needs_a_glyph(letter) else file
            if its_file != file:
                # The blanks between by themselves: at the end of a word written to the left they would jump before it.
                word = part.rstrip()
                yield from ((piece, _font(file, self.size)) for piece in (word, part[len(word) :]) if piece)
                part = ""
            part, file = part + letter, its_file
        if part:
            yield part, _font(file, self.size)


def _needs_a_glyph(letter: str) -> bool:
    """Not so blanks, marks on the letter before, and signs that only join or direct: they stay in its font."""
    return unicodedata.category(letter)[0] not in "ZMC"


@lru_cache(maxsize=4096)
def _file_with(letter: str) -> str | None:
    """The file of the first font that has a letter; None is Pillow's own, also where none has it."""
    return next((file for file in (None, *_files()) if _has(file, letter)), None)


def _has(file: str | None, letter: str) -> bool:
    try:
        return _picture(file, letter) != _picture(file, _NOBODYS)
    except OSError:  # a font of fixed sizes, as those of coloured emoji are, or no font
        return False


def _picture(file: str | None, letter: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(file, _TRIED).getmask(letter)
    return mask.size, bytes(mask)


@lru_cache(maxsize=256)
def _font(file: str | None, size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


@lru_cache(maxsize=1)
def _files() -> tuple[str, ...]:
    """Files of fonts: DejaVu Sans of matplotlib, then those of the system, plain ones first."""
    found = []
    if (matplotlib := find_spec("matplotlib")) and matplotlib.submodule_search_locations:
        carried = Path(matplotlib.submodule_search_locations[0], "mpl-data", "fonts", "ttf", "DejaVuSans.ttf")
        found += [str(carried)] if carried.is_file() else []
    there = [
        os.path.join(folder, name)
        for top in _folders()
        for folder, _, names in os.walk(top)
        for name in names
        if name.lower().endswith(_SUFFIXES)
    ]
    return tuple(found + sorted(there, key=lambda file: (_fancy(os.path.basename(file).lower()), file)))


def _fancy(name: str) -> int:
    """How far a font by its name is from plain upright letters without serifs."""
    return sum(word in name for word in ("bold", "italic", "oblique", "mono", "serif", "light", "condensed"))


def _folders() -> list[Path]:
    """Where the system and the user keep fonts."""
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts"), home / r"AppData\Local\Microsoft\Windows\Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]
