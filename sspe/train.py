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
import csv
import json
import logging
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from sspe.errors import CheckpointError, SspeError
from sspe.files import atomic_write, make_folder
from sspe.recipes import RECIPES, Recipe, recipe

log = logging.getLogger("sspe.train")

WATCHED = 120  # val photos measured after every epoch; always the same ones
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
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    p.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
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

    def __init__(self, chosen: Recipe, name: str, output: Path, options: argparse.Namespace):
        import torch

        from sspe.data import open_dataset
        from sspe.data.feature_store import FeatureStore, FrozenFeatures
        from sspe.embedding.sampling import RegionPhraseDataset, training_photos
        from sspe.pipeline import Pipeline, PipelineSettings, autocast, pick_device, pick_precision
        from sspe.text.encoders import create_text_encoder

        self.recipe, self.name, self.output, self.options = chosen, name, output, options
        if chosen.fine_tune and chosen.regions.mode == "crops":
            raise SspeError("Crops are not fine-tuned: set fine_tune=false, or regions.mode=roi.")
        self.device = pick_device(options.device)
        self.precision = pick_precision(self.device, options.precision)
        state = self._old_state()
        make_folder(output)
        torch.manual_seed(options.seed)

        photos = open_dataset(options.data, options.train_split, limit=options.limit, photos=options.photos)
        self.val = open_dataset(options.data, options.val_split, limit=options.val_limit, photos=options.photos)
        self.store = FeatureStore(chosen.regions.side, chosen.proposals)
        self.photos, self.table = training_photos(photos)
        pairs = sum(len(item.phrases) for item in self.photos)
        if not pairs:
            raise SspeError(f"No photo of {options.data} has a phrase with a box; there is nothing to train on.")
        if pairs == 1:
            raise SspeError(f"{options.data} has one phrase with a box, and training compares phrases; give more.")
        if not training_photos(self.val[:WATCHED])[0]:
            raise SspeError(
                f"No watched val photo of {options.data} has a phrase with a box; there is nothing to measure."
            )
        said = [phrase.text for photo in photos for s in photo.sentences for phrase in s.phrases if len(phrase.boxes)]
        text_encoder = create_text_encoder(chosen.text, said)
        settings = PipelineSettings(chosen.regions, chosen.network, chosen.proposals)
        self.pipeline = Pipeline(settings, text_encoder, pretrained=True)
        everything = [photo.path for photo in [*photos, *self.val]]
        self.store.prepare(everything, lambda work, total: self._bar(work, total=total, desc="proposals"))
        self.pipeline.to(self.device, memory_format=torch.channels_last)
        self.pipeline.precision = self.precision
        self.phrase_features = text_encoder.encode(self.table.texts, self.table.contexts).to(self.device)  # (U, T)
        frozen = None if chosen.fine_tune else FrozenFeatures(self.pipeline.regions)
        self.dataset = RegionPhraseDataset(self.photos, self.store, chosen, options.seed, frozen)
        if frozen:
            with autocast(self.device, self.precision):
                for index in self._bar(range(len(self.photos)), desc="region features"):
                    self.dataset.prepare_features(index)
        self._make_optimiser()
        self.epoch, self.step_of_epoch, self.loss_of_epoch, self.best, self.rows = 0, 0, 0.0, -1.0, []
        if state:
            self._restore(state)

    def train(self) -> None:
        """Every epoch that is left, then the full measure of the best checkpoint."""
        log.info(
            "%d photos, %d distinct phrases, %s in %s, %d epochs",
            len(self.photos), len(set(self.table.texts)), self.device, self.precision, self.recipe.epochs,
        )  # fmt: skip
        while self.epoch < self.recipe.epochs:
            loss, seconds = self._train_epoch()
            self.epoch, self.step_of_epoch, self.loss_of_epoch = self.epoch + 1, 0, 0.0
            measured = self._measure(self.val[:WATCHED], "watched val")
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
            self._write_log()
            self._save_state()
        self._finish()

    def _train_epoch(self) -> tuple[float, float]:
        """One pass over the photos; mean loss and seconds."""
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
        begun = saved = time.monotonic()
        bar = self._bar(batches, desc=f"epoch {self.epoch + 1}/{self.recipe.epochs}")
        for batch in bar:
            self.loss_of_epoch += self._step(batch.to(self.device))
            self.step_of_epoch += 1
            bar.set_postfix(loss=f"{self.loss_of_epoch / self.step_of_epoch:.4f}", refresh=False)
            if time.monotonic() - saved > SAVE_EVERY:
                self._save_state()
                saved = time.monotonic()
        return self.loss_of_epoch / self.step_of_epoch, time.monotonic() - begun

    def _step(self, batch) -> float:
        """One descent on a batch; its loss."""
        import torch

        from sspe.embedding.losses import structure_preserving_loss
        from sspe.embedding.refinement import refinement_loss
        from sspe.pipeline import autocast

        network, weight = self.pipeline.network, self.recipe.loss.refinement
        refined = None
        with autocast(self.device, self.precision):
            features = batch.features
            if features is None:
                features = self.pipeline.regions(batch.squeezed, batch.regions)
            x, y = network(features, self.phrase_features[batch.phrases])
            if network.refiner and weight:
                of_phrase, of_region = batch.refinable.nonzero(as_tuple=True)
                # The phrases' embeddings are read, not taught: their place in the space is the ranking's to decide.
                regions, phrases = network.refiner.describe(features)[of_region], y.detach()[of_phrase]
                refined = network.refiner(regions, phrases, torch.cat(batch.regions)[of_region])
        loss = structure_preserving_loss(x, y, batch.matches, self.recipe.loss)["loss"]
        if refined is not None:
            loss = loss + weight * refinement_loss(refined, batch.boxes[of_phrase])
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, 5.0)
        self.optimiser.step()
        self.schedule.step()
        return loss.item()

    def _make_optimiser(self) -> None:
        import torch

        r, regions = self.recipe, self.pipeline.regions
        regions.requires_grad_(r.fine_tune)
        for stage in list(regions.map)[: r.frozen_stages]:
            stage.requires_grad_(False)
        backbone = [p for p in regions.parameters() if p.requires_grad]
        # What has no ImageNet weights to keep learns fast.
        branches = [*self.pipeline.network.parameters()]
        if regions.around is not None:
            branches += regions.around.parameters()
        new = {id(p) for p in branches}
        backbone = [p for p in backbone if id(p) not in new]
        self.trained = backbone + branches
        groups = [{"params": branches, "lr": r.branch_lr}, {"params": backbone, "lr": r.backbone_lr}]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=r.weight_decay)
        steps = max(len(self.photos) // r.batch, 1) * r.epochs
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, [r.branch_lr, r.backbone_lr], total_steps=steps + 1, pct_start=r.warm_up
        )

    def _measure(self, photos: Sequence, name: str) -> dict:
        from sspe.evaluation.localization import localize_annotated, measure_localization

        self.pipeline.eval()
        results, _ = localize_annotated(self.pipeline, photos, self.store, lambda p: self._bar(p, desc=name))
        return measure_localization(results)

    def _finish(self) -> None:
        """Calibrate the best checkpoint, as it is on disk, and measure it, on all val photos."""
        from sspe.checkpoint import load_checkpoint, save_checkpoint
        from sspe.evaluation.calibration import calibrate
        from sspe.evaluation.localization import table
        from sspe.evaluation.probabilities import draw_reliability

        path = self.output / "best.safetensors"
        self.pipeline, about = load_checkpoint(path)
        self.pipeline.for_inference(self.device, self.precision)
        train = [item.photo for item in self.photos]
        measured = calibrate(self.pipeline, train, self.val, self.store, lambda p: self._bar(p, desc="all val"))
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
            "pipeline": self.pipeline.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epoch": self.epoch,
            "step_of_epoch": self.step_of_epoch,
            "loss_of_epoch": self.loss_of_epoch,
            "best": self.best,
            "rows": self.rows,
            "random": torch.get_rng_state(),
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

    def _restore(self, state: dict) -> None:
        import torch

        self.pipeline.load_state_dict(state["pipeline"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.step_of_epoch = state["epoch"], state["step_of_epoch"]
        self.loss_of_epoch = state["loss_of_epoch"]
        self.best, self.rows = state["best"], state["rows"]
        torch.set_rng_state(state["random"])
        log.info("resumed at epoch %d, step %d", self.epoch + 1, self.step_of_epoch)

    def _write_log(self) -> None:
        """log.csv and curves.png, made anew from all epochs so far."""
        from matplotlib.figure import Figure

        with atomic_write(self.output / "log.csv") as temporary, temporary.open("w", newline="") as out:
            writer = csv.DictWriter(out, self.rows[0])
            writer.writeheader()
            writer.writerows(self.rows)
        figure = Figure(figsize=(8, 3), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("loss", "watched_recall_at_1"), strict=True):
            axes.plot([row["epoch"] for row in self.rows], [row[name] for row in self.rows], marker="o")
            axes.set(xlabel="epoch", title=name.replace("_", " "))
            axes.grid(alpha=0.3)
        with atomic_write(self.output / "curves.png") as temporary:
            figure.savefig(temporary, dpi=120)

    def _bar(self, work, **details):
        from tqdm import tqdm

        return tqdm(
            work, disable=self.options.quiet, file=sys.stderr, mininterval=2 if sys.stderr.isatty() else 30, **details
        )


if __name__ == "__main__":
    sys.exit(main())
