"""The tab "About": how it works in one figure, how well, where it ends, whom to cite. All numbers are the README's."""

from __future__ import annotations

import gradio as gr

from sspe.web.parts import part


def build_about() -> None:
    """One block of text, the figure inside it; drawn in the colours of the page, light and dark."""
    gr.HTML(
        f'<div class="ab">{part("about.html").replace("<!-- figure -->", part("how_it_works.svg"))}</div>',
        css_template=part("about.css"),
        apply_default_css=False,
        elem_id="about",
    )
