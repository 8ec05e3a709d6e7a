"""Annotation files that are damaged or hostile: the reader gives boxes inside the photo, or one sentence."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import ODD, mutated, outcome
from PIL import Image

from sspe.data.captions import open_captions
from sspe.data.entities import parse_sentence, read_annotation, read_unrelated
from sspe.data.jsonl import JsonLines

WIDTH, HEIGHT = 200, 160
NUMBERS = st.one_of(
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.sampled_from(["", " ", "nan", "-inf", "1e300", "9" * 400, "1_0", "٣", "0x10", "1,5", "–1"]),
)
SEEDS = st.integers(0, 2**32)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(ODD, max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(ODD, max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with one photo, in which the tests write the file they read."""
    made = tmp_path_factory.mktemp("data")
    Image.new("RGB", (WIDTH, HEIGHT)).save(made / "1.jpg")
    return made


def annotation(boxes, frame=(100, 80), before: str = "") -> str:
    corners = ("xmin", "ymin", "xmax", "ymax")
    things = "".join(
        "<object><name>7</name><bndbox>"
        + "".join(f"<{name}>{edge}</{name}>" for name, edge in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    size = f"<size><width>{frame[0]}</width><height>{frame[1]}</height></size>"
    return f"{before}<annotation>{size}{things}</annotation>"


def check_boxes(file: Path) -> None:
    """The boxes read from an annotation lie in the photo, or one sentence names the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an overflow is no way to notice a number that is too large
        found = outcome(lambda: read_annotation(file, WIDTH, HEIGHT))
    if isinstance(found, str):
        assert file.name in found
        return
    for boxes in found.values():
        assert boxes.dtype == np.float32 and len(boxes) and (boxes[:, :2] < boxes[:, 2:]).all()
        assert (boxes >= 0).all() and (boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=4), st.tuples(NUMBERS, NUMBERS))
def test_xml_with_any_numbers(folder, boxes, frame):
    (folder / "1.xml").write_text(annotation(boxes, frame))
    check_boxes(folder / "1.xml")


@given(SEEDS)
def test_damaged_xml(folder, seed):
    (folder / "1.xml").write_bytes(mutated(annotation([(1, 1, 50, 40), (3, 9, 8, 12)]).encode(), seed))
    check_boxes(folder / "1.xml")


ENTITIES = '<!DOCTYPE l [<!ENTITY a0 "aaaaaaaaaa">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12)
)
HOSTILE = {
    "entities that grow tenfold twelve times": annotation([], before=f"{ENTITIES}]>") + "<a>&a11;</a>",
    "one long entity many times": annotation([], before=f'<!DOCTYPE l [<!ENTITY a "{"a" * 50_000}">]>').replace(
        "</annotation>", f"<object><name>{'&a;' * 50_000}</name></object></annotation>"
    ),
    "a file of the server as an entity": '<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation>&a;'
    "</annotation>",
    "elements in elements": "<object>" * 50_000 + "</object>" * 50_000,
    "things in things": annotation([]).replace("</ann", "<object>" * 30_000 + "</object>" * 30_000 + "</ann"),
    "ten thousand attributes": "<a " + " ".join(f'b{i}="1"' for i in range(10_000)) + "/>",
    "three thousand boxes": annotation([(1, 1, 5, 5)] * 3_000),
    "an encoding nobody knows": '<?xml version="1.0" encoding="utf-99"?><a/>',
    "an encoding that is none of text": '<?xml version="1.0" encoding="rot13"?><a/>',
    "an encoding of several bytes": '<?xml version="1.0" encoding="big5"?><a/>',
    "an encoding of domains": '<?xml version="1.0" encoding="idna"?><a/>',
    "a page": "<!doctype html><html><body>Not found<br></body></html>",
    "reversed boxes": annotation([(50, 40, 1, 1)]),
    "no frame": "<annotation/>",
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml(folder, name):
    (folder / "1.xml").write_text(HOSTILE[name])
    check_boxes(folder / "1.xml")


BRACKETS = st.lists(
    st.sampled_from(
        ["[", "]", "/EN#", "/EN#1/people ", "A man", " ", "\u2028", "\u202e", "é", "🐢", "[/EN#1/other a]", "/"]
    )
).map("".join)


@given(BRACKETS | st.text(ODD))
def test_brackets_of_any_kind(line):
    found = outcome(lambda: parse_sentence(line, {}, 0, "1.txt, line 1"))
    if isinstance(found, str):
        assert found.startswith("1.txt, line 1 has")
    else:
        assert all(found.text[phrase.start : phrase.end] == phrase.text for phrase in found.phrases)


@pytest.mark.parametrize("line", ["[" * 100_000, "[/EN#1/other a]" * 10_000, "[/EN#1" + "/a" * 50_000 + " b]"])
def test_long_brackets(line):
    outcome(lambda: parse_sentence(line, {}, 0, "1.txt, line 1"))


@given(SEEDS)
def test_damaged_lists_of_captions(folder, seed):
    (folder / "unrelated").write_bytes(mutated(b"1001 3\n1002 4\n# a remark\n1003 5\n", seed))
    outcome(lambda: read_unrelated(folder / "unrelated"))


LINE = {"photo": "1.jpg", "sentence": "A man in a hat.", "phrases": [{"start": 0, "end": 5, "boxes": [[1, 2, 30, 40]]}]}


def check_lines(file: Path) -> None:
    """The phrases read cut their sentence and their boxes lie in the photo, or one sentence names the file."""
    found = outcome(lambda: JsonLines(file)[0])
    if isinstance(found, str):
        assert file.name in found or "photo" in found
        return
    for sentence in found.sentences:
        for phrase in sentence.phrases:
            assert sentence.text[phrase.start : phrase.end] == phrase.text
            assert (phrase.boxes >= 0).all() and (phrase.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()


@given(SEEDS)
def test_damaged_json_lines(folder, seed):
    (folder / "lines.jsonl").write_bytes(mutated((json.dumps(LINE) + "\n").encode() * 2, seed))
    check_lines(folder / "lines.jsonl")


@given(
    VALUES, st.sampled_from(["photo", "sentence", "phrases", "boxes", "box", "start", "types", "chain", "text", "line"])
)
def test_json_lines_with_any_values(folder, value, place):
    phrase = {"start": 0, "end": 5, "boxes": [[1, 2, 30, 40]]}
    line = {**LINE, "phrases": [phrase]}
    if place in ("photo", "sentence", "phrases"):
        line[place] = value
    elif place == "box":
        phrase["boxes"] = [value]
    else:
        phrase[place] = value
    (folder / "lines.jsonl").write_text(json.dumps(value if place == "line" else line))
    check_lines(folder / "lines.jsonl")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"photo": ' * 50_000,
        "9" * 10_000,
        '{"photo": "1.jpg", "sentence": "\\ud800", "phrases": []}',
        "\0",
    ],
)
def test_hostile_json_lines(folder, text):
    (folder / "lines.jsonl").write_text(text)
    check_lines(folder / "lines.jsonl")


KARPATHY = {
    "images": [{"filename": "1.jpg", "split": "val", "sentences": [{"raw": "A man.", "sentid": i} for i in range(5)]}]
}
COCO = {
    "images": [{"id": 1, "file_name": "1.jpg"}],
    "annotations": [{"id": i, "image_id": 1, "caption": "A man."} for i in range(5)],
}
TOKENS = "".join(f"1.jpg#{i}\tA man .\n" for i in range(5))
CAPTION_FILES = {
    "dataset_fuzz.json": json.dumps(KARPATHY),
    "captions_val2014.json": json.dumps(COCO),
    "Flickr8k.token.txt": TOKENS,
}


def check_captions(file: Path) -> None:
    found = outcome(lambda: open_captions(file, "val"))
    if not isinstance(found, str):
        assert all(len(photo.sentences) == 5 and photo.path.is_file() for photo in found)


@given(SEEDS, st.sampled_from(sorted(CAPTION_FILES)))
def test_damaged_captions(folder, seed, name):
    (folder / name).write_bytes(mutated(CAPTION_FILES[name].encode(), seed))
    check_captions(folder / name)


@given(VALUES, st.sampled_from(["images", "annotations", "image", "annotation", "sentence", "id", "caption", "all"]))
def test_captions_with_any_values(folder, value, place):
    for name in ("dataset_fuzz.json", "captions_val2014.json"):
        content = json.loads(CAPTION_FILES[name])
        image = content["images"][0]
        if place == "all":
            content = value
        elif place in ("images", "annotations"):
            content[place] = value
        elif place == "image":
            content["images"] = [value]
        elif place == "annotation":
            content["annotations"] = [value]
        elif place == "sentence":
            image["sentences"] = [value]
        elif place == "id":
            image |= {"id": value, "filename": value, "file_name": value, "filepath": value, "split": value}
        else:
            content["annotations"] = [{"id": value, "image_id": value, "caption": value}]
        (folder / name).write_text(json.dumps(content))
        check_captions(folder / name)
