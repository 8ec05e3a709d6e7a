"""What the training runs of both tasks share: the loop over epochs, what --resume needs, and the files of a run."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path

import torch
from torch import nn

from sspe.checkpoint import find_checkpoint, identity, save_checkpoint
from sspe.errors import CheckpointError, PhotoError
from sspe.files import atomic_write, make_folder
from sspe.models.device import pick_device, pick_precision
from sspe.models.localization import LocalizationModel
from sspe.models.retrieval import RetrievalModel
from sspe.training.recipes import Recipe, RetrievalRecipe

log = logging.getLogger("sspe.train")

SAVE_EVERY = 180  # seconds between two savings of last.pt


class Run(ABC):
    """One training run: its data, model, optimiser, and the files it writes.

    A subclass sets ``model``, ``optimiser``, ``schedule`` and ``epochs`` when it is made, and then calls
    :meth:`resume`.

    Attributes:
        epoch: how many are done.
        step_of_epoch: steps done of the epoch after these.
        best: the best figure so far by which checkpoints are chosen.
        rows: one an epoch, as in log.csv.
    """

    model: LocalizationModel | RetrievalModel
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    epochs: int

    def __init__(self, chosen: Recipe | RetrievalRecipe, name: str, output: Path, options: argparse.Namespace):
        self.recipe, self.name, self.output, self.options = chosen, name, output, options
        self.device = pick_device(options.device)
        self.precision = pick_precision(self.device, options.precision)
        self.start = find_checkpoint(options.start, "retrieval") if options.start else None
        self._state = self._old_state()
        make_folder(output)
        self.epoch, self.step_of_epoch, self.loss_of_epoch, self.best, self.rows = 0, 0, 0.0, -1.0, []

    def train(self) -> None:
        """Every epoch that is left, then the full measure of the best checkpoint."""
        log.info("%s, %s in %s, %d epochs", self.size(), self.device, self.precision, self.epochs)
        while self.epoch < self.epochs:
            begun = time.monotonic()
            loss = self.train_epoch()
            seconds = time.monotonic() - begun
            self.epoch, self.step_of_epoch, self.loss_of_epoch = self.epoch + 1, 0, 0.0
            figures, measured = self.watch()
            watched = {f"watched_{figure}": round(value, 5) for figure, value in figures.items()}
            self.rows.append({"epoch": self.epoch, "loss": round(loss, 5), **watched, "seconds": round(seconds, 1)})
            name, value = next(iter(figures.items()))
            told = (self.epoch, loss, name.replace("_", " "), value, seconds)
            log.info("epoch %d: loss %.4f, watched %s %.4f, %.0f s", *told)
            if value > self.best:
                self.best = value
                self._save_checkpoint(measured)
            write_log(self.rows, self.output)
            self._save_state()
        self.finish()

    # What the tasks differ in

    @abstractmethod
    def size(self) -> str:
        """How much there is to train on, in words."""

    @abstractmethod
    def train_epoch(self) -> float:
        """One pass over the training photos; its mean loss."""

    @abstractmethod
    def watch(self) -> tuple[dict[str, float], dict]:
        """Figures of the watched val photos for the log, that which chooses the checkpoint first; and all of them."""

    @abstractmethod
    def finish(self) -> None:
        """Measure the best checkpoint on all val photos."""

    @abstractmethod
    def train_photos(self) -> int:
        """How many photos are trained on."""

    @abstractmethod
    def learns(self, name: str) -> bool:
        """Whether training changes the tensor of the model with this name."""

    def more_state(self) -> dict:
        """What else :meth:`take_more_state` needs to go on."""
        return {}

    def take_more_state(self, state: dict) -> None:  # noqa: B027 (most runs have no more)
        """Go on from there; called before the optimiser is restored."""

    # What they share

    def train_batches(self, batches: Iterable, step: Callable[[object], float]) -> float:
        """A step on each batch that is left of the epoch; the epoch's mean loss."""
        saved = time.monotonic()
        bar = self.bar(batches, desc=f"epoch {self.epoch + 1}/{self.epochs}")
        try:
            for batch in bar:
                self.loss_of_epoch += step(batch)
                self.step_of_epoch += 1
                bar.set_postfix(loss=f"{self.loss_of_epoch / self.step_of_epoch:.4f}", refresh=False)
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save_state()
                    saved = time.monotonic()
        except PhotoError as error:  # of a process that opens photos ahead: its traceback stands before the sentence
            raise PhotoError(str(error).rpartition("PhotoError: ")[2].strip()) from None
        return self.loss_of_epoch / self.step_of_epoch

    def descend(self, loss: torch.Tensor, trained: list[nn.Parameter]) -> float:
        """One step of the optimiser; the loss as a number."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 5.0)
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def bar(self, work: Iterable, total: int | None = None, desc: str | None = None):
        """The work with a progress bar around it, but for --quiet."""
        from tqdm import tqdm

        every = 2 if sys.stderr.isatty() else 30
        return tqdm(work, desc, total, disable=self.options.quiet, file=sys.stderr, mininterval=every)

    @property
    def best_checkpoint(self) -> Path:
        """Where it lies."""
        return self.output / "best.safetensors"

    def write_measured(self, model: LocalizationModel | RetrievalModel, about: dict, measured: dict) -> None:
        """The last of a run: the figures of all val photos, in metrics.json and in the checkpoint."""
        save_checkpoint(model, self.best_checkpoint, {**about, "all_val": measured})
        with atomic_write(self.output / "metrics.json") as temporary:
            temporary.write_text(json.dumps(measured, indent=2) + "\n")

    def _save_checkpoint(self, measured: dict) -> None:
        about = {
            "recipe": self.name,
            "settings": self.recipe.as_dict(),
            "data": Path(self.options.data).name,
            "train_photos": self.train_photos(),
            "seed": self.options.seed,
            **({"start": identity(self.start)} if self.start else {}),
            "epoch": self.epoch,
            "date": date.today().isoformat(),
            "watched_val": measured,
        }
        save_checkpoint(self.model, self.best_checkpoint, about)

    def _save_state(self) -> None:
        state = {
            "command": self._command(),
            # A frozen backbone is what it was; of VGG it would be half a gigabyte.
            "model": {name: tensor for name, tensor in self.model.state_dict().items() if self.learns(name)},
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epoch": self.epoch,
            "step_of_epoch": self.step_of_epoch,
            "loss_of_epoch": self.loss_of_epoch,
            "best": self.best,
            "rows": self.rows,
            "random": torch.get_rng_state(),
            "random_of_device": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
            **self.more_state(),
        }
        with atomic_write(self.output / "last.pt") as temporary:
            torch.save(state, temporary)

    def _old_state(self) -> dict | None:
        """What --resume goes on from; None for a new run. Raises CheckpointError where the two are confused."""
        path = self.output / "last.pt"
        if not self.options.resume:
            if path.exists():
                raise CheckpointError(
                    f"{self.output} already holds a run; add --resume to go on, or name another --output."
                )
            return None
        if not path.exists():
            raise CheckpointError(f"There is no {path} to resume from; leave --resume out to start the run.")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch and its unpickler raise many kinds for a damaged file
            raise CheckpointError(f"{path} cannot be read ({type(error).__name__}); start a new run.") from None
        if state.get("command") != self._command():
            raise CheckpointError(
                f"The run in {self.output} has other settings; resume it with the command it began with."
            )
        return state

    def _command(self) -> str:
        """Everything a resumed run must share with its beginning, as text."""
        o = self.options
        data = [Path(o.data).name, o.train_split, o.val_split, o.limit, o.val_limit, o.incomplete]
        return json.dumps([self.recipe.as_dict(), o.seed, data, identity(self.start) if self.start else None])

    def resume(self) -> None:
        """Go on where the run that --resume asks for was left; nothing where a new one begins."""
        state, self._state = self._state, None
        if state is None:
            return
        self.model.load_state_dict({**self.model.state_dict(), **state["model"]})
        self.take_more_state(state)
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.step_of_epoch = state["epoch"], state["step_of_epoch"]
        self.loss_of_epoch = state["loss_of_epoch"]
        self.best, self.rows = state["best"], state["rows"]
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and state["random_of_device"] is not None:
            torch.cuda.set_rng_state(state["random_of_device"])
        log.info("resumed at epoch %d, step %d", self.epoch + 1, self.step_of_epoch)


def write_log(rows: Sequence[dict], folder: Path) -> None:
    """Make both anew from one row an epoch, at least one; the loss and the first watched figure are drawn."""
    from matplotlib.figure import Figure

    with atomic_write(folder / "log.csv") as temporary, temporary.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    watched = next(name for name in rows[0] if name.startswith("watched_"))
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", watched), strict=True):
        axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], marker="o")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.grid(alpha=0.3)
    with atomic_write(folder / "curves.png") as temporary:
        figure.savefig(temporary, dpi=120)
