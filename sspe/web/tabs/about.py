"""The tab "About": how it works in one figure, how well, where it ends, whom to cite. All numbers are the README's."""

from __future__ import annotations

from pathlib import Path

import gradio as gr


def about_html() -> str:
    """The text with the figure inside it."""
    return _text("about.html").replace("<!-- figure -->", _text("how_it_works.svg"))


def build_about() -> None:
    """One block of text, drawn in the colours of the page, light and dark."""
    gr.HTML(
        f'<div class="ab">{about_html()}</div>',
        css_template=_text("about.css"),
        apply_default_css=False,
        elem_id="about",
    )


def _text(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
