"""The panel "Take it away": files to download, and code that gives the same result again."""

from __future__ import annotations

import io
import json
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from sspe.errors import SspeError
from sspe.web.parts import part
from sspe.web.service import LocalizeService, Question
from sspe.web.snippets import ADDRESS, client_snippet, curl_snippet, python_snippet

NOTHING = "There is no result to take away: localize a sentence first."


class Snippets(gr.HTML):
    """Blocks of text, each with a title and a button that copies it; one without ``code`` is a remark.

    The first ``address`` in the code is where the browser writes the page's own. The ``select`` event says that the
    component is looked at and still empty.
    """

    def __init__(self, value: list[dict[str, str]] | None = None, **settings: Any) -> None:
        settings = {
            "html_template": '<div class="sn"></div>',
            "css_template": part("snippets.css"),
            "js_on_load": part("snippets.js"),
            "apply_default_css": False,
        } | settings
        super().__init__(value=value, **settings)

    def postprocess(self, value: list[dict[str, str]] | None) -> list[dict[str, str]] | None:
        """The data as it is; the browser builds the blocks from it."""
        return value


class TakeAway:
    """The panel's components, made where it is constructed, and what they show.

    Attributes:
        outputs: the components, in the order of what :meth:`files` returns.
    """

    def __init__(self, service: LocalizeService) -> None:
        self._service = service
        with gr.Row(elem_id="downloads"):
            self._buttons = [
                gr.DownloadButton(title, interactive=False, elem_id=name, min_width=0)
                for title, name in (("Picture (PNG)", "png"), ("JSON", "json-file"), ("COCO", "coco"))
            ]
        self.snippets = Snippets(elem_id="snippets")
        self.outputs = [*self._buttons, self.snippets]

    def files(self, question: Question | None) -> list[Any]:
        """Picture, JSON and COCO file, and the snippets, of what was asked; ``top_k`` and ``threshold`` count."""
        nothing = [gr.DownloadButton(value=None, interactive=False)] * len(self._buttons)
        if question is None:
            return [*nothing, [{"title": NOTHING}]]
        try:
            found, _ = self._service(question.photo, question.sentence, None, question.spans, question.top_k)
        except SspeError as error:
            return [*nothing, [{"title": str(error)}]]
        plain, coco = found.to_dict(), found.to_coco(question.photo.name)
        picture = io.BytesIO()
        found.draw(question.threshold).save(picture, "PNG", compress_level=4)
        stem = question.photo.stem
        ready = [
            gr.DownloadButton(value=save_bytes_to_cache(content, name, button.GRADIO_CACHE), interactive=True)
            for button, name, content in zip(
                self._buttons,
                (f"{stem}_boxes.png", f"{stem}.json", f"{stem}_coco.json"),
                (picture.getvalue(), _json_bytes(plain), _json_bytes(coco)),
                strict=True,
            )
        ]
        snippets = [
            {"title": "Python", "code": python_snippet(question)},
            {"title": "Python, through this page", "code": client_snippet(question), "address": ADDRESS},
            {"title": "curl", "code": curl_snippet(question), "address": ADDRESS},
            {"title": "JSON", "code": json.dumps(plain, ensure_ascii=False, indent=2)},
        ]
        return [*ready, snippets]


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
