"""The panel "Take it away": files to download, and code that gives the same result again."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from sspe.errors import SspeError
from sspe.web.components.code_blocks import CodeBlocks
from sspe.web.panels.snippets import ADDRESS, client_snippet, curl_snippet, python_snippet
from sspe.web.service import LocalizeService, Question

COCO = "COCO without grey"
NOTHING = "There is no result to take away: localize a sentence first."


class TakeAway:
    """The panel's components, which stand where it is constructed, and what they show.

    Attributes:
        snippets: the blocks of code.
        outputs: all components, in the order of what :meth:`files` returns.
    """

    def __init__(self, service: LocalizeService) -> None:
        self._service = service
        with gr.Row(elem_id="downloads"):
            self._buttons = [
                gr.DownloadButton(title, interactive=False, elem_id=name, min_width=0)
                for title, name in (("Picture (PNG)", "png"), ("JSON", "json-file"), (COCO, "coco"))
            ]
        self.snippets = CodeBlocks(elem_id="snippets")
        self.outputs = [*self._buttons, self.snippets]

    def files(self, question: Question | None) -> list[Any]:
        """Picture, JSON and COCO file, and the snippets, by the question's ``top_k`` and ``threshold``.

        The COCO file has no phrase that the page shows in grey: its readers take every box for a thing that is there.
        """
        no_files = [gr.DownloadButton(value=None, interactive=False)] * len(self._buttons)
        if question is None:
            return [*no_files, [{"title": NOTHING}]]
        try:
            localization, _ = self._service(question.photo, question.sentence, None, question.spans, question.top_k)
        except SspeError as error:
            return [*no_files, [{"title": str(error)}]]
        sure = localization.without_doubtful(question.threshold)
        plain, coco = localization.to_dict(), sure.to_coco(question.photo_name)
        picture = io.BytesIO()
        localization.draw(question.threshold).save(picture, "PNG", compress_level=4)
        stem = Path(question.photo_name).stem
        files = [
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
        return [*files, snippets]


def _json_bytes(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()
