"""The linked view: photo with boxes, sentence with phrases, table of scores; pointing at one shows its counterparts.

Linking, greying, further boxes and cosines all happen in the browser (parts/linked_view.js), by mouse, keyboard and
touch; only a corrected phrase goes to the server. User text reaches the page through ``textContent`` only: Gradio runs
a rendered ``html_template`` as a JavaScript template literal, so a sentence put there, even one escaped as HTML, could
run code through ``${...}``.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from sspe.web.parts import part


class LinkedView(gr.HTML):
    """Shows what :func:`sspe.web.view_data.view_data` or :func:`message_data` built; None shows an invitation.

    Events:
        edit: the visitor corrected the phrases; ``spans`` are their [start, end], None for those the chunker finds.
        release: a slider came to rest; ``threshold`` in 0..1, ``top_k`` boxes a phrase.
    """

    def __init__(self, value: dict[str, Any] | None = None, **settings: Any) -> None:
        settings = {
            "html_template": '<div class="lv"></div>',
            "css_template": part(
                "linked_view.css"
            ),  # Gradio wraps it in the id of the component; nesting does the rest
            "js_on_load": part("linked_view.js"),
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """The data as it is; the browser builds the page from it."""
        return value
