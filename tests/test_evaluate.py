"""`sspe evaluate`: the three measures on drawn scenes, their JSON, the choice of photos, and bad input."""

import json

import numpy as np
import pytest

import sspe.checkpoint
from sspe.boxes import iou
from sspe.data import PHRASE_TYPES, open_dataset
from sspe.evaluate import MEASURES, main

LIMIT = 4


@pytest.fixture(scope="module")
def evaluate(checkpoint):
    """evaluate(capsys, measure, ROOT, *options) -> exit code, standard output, standard error."""

    def run(capsys, measure, data, *options):
        line = [measure, "--data", data, "--checkpoint", checkpoint, "--quiet", *options]
        if measure == "localization":
            line += ["--device", "cpu", "--precision", "float32"]
        try:
            code = main([str(argument) for argument in line])
        except SystemExit as error:  # argparse
            code = error.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def measured(evaluate, capsys, tmp_path, measure, data, *options):
    """The figures a successful run writes, and the table it prints."""
    file = tmp_path / f"{measure}.json"
    code, out, err = evaluate(capsys, measure, data, "--output", file, *options)
    assert (code, err) == (0, "")
    return json.loads(file.read_text(encoding="utf-8")), out


def shares(values) -> bool:
    return all(isinstance(value, float) and 0 <= value <= 1 for value in values)


def test_localization(evaluate, capsys, tmp_path, scenes):
    figures, table = measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT)
    recalls = [figures[f"recall_at_{k}"] for k in (1, 5, 10)]
    after = [figures[f"recall_at_{k}_nms"] for k in (1, 5, 10)]
    assert shares(
        [*recalls, *after, figures["upper_bound"], figures["floor_whole_photo"], figures["floor_centred_box"]]
    )
    assert recalls == sorted(recalls) and recalls[-1] <= figures["upper_bound"] and after[0] == recalls[0]
    assert figures["photos"] == LIMIT
    boxed = [
        p for photo in open_dataset(scenes, limit=LIMIT) for s in photo.sentences for p in s.phrases if len(p.boxes)
    ]
    assert figures["phrases"] == len(boxed)
    assert "merged box" in figures["protocol"] and "0.5" in figures["protocol"]
    assert set(figures["by_type"]) == {name for phrase in boxed for name in phrase.types} <= set(PHRASE_TYPES)
    for name, recall_at_1 in figures["by_type"].items():
        assert 0 <= recall_at_1 <= figures["upper_bound_by_type"][name] <= 1
        assert figures["phrases_by_type"][name] > 0
    for told in (f"{100 * figures['recall_at_10']:.2f}", "R@5", "bound", "whole photo", "people", figures["protocol"]):
        assert told in table


def test_localization_agrees_with_the_localizer(evaluate, capsys, tmp_path, scenes, tiny_localizer):
    figures, _ = measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT)
    hits, bound, whole = {1: [], 5: [], 10: []}, [], []
    for photo in open_dataset(scenes, limit=LIMIT):
        view = tiny_localizer.see(photo.path)
        for sentence in photo.sentences:
            for phrase in (phrase for phrase in sentence.phrases if len(phrase.boxes)):
                y = tiny_localizer.pipeline.embed_phrases([phrase.text])[0]
                best = np.argsort(-(view.embeddings @ y).numpy(), kind="stable")
                right = iou(phrase.box, view.boxes)[0] >= 0.5
                for k, found in hits.items():
                    found.append(right[best[:k]].any())
                bound.append(right.any())
                whole.append(right[0])  # the whole photo is the first of the boxes
    for k, found in hits.items():
        assert figures[f"recall_at_{k}"] == pytest.approx(np.mean(found), abs=0.02)  # the cache rounds boxes
    assert figures["upper_bound"] == pytest.approx(np.mean(bound))
    assert figures["floor_whole_photo"] == pytest.approx(np.mean(whole))


def test_proposals(evaluate, capsys, tmp_path, scenes):
    curve = tmp_path / "deep" / "curve.png"
    figures, table = measured(evaluate, capsys, tmp_path, "proposals", scenes, "--limit", LIMIT, "--curve", curve)
    for of_overlap in (figures["recall"], *figures["by_type"].values()):
        assert set(of_overlap) == {"0.5", "0.7"}
        for recall in of_overlap.values():
            assert list(recall) == ["50", "100", "200", "500", "1000"] and shares(recall.values())
            assert list(recall.values()) == sorted(recall.values())
    assert figures["recall"]["0.5"]["200"] > figures["recall"]["0.7"]["50"] > 0
    assert 0 < figures["ms_per_photo"] < 5000 and figures["photos"] == LIMIT
    assert figures["count"] == 40  # timed with the settings of the checkpoint
    assert curve.read_bytes().startswith(b"\x89PNG")
    assert f"{100 * figures['recall']['0.5']['1000']:.2f}" in table and "ms a photo" in table


def test_phrases(evaluate, capsys, tmp_path, scenes):
    figures, table = measured(evaluate, capsys, tmp_path, "phrases", scenes)
    assert 0.5 < figures["exact_f1"] <= figures["head_f1"] <= 1
    rates = [f"{rule}_{rate}" for rule in ("exact", "head") for rate in ("precision", "recall", "f1")]
    assert shares([figures[name] for name in rates]) and shares([figures["visual"][name] for name in rates])
    assert figures["photos"] == 12 and figures["visual"]["gold"] < figures["gold"]
    assert f"{100 * figures['head_f1']:.2f}" in table and "without chain 0" in table


@pytest.mark.parametrize("measure", MEASURES)
def test_nothing_but_the_table_on_standard_output(evaluate, capsys, scenes, measure):
    code, out, err = evaluate(capsys, measure, scenes, "--limit", 2)
    assert (code, err) == (0, "") and 3 <= len(out.splitlines()) < 40
    assert not out.startswith(("{", "["))


def test_the_same_figures_again(evaluate, capsys, tmp_path, scenes):
    first = measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT)
    assert measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT) == first


def test_photos_by_id_and_by_split(evaluate, capsys, tmp_path, scenes):
    ids = tmp_path / "ids.txt"
    ids.write_text("1000003\n\n2000001\n1000000\n")  # of both splits
    figures, _ = measured(evaluate, capsys, tmp_path, "phrases", scenes, "--ids", ids)
    assert figures["photos"] == 3
    figures, _ = measured(evaluate, capsys, tmp_path, "phrases", scenes, "--ids", ids, "--limit", 1)
    assert figures["photos"] == 1
    figures, _ = measured(evaluate, capsys, tmp_path, "phrases", scenes, "--split", "train")
    assert figures["photos"] == 24


def test_photos_in_another_folder_and_json_lines(evaluate, capsys, tmp_path, scenes, photos):
    line = {"photo": photos[0].name, "sentence": "A man.", "phrases": [[0, 5, [[10, 10, 90, 90]]]]}
    (tmp_path / "own.jsonl").write_text(json.dumps(line))
    options = ("--photos", photos[0].parent)
    figures, _ = measured(evaluate, capsys, tmp_path, "localization", tmp_path / "own.jsonl", *options)
    assert (figures["phrases"], figures["photos"], figures["by_type"]) == (1, 1, {})


def test_synthetic_data_needs_no_folder(evaluate, capsys, tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("sspe.data.synthetic.synthetic_root", lambda: scenes)
    figures, _ = measured(evaluate, capsys, tmp_path, "phrases", "synthetic")
    assert figures["photos"] == 12


def test_the_shipped_checkpoint_is_the_default(capsys, scenes, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", tmp_path)
    line = ["localization", "--data", str(scenes), "--limit", "1", "--quiet", "--device", "cpu"]
    assert main(line) == 2
    assert "There is no checkpoint" in capsys.readouterr().err
    (tmp_path / f"{sspe.checkpoint.DEFAULT}.safetensors").write_bytes(checkpoint.read_bytes())
    assert main(line) == 0


# Bad input: exit code 2, nothing on standard output, one sentence on standard error


@pytest.mark.parametrize("measure", MEASURES)
def test_missing_data(evaluate, capsys, tmp_path, measure):
    for data in (tmp_path / "nowhere", tmp_path):
        code, out, err = evaluate(capsys, measure, data)
        assert (code, out) == (2, "") and str(data) in err and err.count("\n") == 1


def test_photos_that_cannot_be_chosen(evaluate, capsys, tmp_path, scenes):
    ids = tmp_path / "ids.txt"
    ids.write_text("7\n")
    for options, told in (
        (["--split", "test"], "test"),
        (["--ids", tmp_path / "absent.txt"], "absent.txt"),
        (["--ids", ids], "7.xml"),
        (["--limit", 0], "at least 1 photo"),
        (["--limit", -2], "at least 1 photo"),
        (["--photos", tmp_path / "nowhere"], "nowhere"),
    ):
        code, out, err = evaluate(capsys, "phrases", scenes, *options)
        assert (code, out) == (2, "") and told in err and err.count("\n") == 1, options


def test_a_photo_that_cannot_be_opened(evaluate, capsys, tmp_path):
    from sspe.data.synthetic import write_synthetic

    root = write_synthetic(tmp_path / "scenes", train=0, val=2)
    photo = root / "flickr30k-images" / "2000001.jpg"
    photo.write_bytes(photo.read_bytes()[:1500])
    for measure in ("localization", "proposals"):
        code, out, err = evaluate(capsys, measure, root)
        assert (code, out) == (2, "") and "2000001.jpg is a damaged or truncated picture" in err
        assert err.splitlines()[-1].startswith(str(photo))


def test_nothing_to_measure(evaluate, capsys, tmp_path, photos):
    line = {"photo": str(photos[0]), "sentence": "A man.", "phrases": []}
    (tmp_path / "own.jsonl").write_text(json.dumps(line))
    for measure in ("localization", "proposals"):
        code, out, err = evaluate(capsys, measure, tmp_path / "own.jsonl")
        assert (code, out) == (2, "") and "no phrase with a box" in err


@pytest.mark.parametrize("measure", ["localization", "proposals"])
def test_checkpoints_that_are_none(evaluate, capsys, tmp_path, scenes, measure):
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"something else")
    for given, told in ((tmp_path / "absent.safetensors", "absent"), (foreign, "not a readable"), (tmp_path, "folder")):
        code, out, err = evaluate(capsys, measure, scenes, "--limit", 1, "--checkpoint", given)
        assert (code, out) == (2, "") and told in err and err.count("\n") == 1


def test_results_that_cannot_be_written_are_found_out_at_once(evaluate, capsys, tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("sspe.data.open_dataset", lambda *_: pytest.fail("the work began"))
    (tmp_path / "file").write_text("")
    for measure, option in (("phrases", "--output"), ("proposals", "--output"), ("proposals", "--curve")):
        for target in (tmp_path, tmp_path / "file" / "below.json"):
            code, out, err = evaluate(capsys, measure, scenes, option, target)
            assert (code, out) == (2, "") and str(target.parent) in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["retrieval"],
        ["phrases"],
        ["phrases", "--data", "x", "--limit", "few"],
        ["phrases", "--data", "x", "--ids", "a", "--split", "train"],
        ["phrases", "--data", "x", "--device", "cpu"],
    ],
)
def test_wrong_usage(line, capsys):
    with pytest.raises(SystemExit) as error:
        main(line)
    assert error.value.code == 2 and "usage: sspe evaluate" in capsys.readouterr().err


def test_an_unknown_device(evaluate, capsys, scenes, checkpoint):
    line = ["localization", "--data", str(scenes), "--checkpoint", str(checkpoint), "--device", "tpu"]
    assert main(line) == 2
    assert "no device 'tpu'" in capsys.readouterr().err
