"""The photo field hands on what it was given, unopened."""

import base64

import gradio as gr
import pytest
from gradio.data_classes import ImageData

from sspe.web.components.photo_input import PhotoInput
from sspe.web.service import GivenPhoto


def test_photo_input_hands_on_the_file_unopened(tmp_path):
    path = tmp_path / "words.png"
    path.write_text("no picture")
    assert PhotoInput().preprocess(ImageData(path=str(path), orig_name="words.png")) == GivenPhoto(path, "words.png")
    assert PhotoInput().preprocess(None) is None and PhotoInput().preprocess(ImageData()) is None


@pytest.mark.parametrize(
    ("called", "name"),
    [("it's a photo, ok.png", "it's a photo, ok.png"), (None, "its a photo.png"), ("", "its a photo.png"),
     ("C:\\pictures\\a.png", "a.png"), ("../../b.png", "b.png"), ("/", "its a photo.png")],
)  # fmt: skip
def test_a_photo_keeps_its_own_name(tmp_path, called, name):
    path = tmp_path / "its a photo.png"  # as Gradio keeps it
    assert PhotoInput().preprocess(ImageData(path=str(path), orig_name=called)) == GivenPhoto(path, name)


def test_photo_input_takes_a_data_uri(tmp_path):
    content = b"any bytes"
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    given = PhotoInput().preprocess(ImageData(url=uri))
    assert given.file.read_bytes() == content and given.name == "photo"
    with pytest.raises(gr.Error, match="not valid base64") as caught:
        PhotoInput().preprocess(ImageData(url="data:image/png;base64,???"))
    assert not caught.value.print_exception
