"""The training loop: epochs, steps, validation, saving, resuming.

What is trained, and on what, a :class:`Task` says: `localization.py` and `retrieval.py` have one each.
"""

from __future__ import annotations

import csv
import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sspe.checkpoint import identity, save_checkpoint
from sspe.errors import CheckpointError, PhotoError, SspeError
from sspe.extras import import_extra
from sspe.files import locked, make_folder, remove_unfinished, written
from sspe.models.device import pick_device, pick_precision
from sspe.models.localization import LocalizationModel
from sspe.models.retrieval import RetrievalModel
from sspe.settings import listed
from sspe.training import processes
from sspe.training.recipes import Recipe

log = logging.getLogger("sspe.train")

LARGEST_GRADIENT = 5.0  # norm above which the gradient of a step is scaled down


class Task(Protocol):
    """What the loop needs of a task.

    Attributes:
        model: what checkpoints hold.
        trained: the part of the model that training changes.
        epochs: how many there are.
        kept: what later epochs need beside the weights; a resumed run finds it again.
    """

    model: LocalizationModel | RetrievalModel
    trained: nn.Module
    epochs: int
    kept: dict[str, Any]

    def optimiser(self, epoch: int) -> tuple[Optimizer, LRScheduler]:
        """The optimiser of an epoch and the schedule of its learning rates, which is stepped after every batch."""

    def batches(self, epoch: int, start: int) -> Iterable:
        """The batches of an epoch from number ``start`` on, always the same ones."""

    def loss(self, batch: Any) -> torch.Tensor:
        """The loss of a batch. One that needs no gradient was minimised at once."""

    def validate(self) -> dict[str, float]:
        """Figures of the watched val photos; the first chooses the best checkpoint, higher is better."""


class TrainingData(Protocol):
    """What the loop needs to know of the data: their name, their fingerprint, and the photos trained on."""

    name: str
    fingerprint: str
    photos: Sequence


@dataclass(frozen=True)
class Run:
    """Where and how a run is made; :func:`open_run` makes one.

    Attributes:
        output: the run's folder.
        device, precision: as picked for this machine.
        resume: go on with what is in the folder.
        start: the checkpoint whose weights the run begins with.
        quiet: no progress bars.
        save_every: seconds between two savings of the state within an epoch.
    """

    output: Path
    seed: int
    device: torch.device
    precision: str
    resume: bool
    start: Path | None
    quiet: bool
    save_every: float

    @property
    def best_checkpoint(self) -> Path:
        """Path of the best checkpoint."""
        return self.output / "best.safetensors"

    @property
    def state_file(self) -> Path:
        """Path of everything that a resumed run needs."""
        return self.output / "last.pt"

    def bar(self, work: Iterable, description: str, total: int | None = None):
        """The work with a progress bar around it, unless the run is quiet."""
        from tqdm import tqdm

        interval = 2 if sys.stderr.isatty() else 30
        return tqdm(work, description, total, disable=self.quiet, file=sys.stderr, mininterval=interval)


def open_run(
    output: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    start: str | Path | None = None,
    quiet: bool = False,
    save_every: float = 180.0,
) -> Run:
    """A run in a folder, which is made where it is missing.

    Raises SspeError without matplotlib, or for a seed, device, precision or folder that cannot be used, and
    CheckpointError where a new run would overwrite an old one or there is none to resume.
    """
    _matplotlib()  # before the long work, not after it
    quiet = quiet or not processes.is_first()
    if not 0 <= seed < 2**63:
        raise SspeError(f"The seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    picked = pick_device(device)
    output, start = Path(output), Path(start) if start else None
    precision = processes.everyone(pick_precision(picked, precision))[0]  # measured, it may differ between two
    run = Run(output, seed, picked, precision, resume, start, quiet, save_every)
    if run.state_file.exists() and not resume:
        raise CheckpointError(f"{output} already holds a run; add --resume to go on, or name another --output.")
    if resume and not run.state_file.exists():
        raise CheckpointError(f"There is no {run.state_file} to resume from; leave --resume out to start the run.")
    make_folder(output)
    return run


@dataclass
class Progress:
    """How far a run is: epochs done, steps done of the next one and the sum of their losses, and what came of them."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best: float = -1.0
    rows: list[dict] = field(default_factory=list)


def train_epochs(task: Task, recipe: Recipe, data: TrainingData, run: Run) -> None:
    """Every epoch that is left of a run; its best checkpoint is then ``run.best_checkpoint``.

    Raises CheckpointError where a run is resumed that began with other settings or other data, or another process is
    at work in its folder, and SspeError where a file cannot be written.
    """
    with _only_run(run) if processes.is_first() else nullcontext():
        _train_epochs(task, recipe, data, run)


@contextmanager
def _only_run(run: Run) -> Iterator[None]:
    """Hold the run's folder for a block, so that two commands never write it in turns."""
    try:
        lock = locked(run.output / "lock")
    except OSError as error:
        raise SspeError(f"{run.output} cannot be written ({error.strerror}); name another --output.") from None
    if lock is None:
        raise CheckpointError(
            f"Another process is training in {run.output}; wait until it is done, or name another --output."
        )
    with lock:
        for file in (run.best_checkpoint, run.state_file, run.output / "log.csv", run.output / "curves.png"):
            remove_unfinished(file)
        yield


def _train_epochs(task: Task, recipe: Recipe, data: TrainingData, run: Run) -> None:
    began_with = {**{key: value for key, value, _ in listed(recipe)}, **_circumstances(data, run)}
    processes.agree(began_with)
    progress, (optimiser, schedule) = Progress(), task.optimiser(0)
    if run.resume:
        progress, optimiser, schedule = _restore(task, run, began_with)
    log.info("%s in %s, %d epochs", run.device, run.precision, task.epochs)
    while progress.epoch < task.epochs:
        begun = saved = time.monotonic()
        batches = task.batches(progress.epoch, progress.step)
        task.model.train()
        bar = run.bar(batches, f"epoch {progress.epoch + 1}/{task.epochs}")
        for batch in _with_plain_errors(bar):
            processes.draw_apart(run.seed, progress.epoch, progress.step)
            loss = task.loss(batch)
            if loss.requires_grad:
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                processes.average_gradients(task.trained)
                nn.utils.clip_grad_norm_(task.trained.parameters(), LARGEST_GRADIENT)
                optimiser.step()
                schedule.step()
            progress.loss += loss.item()
            progress.step += 1
            bar.set_postfix(loss=f"{progress.loss / progress.step:.4f}", refresh=False)
            if time.monotonic() - saved > run.save_every:
                _save_state(task, run, progress, optimiser, schedule, began_with)
                saved = time.monotonic()
        seconds, loss = time.monotonic() - begun, progress.loss / progress.step

        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        if processes.is_first():
            _measure(task, recipe, data, run, progress, loss, seconds)
        optimiser, schedule = task.optimiser(progress.epoch)
        _save_state(task, run, progress, optimiser, schedule, began_with)


def _measure(
    task: Task, recipe: Recipe, data: TrainingData, run: Run, progress: Progress, loss: float, seconds: float
) -> None:
    """Validate after an epoch of this mean loss, and write what came of it: the checkpoint where it is the best yet."""
    figures = task.validate()
    watched = {f"watched_{name}": round(value, 5) for name, value in figures.items()}
    progress.rows.append({"epoch": progress.epoch, "loss": round(loss, 5), **watched, "seconds": round(seconds, 1)})
    name, value = next(iter(figures.items()))
    log.info(
        "epoch %d: loss %.4f, watched %s %.4f, %.0f s", progress.epoch, loss, name.replace("_", " "), value, seconds
    )
    if value > progress.best:
        progress.best = value
        save_checkpoint(task.model, run.best_checkpoint, _about(recipe, data, run, progress.epoch, figures))
    write_log(progress.rows, run.output / "log.csv")
    draw_curves(progress.rows, run.output / "curves.png")


def _with_plain_errors(batches: Iterable) -> Iterable:
    """The batches; a PhotoError of the process that reads ahead comes without its traceback in the text."""
    try:
        yield from batches
    except PhotoError as error:
        raise PhotoError(str(error).rpartition("PhotoError: ")[2].strip()) from None


def _circumstances(data: TrainingData, run: Run) -> dict[str, Any]:
    """What a resumed run must share with its beginning beside the recipe."""
    return {
        "seed": run.seed,
        "precision": run.precision,
        "data of fingerprint": data.fingerprint,
        "processes": processes.count(),  # each draws its own dropout
        "start": identity(run.start) if run.start else None,
    }


def _about(recipe: Recipe, data: TrainingData, run: Run, epoch: int, figures: dict[str, float]) -> dict:
    """What a checkpoint says of how it was made; no path of this machine among it."""
    return {
        "recipe": recipe.name,
        "settings": recipe.as_dict(),
        "data": data.name,
        "train_photos": len(data.photos),
        "seed": run.seed,
        **({"start": identity(run.start)} if run.start else {}),
        "epoch": epoch,
        "date": date.today().isoformat(),
        "watched_val": figures,
    }


def _save_state(
    task: Task, run: Run, progress: Progress, optimiser: Optimizer, schedule: LRScheduler, began_with: dict
) -> None:
    if not processes.is_first():
        return
    state = {
        "began_with": began_with,
        "model": task.trained.state_dict(),  # not a frozen backbone, which of VGG would be half a gigabyte
        "kept": task.kept,
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "progress": asdict(progress),
        "random": torch.get_rng_state(),
        "random_of_device": torch.cuda.get_rng_state() if run.device.type == "cuda" else None,
    }
    with written(run.state_file, RuntimeError) as temporary:  # torch's own, where the disk is full
        torch.save(state, temporary)


def _restore(task: Task, run: Run, began_with: dict) -> tuple[Progress, Optimizer, LRScheduler]:
    """Put the task where a run was left. Raises CheckpointError where that run began with something else."""
    try:
        state = torch.load(run.state_file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise many kinds for a damaged file
        raise CheckpointError(f"{run.state_file} cannot be read ({type(error).__name__}); start a new run.") from None
    if "began_with" not in state:
        raise CheckpointError(f"{run.state_file} was written by another version of sspe; start a new run.")
    then = {"processes": 1, **state["began_with"]}  # some say nothing of it: runs of before there could be several
    for name in {**began_with, **then}:
        if then.get(name) != began_with.get(name):
            raise CheckpointError(
                f"The run in {run.output} began with {name} {then.get(name)!r}, and this command has "
                f"{began_with.get(name)!r}; resume it with the command it began with, or name another --output."
            )
    task.trained.load_state_dict(state["model"])
    task.kept = state["kept"]
    progress = Progress(**state["progress"])
    optimiser, schedule = task.optimiser(progress.epoch)
    optimiser.load_state_dict(state["optimiser"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["random"])
    if run.device.type == "cuda" and state["random_of_device"] is not None:
        torch.cuda.set_rng_state(state["random_of_device"])
    log.info("resumed at epoch %d, step %d", progress.epoch + 1, progress.step)
    return progress, optimiser, schedule


def write_log(rows: Sequence[dict], path: Path) -> None:
    """Write a CSV file, one row per epoch; at least one."""
    with written(path) as temporary, temporary.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(rows: Sequence[dict], path: Path) -> None:
    """Draw the loss and the first watched figure of the epochs done, at least one, into a PNG file."""
    watched = next(name for name in rows[0] if name.startswith("watched_"))
    figure = _matplotlib().Figure(figsize=(8, 3))
    margins = {"left": 0.06, "right": 0.98, "bottom": 0.16, "top": 0.9}  # by hand: a layout takes twice the drawing
    for axes, name in zip(figure.subplots(1, 2, gridspec_kw=margins), ("loss", watched), strict=True):
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker="o")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    with written(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _matplotlib() -> ModuleType:
    """The module that draws the curves of a run."""
    return import_extra("matplotlib.figure", "train", "Training")


def write_measures(model: LocalizationModel | RetrievalModel, about: dict, measured: dict, run: Run) -> None:
    """The figures of val, into metrics.json and the best checkpoint."""
    save_checkpoint(model, run.best_checkpoint, {**about, "all_val": measured})
    with written(run.output / "metrics.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=2) + "\n")
