"""The tab Search without a browser: what its listeners answer."""

import gradio as gr
import pytest
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer
from PIL import Image

from sspe.web.page import build_app
from sspe.web.shelves import Shelves


@pytest.fixture
def listener(album, monkeypatch):
    """listener(name, *inputs, **event data) -> what that listener of the page gives."""
    monkeypatch.setattr("sspe.web.example_answers.examples", list)
    app = build_app(FakeLocalizer(), shelves=Shelves(FakeLocalizer(), FakeCollection(album), FakeCollection.build))

    def call(name, *inputs, **data):
        function = next(fn.fn for fn in app.fns.values() if fn.fn is not None and fn.fn.__name__ == name)
        return function(*inputs, gr.EventData(None, data)) if data else function(*inputs)

    return call


def test_a_tile_opens_in_the_other_tab_with_its_phrases(listener):
    tabs, photo, sentence, view, last, *_ = listener("open_photo", "boxes", key="", photo=1, sentence="a dog")
    assert tabs.selected == "localize"
    with Image.open(photo) as shown:
        assert shown.size == (120, 160)
    assert sentence == "a dog" and len(view["phrases"]) == 1
    assert str(last.question.photo) == photo


def test_a_tile_without_phrases_opens_the_photo_alone(listener):
    _, photo, sentence, view, last, *_ = listener("open_photo", "taking", key="", photo=0, sentence="")
    assert photo and sentence == "" and view is None and last.question is None


def test_a_photo_that_is_gone_is_one_sentence(listener, album):
    (album / "dog 2019.png").unlink()
    with pytest.raises(gr.Error, match=r"dog 2019.png could not be read .*; index the photos again"):
        listener("open_photo", "boxes", key="", photo=1, sentence="a dog")
    with pytest.raises(gr.Error, match="no longer here"):
        listener("open_photo", "boxes", key="guessed", photo=1, sentence="a dog")


def test_dropped_photos_are_answered_with_their_wall_and_key(listener, album):
    wall, key, field = listener("drop", [str(path) for path in sorted(album.iterdir())[:2]], "")
    assert wall["own"] and wall["dropped"] and wall["key"] == key and len(wall["hits"]) == 2
    assert field is None
    with pytest.raises(gr.Error, match="None of the files is a photo"):
        listener("drop", [], "")
