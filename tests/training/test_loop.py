"""The loop itself, on a task of a few numbers: steps, the best epoch, files, and a resumed run that ends the same."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image

from sspe.checkpoint import load_checkpoint
from sspe.errors import CheckpointError, SspeError
from sspe.files import locked
from sspe.training.loop import draw_curves, open_run, train_epochs, write_measures
from sspe.training.recipes import LocalizationRecipe

RECIPE = LocalizationRecipe("tiny", epochs=3)
STEPS = 4


@dataclass
class Data:
    name: str = "numbers"
    fingerprint: str = "abc"
    photos: tuple = (1, 2, 3)


@dataclass
class Task:
    """Fits a line with dropout; another optimiser from the second epoch on. ``stop`` interrupts a step or an epoch."""

    model: torch.nn.Module
    figures: list[float] = field(default_factory=lambda: [0.2, 0.5, 0.3])
    stop: tuple[str, int] | None = None
    epochs: int = 3

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.trained = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(), torch.nn.Linear(3, 1))
        self.kept = {"epochs begun": torch.zeros(0)}
        self._optimisers = {}
        self._calls = {"step": count(1), "epoch": count(1)}

    def optimiser(self, epoch):
        phase = min(epoch, 1)
        if phase not in self._optimisers:
            made = torch.optim.AdamW(self.trained.parameters(), lr=0.1 / (phase + 1))
            self._optimisers = {phase: (made, torch.optim.lr_scheduler.StepLR(made, 3))}
        return self._optimisers[phase]

    def batches(self, epoch, start):
        self.kept["epochs begun"] = torch.cat([self.kept["epochs begun"], torch.tensor([float(epoch)])])
        generator = torch.Generator().manual_seed(epoch)
        return [torch.rand(8, 3, generator=generator) for _ in range(STEPS)][start:]

    def loss(self, batch):
        self._interrupt("step")
        return (self.trained(batch)[:, 0] - batch.sum(dim=1)).square().mean()

    def validate(self):
        self._interrupt("epoch")
        return {"goodness": self.figures.pop(0), "other": 0.1}

    def _interrupt(self, kind):
        if self.stop == (kind, next(self._calls[kind])):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def model(make_localization_model):
    """What checkpoints hold; the loop does not train it."""
    return make_localization_model()


@pytest.fixture
def train(tmp_path, model):
    """train(folder, stop=None, data=Data(), recipe=RECIPE, **options of the run) -> the task."""

    def run(folder, stop=None, data=None, recipe=RECIPE, figures=(0.2, 0.5, 0.3), **options):
        made = open_run(
            tmp_path / folder, device="cpu", precision=options.pop("precision", "float32"), quiet=True,
            save_every=-1.0, **options,
        )  # fmt: skip
        task = Task(model, list(figures), stop)
        train_epochs(task, recipe, data or Data(), made)
        return task

    return run


def weights(task):
    return [p.tolist() for p in task.trained.parameters()]


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_run_descends_and_keeps_the_best_epoch(train, tmp_path):
    task = train("run")
    found = rows(tmp_path / "run")
    assert [row["epoch"] for row in found] == ["1", "2", "3"]
    assert [row["watched_goodness"] for row in found] == ["0.2", "0.5", "0.3"] and found[0]["watched_other"] == "0.1"
    assert float(found[-1]["loss"]) < float(found[0]["loss"])
    assert task.kept["epochs begun"].tolist() == [0, 1, 2]
    about = load_checkpoint(tmp_path / "run" / "best.safetensors")[1]
    assert (about["epoch"], about["recipe"], about["data"], about["train_photos"]) == (2, "tiny", "numbers", 3)
    assert about["watched_val"] == {"goodness": 0.5, "other": 0.1} and about["settings"]["epochs"] == 3
    assert (tmp_path / "run" / "curves.png").read_text() == "1 2 3"  # what is drawn, see plain_curves


def test_the_curves_are_a_picture(tmp_path):
    rows = [{"epoch": epoch, "loss": 1 / epoch, "watched_goodness": epoch / 10} for epoch in (1, 2)]
    draw_curves(rows, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height
        drawn = np.asarray(picture.convert("L"))
    left, right = np.hsplit(drawn, 2)
    assert (left < 128).sum() > 100 and (right < 128).sum() > 100  # a curve, a frame and words in either half


def test_a_resumed_run_is_the_undisturbed_run(train, tmp_path):
    """Stopped in an epoch, between its last step and its validation, and before the first step of the next one."""
    whole = train("whole")
    for stop, epochs_done in ((("step", 2), 0), (("epoch", 1), 0), (("step", STEPS + 1), 1), (("step", 2 * STEPS), 1)):
        folder = f"{stop[0]}-{stop[1]}"
        with pytest.raises(KeyboardInterrupt):
            train(folder, stop)
        resumed = train(folder, resume=True, figures=[0.2, 0.5, 0.3][epochs_done:])
        assert weights(resumed) == weights(whole) and rows(tmp_path / folder) == rows(tmp_path / "whole")


def test_a_finished_run_is_not_trained_again(train):
    whole = train("run")
    again = train("run", resume=True, figures=())
    assert weights(again) == weights(whole)


def test_what_is_fitted_at_once_takes_no_step(train, monkeypatch):
    monkeypatch.setattr(Task, "loss", lambda self, batch: torch.tensor(0.25))
    task = train("run")
    assert weights(task) == weights(Task(task.model))


def test_a_new_run_does_not_overwrite_an_old_one(train, tmp_path):
    train("run")
    with pytest.raises(CheckpointError, match=r"run already holds a run; add --resume to go on, or name another"):
        train("run")
    with pytest.raises(CheckpointError, match=r"no .*last\.pt to resume from; leave --resume out to start the run"):
        train("none", resume=True)
    assert not (tmp_path / "none").exists()


def test_a_run_is_resumed_as_it_began(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train("run", ("epoch", 2))
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    for other, words in (
        ({"data": Data(fingerprint="xyz")}, "began with data of fingerprint 'abc', and this command has 'xyz'"),
        ({"precision": "bfloat16"}, "began with precision 'float32', and this command has 'bfloat16'"),
        ({"seed": 5}, "began with seed 0, and this command has 5"),
        ({"recipe": replace(RECIPE, batch=3)}, "began with batch 16, and this command has 3"),
    ):
        with pytest.raises(CheckpointError, match=words):
            train("run", resume=True, **other)
        assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    train("run", resume=True, data=Data(name="moved"), figures=[0.5, 0.3])  # the folder's name is no matter


@pytest.mark.parametrize("content", ["damaged", "old", "cut short", "a pickle"])
def test_a_state_that_cannot_be_read(train, tmp_path, content):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    folder = tmp_path / "run"
    folder.mkdir()
    if content == "old":
        torch.save({"model": {}}, folder / "last.pt")
    elif content == "cut short":
        torch.save({"began_with": {}, "model": torch.zeros(1000)}, folder / "last.pt")
        (folder / "last.pt").write_bytes((folder / "last.pt").read_bytes()[:-500])
    elif content == "a pickle":
        torch.save({"began_with": Trap()}, folder / "last.pt")
    else:
        (folder / "last.pt").write_bytes(b"no state")
    with pytest.raises(CheckpointError, match=r"last\.pt .*; start a new run\.$"):
        train("run", resume=True)
    assert not (tmp_path / "sprung").exists()


def test_two_runs_do_not_write_one_folder(train, tmp_path):
    train("run")
    with (
        locked(tmp_path / "run" / "lock"),
        pytest.raises(CheckpointError, match=r"Another process is training in .*run; wait until it is done, or name"),
    ):
        train("run", resume=True)
    train("run", resume=True, figures=())  # the lock went with its holder


def test_what_a_killed_run_left_half_written_is_removed(train, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train("run", ("epoch", 2))
    left = [
        tmp_path / "run" / name for name in (".last-abcd1234.pt", ".best-abcd1234.safetensors", ".log-abcd1234.csv")
    ]
    for file in left:
        file.write_bytes(b"half")
    train("run", resume=True, figures=[0.5, 0.3])
    assert not any(file.exists() for file in left)


@pytest.mark.parametrize(
    ("stop", "limit", "name"), [(("step", STEPS + 2), 2_000, "last.pt"), (("epoch", 2), 20_000, "best.safetensors")]
)
def test_a_full_disk_is_one_sentence_and_the_run_goes_on_when_there_is_room(train, tmp_path, stop, limit, name):
    """The limit of the size of files stands for the disk; what was saved before it was full is whole."""
    resource = pytest.importorskip("resource", reason="this system has no limit of the size of files")
    with pytest.raises(KeyboardInterrupt):
        train("run", stop)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(SspeError, match=rf"{name} could not be written \(.+\); make room on the disk"):
            train("run", resume=True, figures=[0.5, 0.3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    assert weights(train("run", resume=True, figures=[0.5, 0.3])) == weights(train("whole"))


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes(tmp_path, seed):
    with pytest.raises(SspeError, match=f"^The seed is {seed}; give a whole number from 0 to"):
        open_run(tmp_path / "run", seed=seed)
    assert not (tmp_path / "run").exists()


def test_measures_are_written_to_the_checkpoint_and_beside_it(tmp_path, model):
    run = open_run(tmp_path, device="cpu", precision="float32")
    write_measures(model, {"recipe": "tiny"}, {"recall": 0.5}, run)
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"recall": 0.5}
    assert load_checkpoint(run.best_checkpoint)[1]["all_val"] == {"recall": 0.5}
