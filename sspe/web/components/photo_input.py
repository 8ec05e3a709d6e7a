"""The photo field: hands on the file unopened, so that the library says in one sentence why it cannot be opened."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path, PurePosixPath

import gradio as gr
from gradio.data_classes import ImageData
from gradio.processing_utils import save_bytes_to_cache

from sspe.web.components.drawn import OwnComponent
from sspe.web.service import GivenPhoto


class PhotoInput(gr.Image, metaclass=OwnComponent):
    """A photo as its file, unopened, and its name."""

    is_template = True  # the browser shows it with Gradio's own image code

    def preprocess(self, payload: ImageData | None) -> GivenPhoto | None:
        """The uploaded file as it came; a data URI sent through the API becomes a file first.

        Gradio keeps a file under a name without signs that a file system may not know; the photo keeps its own.
        """
        if payload is None:
            return None
        if payload.url and payload.url.startswith("data:"):
            try:
                content = base64.b64decode(payload.url.partition(",")[2], validate=True)
            except binascii.Error:
                raise gr.Error(
                    "The data URI of the photo is not valid base64; send it again.", print_exception=False
                ) from None
            return GivenPhoto(Path(save_bytes_to_cache(content, "photo", self.GRADIO_CACHE)), "photo")
        if not payload.path:
            return None
        file = Path(payload.path)
        return GivenPhoto(file, PurePosixPath((payload.orig_name or "").replace("\\", "/")).name or file.name)
