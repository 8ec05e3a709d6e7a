"""The strip of example photos: one button each, with its sentence as its name for those who cannot see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from sspe.photo import open_photo
from sspe.web.examples import Example
from sspe.web.service import preview_uri

THUMBNAIL = 160  # pixels of the long side, twice the size on the page for dense screens

CSS = """
.eg-title { margin: 0 0 8px; font-size: 14px; color: var(--body-text-color); }
.eg { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 8px; }
.eg button { margin: 0; padding: 0; aspect-ratio: 1; cursor: pointer; overflow: hidden; border-radius: 8px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.eg img { width: 100%; height: 100%; margin: 0; object-fit: cover; display: block; }
.eg button:hover img { filter: brightness(1.08); }
.eg button:focus-visible, .eg button:hover { outline: 3px solid var(--color-accent); outline-offset: 1px; }
"""

JS = """
const strip = element.querySelector('.eg');
props.value.forEach((example, index) => {
  const button = document.createElement('button');
  const image = document.createElement('img');
  button.type = 'button';
  button.title = example.sentence;
  image.src = example.src;
  image.alt = 'Example: ' + example.sentence;
  button.append(image);
  button.addEventListener('click', () => trigger('select', {index}));
  strip.append(button);
});
"""


class ExampleStrip(gr.HTML):
    """Example photos to choose from; its ``select`` event carries ``index``, the place of the one chosen."""

    def __init__(self, shown: Sequence[Example] = (), **settings: Any) -> None:
        value = [{"src": preview_uri(open_photo(e.photo), THUMBNAIL), "sentence": e.sentence} for e in shown]
        template = '<p class="eg-title">Examples</p><div class="eg"></div>'
        settings = {
            "html_template": template,
            "css_template": CSS,
            "js_on_load": JS,
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
        """The data as it is; the browser builds the buttons from it."""
        return value
