"""The strip of example photos: one button each, with its sentence as its name for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sspe.vision.photo import open_photo
from sspe.web.components.drawn import DrawnComponent
from sspe.web.examples import Example
from sspe.web.service import preview_uri

THUMBNAIL = 160  # pixels of the long side, twice the size on the page for dense screens


class ExampleStrip(DrawnComponent):
    """Example photos to choose from.

    Events:
        select: a photo was chosen; ``index`` is its place in the strip, 0 for the first.
    """

    frame = '<p class="eg-title">Examples</p><div class="eg"></div>'

    def __init__(self, examples: Sequence[Example] = (), **settings: Any) -> None:
        thumbnails = [
            {
                "src": preview_uri(open_photo(example.photo), THUMBNAIL),
                "sentence": example.sentence,
                "badge": example.badge,
            }
            for example in examples
        ]
        super().__init__(thumbnails, **settings)
