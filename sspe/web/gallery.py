"""The strip of example photos: one button each, with its sentence as its name for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from sspe.vision.photo import open_photo
from sspe.web.examples import Example
from sspe.web.parts import part
from sspe.web.service import preview_uri

THUMBNAIL = 160  # pixels of the long side, twice the size on the page for dense screens


class ExampleStrip(gr.HTML):
    """Example photos to choose from; its ``select`` event carries ``index``, the place of the one chosen."""

    def __init__(self, shown: Sequence[Example] = (), **settings: Any) -> None:
        value = [
            {"src": preview_uri(open_photo(each.photo), THUMBNAIL), "sentence": each.sentence, "badge": each.badge}
            for each in shown
        ]
        settings = {
            "html_template": '<p class="eg-title">Examples</p><div class="eg"></div>',
            "css_template": part("gallery.css"),
            "js_on_load": part("gallery.js"),
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
        """The data as it is; the browser builds the buttons from it."""
        return value
