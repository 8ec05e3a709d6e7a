"""The page put together: its parts, its examples, and app.py with and without a checkpoint."""

import runpy
import sys
import types
from pathlib import Path

import gradio as gr
import pytest
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer
from PIL import Image

from sspe.errors import CheckpointError, CollectionError, SspeError
from sspe.web.example_answers import ExampleAnswers
from sspe.web.examples import ASSETS, examples
from sspe.web.page import build_app, launch_settings
from sspe.web.service import LocalizeService

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_example_is_ready_when_the_page_is_built_the_others_after_it():
    localizer, order = FakeLocalizer(), []
    answers = ExampleAnswers(LocalizeService(localizer))
    config = build_app(localizer, answers=answers).get_config_file()
    assert localizer.seen == 1
    assert answers[3].question.sentence == examples()[3].sentence and localizer.seen == 2  # it was chosen
    answers.begin(then=lambda: order.append(localizer.seen)).join(30)
    assert order == [len(examples())] and localizer.seen == len(examples())  # each of them once
    assert answers[3].data["phrases"] and localizer.seen == len(examples())
    by_id = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    first = examples()[0]
    assert by_id["sentence"]["value"] == first.sentence
    assert Path(by_id["photo"]["value"]["path"]).name == first.photo.name
    assert by_id["view"]["value"]["phrases"]


def test_listeners_other_than_the_endpoints_are_private():
    config = build_app(FakeLocalizer()).get_config_file()
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] == "public"]
    assert public == ["localize", "search"]
    assert {d["api_visibility"] for d in config["dependencies"]} == {"public", "private"}


def test_page_without_examples_opens_empty(monkeypatch):
    monkeypatch.setattr("sspe.web.example_answers.examples", list)
    config = build_app(FakeLocalizer()).get_config_file()
    by_id = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    assert by_id["view"].get("value") is None
    assert by_id["photo"].get("value") is None


def test_example_photos_are_small_and_their_licences_are_stated():
    shown = examples()
    assert len(shown) >= 8
    licences = (ASSETS / "LICENSES.md").read_text(encoding="utf-8")
    for example in shown:
        with Image.open(example.photo) as image:
            assert (image.format, max(image.size) <= 1024) == ("JPEG", True)
        assert example.photo.stat().st_size < 200_000
        assert f"`{example.photo.name}`" in licences
        assert 20 < len(example.sentence) < 200
    assert {path.name for path in ASSETS.glob("*.jpg")} == {example.photo.name for example in shown}


def test_examples_show_where_it_fails_and_what_is_not_there():
    badges = [example.badge for example in examples() if example.badge]
    assert {"Fails", "Not there"} == set(badges)
    for example in examples():
        assert bool(example.badge) == bool(example.note)
        assert not example.note or example.note.endswith(".")


def test_nothing_is_kept_sent_or_shared():
    settings = launch_settings()
    assert (settings["run_history"], settings["share"], settings["ssr_mode"]) == (False, False, False)
    assert "googleapis" not in str(settings["theme"]._stylesheets)
    assert settings["state_session_capacity"] < 1000


@pytest.fixture
def run_app(monkeypatch):
    """Run app.py against a given `from_pretrained` and return the page it launched."""

    def run(from_pretrained, *arguments):
        launched = []
        import sspe.web.page  # noqa: F401 (before the localizer is another: it annotates with the true one)

        monkeypatch.setattr(sys, "argv", ["app.py", *arguments])
        module = types.ModuleType("sspe.localizer")
        module.Localizer = types.SimpleNamespace(from_pretrained=from_pretrained)
        monkeypatch.setitem(sys.modules, "sspe.localizer", module)
        monkeypatch.setattr("sspe.web.shelves.Shelves.begin", lambda self: None)
        monkeypatch.setattr(gr.Blocks, "launch", lambda self, **settings: launched.append(self))
        monkeypatch.setattr(gr.Blocks, "block_thread", lambda self: None)
        runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
        (app,) = launched
        return app

    return run


def test_app_takes_the_checkpoint_from_the_environment(run_app, monkeypatch):
    asked = []

    def from_pretrained(name_or_path=None):
        asked.append(name_or_path)
        return FakeLocalizer()

    monkeypatch.delenv("SSPE_CHECKPOINT", raising=False)
    run_app(from_pretrained)
    monkeypatch.setenv("SSPE_CHECKPOINT", "some/where.safetensors")
    run_app(from_pretrained)
    assert asked == [None, "some/where.safetensors"]


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("There is no checkpoint; train one."),
        SspeError("OpenCV here has no ximgproc module; install it."),
    ],
)
def test_app_without_a_localizer_is_a_page_that_says_so(run_app, error):
    def from_pretrained(name_or_path=None):
        raise error

    config = run_app(from_pretrained).get_config_file()
    values = [part["props"].get("value") for part in config["components"]]
    assert {"error": str(error)} in values
    assert not config["dependencies"]


def test_app_opens_the_collection_it_is_given(run_app, monkeypatch, album):
    monkeypatch.setattr("sspe.collection.Collection.open", lambda place, localizer: FakeCollection(place))
    app = run_app(lambda name_or_path=None: FakeLocalizer(), "--collection", str(album))
    search = next(d for d in app.get_config_file()["dependencies"] if d["api_name"] == "search")
    found = app.fns[search["id"]].fn(["a dog"], None, 9, None)
    assert (found["photos"], len(found["hits"])) == (6, 3)


def test_app_without_the_collections_index_says_so_and_ends(run_app, monkeypatch):
    def open_collection(place, localizer):
        raise CollectionError(f"There is no index at {place}; make one.")

    monkeypatch.setattr("sspe.collection.Collection.open", open_collection)
    with pytest.raises(SystemExit, match=r"There is no index at nowhere; make one."):
        run_app(lambda name_or_path=None: FakeLocalizer(), "--collection", "nowhere")
