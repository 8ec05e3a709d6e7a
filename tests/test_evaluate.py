"""`sspe evaluate` on annotated phrases: three measures on drawn scenes, their JSON, the choice of photos, bad input.

Retrieval has a file of its own.
"""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import sspe.checkpoint
from sspe.checkpoint import DEFAULTS
from sspe.data import PHRASE_TYPES, open_dataset
from sspe.evaluate import main
from sspe.localizer import Localizer
from sspe.phrases.chunker import Phrase
from sspe.text.context import Context
from sspe.vision.boxes import iou

LIMIT = 4
MEASURES = ("localization", "proposals", "phrases")


@pytest.fixture(scope="module")
def evaluate(checkpoint):
    """evaluate(capsys, measure, ROOT, *options) -> exit code, standard output, standard error."""

    def run(capsys, measure, data, *options):
        line = [measure, "--data", data, "--quiet", *options]
        if measure != "phrases" and "--checkpoint" not in line:
            line += ["--checkpoint", checkpoint]
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


@pytest.fixture(scope="module")
def calibrated(make_localization_model, scenes, tmp_path_factory):
    """A checkpoint that leaves boxes as they are, its probabilities fitted on the val scenes."""
    from sspe.data.caches import FeatureStore
    from sspe.training.calibration import calibrate

    model = make_localization_model(refiner=0)
    store = FeatureStore(model.settings.regions.side, model.settings.proposals)
    calibrate(model, open_dataset(scenes, "train", limit=4), open_dataset(scenes, "val"), store)
    path = tmp_path_factory.mktemp("calibrated") / "calibrated.safetensors"
    sspe.checkpoint.save_checkpoint(model, path, {})
    return path


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
    for name, group in figures["by_type"].items():
        assert 0 <= group["recall_at_1"] <= group["upper_bound"] <= 1 and 0 <= group["average_precision"] <= 1
        assert group["phrases"] == sum(name in phrase.types for phrase in boxed)
    assert sum(group["phrases"] for group in figures["by_size"].values()) == len(boxed)
    assert figures["by_resolution"] == {} and not {"confidence", "present"} & set(figures)
    for told in (f"{100 * figures['recall_at_10']:.2f}", "R@5", "bound", "whole photo", "people", figures["protocol"]):
        assert told in table


def test_halves_and_unseen_heads(evaluate, capsys, tmp_path, scenes):
    """The two halves share no photo, and with --seen-in heads are counted apart: of drawn scenes all are seen."""
    halves = [
        measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT + 1, "--half", half, *more)[0]
        for half, more in (("first", ()), ("second", ("--seen-in", "train")))
    ]
    assert [half["photos"] for half in halves] == [3, 2] and halves[0]["by_head"] == {}
    assert sum(group["phrases"] for group in halves[1]["by_head"].values()) == halves[1]["phrases"]
    assert "head noun seen in training" in halves[1]["by_head"]


@pytest.mark.parametrize("name", ["checkpoint", "calibrated"])
def test_localization_agrees_with_the_localizer(evaluate, capsys, tmp_path, scenes, request, name):
    used = request.getfixturevalue(name)
    localizer = Localizer.from_pretrained(used, device="cpu", precision="float32")
    figures, _ = measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT, "--checkpoint", used)
    hits, bound, whole, answers, alone = {1: [], 5: [], 10: []}, [], [], [], []
    for photo in open_dataset(scenes, limit=LIMIT):
        view = localizer.see(photo.path)
        for s in photo.sentences:
            for phrase in (phrase for phrase in s.phrases if len(phrase.boxes)):
                context = Context.of(s.text, phrase.start, phrase.end)
                located = localizer.model.locate(view.regions, [phrase.text], [context])
                best = [r for r in np.argsort(-located.scores[0], kind="stable") if r != located.kept[0][0]]
                best.insert(0, located.kept[0][0])
                right = iou(phrase.box, located.boxes[0])[0] >= 0.5
                for k, found in hits.items():
                    found.append(right[best[:k]].any())
                bound.append(right.any())
                height, width = view.photo.shape[:2]
                whole.append(iou(phrase.box, [0, 0, width, height])[0, 0] >= 0.5)
                # As a user would ask, for the phrase of the sentence and for it alone.
                asked = [Phrase(phrase.text, phrase.start, phrase.end, "head")]
                answer = localizer.ground(view, s.text, asked).phrases[0]
                answers.append(iou(phrase.box, answer.box)[0, 0] >= 0.5)
                alone.append(iou(phrase.box, view.find(phrase.text).box)[0, 0] >= 0.5)
    for k, found in hits.items():
        assert figures[f"recall_at_{k}"] == pytest.approx(np.mean(found), abs=0.02)  # the cache rounds boxes
    assert figures["recall_at_1"] == pytest.approx(np.mean(answers), abs=0.02)
    assert figures["recall_at_1_without_sentence"] == pytest.approx(np.mean(alone), abs=0.02)
    assert figures["upper_bound"] == pytest.approx(np.mean(bound), abs=0.02)
    assert figures["floor_whole_photo"] == pytest.approx(np.mean(whole))


def test_full_size_photos_apart(evaluate, capsys, tmp_path, scenes):
    root = tmp_path / "scenes"
    shutil.copytree(scenes, root)
    photos = open_dataset(scenes, limit=LIMIT)
    (root / "full_resolution.txt").write_text(f"{photos[1].id}\n{photos[3].id}\n1000000\n")
    figures, table = measured(evaluate, capsys, tmp_path, "localization", root, "--limit", LIMIT)
    full, smaller = figures["by_resolution"]["full-size photos"], figures["by_resolution"]["smaller photos"]
    boxed = [sum(len(p.boxes) > 0 for s in photo.sentences for p in s.phrases) for photo in photos]
    assert (full["phrases"], smaller["phrases"]) == (boxed[1] + boxed[3], boxed[0] + boxed[2])
    mean = (full["recall_at_1"] * full["phrases"] + smaller["recall_at_1"] * smaller["phrases"]) / sum(boxed)
    assert mean == pytest.approx(figures["recall_at_1"])
    assert "full-size photos" in table


# Probabilities, saved results, pictures


def test_probabilities_are_measured_as_they_are_and_cross_fitted(evaluate, capsys, tmp_path, scenes, calibrated):
    checkpoint = ("--checkpoint", calibrated)
    figures, table = measured(evaluate, capsys, tmp_path, "localization", scenes, *checkpoint)
    diagrams = tmp_path / "deep" / "reliability.png"
    options = (*checkpoint, "--cross-fit", "--reliability", diagrams)
    fitted, _ = measured(evaluate, capsys, tmp_path, "localization", scenes, *options)
    judged = ("confidence", "present")
    assert {k: v for k, v in fitted.items() if k not in judged} == {k: v for k, v in figures.items() if k not in judged}
    for name in judged:
        assert shares([figures[name][of] for of in ("ece", "brier", "auroc")])
        assert figures[name] != fitted[name]
        assert figures[name]["count"] == fitted[name]["count"] == sum(count for *_, count in fitted[name]["curve"])
        assert f"{name}: ECE {figures[name]['ece']:.3f}" in table
    assert figures["present"]["brier"] < fitted["present"]["brier"]  # the checkpoint's own have seen these photos
    assert figures["confidence"]["count"] == figures["phrases"] < figures["present"]["count"]
    with Image.open(diagrams) as picture:
        assert picture.format == "PNG" and picture.width > 900


def test_results_are_saved_and_compared(evaluate, capsys, tmp_path, scenes, calibrated):
    a, b = tmp_path / "deep" / "a.json", tmp_path / "b.json"
    figures, _ = measured(evaluate, capsys, tmp_path, "localization", scenes, "--limit", LIMIT, "--save", a)
    options = ("--limit", LIMIT + 1, "--save", b, "--checkpoint", calibrated)
    assert evaluate(capsys, "localization", scenes, *options)[0] == 0
    saved = json.loads(a.read_text(encoding="utf-8"))
    assert saved["about"]["data"] == scenes.name and str(tmp_path) not in a.read_text()
    assert len(saved["about"]["checkpoint"]) == 12
    phrases = saved["phrases"]
    assert len(phrases) == figures["phrases"]
    assert set(phrases[0]) == set(
        "photo sentence start text types right answer iou any_iou alone_iou score rank rank_nms confidence "
        "present".split()
    )
    assert np.mean([p["rank"] == 1 for p in phrases]) == pytest.approx(figures["recall_at_1"])
    assert np.mean([p["rank"] is not None for p in phrases]) == pytest.approx(figures["upper_bound"])
    for k in (5, 10):
        for name, key in (("rank", f"recall_at_{k}"), ("rank_nms", f"recall_at_{k}_nms")):
            assert np.mean([p[name] is not None and p[name] <= k for p in phrases]) == pytest.approx(figures[key])
    assert all(p["present"] is None for p in phrases)
    of_photo = {photo.id: photo for photo in open_dataset(scenes, limit=LIMIT)}
    for p in phrases:
        sentence = next(s for s in of_photo[p["photo"]].sentences if s.index == p["sentence"])
        assert sentence.text[p["start"] :].startswith(p["text"])
        assert iou(p["right"], p["answer"])[0, 0] == pytest.approx(p["iou"], abs=0.01)
    others = json.loads(b.read_text())["phrases"]
    assert all(0 < p["present"] < 1 for p in others)

    assert main(["localization", "--compare", str(a), str(b), "--output", str(tmp_path / "c.json")]) == 0
    out, err = capsys.readouterr()
    compared = json.loads((tmp_path / "c.json").read_text())
    right = {(p["photo"], p["sentence"], p["start"]): p["rank"] == 1 for p in others}
    pairs = [(p["rank"] == 1, right[p["photo"], p["sentence"], p["start"]]) for p in phrases]
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    assert (compared["gained"], compared["lost"]) == (gained, lost) and gained > 0
    assert compared["difference"] == pytest.approx((gained - lost) / len(pairs))
    assert compared["interval"][0] <= compared["difference"] <= compared["interval"][1]
    assert (compared["phrases"], compared["only_in_a"]) == (len(phrases), 0) and compared["only_in_b"] > 0
    assert compared["recall_at_1_a"] == pytest.approx(figures["recall_at_1"])
    assert err == "" and f"{len(phrases)} shared phrases of {LIMIT} photos" in out


@pytest.mark.parametrize("which", ["worst", "typical"])
def test_pictures_one_a_photo(evaluate, capsys, tmp_path, scenes, checkpoint, calibrated, which):
    for number, used in ((3, checkpoint), (1, calibrated)):
        folder = tmp_path / f"{number}" / which
        options = ("--limit", LIMIT, "--checkpoint", used, f"--{which}", number, folder)
        code, _, err = evaluate(capsys, "localization", scenes, *options)
        assert (code, err) == (0, "")
        names = sorted(path.name for path in folder.iterdir())
        assert [name.split("_")[0] for name in names] == [f"{n:02}" for n in range(1, number + 1)]
        assert len({name.split("_")[1] for name in names}) == number
        for name in names:
            with Image.open(folder / name) as picture:
                assert picture.format == "PNG"


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
    assert f"{100 * figures['recall']['0.5']['1000']:.2f}" in table and "ms per photo" in table


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
    monkeypatch.setattr("sspe.data.synthetic.scenes.synthetic_root", lambda: scenes)
    figures, _ = measured(evaluate, capsys, tmp_path, "phrases", "synthetic")
    assert figures["photos"] == 12


def test_the_shipped_checkpoint_is_the_default(capsys, scenes, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(sspe.checkpoint, "SHIPPED", tmp_path)
    line = ["localization", "--data", str(scenes), "--limit", "1", "--quiet", "--device", "cpu"]
    assert main(line) == 2
    assert "There is no checkpoint" in capsys.readouterr().err
    (tmp_path / f"{DEFAULTS['localization']}.safetensors").write_bytes(checkpoint.read_bytes())
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
    from sspe.data.synthetic.scenes import write_synthetic

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
    asked = [("phrases", "--output"), ("proposals", "--output"), ("proposals", "--curve")]
    for measure, option in (*asked, ("localization", "--reliability"), ("localization", "--save")):
        for target in (tmp_path, tmp_path / "file" / "below.json"):
            code, out, err = evaluate(capsys, measure, scenes, option, target)
            assert (code, out) == (2, "") and str(target.parent) in err and err.count("\n") == 1


def test_probabilities_that_the_checkpoint_does_not_have(evaluate, capsys, tmp_path, scenes):
    for option in (["--cross-fit"], ["--reliability", tmp_path / "r.png"]):
        code, out, err = evaluate(capsys, "localization", scenes, "--limit", 1, *option)
        assert (code, out) == (2, "") and "has no probabilities" in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_too_few_photos_to_cross_fit(evaluate, capsys, scenes, calibrated):
    options = ("--limit", 4, "--checkpoint", calibrated, "--cross-fit")
    code, out, err = evaluate(capsys, "localization", scenes, *options)
    assert (code, out) == (2, "") and "cannot be fitted on 4 photos" in err and err.count("\n") == 1


def test_how_many_pictures(evaluate, capsys, tmp_path, scenes, monkeypatch):
    monkeypatch.setattr("sspe.checkpoint.load_checkpoint", lambda *_: pytest.fail("the work began"))
    (tmp_path / "file").write_text("")
    for option in ("--worst", "--typical"):
        for count in ("0", "-1", "few", "1.5", "²"):
            code, out, err = evaluate(capsys, "localization", scenes, option, count, tmp_path / "pictures")
            assert (code, out) == (2, "") and f"{count!r}; give a whole number of at least 1." in err
            assert err.count("\n") == 1 and not (tmp_path / "pictures").exists()
        code, out, err = evaluate(capsys, "localization", scenes, option, 3, tmp_path / "file")
        assert (code, out) == (2, "") and str(tmp_path / "file") in err and err.count("\n") == 1


def test_neither_data_nor_results_to_compare(capsys):
    assert main(["localization"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "give --data, or --compare" in err and err.count("\n") == 1


def test_results_that_are_none(capsys, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    for file, told in ((tmp_path / "other.json", "holds no saved results"), (tmp_path / "absent", "cannot be read")):
        assert main(["localization", "--compare", str(file), str(file)]) == 2
        out, err = capsys.readouterr()
        assert out == "" and str(file) in err and told in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["retrieval"],
        ["phrases"],
        ["phrases", "--data", "x", "--limit", "few"],
        ["phrases", "--data", "x", "--ids", "a", "--split", "train"],
        ["phrases", "--data", "x", "--device", "cpu"],
        ["proposals", "--compare", "a", "b"],
        ["localization", "--compare", "a"],
        ["localization", "--data", "x", "--worst", "3"],
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
