"""`sspe evaluate retrieval`: from caption files to figures, by a retriever that sees colours and reads their names."""

import json
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sspe.evaluate import main
from sspe.vision.photo import open_photo

COLOURS = {
    "red": (250, 0, 0),
    "green": (0, 250, 0),
    "blue": (0, 0, 250),
    "yellow": (250, 250, 0),
    "white": (250, 250, 250),
    "grey": (120, 120, 120),
}


class ColourRetriever:
    """A photo is its mean colour, a sentence the colour it names; they fit the better the nearer these are."""

    loaded, weight = (), None

    @classmethod
    def from_pretrained(cls, *arguments, **weight):
        cls.loaded, cls.weight = arguments, weight
        return cls()

    @property
    def localizer(self):
        return self.loaded[3] or None

    def embed_photos(self, photos):
        return SimpleNamespace(colours=[open_photo(photo).mean(axis=(0, 1)) for photo in photos], errors={})

    def embed_sentences(self, sentences):
        named = [sentence.split()[1] for sentence in sentences]
        directions = torch.eye(len(COLOURS))[[list(COLOURS).index(colour) for colour in named]]
        return SimpleNamespace(colours=np.array([COLOURS[colour] for colour in named]), embeddings=directions)

    def cosines(self, photos, sentences):
        apart = np.array(photos.colours)[:, None] - sentences.colours
        return -np.linalg.norm(apart, axis=2).astype(np.float32)

    def whole_scores(self, photos, sentences):
        """As if the first photo were a hub: it fits nothing any more."""
        scores = self.cosines(photos, sentences)
        scores[0] -= 1000
        return scores

    def scores(self, photos, sentences):
        """As if regions turned everything round: the farthest colour fits best."""
        return -self.cosines(photos, sentences)


@pytest.fixture(autouse=True)
def retriever(monkeypatch):
    module = ModuleType("sspe.retriever")
    module.Retriever = ColourRetriever
    monkeypatch.setitem(sys.modules, "sspe.retriever", module)
    monkeypatch.setattr(ColourRetriever, "loaded", ())
    return ColourRetriever


@pytest.fixture
def data(tmp_path):
    """A photo of each colour with five sentences that name it, in the layout of Flickr30K Entities."""
    root = tmp_path / "data"
    for folder in ("Sentences", "flickr30k-images"):
        (root / folder).mkdir(parents=True)
    for colour, rgb in COLOURS.items():
        Image.new("RGB", (9, 7), rgb).save(root / "flickr30k-images" / f"{colour}.png")
        lines = [f"[/EN#1/other A {colour} thing] , seen {i} times ." for i in range(5)]
        (root / "Sentences" / f"{colour}.txt").write_text("\n".join(lines))
    (root / "val.txt").write_text("\n".join(COLOURS))
    (root / "test.txt").write_text("grey\nred\n")
    return root


def evaluate(capsys, *options):
    try:
        code = main(["retrieval", "--quiet", *(str(option) for option in options)])
    except SystemExit as error:  # argparse
        code = error.code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def measured(capsys, tmp_path, *options, regions=False):
    """The figures a successful run writes, and the table it prints."""
    file = tmp_path / "deep" / "figures.json"
    code, out, err = evaluate(capsys, *options, "--output", file, *(() if regions else ("--plain",)))
    assert (code, err) == (0, "")
    return json.loads(file.read_text(encoding="utf-8")), out


def test_every_photo_finds_its_sentences_and_every_sentence_its_photo(capsys, tmp_path, data):
    figures, table = measured(capsys, tmp_path, "--data", data)
    assert (figures["photos"], figures["sentences"], figures["left_out"]) == (6, 30, {})
    perfect = {"recall_at_1": 1.0, "recall_at_5": 1.0, "recall_at_10": 1.0, "median_rank": 1.0}
    assert figures["image_to_sentence"] == {**perfect, "queries": 6}
    assert figures["sentence_to_image"] == figures["sentence_to_sentence"] == {**perfect, "queries": 30}
    assert figures["mean_recall"] == 1 and "folds" not in figures
    assert table.startswith("30 sentences of 6 photos") and "100.00" in table and "not comparable" in table


def test_sentences_of_another_photo_are_found_wrong(capsys, tmp_path, data):
    red, blue = (data / "Sentences" / f"{colour}.txt" for colour in ("red", "blue"))
    text = red.read_text()
    red.write_text(blue.read_text())
    blue.write_text(text)
    figures, _ = measured(capsys, tmp_path, "--data", data)
    for direction in ("image_to_sentence", "sentence_to_image"):
        assert figures[direction]["recall_at_1"] == pytest.approx(4 / 6)
    assert figures["sentence_to_sentence"]["recall_at_1"] == 1


def test_unrelated_sentences_are_measured_as_in_the_usual_protocol(capsys, tmp_path, data):
    (data / "UNRELATED_CAPTIONS").write_text("red 2\n")
    assert measured(capsys, tmp_path, "--data", data)[0]["sentences"] == 30


def test_the_choice_of_photos(capsys, tmp_path, data):
    (tmp_path / "ids").write_text("blue\ngrey\nwhite\n")
    for options, photos in ((["--split", "test"], 2), (["--ids", tmp_path / "ids"], 3), (["--limit", 4], 4)):
        assert measured(capsys, tmp_path, "--data", data, *options)[0]["photos"] == photos
    (data / "flickr30k-images").rename(tmp_path / "elsewhere")
    assert measured(capsys, tmp_path, "--data", data, "--photos", tmp_path / "elsewhere")[0]["photos"] == 6


def test_a_file_of_another_format(capsys, tmp_path, data):
    images = [
        {"filename": f"{c}.png", "split": "val", "sentences": [{"raw": f"A {c} thing.", "sentid": 5 * n + i}
         for i in range(5)]} for n, c in enumerate(COLOURS)
    ]  # fmt: skip
    file = data / "dataset_flickr8k.json"
    file.write_text(json.dumps({"images": images}))
    figures, _ = measured(capsys, tmp_path, "--data", file)
    assert (figures["sentences"], figures["mean_recall"]) == (30, 1)


def test_folds(capsys, tmp_path, data):
    figures, table = measured(capsys, tmp_path, "--data", data, "--folds", 2)
    assert (figures["folds"]["count"], figures["folds"]["photos_per_fold"]) == (3, 2)
    assert figures["folds"]["sentence_to_image"]["recall_at_1"] == 1 and "3 folds of 2 photos" in table


def test_the_checkpoint_and_how_it_runs(capsys, data, retriever):
    assert evaluate(capsys, "--data", data, "--plain")[0] == 0
    assert (retriever.loaded, retriever.weight) == ((None, "auto", "auto", False), {})
    line = ("--data", data, "--checkpoint", "some.safetensors", "--device", "cpu", "--precision", "float32", "--plain")
    assert evaluate(capsys, *line)[0] == 0
    assert retriever.loaded == ("some.safetensors", "cpu", "float32", False)


def test_regions_have_their_say_unless_told_otherwise(capsys, tmp_path, data, retriever):
    figures, table = measured(capsys, tmp_path, "--data", data, "--folds", 3, regions=True)
    assert (retriever.loaded, retriever.weight) == ((None, "auto", "auto", True), {})
    rates = [m["sentence_to_image"]["recall_at_1"] for m in (figures, figures["whole"], figures["plain"])]
    assert rates == [0, pytest.approx(5 / 6), 1]
    assert figures["folds"]["mean_recall"] < figures["plain"]["folds"]["mean_recall"] == 1
    plain = measured(capsys, tmp_path, "--data", data, "--folds", 3)[0]
    assert (figures["measure"], plain["measure"]) == ("regions", "plain")
    assert all(figures["plain"][d] == plain[d] for d in ("image_to_sentence", "sentence_to_image", "mean_recall"))
    assert "sentence_to_sentence" not in figures["plain"] and not {"whole", "plain"} & plain.keys()
    assert figures["sentence_to_sentence"] == plain["sentence_to_sentence"]
    head, first, second, third = table.split("\nby ")
    assert "  0.00" in first and " 83.33" in second and "100.00" in third and "100.00" not in head
    assert all("2 folds of 3" in part for part in (first, second, third))
    assert evaluate(capsys, "--data", data, "--localizer", "a.safetensors", "--region-weight", 0.5)[0] == 0
    assert (retriever.loaded, retriever.weight) == ((None, "auto", "auto", "a.safetensors"), {"region_weight": 0.5})


@pytest.mark.parametrize("options", [("--localizer", "a.safetensors"), ("--region-weight", 0.5)])
def test_what_regions_weigh_has_no_meaning_without_them(capsys, data, options):
    code, out, err = evaluate(capsys, "--data", data, "--plain", *options)
    assert (code, out) == (2, "") and err.startswith("--plain leaves regions out") and err.count("\n") == 1


@pytest.mark.parametrize("weight", ["-0.1", "nan", "inf"])
def test_a_weight_that_is_none(capsys, data, weight):
    code, out, err = evaluate(capsys, "--data", data, f"--region-weight={weight}")
    assert (code, out) == (2, "") and err == f"--region-weight is {weight}; give a number of at least 0.\n"


def test_nothing_but_the_table_on_standard_output(capsys, data):
    code, out, err = evaluate(capsys, "--data", data)
    assert (code, err) == (0, "") and 5 <= len(out.splitlines()) < 40
    assert main(["retrieval", "--data", str(data)]) == 0
    bar = capsys.readouterr()
    assert bar.out == out and "retrieval: 100%" in bar.err and "6/6" in bar.err


# Bad input


def shorten(data):
    file = data / "Sentences" / "red.txt"
    file.write_text("\n".join(file.read_text().splitlines()[:4]))
    return "has 4 sentences for the photo red, expected 5", "too_few_sentences"


def empty(data):
    (data / "Sentences" / "red.txt").write_text("")
    return "has no sentences for the photo red, expected 5", "too_few_sentences"


def lose(data):
    (data / "flickr30k-images" / "red.png").unlink()
    return "names the photo red, and no file of it lies in", "missing_photos"


@pytest.mark.parametrize("spoil", [shorten, empty, lose])
def test_incomplete_data_is_refused_or_skipped(capsys, caplog, tmp_path, data, retriever, spoil):
    told, kind = spoil(data)
    for options in ((), ("--incomplete", "refuse")):
        code, out, err = evaluate(capsys, "--data", data, *options)
        assert (code, out) == (2, "") and told in err and "among 6 photos: 1 with" in err and err.count("\n") == 1
    assert retriever.loaded == ()
    figures, _ = measured(capsys, tmp_path, "--data", data, "--incomplete", "skip")
    assert (figures["photos"], figures["sentences"], figures["left_out"]) == (5, 25, {kind: 1})
    assert [message for message in caplog.messages if told in message and "Left out of 6 photos: 1 with" in message]


def test_repeated_ids(capsys, tmp_path, data):
    (tmp_path / "ids").write_text("red\nblue\nred\n")
    code, out, err = evaluate(capsys, "--data", data, "--ids", tmp_path / "ids")
    assert (code, out) == (2, "") and "lists the photo red 2 times" in err and err.count("\n") == 1
    figures, _ = measured(capsys, tmp_path, "--data", data, "--ids", tmp_path / "ids", "--incomplete", "skip")
    assert (figures["photos"], figures["left_out"]) == (2, {"repeated_ids": 1})


def test_what_can_be_known_before_the_work_begins(capsys, tmp_path, data, retriever):
    (tmp_path / "file").write_text("")
    (tmp_path / "instances.json").write_text(json.dumps({"images": [], "annotations": [{"id": 1, "image_id": 1}]}))
    for options, told in (
        (["--data", tmp_path / "nowhere"], "nowhere"),
        (["--data", tmp_path], "neither Sentences/"),
        (["--data", tmp_path / "instances.json"], "as 'caption', expected a text"),
        (["--data", data, "--split", "train"], "no split 'train'"),
        (["--data", data, "--ids", tmp_path / "absent"], "absent"),
        (["--data", data, "--limit", 0], "at least 1 photo"),
        (["--data", data, "--photos", tmp_path / "nowhere"], "nowhere"),
        (["--data", data, "--folds", 7], "Folds of 7 photos cannot be made of 6"),
        (["--data", data, "--folds", 0], "Folds of 0"),
        (["--data", data, "--output", tmp_path / "file" / "below.json"], "file"),
    ):
        code, out, err = evaluate(capsys, *options)
        assert (code, out) == (2, "") and told in err and err.count("\n") == 1, options
    assert retriever.loaded == ()


def test_a_photo_that_cannot_be_opened(capsys, data):
    (data / "flickr30k-images" / "red.png").write_bytes(b"not a photo")
    code, out, err = evaluate(capsys, "--data", data)
    assert (code, out) == (2, "") and "red.png is not a picture" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [[], ["--data", "x", "--incomplete", "keep"], ["--data", "x", "--folds", "few"], ["--data", "x", "--save", "y"]],
)
def test_wrong_usage(capsys, line):
    code, out, err = evaluate(capsys, *line)
    assert (code, out) == (2, "") and "usage: sspe evaluate" in err
