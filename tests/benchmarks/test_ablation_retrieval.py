"""benchmarks/ablation_retrieval.py: rows are trained once and end in a table."""

import shlex

import ablation_retrieval as ablation
import pytest
import rows

import sspe.train
from sspe.checkpoint import load_checkpoint
from sspe.training.recipes import recipe
from sspe.training.retrieval import RetrievalTask


def test_every_row_has_a_recipe_and_a_name_of_its_own():
    names = [row.name for row in ablation.ROWS]
    assert len(set(names)) == len(names) and len({(row.recipe, row.changes) for row in ablation.ROWS}) == len(names)
    for row in ablation.ROWS:
        made = recipe(row.recipe, [change.format(vectors="v.txt") for change in row.changes], "retrieval")
        assert ("minilm" in made.text.encoder) == ("has seen these captions" in row.about)
        assert bool(made.epochs) == (row.group == "fine-tuned")
        structured = "structure" in row.about
        assert structured == bool(made.loss.sentence_structure) or made.network.kind == "cca"
    assert not {"fine-tuned", "recipes"} & {row.group for row in rows.choose(ablation.ROWS, None)}
    assert [row.name for row in rows.choose(ablation.ROWS, ["photos", "linear"])] == [
        "base",
        "linear",
        "one-view",
        "crops",
    ]


def test_rows_are_trained_once_and_printed(run, tmp_path, capsys, monkeypatch):
    asked = ("--rows", "linear", "tf-idf", "cca-mean", "--seeds", "2")
    assert run(ablation, *asked) == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|")][2:] == [
        "HGLMM, nonlinear, bi-directional", "linear branches", "CCA, mean", "tf-idf",
    ]  # fmt: skip
    linear = next(line for line in lines if line.startswith("| linear"))
    assert linear.count("±") == 7 and linear.endswith("| 2 |")
    assert "20 sentences of 4 photos" in printed

    # The commands say what was done: the parser of sspe train reads them, and gives the settings of the run.
    command = next(line for line in lines if "network.hidden=0" in line)
    options = sspe.train.parser().parse_args(shlex.split(command)[2:])
    about = load_checkpoint(tmp_path / "runs" / "linear-0" / "best.safetensors", "retrieval")[1]
    by_hand = recipe(options.recipe, options.set, options.task).as_dict()
    by_hand["text"]["vectors"] = list(by_hand["text"]["vectors"])
    assert about["settings"] == by_hand and (options.limit, options.seed, options.task) == (8, 0, "retrieval")

    monkeypatch.setattr(RetrievalTask, "__init__", lambda *_: pytest.fail("a finished row was run again"))
    assert run(ablation, *asked) == 0
    assert capsys.readouterr().out == printed
    assert run(ablation, "--print") == 0
    assert "linear branches" in capsys.readouterr().out
