"""benchmarks/ablation.py: rows are trained once, each with what it says, and end in a table."""

import json
import shlex

import ablation
import numpy as np
import pytest
import region_vectors
import trial

from sspe.training.recipes import recipe


def results(tmp_path) -> list[dict]:
    return [json.loads(line) for line in (tmp_path / "runs" / "results.jsonl").read_text().splitlines()]


def test_every_row_has_a_recipe_and_a_name_of_its_own():
    names = [row.name for row in ablation.ROWS]
    assert len(set(names)) == len({(row.changes, row.inputs) for row in ablation.ROWS}) == len(names)
    assert ablation.ROWS[0].name == ablation.ROWS[0].group == "base"
    for row in ablation.ROWS:
        made = recipe(row.recipe, row.changes)
        assert not (made.fine_tune or made.calibrated or made.network.refiner or made.nouns)
        assert (made.regions.geometry or made.loss.same_photo > 0 or row.inputs.things) == (
            "not the paper" in row.about
        )
        assert bool(made.mining_epoch) == ("hard negatives" in row.about) and made.mining_epoch < made.epochs


def test_a_run_is_made_once_and_again_gives_the_same_figures(run, tmp_path, capsys, monkeypatch):
    assert run(ablation, "--rows", "linear", "--seeds", "2") == 0
    printed = capsys.readouterr().out
    titles = [line.split("|")[1].strip() for line in printed.splitlines() if line.startswith("|")][2:]
    assert titles == [
        "floor: whole photo", "floor: centred box of 0.8 W x 0.8 H", "mean of word vectors, nonlinear, bi-directional",
        "the same after NMS at 0.5", "linear branches",
    ]  # fmt: skip
    first = results(tmp_path)
    assert [(line["row"], line["seed"]) for line in first] == [("base", 0), ("linear", 0), ("base", 1), ("linear", 1)]
    line = first[0]
    hits = np.unpackbits(np.frombuffer(bytes.fromhex(line["hits"]), np.uint8))[: line["phrases"]]
    assert hits.mean() == pytest.approx(line["recall_at_1"]) == line["nms"]["recall_at_1"]
    assert len(line["curve"]) == 2 and 0 < line["upper_bound"] <= 1

    with monkeypatch.context() as patch:
        patch.setattr(ablation, "trial", lambda *_: pytest.fail("a finished run was made again"))
        assert run(ablation, "--rows", "linear", "--seeds", "2") == 0
        assert capsys.readouterr().out == printed

    # The command that is listed makes the printed figure once more.
    assert run(ablation, "--rows", "linear", "--list") == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert ablation.main([*command[2:], "--output", str(tmp_path / "again"), "--quiet"]) == 0
    again = [json.loads(line) for line in (tmp_path / "again" / "results.jsonl").read_text().splitlines()]
    assert again == first[:2]


def test_a_changed_setting_is_another_run(features):
    def known(row, *more):
        line = ["--data", "ROOT", "--vectors", "v.txt", "--features", str(features), *more]
        return ablation.key(row, 0, ablation.parser().parse_args(line))

    base, linear, *_ = ablation.ROWS
    others = [known(linear), known(base, "--set", "loss.margin=0.2"), known(base, "--limit", "5")]
    assert len({known(base), *others}) == 4 and known(base) == known(base, "--seeds", "7", "--vectors", "b/v.txt")


@pytest.mark.slow
@pytest.mark.parametrize("rows", [["cca", "similarity", "own-photo"], ["hard-negatives", "things", "geometry"]])
def test_every_kind_of_row_runs(run, tmp_path, rows):
    assert run(ablation, "--rows", *rows, "--set", "mining_epoch=0" if "cca" in rows else "epochs=5") == 0
    assert {line["row"] for line in results(tmp_path)} == {"base", *rows}


@pytest.mark.slow
def test_a_lone_phrase_has_no_neighbours_and_fewer_proposals_are_what_they_say(run, tmp_path, monkeypatch):
    seen, of = [], trial.Batches.of

    def watched(self, epoch):
        for batch in of(self, epoch):
            seen.append((self.inputs, batch.matches))
            yield batch

    monkeypatch.setattr(trial.Batches, "of", watched)
    assert run(ablation, "--rows", "lone", "edge-boxes") == 0
    of_lone = [matches for inputs, matches in seen if inputs.lone]
    assert of_lone and all((m.same_photo.sum(dim=0) == 1).all() for m in of_lone)
    others = [matches for inputs, matches in seen if not inputs.lone]
    assert any((m.same_photo.sum(dim=0) > 1).any() for m in others)
    base, edge = (next(line for line in results(tmp_path) if line["row"] == name) for name in ("base", "edge-boxes"))
    assert edge["upper_bound"] <= base["upper_bound"] and edge["by_proposals"] == {}


def test_which_proposals_take_part():
    regions = region_vectors.PhotoRegions(np.zeros((7, 4)), np.array([0, 2, 3, 4, 9]), 3, np.zeros((7, 2)), None)
    assert trial.Inputs().chosen(regions).tolist() == [2, 3, 4, 5, 6]
    assert trial.Inputs(edge_boxes=True).chosen(regions).tolist() == [2, 5, 6]
    assert trial.Inputs(proposals=4).chosen(regions).tolist() == [2, 3, 4]
