"""The photo field: hands on the file unopened, so that the library says in one sentence why it cannot be opened."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache


class PhotoInput(gr.Image):
    """A photo as the path of its file, unopened."""

    is_template = True  # the browser shows it with Gradio's own image code

    def preprocess(self, payload: ImageData | None) -> Path | None:
        """The uploaded file as it came; a data URI sent through the API becomes a file first."""
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                content = base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error:
                raise gr.Error(
                    "The data URI of the photo is not valid base64; send it again.", print_exception=False
                ) from None
            return Path(save_bytes_to_cache(content, "photo", self.GRADIO_CACHE))
        return Path(payload.path) if payload.path else None
