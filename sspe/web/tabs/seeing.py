"""The panel "What it sees": proposals, edge map, heat map and best crops of one phrase."""

from __future__ import annotations

from typing import Any

import gradio as gr

from sspe.errors import SspeError
from sspe.phrases.chunker import Phrase
from sspe.web.parts import part
from sspe.web.seeing import seeing_data
from sspe.web.service import LocalizeService, Question

NOTHING = "There is no phrase to look at: localize a sentence first."


class SeeingView(gr.HTML):
    """Shows what :func:`see_phrase` returned; its ``select`` event carries ``index``, the place of a chosen phrase."""

    def __init__(self, value: dict[str, Any] | None = None, **settings: Any) -> None:
        settings = {
            "html_template": '<div class="sv"></div>',
            "css_template": part("seeing_view.css"),
            "js_on_load": part("seeing_view.js"),
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """The data as it is; the browser builds the figures from it."""
        return value


def see_phrase(service: LocalizeService, question: Question | None, index: int = 0) -> dict[str, Any]:
    """The figures of the phrase at ``index`` of what was asked; a sentence where there is none.

    The photo's regions are remembered, so this takes milliseconds; where they were forgotten they are made again.
    """
    if question is None:
        return {"message": NOTHING}
    try:
        found, seen = service(question.photo, question.sentence, spans=question.spans)
    except SspeError as error:
        return {"message": str(error)}
    if not 0 <= index < len(found.phrases):
        return {"message": NOTHING}
    chosen = found.phrases[index]
    phrase = Phrase(chosen.text, chosen.start, chosen.end, chosen.head)
    scores = service.localizer.similarities(seen.view, found.sentence, [phrase])[0]
    return seeing_data(found, seen, index, scores, service.localizer.edges(seen.view))
