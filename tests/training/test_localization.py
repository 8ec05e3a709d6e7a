"""`sspe train` through its real main(): files, resuming, bad input, and that the network learns."""

import json
import re
from pathlib import Path

import pytest
import torch
from run_files import rows, same, weights
from safetensors.torch import load_file

import sspe.evaluate
import sspe.train
import sspe.training.loop
from sspe.checkpoint import load_checkpoint
from sspe.train import main
from sspe.training.localization import LocalizationRun

CPU = ["--device", "cpu", "--precision", "float32", "--quiet"]
TINY = ["--recipe", "synthetic", "--limit", "8", "--val-limit", "4"]
for change in ("regions.side=96", "proposals.count=40", "sampled_proposals=4", "batch=4", "epochs=2",
               "network.hidden=64", "network.embedding=32", "warm_up=0.3"):  # fmt: skip
    TINY += ["--set", change]


MEASURED = {"recall_at_1": 0.0, "recall_at_10": 0.9}  # what the training loop reads of a measure


@pytest.fixture(autouse=True)
def quick_words(request) -> None:
    """A few words in place of GloVe; not in tests that ask for ``english``."""
    if "english" not in request.fixturenames:
        request.getfixturevalue("few_words")


@pytest.fixture
def english() -> None:
    """The real GloVe vectors, for where learning is measured."""


def train(data, output, *options) -> int:
    return main(["--data", str(data), "--output", str(output), *CPU, *TINY, *map(str, options)])


@pytest.fixture
def finished(scenes, tmp_path_factory, request):
    """A whole tiny run, made once and never changed."""
    if not hasattr(request.module, "finished_run"):
        run = tmp_path_factory.mktemp("finished") / "run"
        assert train(scenes, run) == 0
        request.module.finished_run = run
    return request.module.finished_run


def test_a_run_writes_its_files(finished):
    names = ["best.safetensors", "curves.png", "last.pt", "log.csv", "metrics.json"]
    assert sorted(path.name for path in finished.iterdir()) == names
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [row["epoch"] for row in rows(finished)] == ["1", "2"]
    for row in rows(finished):
        assert float(row["loss"]) > 0 and float(row["seconds"]) > 0
        assert 0 <= float(row["watched_recall_at_1"]) <= float(row["watched_recall_at_10"]) <= 1
    state = torch.load(finished / "last.pt", weights_only=True)
    assert (state["epoch"], state["step_of_epoch"]) == (2, 0)


def test_the_checkpoint_says_how_it_was_made(finished, scenes):
    model, about = load_checkpoint(finished / "best.safetensors")
    assert (model.settings.regions.side, model.settings.proposals.count) == (96, 40)
    assert (model.settings.network.hidden, model.settings.network.embedding) == (64, 32)
    assert (about["recipe"], about["seed"], about["train_photos"]) == ("synthetic", 0, 8)
    assert about["settings"]["epochs"] == 2 and about["epoch"] in (1, 2)
    best = max(float(row["watched_recall_at_1"]) for row in rows(finished))
    assert about["watched_val"]["recall_at_1"] == pytest.approx(best, abs=1e-4)
    assert about["data"] == scenes.name and str(scenes.parent) not in json.dumps(about)  # no path of this machine


def test_metrics_are_those_of_the_evaluate_command(finished, scenes, tmp_path, capsys):
    metrics = json.loads((finished / "metrics.json").read_text())
    line = ["localization", "--data", scenes, "--checkpoint", finished / "best.safetensors", "--limit", 4, *CPU]
    line += ["--output", tmp_path / "again.json"]
    assert sspe.evaluate.main([str(part) for part in line]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == metrics
    assert metrics["photos"] == 4 and metrics["phrases"] > 20


def test_too_few_val_photos_leave_the_checkpoint_uncalibrated(finished, scenes, caplog):
    """Four photos are fewer than the folds; the run says so, and ends well all the same."""
    model, about = load_checkpoint(finished / "best.safetensors")
    metrics = json.loads((finished / "metrics.json").read_text())
    assert model.calibration is None and not {"confidence", "present"} & set(metrics)
    assert about["all_val"] == metrics
    with caplog.at_level("WARNING"):
        assert train(scenes, finished, "--resume") == 0
    assert "cannot be fitted on 4 photos" in caplog.text


def test_the_best_checkpoint_is_calibrated(scenes, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(scenes, run, "--set", "epochs=1", "--val-limit", 12) == 0
    metrics = json.loads((run / "metrics.json").read_text())
    model, about = load_checkpoint(run / "best.safetensors")
    assert about["all_val"] == metrics and about["epoch"] == 1
    assert metrics["confidence"]["count"] == metrics["phrases"] < metrics["present"]["count"]
    assert model.calibration.bank.shape == (8 * 16, 32)  # of the training photos
    assert model.calibration.present.abs().max() > 0
    assert (run / "reliability.png").read_bytes().startswith(b"\x89PNG")
    # The evaluate command comes to the same: what was fitted on other photos, and all else.
    capsys.readouterr()
    line = ["localization", "--data", scenes, "--checkpoint", run / "best.safetensors", "--cross-fit", *CPU]
    assert sspe.evaluate.main([str(part) for part in (*line, "--output", tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    for name in ("confidence", "present"):
        ours, theirs = metrics.pop(name), again.pop(name)
        for of in ("ece", "brier", "auroc"):
            assert theirs[of] == pytest.approx(ours[of], abs=0.02)  # the bank is on disk in float16
        assert (theirs["rate"], theirs["count"]) == (ours["rate"], ours["count"])
    assert again == metrics
    # Measured again, a calibrated checkpoint is calibrated anew, not worse.
    before = load_file(run / "best.safetensors")
    (run / "reliability.png").unlink()
    assert train(scenes, run, "--set", "epochs=1", "--val-limit", 12, "--resume") == 0
    assert same(load_file(run / "best.safetensors"), before) and (run / "reliability.png").exists()


def test_words_go_to_standard_error(finished, scenes, capsys):
    assert train(scenes, finished, "--resume") == 0
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err


def test_the_seed_decides_everything(finished, scenes, tmp_path):
    assert train(scenes, tmp_path / "same") == 0
    assert same(weights(finished), weights(tmp_path / "same"))
    assert [row["loss"] for row in rows(tmp_path / "same")] == [row["loss"] for row in rows(finished)]
    assert train(scenes, tmp_path / "other", "--seed", 1, "--set", "epochs=1") == 0
    assert not same(weights(finished), weights(tmp_path / "other"))


def test_training_moves_what_it_should(finished):
    """The first stages keep their ImageNet weights, the later ones and the branches learn."""
    from sspe.training.recipes import recipe
    from sspe.vision.region_encoder import RegionEncoder

    published = RegionEncoder(recipe("synthetic").regions, pretrained=True).state_dict()
    learned = weights(finished)
    moved = {name for name, tensor in published.items() if not torch.equal(tensor, learned[f"regions.{name}"])}
    frozen = {name for name in published if re.match(r"map\.[0-3]\.", name)}
    assert frozen and not frozen & moved
    assert {"map.6.0.conv_pw.weight", "head.0.0.conv_pw.weight"} <= moved


def test_the_best_epoch_is_kept_not_the_last(scenes, tmp_path, monkeypatch):
    recalls = iter([0.2, 0.5, 0.3])
    monkeypatch.setattr(LocalizationRun, "measure", lambda *_: {**MEASURED, "recall_at_1": next(recalls)})
    assert train(scenes, tmp_path / "run", "--set", "epochs=3") == 0
    assert load_checkpoint(tmp_path / "run" / "best.safetensors")[1]["epoch"] == 2
    assert [row["watched_recall_at_1"] for row in rows(tmp_path / "run")] == ["0.2", "0.5", "0.3"]


# Resuming


def test_an_existing_run_is_not_written_over(finished, scenes, capsys):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    assert train(scenes, finished) == 2
    assert f"{finished} already holds a run; add --resume" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_a_finished_run_is_measured_again(finished, scenes):
    before, metrics = weights(finished), (finished / "metrics.json").read_text()
    (finished / "metrics.json").unlink()
    assert train(scenes, finished, "--resume") == 0
    assert same(weights(finished), before) and len(rows(finished)) == 2
    assert (finished / "metrics.json").read_text() == metrics


@pytest.mark.parametrize(
    ("stop_at", "left"),
    [
        ("step 2", (0, 1)),  # in the middle of the first epoch
        ("measure 1", (0, 2)),  # after its last step, before it is measured
        ("step 4", (1, 1)),  # in the middle of the second
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(finished, scenes, tmp_path, monkeypatch, stop_at, left, capsys):
    method, count = stop_at.split()
    monkeypatch.setattr(sspe.training.loop, "SAVE_EVERY", -1.0)  # after every step
    with monkeypatch.context() as patch:
        whole, calls = getattr(LocalizationRun, method), []

        def interrupted(self, *arguments):
            calls.append(1)
            if len(calls) == int(count):
                raise KeyboardInterrupt
            return whole(self, *arguments)

        patch.setattr(LocalizationRun, method, interrupted)
        assert train(scenes, tmp_path / "run") == 130
    assert "--resume goes on from the last saved step" in capsys.readouterr().err
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert (state["epoch"], state["step_of_epoch"]) == left
    assert train(scenes, tmp_path / "run", "--resume") == 0
    assert same(weights(tmp_path / "run"), weights(finished))
    assert same(load_file(tmp_path / "run" / "best.safetensors"), load_file(finished / "best.safetensors"))
    kept = [{name: value for name, value in row.items() if name != "seconds"} for row in rows(tmp_path / "run")]
    assert kept == [{name: value for name, value in row.items() if name != "seconds"} for row in rows(finished)]
    for name in ("metrics.json", "curves.png"):
        assert (tmp_path / "run" / name).exists()


def test_resume_without_a_run(scenes, tmp_path, capsys):
    assert train(scenes, tmp_path / "none", "--resume") == 2
    assert "to resume from; leave --resume out to start the run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("other", [["--set", "loss.margin=0.2"], ["--seed", "5"], ["--limit", "6"]])
def test_resume_with_another_command(finished, scenes, other, capsys):
    before = weights(finished)
    assert train(scenes, finished, "--resume", *other) == 2
    assert "has other settings" in capsys.readouterr().err
    assert same(weights(finished), before)


def test_a_stop_before_anything_is_saved(scenes, tmp_path, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalizationRun, "step", stop)
    assert train(scenes, tmp_path / "run") == 130
    assert "starts again" in capsys.readouterr().err


def test_resume_from_a_damaged_file(finished, scenes, tmp_path, capsys):
    (tmp_path / "last.pt").write_bytes((finished / "last.pt").read_bytes()[:100_000])
    assert train(scenes, tmp_path, "--resume") == 2
    assert "last.pt" in capsys.readouterr().err


# Other kinds of runs


@pytest.mark.parametrize("encoder", ["tfidf", "hglmm"])
def test_other_text_encoders_travel_in_the_checkpoint(scenes, tmp_path, encoder):
    options = ("--set", f"text.encoder={encoder}", "--set", "text.centres=3", "--set", "text.pca=20")
    assert train(scenes, tmp_path / "run", *options, "--set", "epochs=1") == 0
    model, about = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert model.text_encoder.name == about["settings"]["text"]["encoder"] == encoder
    assert model.text_encoder.context == 5 and model.text_encoder.encode(["a red ball"]).any()


def test_a_frozen_backbone_keeps_its_weights(scenes, tmp_path):
    from sspe.training.recipes import recipe
    from sspe.vision.folding import collapsed_state
    from sspe.vision.region_encoder import RegionEncoder

    options = ["--recipe", "frozen", "--set", "flip=false", "--set", "fine_tune=false", "--set", "epochs=1"]
    assert train(scenes, tmp_path / "run", *options) == 0
    published = collapsed_state(RegionEncoder(recipe("frozen").regions, pretrained=True))
    made = load_file(tmp_path / "run" / "best.safetensors")
    assert all(torch.equal(tensor.half(), made[f"regions.{name}"]) for name, tensor in published.items())
    assert load_checkpoint(tmp_path / "run" / "best.safetensors")[1]["recipe"] == "frozen"


PLAIN = [*TINY, "--recipe", "ablation"]
for change in ("text.encoder=mean", "epochs=2"):
    PLAIN += ["--set", change]


def plain(data, output, *options) -> dict:
    """Train by the recipe of the ablation; the figures."""
    assert main(["--data", str(data), "--output", str(output), *CPU, *PLAIN, *map(str, options)]) == 0
    return json.loads((output / "metrics.json").read_text())


@pytest.mark.parametrize(
    "changes",
    [
        ["network.hidden=0"],
        ["network.kind=similarity", "network.judge=16"],
        ["network.kind=cca"],
        ["loss.region_anchor=0", "loss.region_structure=0.1", "loss.phrase_structure=0.1"],
        ["positive_iou=1", "regions_per_phrase=10"],
        ["optimiser=sgd", "decay_every=1", "branch_lr=0.1"],
        ["mining_epoch=1", "mined=3"],
        ["regions.geometry=true"],
        ["regions.mode=crops", "regions.crop=32"],
    ],
)
def test_each_variant_of_the_paper_is_a_setting(scenes, tmp_path, changes):
    options = [part for change in changes for part in ("--set", change)]
    measured = plain(scenes, tmp_path / "run", *options)
    assert measured["protocol"].startswith("merged box") and "score alone" in measured["protocol"]
    assert 0 <= measured["recall_at_1"] <= measured["recall_at_10"] <= measured["upper_bound"] <= 1
    model, about = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert about["all_val"] == measured and model.calibration is None
    assert len(rows(tmp_path / "run")) == (1 if "network.kind=cca" in changes else 2)
    assert not any(name.startswith("regions.") for name in weights(tmp_path / "run"))  # what did not change is not kept


def test_a_plain_run_is_measured_again_by_the_evaluate_command(scenes, tmp_path, capsys):
    measured = plain(scenes, tmp_path / "run")
    line = ["localization", "--data", scenes, "--checkpoint", tmp_path / "run" / "best.safetensors", "--limit", 4, *CPU]
    line += ["--plain", "--proposals", 10, 40, "--output", tmp_path / "again.json"]
    assert sspe.evaluate.main([str(part) for part in line]) == 0
    again = json.loads((tmp_path / "again.json").read_text())
    by_proposals = again.pop("by_proposals")
    # The checkpoint rounds the backbone's weights, so a near tie may turn around.
    assert again["recall_at_1"] == pytest.approx(measured["recall_at_1"], abs=0.05)
    assert again["upper_bound"] == measured["upper_bound"] == by_proposals["40"]["upper_bound"]
    assert by_proposals["40"]["recall_at_1"] == again["recall_at_1"]
    assert by_proposals["10"]["upper_bound"] <= by_proposals["40"]["upper_bound"]
    assert "10 proposals" in capsys.readouterr().out


def test_a_run_takes_data_that_another_has_read(scenes, tmp_path, monkeypatch):
    from sspe.training.localization_data import TrainingData
    from sspe.training.recipes import recipe

    expected = plain(scenes, tmp_path / "first")
    line = ["--data", str(scenes), *CPU, *PLAIN]
    options = sspe.train.parser().parse_args(line)
    chosen = recipe("ablation", options.set)
    data = TrainingData.read(chosen, options, lambda work, total: work)
    monkeypatch.setattr(TrainingData, "read", lambda *_: pytest.fail("read again"))
    LocalizationRun(chosen, "ablation", tmp_path / "second", options, data).train()
    assert json.loads((tmp_path / "second" / "metrics.json").read_text()) == expected
    assert same(weights(tmp_path / "first"), weights(tmp_path / "second"))


def test_hard_negatives_survive_an_interruption(scenes, tmp_path, monkeypatch):
    options = ["--set", "mining_epoch=1", "--set", "epochs=3"]
    plain(scenes, tmp_path / "whole", *options)
    monkeypatch.setattr(sspe.training.loop, "SAVE_EVERY", -1.0)
    with monkeypatch.context() as patch:
        whole, calls = LocalizationRun.step, []

        def interrupted(self, *arguments):
            calls.append(1)
            if len(calls) == 4:  # in the second epoch, the first one with hard negatives
                raise KeyboardInterrupt
            return whole(self, *arguments)

        patch.setattr(LocalizationRun, "step", interrupted)
        assert main(["--data", str(scenes), "--output", str(tmp_path / "run"), *CPU, *PLAIN, *options]) == 130
    monkeypatch.setattr(LocalizationRun, "_mined", lambda self: pytest.fail("mined again, by another network"))
    plain(scenes, tmp_path / "run", *options, "--resume")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_the_papers_recipe_finishes(scenes, tmp_path):
    """With random weights and everything small; about ten seconds, most of them VGG's."""
    changes = [
        "regions.weights=random",
        "regions.side=96",
        "proposals.count=12",
        "epochs=2",
        "batch=2",
        "decay_every=1",
    ]
    changes += ["text.centres=3", "text.pca=16", "network.hidden=64", "network.embedding=32"]
    options = [part for change in changes for part in ("--set", change)]
    line = ["--data", str(scenes), "--output", str(tmp_path / "run"), "--recipe", "paper", "--limit", "4"]
    assert main([*line, "--val-limit", "2", *CPU, *options]) == 0
    model, about = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert model.settings.regions.backbone == "vgg16" and model.regions.feature_size == 4096
    assert model.text_encoder.name == "hglmm" and about["settings"]["optimiser"] == "sgd"
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["phrases"] > 0
    assert len(rows(tmp_path / "run")) == 2


def test_the_papers_recipe_says_where_its_weights_come_from(scenes, tmp_path, capsys, monkeypatch):
    line = ["--data", str(scenes), "--recipe", "paper", "--limit", "2", "--val-limit", "2", *CPU]
    line += ["--set", "proposals.count=12", "--set", "text.centres=3", "--set", "text.pca=4"]
    assert main([*line, "--output", str(tmp_path / "run"), "--set", "regions.weights=none.pth"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("There is no file of weights none.pth")


def test_crops(scenes, tmp_path, capsys):
    crops = ["--limit", 4, "--val-limit", 2]
    for change in ("regions.mode=crops", "regions.crop=32", "regions.surroundings=0"):
        crops += ["--set", change]
    assert train(scenes, tmp_path / "run", *crops) == 2
    assert "Crops are not fine-tuned" in capsys.readouterr().err
    assert train(scenes, tmp_path / "run", *crops, "--set", "fine_tune=false", "--set", "epochs=1") == 0
    assert load_checkpoint(tmp_path / "run" / "best.safetensors")[0].settings.regions.mode == "crops"


def own_data(folder, photos, phrases: int) -> Path:
    """One photo a split, as JSON Lines."""
    folder.mkdir()
    line = {"photo": str(photos[0]), "sentence": "A man and a dog.", "phrases": []}
    line["phrases"] = [[0, 5, [[10, 10, 90, 200]]], [10, 15, [[100, 50, 180, 90]]]][:phrases]
    for split in ("train", "val"):
        (folder / f"{split}.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_data_of_ones_own_with_a_single_photo(photos, tmp_path):
    assert train(own_data(tmp_path / "data", photos, 2), tmp_path / "run") == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["phrases"] == 2


def test_data_with_a_single_phrase(photos, tmp_path, capsys):
    """Batch norm has no statistics of one phrase."""
    assert train(own_data(tmp_path / "data", photos, 1), tmp_path / "run") == 2
    assert "one phrase" in capsys.readouterr().err


def test_recipe_follows_the_data(monkeypatch, scenes, tmp_path):
    chosen = []

    def note(self, settings, name, output, options):
        chosen.append((name, str(output)))
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalizationRun, "__init__", note)
    for line in (
        ["--data", "synthetic"],
        ["--data", str(scenes), "--seed", "3"],
        ["--data", "x", "--recipe", "frozen"],
    ):
        assert main(line) == 130
    assert chosen == [
        ("synthetic", str(Path("runs/synthetic-0"))),
        ("default", str(Path("runs/default-3"))),
        ("frozen", str(Path("runs/frozen-0"))),
    ]


# Bad input: exit code 2, one sentence, and no file written


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recipe", "best"], "no recipe 'best'"),
        (["--set", "loss.margins=1"], "no setting 'loss.margins'"),
        (["--set", "epochs"], "--set takes key=value"),
        (["--set", "epochs=many"], "'many' is no whole number"),
        (["--set", "batch=0"], "batch is 0; it must be at least 1"),
        (["--set", "regions.backbone=vgg99"], "no backbone 'vgg99'"),
        (["--set", "text.encoder=bag"], "no text encoder 'bag'"),
        (["--set", "text.vectors=absent.txt"], "no file of word vectors absent.txt"),
        (["--set", "proposals.forest=absent.yml"], "no structured forest file absent.yml"),
        (["--device", "tpu"], "no device 'tpu'"),
        (["--precision", "float8"], "no precision 'float8'"),
        (["--limit", "0"], "at least 1 photo"),
        (["--train-split", "half"], "half"),
        (["--val-split", "half"], "half"),
        (["--photos", "nowhere"], "nowhere"),
    ],
)
def test_options_that_mean_nothing(scenes, tmp_path, options, told, capsys):
    assert train(scenes, tmp_path / "run", *options) == 2
    out, err = capsys.readouterr()
    assert told in err.splitlines()[-1] and out == "" and "Traceback" not in err
    assert not list((tmp_path / "run").glob("*"))


def test_missing_data(tmp_path, capsys):
    for data in (tmp_path / "nowhere", tmp_path):
        assert train(data, tmp_path / "run") == 2
        assert str(data) in capsys.readouterr().err


def test_nothing_to_train_on_or_to_measure(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(LocalizationRun, "step", lambda *_: pytest.fail("the training began"))
    empty = own_data(tmp_path / "empty", photos, 0)
    assert train(empty, tmp_path / "run") == 2
    assert "has a phrase with a box; there is nothing to train on" in capsys.readouterr().err
    (empty / "train.jsonl").write_text((own_data(tmp_path / "full", photos, 2) / "train.jsonl").read_text())
    assert train(empty, tmp_path / "run") == 2
    assert "nothing to measure" in capsys.readouterr().err


def test_an_output_that_cannot_be_a_folder(scenes, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(LocalizationRun, "step", lambda *_: pytest.fail("the training began"))
    (tmp_path / "file").write_text("")
    assert train(scenes, tmp_path / "file") == 2
    assert str(tmp_path / "file") in capsys.readouterr().err


# Learning


def learn(data, output, *options):
    """Train as a user would, but for the device and the precision; the figures on all val scenes."""
    assert main(["--data", str(data), "--output", str(output), *CPU, *options]) == 0
    return json.loads((output / "metrics.json").read_text())


@pytest.mark.timeout(300)
def test_a_short_run_learns(english, tmp_path):
    """About half a minute on two cores: 120 scenes, small pictures, three epochs."""
    from sspe.checkpoint import save_checkpoint
    from sspe.data import open_dataset
    from sspe.data.synthetic.scenes import write_synthetic
    from sspe.models.localization import LocalizationModel
    from sspe.settings import LocalizationModelSettings
    from sspe.text.encoders import create_text_encoder
    from sspe.training.localization_batches import training_photos
    from sspe.training.recipes import recipe

    data = write_synthetic(tmp_path / "scenes", train=120, val=24, seed=0)
    changes = ["regions.side=128", "proposals.count=60", "sampled_proposals=6", "batch=6", "epochs=3"]
    options = [part for change in changes for part in ("--set", change)]
    found = learn(data, tmp_path / "run", "--recipe", "synthetic", *options)

    settings = recipe("synthetic", changes)
    texts = training_photos(open_dataset(data, "train"))[1].texts
    torch.manual_seed(0)
    text_encoder = create_text_encoder(settings.text, texts)
    untrained = LocalizationModel(
        LocalizationModelSettings(settings.regions, settings.network, settings.proposals), text_encoder, True
    )
    save_checkpoint(untrained, tmp_path / "untrained.safetensors", {})
    line = ["localization", "--data", data, "--checkpoint", tmp_path / "untrained.safetensors", *CPU]
    assert sspe.evaluate.main([*map(str, line), "--output", str(tmp_path / "untrained.json")]) == 0
    before = json.loads((tmp_path / "untrained.json").read_text())["recall_at_1"]

    floors = (found["floor_whole_photo"], found["floor_centred_box"])
    assert max(floors) < 0.25 and before < 0.3
    assert found["recall_at_1"] > 0.42 and found["recall_at_1"] > before + 0.2
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
def test_drawn_scenes_are_learned(english, tmp_path, monkeypatch):
    """The defaults: `sspe train --data synthetic`, under five minutes on two free cores."""
    monkeypatch.chdir(tmp_path)
    assert main(["--data", "synthetic", "--quiet"]) == 0
    found = json.loads((tmp_path / "runs" / "synthetic-0" / "metrics.json").read_text())
    assert found["photos"] == 120 and found["recall_at_1"] >= 0.80
