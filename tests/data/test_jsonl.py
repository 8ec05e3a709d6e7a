"""People's own data as JSON Lines."""

import json

import numpy as np
import pytest
from PIL import Image

from sspe.data import open_dataset
from sspe.data.jsonl import JsonLines
from sspe.errors import DataError

GOOD = {"photo": "a.png", "sentence": "A cook stirs a pot", "phrases": [[0, 6, [[1, 2, 30, 40]]]]}


def write(folder, *lines, name="val.jsonl"):
    """A .jsonl file beside two photos of 60 x 50 pixels; lines are objects or raw text."""
    for photo in ("a.png", "b.png"):
        Image.new("RGB", (60, 50)).save(folder / photo)
    file = folder / name
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    file.write_text(text, encoding="utf-8")
    return file


def test_long_and_short_phrases_and_lines_of_one_photo(tmp_path):
    long = {"start": 13, "end": 18, "boxes": [[1.5, 2, 30, 40], [3, 4, 5, 6]], "types": ["other"], "chain": 7}
    file = write(
        tmp_path,
        GOOD,
        {"photo": "b.png", "sentence": "Nothing", "phrases": []},
        "",
        {"photo": "a.png", "sentence": "A cook stirs a pot", "phrases": [long, [2, 6, []]]},
    )
    photos = JsonLines(file)
    assert [photo.id for photo in photos] == ["a.png", "b.png"] and photos[1].path == tmp_path / "b.png"
    first, second = photos[0].sentences
    assert (first.index, second.index) == (0, 3) and photos[1].sentences[0].phrases == ()
    assert first.phrases[0].text == "A cook" and first.phrases[0].types == ()
    pot, cook = second.phrases
    assert (pot.text, pot.types, pot.chain) == ("a pot", ("other",), "7")
    np.testing.assert_array_equal(pot.boxes, [[1.5, 2, 30, 40], [3, 4, 5, 6]])
    assert cook.boxes.shape == (0, 4) and cook.chain not in (first.phrases[0].chain, "0")


def test_boxes_are_clipped_to_the_photo(tmp_path):
    phrase = JsonLines(write(tmp_path, {**GOOD, "phrases": [[0, 6, [[-3, 10, 99, 99]]]]}))[0].sentences[0].phrases[0]
    np.testing.assert_array_equal(phrase.box, [0, 10, 60, 50])


def test_photo_paths_absolute_and_from_another_folder(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write(tmp_path, GOOD)
    file = other / "mine.jsonl"
    file.write_text(json.dumps(GOOD))
    assert open_dataset(file, photos=tmp_path)[0].path == tmp_path / "a.png"
    file.write_text(json.dumps({**GOOD, "photo": str(tmp_path / "b.png")}))
    assert open_dataset(file)[0].path == tmp_path / "b.png"


def test_splits_limit_and_ids(tmp_path):
    write(tmp_path, GOOD, {**GOOD, "photo": "b.png"}, name="train.jsonl")
    assert [p.id for p in open_dataset(tmp_path, "train")] == ["a.png", "b.png"]
    assert [p.id for p in open_dataset(tmp_path, "train", limit=1)] == ["a.png"]
    (tmp_path / "ids").write_text("b.png\n")
    assert [p.id for p in open_dataset(tmp_path, "train", ids_file=tmp_path / "ids")] == ["b.png"]
    (tmp_path / "ids").write_text("c.png\n")
    with pytest.raises(DataError, match=r"has no photo 'c.png'"):
        open_dataset(tmp_path, "train", ids_file=tmp_path / "ids")
    with pytest.raises(DataError, match="no split 'val'; the splits there are train"):
        open_dataset(tmp_path, "val")


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither the folder Annotations nor .jsonl files"):
        open_dataset(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"does not end in .jsonl"):
        open_dataset(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="names no photo"):
        open_dataset(write(tmp_path, "", "  "))
    with pytest.raises(DataError, match="limit is -1"):
        open_dataset(write(tmp_path, GOOD), limit=-1)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "expected an object"),
        ({"sentence": "x", "phrases": []}, 'null as "photo"'),
        ({**GOOD, "sentence": " "}, 'as "sentence"'),
        ({**GOOD, "phrases": None}, 'null as "phrases"'),
        ({**GOOD, "phrases": [[0, 6]]}, "the phrase [0, 6]"),
        ({**GOOD, "phrases": [{"start": 0, "end": 6}]}, "the phrase"),
        ({**GOOD, "phrases": [[0, 99, []]]}, "from 0 to 99, but its sentence has the characters 0 to 18"),
        ({**GOOD, "phrases": [[-1, 6, []]]}, "from -1 to 6"),
        ({**GOOD, "phrases": [[6, 6, []]]}, "from 6 to 6"),
        ({**GOOD, "phrases": [[0.0, 6, []]]}, "from 0.0 to 6"),
        ({**GOOD, "phrases": [[True, 6, []]]}, "from true to 6"),
        ({**GOOD, "phrases": [{"start": 0, "end": 6, "boxes": [], "text": "a cook"}]}, 'cut "A cook"'),
        ({**GOOD, "phrases": [[0, 6, None]]}, 'null as boxes of "A cook"'),
        ({**GOOD, "phrases": [[0, 6, [1, 2, 30, 40]]]}, 'the box 1 for "A cook"'),
        ({**GOOD, "phrases": [[0, 6, [[1, 2, 30]]]]}, "the box [1, 2, 30]"),
        ({**GOOD, "phrases": [[0, 6, [[1, 2, 30, "40"]]]]}, "four numbers"),
        ({**GOOD, "phrases": [[0, 6, [[1, 2, 30, float("nan")]]]]}, "four numbers"),
        ({**GOOD, "phrases": [[0, 6, [[1, 2, 30, 10**400]]]]}, "four numbers"),
        ({**GOOD, "phrases": [[0, 6, [[30, 2, 30, 40]]]]}, "must be above"),
        ({**GOOD, "phrases": [{"start": 0, "end": 6, "boxes": [], "types": "people"}]}, 'as "types"'),
        ({**GOOD, "photo": "gone.png"}, "no file is there"),
        ({**GOOD, "photo": "b.png", "phrases": [[0, 6, [[70, 2, 80, 40]]]]}, "outside its photo of 60 x 50 pixels"),
    ],
)
def test_bad_lines_are_named_with_file_and_line(tmp_path, line, said):
    file = write(tmp_path, GOOD, line)
    with pytest.raises(DataError) as error:
        list(JsonLines(file))
    assert said in str(error.value) and "val.jsonl, line 2" in str(error.value) and "\n" not in str(error.value)
