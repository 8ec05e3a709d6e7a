"""The training run of phrase localization: regions and phrases, from photos and annotations to a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from sspe.checkpoint import load_checkpoint
from sspe.data.caches import FrozenFeatures
from sspe.errors import SspeError
from sspe.evaluation import localization, ranking
from sspe.evaluation.cross_fitting import calibrate
from sspe.evaluation.probabilities import draw_reliability
from sspe.models.box_refiner import refinement_loss
from sspe.models.device import autocast
from sspe.models.localization import LocalizationModel
from sspe.models.losses import structure_preserving_loss
from sspe.models.similarity import similarity_loss
from sspe.settings import LocalizationModelSettings
from sspe.training.batches import EpochSampler
from sspe.training.localization_batches import Batch, Collate, RegionPhraseDataset, hard_negatives
from sspe.training.localization_data import WATCHED, TrainingData
from sspe.training.loop import Run, log
from sspe.training.optimiser import make_optimiser
from sspe.training.recipes import Recipe


class LocalizationRun(Run):
    """One training run of a :class:`sspe.models.localization.LocalizationModel`."""

    def __init__(
        self, chosen: Recipe, name: str, output: Path, options: argparse.Namespace, data: TrainingData | None = None
    ):
        """``data`` spares reading it again where a run before had the same photos, proposals and text settings."""
        if chosen.fine_tune and chosen.regions.mode == "crops":
            raise SspeError("Crops are not fine-tuned: set fine_tune=false, or regions.mode=roi.")
        super().__init__(chosen, name, output, options)
        if data is None:
            data = TrainingData.read(chosen, options, lambda work, total: self.bar(work, total, "proposals"))
        self.data, self.photos, self.table, self.val, self.store = data, data.photos, data.table, data.val, data.store
        self.watched = self.val[:WATCHED]
        torch.manual_seed(options.seed)
        settings = LocalizationModelSettings(chosen.regions, chosen.network, chosen.proposals)
        self.model = LocalizationModel(settings, data.text_encoder, pretrained=True)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.model.precision = self.precision
        self.phrase_features = data.phrase_features.to(self.device)  # (U, T)
        self.frozen = None if chosen.fine_tune else FrozenFeatures(self.model.regions, self.precision)
        self.dataset = RegionPhraseDataset(self.photos, self.store, chosen, options.seed, self.frozen)
        if self.frozen:
            self._prepare_features()
        self.epochs = 1 if chosen.network.kind == "cca" else chosen.epochs  # the analysis is fitted at once
        steps = max(len(self.photos) // chosen.batch, 1)
        self.trained, self.optimiser, self.schedule = make_optimiser(self.model, chosen, steps)
        self.resume()

    def size(self) -> str:
        """How many photos and phrases."""
        return f"{len(self.photos)} photos, {len(set(self.table.texts))} distinct phrases"

    def train_photos(self) -> int:
        """Those that have a phrase with a box."""
        return len(self.photos)

    def learns(self, name: str) -> bool:
        """All, but for the encoder of regions where the backbone is frozen."""
        return self.recipe.fine_tune or not name.startswith("regions.")

    def more_state(self) -> dict:
        """The hard negatives."""
        return {"mined": self.dataset.mined and [torch.from_numpy(rows) for rows in self.dataset.mined]}

    def take_more_state(self, state: dict) -> None:
        """The hard negatives."""
        self.dataset.mined = state["mined"] and [rows.numpy() for rows in state["mined"]]

    def train_epoch(self) -> float:
        """One pass over the photos, or the one fit of the analysis; the mean loss."""
        if self.recipe.network.kind == "cca":
            return self._fit()
        if self.recipe.mining_epoch and self.epoch >= self.recipe.mining_epoch and self.dataset.mined is None:
            self.dataset.mined = self._mined()
        sampler = EpochSampler(len(self.dataset), self.recipe.batch, self.options.seed, self.epoch, self.step_of_epoch)
        batches = DataLoader(
            self.dataset,
            batch_sampler=sampler,
            collate_fn=Collate(self.table, self.recipe.text.context),
            num_workers=1,  # reads ahead; the computing process keeps every core
            generator=torch.Generator(),  # a loader draws from its generator: dropout's would not survive a --resume
        )
        self.model.train()
        return self.train_batches(batches, self.step)

    def step(self, batch: Batch) -> float:
        """One descent on a batch; its loss."""
        batch = batch.to(self.device)
        network, weight = self.model.network, self.recipe.loss.refinement
        refined = None
        with autocast(self.device, self.precision):
            features = batch.features
            if features is None:
                features = self.model.regions(batch.squeezed, batch.regions)
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
        return self.descend(loss, self.trained)

    def watch(self) -> tuple[dict[str, float], dict]:
        """R@1 and R@10 of the watched val photos."""
        measured = self.measure(self.watched, "watched val")
        figures = {name: measured[name] for name in ("recall_at_1", "recall_at_10")}
        return figures, {k: v for k, v in measured.items() if not isinstance(v, dict)}

    def measure(self, photos: Sequence, name: str) -> dict:
        """The measures of annotated photos by the network as it is; ``name`` is the progress bar's."""
        self.model.eval()

        def progress(work: Iterable) -> Iterable:
            return self.bar(work, desc=name)

        if not self.recipe.calibrated:
            results = ranking.rank_annotated(self.model, photos, self.store, self.frozen, progress)
            return ranking.measure_ranking(results)
        results, _ = localization.localize_annotated(self.model, photos, self.store, progress)
        return localization.measure_localization(results)

    def finish(self) -> None:
        """Measure the best checkpoint, as it is on disk, on all val photos; calibrate it where the recipe says so."""
        self.model, about = load_checkpoint(self.best_checkpoint)
        self.model.for_inference(self.device, self.precision)
        table: Callable[[dict], str] = ranking.table
        if self.recipe.calibrated:
            train, table = [item.photo for item in self.photos], localization.table
            measured = calibrate(self.model, train, self.val, self.store, lambda p: self.bar(p, desc="all val"))
        else:
            measured = self.measure(self.val, "all val")
        self.write_measured(self.model, about, measured)
        if "present" in measured:
            draw_reliability({k: measured[k] for k in ("confidence", "present")}, self.output / "reliability.png")
        log.info("%s\n%s", self.best_checkpoint, table(measured))

    def _prepare_features(self) -> None:
        """Compute the frozen features that are not on disk yet: of the training photos, and of val where it has any."""
        self.model.eval()
        with autocast(self.device, self.precision):
            for index in self.bar(range(len(self.photos)), desc="region features"):
                self.dataset.prepare_features(index)
            if not self.recipe.calibrated:
                for photo in self.bar(self.val, desc="region features of val"):
                    self.frozen.prepare(photo.path, self.store.boxes(photo.path))

    def _fit(self) -> float:
        """Fit the canonical correlation analysis on every pair; one less the mean correlation, in place of a loss."""
        pairs = (
            (self.dataset.everything(index)[1], self.data.phrase_features[item.phrases].float())
            for index, item in enumerate(self.photos)
        )
        return 1 - self.model.network.fit(pairs).mean().item()

    def _mined(self) -> list:
        """Per photo the wrong proposals that the network, as it is now, ranks above a right region."""
        self.model.eval()
        network, found = self.model.network, []
        for index, item in enumerate(self.bar(self.photos, desc="hard negatives")):
            proposals, right, others = self.dataset.everything(index)
            with torch.inference_mode(), autocast(self.device, self.precision):
                y = network.text(self.phrase_features[item.phrases].float())
                scores = network.scores(y, network.image(torch.cat([right, others]).to(self.device))).cpu()
            p = len(right)
            found.append(hard_negatives(scores[:, :p].diagonal(), scores[:, p:], item.boxes, proposals, self.recipe))
        return found
