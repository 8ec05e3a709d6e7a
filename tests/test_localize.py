"""`sspe localize`: JSON on standard output, words on standard error, exit codes, drawings, bad input."""

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sspe.localize import main
from sspe.localizer import Localizer
from sspe.results import PRESENT_THRESHOLD

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = "A man in a red hat beside “the dog” ☂."
TEXTS = ["A man", "a red hat", "the dog"]


@pytest.fixture
def run(checkpoint, capsys):
    """run(*arguments) -> exit code, standard output, standard error, of `sspe localize` with the tiny checkpoint."""

    def localize(*arguments, checkpoint=checkpoint):
        options = ["--checkpoint", checkpoint, "--device", "cpu", "--precision", "float32"]
        try:
            code = main([str(argument) for argument in (*options, *arguments)])
        except SystemExit as error:  # argparse
            code = error.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return localize


def one_sentence(err: str) -> str:
    assert err.endswith("\n") and err.count("\n") == 1, err
    return err


def test_one_photo_is_an_array_of_one(run, photos):
    code, out, err = run(photos[0], SENTENCE)
    (found,) = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["photo"], found["sentence"]) == (str(photos[0]), SENTENCE)
    assert (found["width"], found["height"]) == Image.open(photos[0]).size
    assert [phrase["text"] for phrase in found["phrases"]] == TEXTS
    for phrase in found["phrases"]:
        assert SENTENCE[phrase["start"] : phrase["end"]] == phrase["text"]
        assert phrase["candidates"] == [{"box": phrase["box"], "score": phrase["score"]}]
    assert "“the dog” ☂" in out  # readable, not escaped


def test_the_library_says_the_same(run, photos, tiny_localizer):
    _, out, _ = run(photos[1], SENTENCE, "--top-k", 3)
    assert json.loads(out) == [{"photo": str(photos[1]), **tiny_localizer(photos[1], SENTENCE, top_k=3).to_dict()}]


def test_folders_are_searched_and_photos_keep_their_order(run, photos, tmp_path):
    folder = tmp_path / "album" / "deeper"
    folder.mkdir(parents=True)
    for name, source in (("b.JPG", photos[0]), ("a.jpg", photos[1]), ("../c.jpeg", photos[2]), (".d.jpg", photos[4])):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "notes.txt").write_text("no photo")
    code, out, err = run(photos[3], tmp_path / "album", "a dog")
    assert code == 0 and "error" not in err
    assert f"In {tmp_path / 'album'} 2 files or folders were passed over: hidden, or no photo.\n" in err
    album = tmp_path / "album"
    names = [str(photos[3]), *(str(album / name) for name in ("c.jpeg", "deeper/a.jpg", "deeper/b.JPG"))]
    assert [found["photo"] for found in json.loads(out)] == names


def test_probabilities_are_printed_where_the_checkpoint_is_calibrated(run, photos, monkeypatch):
    (plain,) = json.loads(run(photos[0], "a dog")[1])
    assert [(p["confidence"], p["present"]) for p in plain["phrases"]] == [(None, None)]

    def calibrated(self, *arguments, **settings):
        found = ground(self, *arguments, **settings)
        return replace(found, phrases=tuple(replace(p, confidence=0.75, present=0.125) for p in found.phrases))

    ground = Localizer.ground
    monkeypatch.setattr(Localizer, "ground", calibrated)
    for output_format in ("json", "jsonl", "coco"):
        found = json.loads(run(photos[0], "a dog", "--format", output_format)[1])
        (phrase,) = {
            "json": lambda found: found[0]["phrases"],
            "jsonl": lambda found: found["phrases"],
            "coco": lambda found: found["annotations"],
        }[output_format](found)
        confidence = "box_confidence" if output_format == "coco" else "confidence"
        assert (phrase[confidence], phrase["present"]) == (0.75, 0.125)


def test_help_states_the_threshold(run):
    code, out, _ = run("--help")
    assert code == 0 and f'"present" below {PRESENT_THRESHOLD} is probably not there' in " ".join(out.split())


def test_progress_goes_to_standard_error(run, photos):
    _, out, err = run(*photos[:3], "a dog")
    assert len(json.loads(out)) == 3 and "3/3" in err


def test_json_lines(run, photos, tmp_path):
    code, out, _ = run(photos[0], tmp_path / "absent.jpg", photos[1], "--format", "jsonl", SENTENCE)
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 1 and [list(record)[1] for record in found] == ["width", "error", "width"]


def test_coco(run, photos, tmp_path):
    code, out, _ = run(photos[0], photos[1], "--format", "coco", SENTENCE)
    coco = json.loads(out)
    assert code == 0 and [image["file_name"] for image in coco["images"]] == [str(photos[0]), str(photos[1])]
    assert [category["name"] for category in coco["categories"]] == [text.lower() for text in TEXTS]
    assert [annotation["image_id"] for annotation in coco["annotations"]] == [1, 1, 1, 2, 2, 2]
    plain = json.loads(run(photos[0], photos[1], SENTENCE)[1])
    for annotation, phrase in zip(coco["annotations"], plain[0]["phrases"] + plain[1]["phrases"], strict=True):
        x1, y1, x2, y2 = phrase["box"]
        assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    code, out, err = run(photos[0], tmp_path / "absent.jpg", "--format", "coco", SENTENCE)
    assert code == 1 and len(json.loads(out)["images"]) == 1 and "absent.jpg" in err


def test_top_k(run, photos):
    _, out, _ = run(photos[0], SENTENCE, "--top-k", 4)
    candidates = [phrase["candidates"] for phrase in json.loads(out)[0]["phrases"]]
    assert max(map(len, candidates)) == 4
    for of_phrase in candidates:
        scores = [c["score"] for c in of_phrase[1:]]  # the answer comes first, whatever its score
        assert scores == sorted(scores, reverse=True)


def test_drawings(run, photos, tmp_path):
    other = tmp_path / "other" / photos[0].name
    other.parent.mkdir()
    other.write_bytes(photos[1].read_bytes())
    drawn = tmp_path / "new" / "drawn"
    for _ in range(2):  # drawing again replaces the drawings
        code, out, _ = run(photos[0], other, photos[0], photos[2], "--draw", drawn, SENTENCE)
        assert code == 0 and len(json.loads(out)) == 4
        stem = photos[0].stem
        names = [f"{stem}.png", f"{stem}-2.png", f"{stem}-3.png", f"{photos[2].stem}.png"]
        assert sorted(path.name for path in drawn.iterdir()) == sorted(names)
    for name, source in zip(names, (photos[0], other, photos[0], photos[2]), strict=True):
        with Image.open(drawn / name) as image, Image.open(source) as photo:
            assert image.format == "PNG" and image.size == photo.size
            changed = (np.asarray(image).astype(int) - np.asarray(photo) != 0).any(axis=2).mean()
            assert 0.001 < changed < 0.9


def test_a_drawing_never_replaces_a_photo(run, photos, tmp_path, monkeypatch):
    Image.open(photos[0]).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    code, _, _ = run("a.png", "--draw", ".", SENTENCE)
    assert code == 0 and (tmp_path / "a.png").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-2.png", "a.png"]


def test_a_folder_for_drawings_that_cannot_be(run, photos, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        code, out, err = run(photos[0], "--draw", folder, SENTENCE)
        assert (code, out) == (2, "") and str(folder) in one_sentence(err)


def test_a_bad_photo_among_good_ones(run, photos, tmp_path):
    words, cut, huge, palette = (tmp_path / name for name in ("words.jpg", "cut.png", "huge.png", "palette.gif"))
    words.write_text("this is no picture")
    Image.open(photos[0]).save(cut)
    cut.write_bytes(cut.read_bytes()[:3000])
    Image.new("1", (20_000, 10_000)).save(huge)
    Image.open(photos[0]).quantize(16).save(palette)
    given = [words, photos[0], cut, huge, palette, tmp_path / "absent.jpg"]
    code, out, err = run(*given, SENTENCE, "--draw", tmp_path / "drawn")
    found = json.loads(out)
    assert code == 1 and [record["photo"] for record in found] == [str(path) for path in given]
    assert ["error" in record for record in found] == [True, False, True, True, False, True]
    for record in found:
        if "error" in record:
            assert set(record) == {"photo", "error"} and record["error"] in err
            assert Path(record["photo"]).name in record["error"] and "\n" not in record["error"]
        else:
            assert [phrase["text"] for phrase in record["phrases"]] == TEXTS
    assert sorted(path.stem for path in (tmp_path / "drawn").iterdir()) == sorted([photos[0].stem, "palette"])


def test_only_bad_photos(run, tmp_path):
    code, out, err = run(tmp_path / "absent.jpg", SENTENCE)
    assert code == 1 and list(json.loads(out)[0]) == ["photo", "error"] and "absent.jpg" in one_sentence(err)


def test_no_noun_phrase(run, photos):
    code, out, err = run(photos[0], "It is there.")
    assert code == 1 and json.loads(out)[0]["phrases"] == []
    assert "No noun phrase was found in 'It is there.'" in one_sentence(err)


def test_an_empty_sentence(run, photos):
    code, out, err = run(photos[0], " ")
    assert (code, out) == (2, "") and "The sentence is empty" in one_sentence(err)


def test_a_folder_without_photos(run, tmp_path):
    code, out, err = run(tmp_path, SENTENCE)
    assert (code, out) == (2, "") and f"There is no photo in {tmp_path}" in one_sentence(err)


def test_a_folder_that_may_not_be_read(run, photos, tmp_path, closed_is_forbidden):
    (tmp_path / "a.jpg").write_bytes(photos[0].read_bytes())
    (tmp_path / "closed").mkdir()
    code, out, err = run(tmp_path, SENTENCE)
    assert code == 1 and len(json.loads(out)) == 1
    assert one_sentence(err) == f"{tmp_path / 'closed'}: the folder cannot be read (Permission denied)\n"


@pytest.mark.parametrize("last", ["photo", "folder"])
def test_a_forgotten_sentence(run, photos, last):
    given = photos[1] if last == "photo" else photos[1].parent
    code, out, err = run(photos[0], given)
    assert (code, out) == (2, "")
    assert f"The last argument is to be the sentence, and {given} is a file or folder" in one_sentence(err)


def test_a_sentence_longer_than_a_file_name_may_be(run, photos):
    code, out, _ = run(photos[0], "A man in a red hat, " * 20)
    assert code == 0 and len(json.loads(out)[0]["phrases"]) == 40


def test_the_sentence_on_standard_input(run, photos, monkeypatch):
    def read(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        return run(photos[0], "-")

    code, out, _ = read(f"{SENTENCE}\r\n".encode())
    assert code == 0 and json.loads(out)[0]["sentence"] == SENTENCE
    for content, told in ((b"\n", "The sentence is empty"), (b"a \xff", "is not utf-8 text; convert it first")):
        code, out, err = read(content)
        assert (code, out) == (2, "") and told in one_sentence(err)


def test_doubtful_phrases_are_left_out_on_request(run, photos, tmp_path, monkeypatch):
    def judged(self, *arguments, **settings):
        found = ground(self, *arguments, **settings)
        sure = zip(found.phrases, (0.9, 0.2, 0.6), strict=True)
        return replace(found, phrases=tuple(replace(p, confidence=0.5, present=present) for p, present in sure))

    ground = Localizer.ground
    monkeypatch.setattr(Localizer, "ground", judged)

    def texts(*options):
        return [p["text"] for p in json.loads(run(photos[0], SENTENCE, *options)[1])[0]["phrases"]]

    assert (
        texts() == TEXTS and texts("--at-least", 0.3) == ["A man", "the dog"] and texts("--at-least", 0.7) == TEXTS[:1]
    )
    code, out, _ = run(photos[0], SENTENCE, "--format", "coco", "--at-least", 0.7)
    assert code == 0 and [a["score"] for a in json.loads(out)["annotations"]] == [0.45]
    code, out, err = run(photos[0], SENTENCE, "--at-least", 1)
    assert (code, err) == (0, "") and json.loads(out)[0]["phrases"] == []  # phrases there were
    code, out, err = run(photos[0], SENTENCE, "--at-least", 30)
    assert (code, out) == (2, "") and "--at-least is 30" in one_sentence(err)


@pytest.mark.parametrize("top_k", ["0", "-3"])
def test_no_candidates(run, photos, top_k):
    code, out, err = run(photos[0], SENTENCE, "--top-k", top_k)
    assert (code, out) == (2, "") and f"--top-k is {top_k}" in one_sentence(err)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--top-k", "many"], "invalid int value"),
        (["--format", "xml"], "invalid choice"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--device", "mps"], "no device 'mps'"),
        (["--device", "cuda:77"], "CUDA GPU"),
        (["--precision", "float8"], "no precision 'float8'"),
    ],
)
def test_options_that_mean_nothing(run, photos, options, told):
    code, out, err = run(photos[0], SENTENCE, *options)
    assert (code, out) == (2, "") and told in err


def test_checkpoints_that_are_none(run, photos, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"something else")
    for given, told in ((tmp_path / "absent.safetensors", "absent"), (foreign, "not a readable"), (tmp_path, "folder")):
        code, out, err = run(photos[0], SENTENCE, checkpoint=given)
        assert (code, out) == (2, "") and told in one_sentence(err)


def test_an_example_photo_with_the_shipped_checkpoint(capsys):
    photo = ROOT / "assets" / "coffee.jpg"
    sentence = "A cup of coffee and a small spoon stand on a red saucer."
    assert main([str(photo), sentence]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert len(found["phrases"]) >= 3
    for phrase in found["phrases"]:
        assert sentence[phrase["start"] : phrase["end"]] == phrase["text"]
        x1, y1, x2, y2 = phrase["box"]
        assert 0 <= x1 < x2 <= found["width"] and 0 <= y1 < y2 <= found["height"]


def test_wrong_usage(capsys):
    with pytest.raises(SystemExit) as error:
        main(["only a sentence"])
    assert error.value.code == 2 and "usage: sspe localize" in capsys.readouterr().err


def test_a_terminal_that_knows_no_such_letters(checkpoint, photos, tmp_path, monkeypatch, capsys):
    odd = tmp_path / os.fsdecode(b"\xff\xc3.jpg")  # no valid UTF-8
    odd.write_bytes(photos[0].read_bytes())
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, encoding="ascii"))
    assert main(["--checkpoint", str(checkpoint), "--device", "cpu", str(odd), SENTENCE]) == 0
    (found,) = json.loads(terminal.getvalue())
    assert capsys.readouterr().err == ""
    assert found["photo"] == str(odd) and [phrase["text"] for phrase in found["phrases"]] == TEXTS


def test_as_a_process_whose_reader_leaves(checkpoint, photos):
    line = [sys.executable, "-m", "sspe", "localize", "--checkpoint", checkpoint, "--device", "cpu"]
    line += [*photos[:2], SENTENCE, "--format", "jsonl"]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait(timeout=120) == 1
    assert "Traceback" not in err and "Exception" not in err
