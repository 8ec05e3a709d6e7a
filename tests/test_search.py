"""`sspe index` and `sspe search`: JSON on standard output, words on standard error, exit codes, bad input."""

import json
import shutil

import pytest
from PIL import Image

from sspe import index, search


@pytest.fixture
def run(checkpoint, capsys):
    """run(command, *arguments) -> exit code, what is on standard output as JSON, standard error."""

    def call(command, *arguments):
        options = ["--checkpoint", checkpoint, "--device", "cpu", "--precision", "float32"]
        try:
            code = command.main([str(argument) for argument in (*arguments, *options)])
        except SystemExit as error:  # argparse
            code = error.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, json.loads(out) if out else None, err

    return call


@pytest.fixture
def folder(photos, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        shutil.copy(photos[number], folder / f"{number}.jpg")
    return folder


def test_a_folder_is_indexed_and_searched(run, folder, tmp_path):
    for name in ("notes.txt", ".hidden.jpg"):
        (folder / name).write_text("no photo")
    code, done, err = run(index, folder, "--quiet")
    assert (code, err) == (0, "") and (done["embedded"], done["photos"], done["skipped"]) == (3, 3, [])
    assert done["passed_over"] == run(index, folder, "--quiet")[1]["passed_over"] == 2  # not the index itself
    code, found, err = run(search, folder, "a red hat", "a dog", "--top", "2", "--draw", tmp_path / "drawn")
    assert (code, err) == (0, "") and len(found["hits"]) == 2 and found["searched"] == found["photos"] == 3
    assert [phrase["text"] for phrase in found["hits"][0]["phrases"]] == ["a red hat", "a dog"]
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [file.name[:5] for file in drawn] == ["0001-", "0002-"]
    hit = found["hits"][0]
    assert Image.open(drawn[0]).size == (hit["width"], hit["height"])


def test_more_like_a_region(run, folder):
    run(index, folder, "--quiet")
    whole = Image.open(folder / "1.jpg").size  # a region that is kept; one that is made anew may be likest to another
    code, found, _ = run(search, folder, "--like", "1.jpg", "0", "0", *whole, "--top", "1")
    assert code == 0 and found["hits"][0]["path"] == "1.jpg"
    code, _, err = run(search, folder, "--like", "1.jpg", "0", "0", "x", "20")
    assert code == 2 and "is not four numbers" in err


def test_hits_as_coco(run, folder):
    run(index, folder, "--quiet")
    code, found, _ = run(search, folder, "a dog", "--format", "coco")
    assert code == 0 and len(found["images"]) == len(found["annotations"]) == 3
    assert found["categories"] == [{"id": 1, "name": "a dog", "supercategory": "dog"}]


def test_a_file_that_cannot_be_read_is_reported_with_its_reason(run, folder):
    (folder / "broken.jpg").write_bytes(b"no picture")
    code, done, err = run(index, folder, "--quiet")
    assert code == 1 and done["embedded"] == 3
    assert done["skipped"] == [{"path": "broken.jpg", "reason": done["skipped"][0]["reason"]}]
    assert err.startswith("broken.jpg was skipped: ") and err.count("\n") == 1
    code, found, err = run(search, folder, "a dog")
    assert code == 0 and found["skipped"] == done["skipped"]
    assert err == "1 files could not be indexed and were not searched.\n"


def test_a_folder_that_is_away_keeps_its_index(run, folder, tmp_path):
    place = tmp_path / "index"
    run(index, folder, "--index", place, "--quiet")
    shutil.rmtree(folder)
    code, done, err = run(index, folder, "--index", place, "--quiet")
    assert code == 1 and done["offline"] and done["photos"] == 3 and "missing or empty" in err
    code, found, err = run(search, place, "a dog", "--draw", tmp_path / "drawn")
    assert code == 1 and len(found["hits"]) == 3 and err.count("There is no file") == 3


def test_a_folder_without_a_photo_says_so(run, tmp_path):
    (tmp_path / "notes.txt").write_text("no photo")
    code, done, err = run(index, tmp_path, "--quiet")
    assert (code, done["photos"]) == (1, 0)
    assert err.startswith(f"There is no photo in {tmp_path}: looked for .") and err.count("\n") == 1


def test_parts_share_the_work(run, folder):
    for part in ("1/2", "2/2"):
        assert run(index, folder, "--part", part, "--quiet")[0] == 0
    code, found, _ = run(search, folder, "a dog")
    assert code == 0 and found["photos"] == 3


def test_a_word_that_is_not_known_is_said(run, folder):
    run(index, folder, "--quiet")
    code, found, err = run(search, folder, "a zorblax")
    assert code == 1 and found["hits"] == []
    assert err == "The model does not know the word of 'a zorblax', so it can tell nothing about it.\n"


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        (search, ("nowhere", "a dog"), "nowhere; make one with `sspe index nowhere`"),
        (search, ("nowhere",), "one of the two"),
        (search, ("nowhere", "a dog", "--like", "a.jpg", "0", "0", "1", "1"), "one of the two"),
        (search, ("nowhere", "--like", "a.jpg", "0", "0", "1", "1", "--at-least", "0.5"), "leave them out"),
        (index, ("nowhere",), "There is no folder nowhere"),
        (index, ("nowhere", "--part", "3/2"), "is no part"),
    ],
)
def test_wrong_usage_is_one_sentence(run, command, arguments, said):
    code, out, err = run(command, *arguments)
    assert code == 2 and out is None and said in err
