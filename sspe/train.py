"""Train the pipeline: from photos and annotations to a checkpoint.

    python -m sspe.train --data synthetic
    python -m sspe.train --data ROOT --recipe default --output runs/first
    python -m sspe.train --data ROOT --recipe default --output runs/first --resume

The output folder gets ``best.safetensors`` (best R@1 on the watched val photos), ``last.pt`` (everything that --resume
needs), ``log.csv``, ``curves.png`` and, at the end, when the best checkpoint is calibrated and measured on all val
photos, ``metrics.json`` and ``reliability.png``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.errors import CheckpointError, SspeError
from sspe.files import atomic_write, make_folder
from sspe.options import add_device_options
from sspe.recipes import RECIPES, Recipe, recipe
from sspe.run_log import write_log

if TYPE_CHECKING:
    from sspe.training_data import TrainingData

log = logging.getLogger("sspe.train")

SAVE_EVERY = 180  # seconds between two savings of last.pt


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--data", required=True, help='"synthetic", a folder of Flickr30K Entities, or JSON Lines')
    p.add_argument("--photos", type=Path, help="folder of the photo files, where they do not lie in --data")
    p.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    p.add_argument("--val-split", default="val", help="split to choose the best epoch on (default: %(default)s)")
    p.add_argument("--limit", type=int, help="train on the first so many photos only")
    p.add_argument("--val-limit", type=int, help="measure on the first so many val photos only")
    p.add_argument(
        "--recipe", help=f"one of {', '.join(RECIPES)} (default: synthetic for synthetic data, else default)"
    )
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe")
    p.add_argument("--output", type=Path, help="folder of the run (default: runs/RECIPE-SEED)")
    p.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    p.add_argument("--seed", type=int, default=0, help="seed of weights, order and sampling (default: %(default)s)")
    add_device_options(p)
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    options = parser().parse_args(arguments)
    output = None
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        name = options.recipe or ("synthetic" if options.data == "synthetic" else "default")
        chosen = recipe(name, options.set)
        output = options.output or Path("runs") / f"{name}-{options.seed}"
        run = Run(chosen, name, output, options)
        run.train()
        return 0
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if output and (output / "last.pt").exists():
            print("Stopped; the same command with --resume goes on from the last saved step.", file=sys.stderr)
        else:
            print("Stopped before anything was saved; the same command starts again.", file=sys.stderr)
        return 130


class Run:
    """One training run: its data, pipeline, optimiser, and the files it writes."""

    def __init__(
        self, chosen: Recipe, name: str, output: Path, options: argparse.Namespace, data: TrainingData | None = None
    ):
        """``data`` spares reading it again where a run before had the same photos, proposals and text settings."""
        import torch

        from sspe.data.feature_store import FrozenFeatures
        from sspe.embedding.optimiser import make_optimiser
        from sspe.embedding.sampling import RegionPhraseDataset
        from sspe.pipeline import Pipeline, PipelineSettings, pick_device, pick_precision
        from sspe.training_data import WATCHED, TrainingData

        self.recipe, self.name, self.output, self.options = chosen, name, output, options
        if chosen.fine_tune and chosen.regions.mode == "crops":
            raise SspeError("Crops are not fine-tuned: set fine_tune=false, or regions.mode=roi.")
        self.device = pick_device(options.device)
        self.precision = pick_precision(self.device, options.precision)
        state = self._old_state()
        make_folder(output)
        if data is None:
            data = TrainingData.read(
                chosen, options, lambda work, total: self._bar(work, total=total, desc="proposals")
            )
        self.data, self.photos, self.table, self.val, self.store = data, data.photos, data.table, data.val, data.store
        self.watched = self.val[:WATCHED]
        torch.manual_seed(options.seed)
        settings = PipelineSettings(chosen.regions, chosen.network, chosen.proposals)
        self.pipeline = Pipeline(settings, data.text_encoder, pretrained=True)
        self.pipeline.to(self.device, memory_format=torch.channels_last)
        self.pipeline.precision = self.precision
        self.phrase_features = data.phrase_features.to(self.device)  # (U, T)
        self.frozen = None if chosen.fine_tune else FrozenFeatures(self.pipeline.regions)
        self.dataset = RegionPhraseDataset(self.photos, self.store, chosen, options.seed, self.frozen)
        if self.frozen:
            self._prepare_features()
        self.epochs = 1 if chosen.network.kind == "cca" else chosen.epochs  # the analysis is fitted at once
        steps = max(len(self.photos) // chosen.batch, 1)
        self.trained, self.optimiser, self.schedule = make_optimiser(self.pipeline, chosen, steps)
        self.epoch, self.step_of_epoch, self.loss_of_epoch, self.best, self.rows = 0, 0, 0.0, -1.0, []
        if state:
            self._restore(state)

    def train(self) -> None:
        """Every epoch that is left, then the full measure of the best checkpoint."""
        log.info(
            "%d photos, %d distinct phrases, %s in %s, %d epochs",
            len(self.photos), len(set(self.table.texts)), self.device, self.precision, self.epochs,
        )  # fmt: skip
        while self.epoch < self.epochs:
            begun = time.monotonic()
            if self.recipe.mining_epoch and self.epoch >= self.recipe.mining_epoch and self.dataset.mined is None:
                self.dataset.mined = self._mined()
            loss = self._fit() if self.recipe.network.kind == "cca" else self._train_epoch()
            seconds = time.monotonic() - begun
            self.epoch, self.step_of_epoch, self.loss_of_epoch = self.epoch + 1, 0, 0.0
            measured = self._measure(self.watched, "watched val")
            self.rows.append(
                {
                    "epoch": self.epoch,
                    "loss": round(loss, 5),
                    "watched_recall_at_1": round(measured["recall_at_1"], 5),
                    "watched_recall_at_10": round(measured["recall_at_10"], 5),
                    "seconds": round(seconds, 1),
                }
            )
            log.info(
                "epoch %(epoch)d: loss %(loss).4f, watched R@1 %(watched_recall_at_1).4f, %(seconds).0f s",
                self.rows[-1],
            )
            if measured["recall_at_1"] > self.best:
                self.best = measured["recall_at_1"]
                self._save_checkpoint(measured)
            write_log(self.rows, self.output)
            self._save_state()
        self._finish()

    def _prepare_features(self) -> None:
        """Compute the frozen features that are not on disk yet: of the training photos, and of val where it has any."""
        from sspe.pipeline import autocast

        self.pipeline.eval()
        with autocast(self.device, self.precision):
            for index in self._bar(range(len(self.photos)), desc="region features"):
                self.dataset.prepare_features(index)
            if not self.recipe.calibrated:
                for photo in self._bar(self.val, desc="region features of val"):
                    self.frozen.prepare(photo.path, self.store.boxes(photo.path))

    def _fit(self) -> float:
        """Fit the canonical correlation analysis on every pair; one less the mean correlation, in place of a loss."""
        pairs = (
            (self.dataset.everything(index)[1], self.data.phrase_features[item.phrases].float())
            for index, item in enumerate(self.photos)
        )
        return 1 - self.pipeline.network.fit(pairs).mean().item()

    def _mined(self) -> list:
        """Per photo the wrong proposals that the network, as it is now, ranks above a right region."""
        import torch

        from sspe.embedding.sampling import hard_negatives
        from sspe.pipeline import autocast

        self.pipeline.eval()
        network, found = self.pipeline.network, []
        for index, item in enumerate(self._bar(self.photos, desc="hard negatives")):
            proposals, right, others = self.dataset.everything(index)
            with torch.inference_mode(), autocast(self.device, self.precision):
                y = network.text(self.phrase_features[item.phrases].float())
                scores = network.scores(y, network.image(torch.cat([right, others]).to(self.device))).cpu()
            p = len(right)
            found.append(hard_negatives(scores[:, :p].diagonal(), scores[:, p:], item.boxes, proposals, self.recipe))
        return found

    def _train_epoch(self) -> float:
        """One pass over the photos; its mean loss."""
        import torch
        from torch.utils.data import DataLoader

        from sspe.embedding.sampling import Collate, EpochSampler

        sampler = EpochSampler(len(self.dataset), self.recipe.batch, self.options.seed, self.epoch, self.step_of_epoch)
        batches = DataLoader(
            self.dataset,
            batch_sampler=sampler,
            collate_fn=Collate(self.table, self.recipe.text.context),
            num_workers=1,  # reads ahead; the computing process keeps every core
            generator=torch.Generator(),  # a loader draws from its generator: dropout's would not survive a --resume
        )
        self.pipeline.train()
        saved = time.monotonic()
        bar = self._bar(batches, desc=f"epoch {self.epoch + 1}/{self.recipe.epochs}")
        for batch in bar:
            self.loss_of_epoch += self._step(batch.to(self.device))
            self.step_of_epoch += 1
            bar.set_postfix(loss=f"{self.loss_of_epoch / self.step_of_epoch:.4f}", refresh=False)
            if time.monotonic() - saved > SAVE_EVERY:
                self._save_state()
                saved = time.monotonic()
        return self.loss_of_epoch / self.step_of_epoch

    def _step(self, batch) -> float:
        """One descent on a batch; its loss."""
        import torch

        from sspe.embedding.losses import structure_preserving_loss
        from sspe.embedding.refinement import refinement_loss
        from sspe.embedding.similarity import similarity_loss
        from sspe.pipeline import autocast

        network, weight = self.pipeline.network, self.recipe.loss.refinement
        refined = None
        with autocast(self.device, self.precision):
            features = batch.features
            if features is None:
                features = self.pipeline.regions(batch.squeezed, batch.regions)
            x, y = network(features, self.phrase_features[batch.phrases].float())
            if network.refiner and weight:
                of_phrase, of_region = batch.refinable.nonzero(as_tuple=True)
                # The phrases' embeddings are read, not taught: their place in the space is the ranking's to decide.
                regions, phrases = network.refiner.describe(features)[of_region], y.detach()[of_phrase]
                refined = network.refiner(regions, phrases, torch.cat(batch.regions)[of_region])
            if self.recipe.network.kind == "similarity":
                loss = similarity_loss(network, x, y, batch.matches)
        if self.recipe.network.kind != "similarity":
            loss = structure_preserving_loss(x, y, batch.matches, self.recipe.loss)["loss"]
        if refined is not None:
            loss = loss + weight * refinement_loss(refined, batch.boxes[of_phrase])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def _measure(self, photos: Sequence, name: str) -> dict:
        from sspe.evaluation.localization import localize_annotated, measure_localization
        from sspe.evaluation.ranking import measure_ranking, rank_annotated

        self.pipeline.eval()

        def progress(work):
            return self._bar(work, desc=name)

        if not self.recipe.calibrated:
            return measure_ranking(rank_annotated(self.pipeline, photos, self.store, self.frozen, progress))
        return measure_localization(localize_annotated(self.pipeline, photos, self.store, progress)[0])

    def _finish(self) -> None:
        """Measure the best checkpoint, as it is on disk, on all val photos; calibrate it where the recipe says so."""
        from sspe.checkpoint import load_checkpoint, save_checkpoint
        from sspe.evaluation import localization, ranking
        from sspe.evaluation.calibration import calibrate
        from sspe.evaluation.probabilities import draw_reliability

        path = self.output / "best.safetensors"
        self.pipeline, about = load_checkpoint(path)
        self.pipeline.for_inference(self.device, self.precision)
        if self.recipe.calibrated:
            train = [item.photo for item in self.photos]
            measured = calibrate(self.pipeline, train, self.val, self.store, lambda p: self._bar(p, desc="all val"))
            table = localization.table
        else:
            measured, table = self._measure(self.val, "all val"), ranking.table
        save_checkpoint(self.pipeline, path, {**about, "all_val": measured})
        with atomic_write(self.output / "metrics.json") as temporary:
            temporary.write_text(json.dumps(measured, indent=2) + "\n")
        if "present" in measured:
            draw_reliability({k: measured[k] for k in ("confidence", "present")}, self.output / "reliability.png")
        log.info("%s\n%s", path, table(measured))

    # What lies on disk

    def _save_checkpoint(self, measured: dict) -> None:
        from sspe.checkpoint import save_checkpoint

        about = {
            "recipe": self.name,
            "settings": self.recipe.as_dict(),
            "data": Path(self.options.data).name,
            "train_photos": len(self.photos),
            "seed": self.options.seed,
            "epoch": self.epoch,
            "date": date.today().isoformat(),
            "watched_val": {k: v for k, v in measured.items() if not isinstance(v, dict)},
        }
        save_checkpoint(self.pipeline, self.output / "best.safetensors", about)

    def _save_state(self) -> None:
        import torch

        state = {
            "command": self._command(),
            # A frozen backbone is what it was; of VGG it would be half a gigabyte.
            "pipeline": {k: v for k, v in self.pipeline.state_dict().items() if self._learns(k)},
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epoch": self.epoch,
            "step_of_epoch": self.step_of_epoch,
            "loss_of_epoch": self.loss_of_epoch,
            "best": self.best,
            "rows": self.rows,
            "random": torch.get_rng_state(),
            "mined": self.dataset.mined and [torch.from_numpy(rows) for rows in self.dataset.mined],
        }
        with atomic_write(self.output / "last.pt") as temporary:
            torch.save(state, temporary)

    def _old_state(self) -> dict | None:
        """What --resume goes on from; None for a new run. Raises CheckpointError where the two are confused."""
        import torch

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
        return json.dumps([self.recipe.as_dict(), o.seed, o.train_split, o.val_split, o.limit, o.val_limit])

    def _learns(self, name: str) -> bool:
        """Whether training changes the tensor of the pipeline with this name."""
        return self.recipe.fine_tune or not name.startswith("regions.")

    def _restore(self, state: dict) -> None:
        import torch

        self.pipeline.load_state_dict({**self.pipeline.state_dict(), **state["pipeline"]})
        self.dataset.mined = state["mined"] and [rows.numpy() for rows in state["mined"]]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.step_of_epoch = state["epoch"], state["step_of_epoch"]
        self.loss_of_epoch = state["loss_of_epoch"]
        self.best, self.rows = state["best"], state["rows"]
        torch.set_rng_state(state["random"])
        log.info("resumed at epoch %d, step %d", self.epoch + 1, self.step_of_epoch)

    def _bar(self, work, **details):
        from tqdm import tqdm

        return tqdm(
            work, disable=self.options.quiet, file=sys.stderr, mininterval=2 if sys.stderr.isatty() else 30, **details
        )


if __name__ == "__main__":
    sys.exit(main())
