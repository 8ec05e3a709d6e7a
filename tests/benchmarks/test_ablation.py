"""benchmarks/ablation.py: rows are trained once, go on where they were stopped, and end in a table."""

import shlex

import ablation
import pytest

import sspe.train
from sspe.training.localization import LocalizationTask
from sspe.training.recipes import recipe


def test_every_row_has_a_recipe_and_a_name_of_its_own():
    names = [row.name for row in ablation.ROWS]
    assert len(set(names)) == len(names) and len({(row.recipe, row.changes) for row in ablation.ROWS}) == len(names)
    assert ablation.ROWS[0].name == ablation.ROWS[0].group == "base"
    for row in ablation.ROWS:
        changed = recipe(row.recipe, [change.format(vectors="v.txt") for change in row.changes])
        assert (changed.text.encoder == "minilm") == ("has seen these captions" in row.about)
        if row.recipe == "ablation":
            assert not changed.fine_tune and not changed.calibrated and not changed.network.refiner
    assert [row.name for row in ablation.chosen(None)] == [
        row.name for row in ablation.ROWS if row.recipe == "ablation"
    ]
    assert [row.name for row in ablation.chosen(["crops", "network"])] == [
        "base", "linear", "similarity", "cca-hglmm", "cca-mean", "crops",
    ]  # fmt: skip


def test_rows_are_trained_once_and_printed(run, tmp_path, capsys, monkeypatch):
    assert run(ablation, "--rows", "linear", "mean", "proposals", "--seeds", "2") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:] == [
        "floor: whole photo",
        "floor: centred box of 0.8 W x 0.8 H",
        "HGLMM, nonlinear, bi-directional, RoI, positive augmentation",
        "linear branches",
        "mean of GloVe 50-d and word2vec 300-d",
        *(f"base, measured with {count} proposals (bound {bound})" for count, bound in bounds(lines)),
    ]
    linear = next(line for line in lines if line.startswith("| linear"))
    assert linear.count("±") == 3 and linear.endswith("| 2 |")
    made = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert made == ["base-0", "base-1", "linear-0", "linear-1", "mean-0", "mean-1", "proposals.json"]

    # The commands say what was done: the parser of sspe train reads them, and gives the settings of the run.
    from sspe.checkpoint import load_checkpoint

    command = next(line for line in lines if "network.hidden=0" in line)
    assert command.startswith("    sspe train ")
    options = sspe.train.parser().parse_args(shlex.split(command)[2:])
    about = load_checkpoint(tmp_path / "runs" / "linear-0" / "best.safetensors")[1]
    told = {**about["settings"], "text": {**about["settings"]["text"]}}
    made_by_hand = recipe(options.recipe, options.set).as_dict()
    made_by_hand["text"]["vectors"] = list(made_by_hand["text"]["vectors"])
    assert told == made_by_hand and (options.limit, options.seed) == (6, 0)

    monkeypatch.setattr(LocalizationTask, "__init__", lambda *_: pytest.fail("a finished row was run again"))
    assert run(ablation, "--rows", "linear", "mean", "proposals", "--seeds", "2") == 0
    assert capsys.readouterr().out == printed
    assert run(ablation, "--print") == 0
    assert "linear branches" in capsys.readouterr().out


def bounds(lines):
    """Counts of proposals and their bounds, from the rows' own words."""
    rows = [line for line in lines if "measured with" in line]
    assert len(rows) == 4
    return [(line.split("with ")[1].split()[0], line.split("bound ")[1].split(")")[0]) for line in rows]


def test_a_row_that_was_stopped_goes_on(run, tmp_path, monkeypatch, caplog):
    def stop(self):
        raise KeyboardInterrupt

    two = ["--rows", "base", "--set", "epochs=2"]
    with monkeypatch.context() as patch:
        validate = LocalizationTask.validate
        epochs = iter([validate, stop])
        patch.setattr(LocalizationTask, "validate", lambda self: next(epochs)(self))
        with pytest.raises(KeyboardInterrupt):
            run(ablation, *two)
    assert not (tmp_path / "runs" / "base-0" / "metrics.json").exists()
    with caplog.at_level("INFO"):
        assert run(ablation, *two) == 0
    assert "resumed at epoch 2" in caplog.text


def test_a_row_that_fails_leaves_the_others(run, monkeypatch, capsys):
    from sspe.errors import CheckpointError
    from sspe.text.minilm import MiniLMEncoder

    def missing(self, context=0):
        raise CheckpointError("There is no such package.")

    monkeypatch.setattr(MiniLMEncoder, "__init__", missing)
    assert run(ablation, "--rows", "minilm") == 1
    out, err = capsys.readouterr()
    assert (
        "HGLMM, nonlinear" in out
        and "MiniLM" not in out
        and err.endswith("minilm, seed 0: There is no such package.\n")
    )
