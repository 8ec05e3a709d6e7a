"""The photo field hands on what it was given, unopened."""

import base64

import gradio as gr
import pytest
from gradio.data_classes import ImageData

from sspe.web.components.photo_input import PhotoInput


def test_photo_input_hands_on_the_file_unopened(tmp_path):
    path = tmp_path / "words.png"
    path.write_text("no picture")
    assert PhotoInput().preprocess(ImageData(path=str(path), orig_name="words.png")) == path
    assert PhotoInput().preprocess(None) is None


def test_photo_input_takes_a_data_uri(tmp_path):
    content = b"any bytes"
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    assert PhotoInput().preprocess(ImageData(url=uri)).read_bytes() == content
    with pytest.raises(gr.Error, match="not valid base64") as caught:
        PhotoInput().preprocess(ImageData(url="data:image/png;base64,???"))
    assert not caught.value.print_exception
