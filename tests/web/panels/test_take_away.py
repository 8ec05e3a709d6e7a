"""Files of the panel "Take it away"."""

import json
from pathlib import Path

import gradio as gr
import pytest
from fake_localizer import FakeLocalizer

from sspe.web.panels.take_away import TakeAway
from sspe.web.service import LocalizeService, Question


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [(0.3, ["a man", "the dog", "a hat"]), (0.9, ["a man"]), (0.0, ["a man", "the dog", "a hat", "the ball"])],
)
def test_the_coco_file_has_no_phrase_that_is_grey(picture, threshold, kept):
    """The stand-in finds the fourth phrase unlikely and does not know the fifth."""
    with gr.Blocks():
        panel = TakeAway(LocalizeService(FakeLocalizer()))
    question = Question(picture, "A man and the dog with a hat on the ball beside a zorblax.", threshold=threshold)
    _, plain, coco, _ = panel.files(question)
    found = json.loads(Path(coco.value["path"]).read_text(encoding="utf-8"))
    assert [category["name"] for category in found["categories"]] == kept
    assert len(found["annotations"]) == len(kept) and found["images"][0]["file_name"] == picture.name
    assert len(json.loads(Path(plain.value["path"]).read_text(encoding="utf-8"))["phrases"]) == 5
