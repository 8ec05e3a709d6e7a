"""The served page as programs see it: `/localize` through gradio_client."""

import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_localizer import FakeLocalizer
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from sspe.web.examples import examples

SENTENCE = 'The  man with a hat, and "the dog" ☂.'


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


def test_json_whose_spans_cut_the_sentence_verbatim(client, picture):
    found = client.predict(photo=handle_file(picture), sentence=SENTENCE, api_name="/localize")
    assert (found["width"], found["height"], found["sentence"]) == (64, 48, SENTENCE)
    assert [p["text"] for p in found["phrases"]] == ["The  man", "a hat", "the dog"]
    for phrase in found["phrases"]:
        assert SENTENCE[phrase["start"] : phrase["end"]] == phrase["text"]
        x1, y1, x2, y2 = phrase["box"]
        assert 0 <= x1 < x2 <= 64
        assert 0 <= y1 < y2 <= 48
        assert 0 < phrase["confidence"] < 1 and 0 < phrase["present"] < 1
    json.dumps(found)


def test_no_noun_phrase_is_an_empty_list(client, picture):
    assert client.predict(handle_file(picture), "Wow!", api_name="/localize")["phrases"] == []


def test_localize_and_search_are_public(client):
    described = client.view_api(return_format="dict")
    assert list(described["named_endpoints"]) == ["/localize", "/search"]
    assert not described["unnamed_endpoints"]
    endpoint = described["named_endpoints"]["/localize"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ["photo", "sentence", "phrases", "top_k"]
    assert "Localize the phrases of a sentence" in endpoint["description"]
    assert [p["parameter_has_default"] for p in endpoint["parameters"][2:]] == [True, True]
    endpoint = described["named_endpoints"]["/search"]
    assert [p["parameter_name"] for p in endpoint["parameters"]] == ["phrases", "without", "top", "at_least"]
    assert [p["parameter_has_default"] for p in endpoint["parameters"][1:]] == [True, True, True]


def test_phrases_of_the_callers_own(client, picture):
    ask = {"photo": handle_file(picture), "sentence": "A man with a hat.", "api_name": "/localize"}
    found = client.predict(**ask, phrases=[[2, 5], [13, 16]], top_k=3)
    assert [p["text"] for p in found["phrases"]] == ["man", "hat"]
    assert [len(p["candidates"]) for p in found["phrases"]] == [3, 3]
    assert client.predict(**ask, phrases=[])["phrases"] == []
    assert [p["text"] for p in client.predict(**ask)["phrases"]] == ["A man", "a hat"]
    assert len(client.predict(**ask)["phrases"][0]["candidates"]) == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"phrases": [[5, 2]]}, "No word stands at 5 to 2 of the sentence, which has 17 characters"),
        ({"phrases": [["a", "b"]]}, "give .start, end., two whole numbers"),
        ({"phrases": {"text": "hat"}}, "give a list of"),
        ({"top_k": 99}, "top_k is 99|99 is greater than"),
    ],
)
def test_bad_phrases_are_one_sentence(client, picture, asked, message):
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(picture), "A man with a hat.", **asked, api_name="/localize")


@pytest.mark.parametrize(
    ("sentence", "message"),
    [("", "The sentence is empty"), ("x" * 1001, "has 1,001 characters and the limit is 1,000")],
)
def test_bad_sentences_are_one_sentence_to_callers_and_no_traceback_in_the_log(
    client, picture, capfd, sentence, message
):
    with pytest.raises(AppError, match=message):
        client.predict(handle_file(picture), sentence, api_name="/localize")
    assert "Traceback" not in "".join(capfd.readouterr())


def test_bad_photos_are_one_sentence_to_callers_and_no_traceback_in_the_log(client, picture, tmp_path, capfd):
    words = tmp_path / "words.png"
    words.write_text("this is no picture")
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 10_000)).save(huge)
    truncated = tmp_path / "cut.png"
    truncated.write_bytes(picture.read_bytes()[:-60])
    for path, message in (
        (words, "words.png is not a picture"),
        (huge, "megapixel"),
        (truncated, "cut.png is a damaged"),
    ):
        with pytest.raises(AppError, match=message) as caught:
            client.predict(handle_file(path), SENTENCE, api_name="/localize")
        assert "gradio" not in str(caught.value)  # nor any folder of the server
    with pytest.raises(AppError, match="There is no photo yet"):
        client.predict(None, SENTENCE, api_name="/localize")
    assert "Traceback" not in "".join(capfd.readouterr())


def _call(server: str, *arguments: object, name: str = "localize") -> tuple[str, Any]:
    """The last event of a plain HTTP call, as curl would make it, and its data."""
    url = f"{server}gradio_api/call/{name}"
    event = httpx.post(url, json={"data": arguments}).raise_for_status().json()["event_id"]
    answer = httpx.get(f"{url}/{event}", timeout=30).text
    return answer.partition("event: ")[2].partition("\n")[0], json.loads(answer.partition("data: ")[2])


def _data_uri(picture: Path) -> dict:
    from sspe.vision.photo import open_photo
    from sspe.web.service import preview_uri

    return {"url": preview_uri(open_photo(picture)), "meta": {"_type": "gradio.FileData"}}


def test_files_of_the_server_are_out_of_reach(server):
    for path in (str(Path(__file__)), "/etc/hostname"):
        event, answer = _call(server, {"path": path, "meta": {"_type": "gradio.FileData"}}, SENTENCE, None, 1)
        assert event == "error" and "A file of the call is none that was uploaded here" in answer["error"]
        assert "phrases" not in answer


def test_photo_as_a_data_uri(server, picture):
    event, (found,) = _call(server, _data_uri(picture), SENTENCE, None, 1)
    assert event == "complete" and found["width"] == 64


def test_arguments_that_have_defaults_may_be_left_out(server, picture):
    photo = _data_uri(picture)
    whole = _call(server, photo, SENTENCE, None, 1)
    assert _call(server, photo, SENTENCE) == _call(server, photo, SENTENCE, None) == whole
    assert [phrase["text"] for phrase in _call(server, photo, SENTENCE, [[5, 8]])[1][0]["phrases"]] == ["man"]
    event, (found,) = _call(server, "a cat", name="search")
    assert event == "complete" and [hit["photo"] for hit in found["hits"]] == ["cat.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "The call lacks photo and sentence; its arguments are photo, sentence, phrases, top_k, in this order."),
        ((None,), "The call lacks sentence; its arguments are photo"),
        ((None, SENTENCE), "There is no photo yet"),
        ((None, " "), "The sentence is empty"),
        (("photo.jpg", SENTENCE), "An argument of the call could not be read"),
        (({"path": 7}, SENTENCE), "An argument of the call could not be read"),
        ((None, SENTENCE, None, "many"), "An argument of the call could not be read"),
    ],
)
def test_every_error_of_a_plain_call_has_its_sentence(server, capfd, arguments, message):
    event, answer = _call(server, *arguments)
    assert event == "error" and message in answer["error"] and "\n" not in answer["error"]
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_fault_of_ours_has_a_sentence_too_and_its_trace_in_the_log(server, picture, monkeypatch, capfd):
    def faulty(*_, **__):
        raise ZeroDivisionError("a secret of the server")

    monkeypatch.setattr(FakeLocalizer, "ground", faulty)
    event, answer = _call(server, _data_uri(picture), SENTENCE)
    assert (
        event == "error"
        and answer["error"] == "Something went wrong here, and the log of the page says what; ask again."
    )
    assert "a secret of the server" in "".join(capfd.readouterr())


def test_uploads_keep_their_own_results(client, picture, tmp_path):
    """Two photos and two sentences in turn: each answer is about what was sent."""
    wide = tmp_path / "wide.png"
    Image.new("RGB", (200, 20), "green").save(wide)
    copy = tmp_path / "copy.png"
    shutil.copy(picture, copy)
    jobs = [
        (path, text, client.submit(handle_file(path), text, api_name="/localize"))
        for path in (wide, picture, copy)
        for text in ("A man.", "The dog and a cat.")
    ]
    for path, text, job in jobs:
        found = job.result(timeout=30)
        assert (found["width"], found["height"]) == Image.open(path).size
        assert found["sentence"] == text


def test_search(client):
    found = client.predict(phrases="a cat", api_name="/search")
    assert [hit["photo"] for hit in found["hits"]] == ["cat.jpg"]
    assert found["hits"][0]["phrases"][0]["text"] == "a cat" and "file" not in found["hits"][0]
    assert (found["photos"], found["searched"]) == (len(examples()), len(examples()))
    assert client.predict(["a cat", "a flower"], api_name="/search")["hits"] == []
    assert client.predict("a cat", ["a cat"], api_name="/search")["excluded"] == 1


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"phrases": None}, "give these"),
        ({"phrases": " "}, "phrase of the search is empty"),
        ({"phrases": "a cat", "top": 0}, "whole number from 1 to 1200"),
        ({"phrases": "a cat", "at_least": 7}, "number from 0 to 1"),
    ],
)
def test_bad_searches_are_one_sentence(client, asked, message):
    with pytest.raises(AppError, match=message):
        client.predict(**asked, api_name="/search")
