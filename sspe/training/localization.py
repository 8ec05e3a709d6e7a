"""Training for phrase localization: one step of the paper, and a run from photos and annotations to a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from sspe.checkpoint import load_checkpoint
from sspe.data import open_dataset
from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.errors import SspeError
from sspe.evaluation import localization, ranking
from sspe.evaluation.answers import localize_annotated
from sspe.evaluation.cross_fitting import halves
from sspe.evaluation.measures import measure_localization
from sspe.evaluation.probabilities import draw_reliability
from sspe.models.box_refiner import refinement_loss
from sspe.models.device import autocast
from sspe.models.localization import LocalizationModel
from sspe.models.losses import Matches, structure_preserving_loss
from sspe.models.similarity import similarity_loss
from sspe.settings import LocalizationModelSettings
from sspe.training import processes
from sspe.training.batches import EpochSampler, readers
from sspe.training.calibration import calibrate
from sspe.training.localization_batches import Batch, Collate, RegionPhraseDataset, Shown
from sspe.training.localization_data import WATCHED, LocalizationData
from sspe.training.loop import Run, train_epochs, write_measures
from sspe.training.optimiser import make_optimiser
from sspe.training.recipes import LocalizationRecipe
from sspe.training.search import fit_search
from sspe.training.second_look import fit_second_look
from sspe.training.source import Source
from sspe.training.start import mean_of, take_weights
from sspe.vision.boxes import iou
from sspe.vision.detections import THINGS
from sspe.vision.folding import collapse

log = logging.getLogger("sspe.train")


def train_localization(recipe: LocalizationRecipe, data: LocalizationData, run: Run) -> dict:
    """Train, then measure the best checkpoint on val photos: where the recipe calibrates it, on those left over.

    Returns the measures, as in metrics.json; of several processes the first alone measures.
    """
    log.info("%d photos, %d distinct phrases", len(data.photos), len(set(data.table.texts)))
    task = LocalizationTask(recipe, data, run)
    train_epochs(task, recipe, data, run)
    if not processes.is_first():
        return {}

    model, about = load_checkpoint(run.best_checkpoint)  # as it is on disk, rounded to float16
    model.for_inference(run.device, run.precision)
    if recipe.calibrated:
        train = [photo.record for photo in data.photos]
        return _calibrate(model, about, train, data.val, data.store, task.frozen, run)
    task.model = model
    measured = task.measure(data.val, "all val")
    write_measures(model, about, measured, run)
    log.info("%s\n%s", run.best_checkpoint, ranking.table(measured))
    return measured


def refit_localization(checkpoints: Sequence[Path], source: Source, run: Run) -> dict:
    """Fit anew all that training fits at its end, of a checkpoint or of the mean of several.

    Returns the measures, as in metrics.json. Raises SspeError where there are no photos to fit them on.
    """
    for checkpoint in checkpoints:
        if run.best_checkpoint.resolve() == checkpoint.resolve():
            raise SspeError(f"{checkpoint} is the checkpoint itself; name another --output.")
    model, about = mean_of(checkpoints)
    model.for_inference(run.device, run.precision)
    train = open_dataset(source.data, source.train_split, limit=source.limit, photos=source.photos)
    val = open_dataset(source.data, source.val_split, limit=source.val_limit, photos=source.photos)
    store = FeatureStore(model.settings.regions.side, model.settings.proposals, detector=model.detector)
    store.prepare([photo.path for photo in val], lambda work, total: run.bar(work, "proposals", total))
    frozen = FrozenFeatures(model.regions, run.precision)
    for photo in run.bar(val, "region features of val"):
        frozen.prepare(photo.path, store.proposals(photo.path).boxes)
    return _calibrate(model, {**about, "refitted": date.today().isoformat()}, train, val, store, frozen, run)


def _calibrate(
    model: LocalizationModel,
    about: dict,
    train: Sequence[AnnotatedPhoto],
    val: Sequence[AnnotatedPhoto],
    store: FeatureStore,
    frozen: FrozenFeatures | None,
    run: Run,
) -> dict:
    """Fit the second look and the probabilities, measure, write the checkpoint with them; returns the measures."""
    if frozen is not None:  # else all training photos would be looked at once more
        fit_second_look(model, train, store, frozen, lambda work: run.bar(work, "second look"), run.seed)
    measured = calibrate(model, train, val, store, lambda photos: run.bar(photos, "val"), frozen)
    measured |= fit_search(model, train, val, store, lambda work: run.bar(work, "search"), frozen)
    write_measures(model, about, measured, run)
    if "present" in measured:
        draw_reliability({name: measured[name] for name in ("confidence", "present")}, run.output / "reliability.png")
    log.info("%s\n%s", run.best_checkpoint, localization.table(measured))
    return measured


class LocalizationTask:
    """What :func:`sspe.training.loop.train_epochs` trains: regions and phrases into one space."""

    def __init__(self, recipe: LocalizationRecipe, data: LocalizationData, run: Run):
        self.recipe, self.data, self.run = recipe, data, run
        if recipe.regions.surroundings and not (recipe.fine_tune or run.start):
            raise SspeError(
                "The surroundings of a region are learnt with the backbone's map: with fine_tune=false set "
                "regions.surroundings=0, or --start from a checkpoint that has learnt them."
            )
        torch.manual_seed(run.seed)
        settings = LocalizationModelSettings(recipe.regions, recipe.network, recipe.proposals, recipe.detector)
        self.model = LocalizationModel(settings, data.text_encoder, pretrained=True)
        if not recipe.fine_tune:
            collapse(self.model.regions)
        if run.start:  # of a resumed run, too: what is not trained is not in its state
            take_weights(self.model, run.start)
        network = self.model.network
        processes.share_batch_norm(network.image, network.text, network.refiner)
        self.model.to(run.device, memory_format=torch.channels_last)
        self.model.precision = run.precision
        self.collate = Collate(data.table, recipe.text.context, recipe.bare > 0)
        self.phrase_features = data.phrase_features.to(run.device)  # (U, T)
        # By the names they have in the model; the detector beside them never changes.
        parts = {"regions": self.model.regions, "network": self.model.network}
        self.trained = nn.ModuleDict(parts) if recipe.fine_tune else self.model.network
        self.frozen = None if recipe.fine_tune else FrozenFeatures(self.model.regions, run.precision)
        self.epochs = 1 if recipe.network.kind == "cca" else recipe.epochs  # the analysis is fitted at once
        self.kept: dict[str, list[torch.Tensor] | None] = {"mined": None}  # hard negatives, once there are any
        if self.frozen:
            self._prepare_features()
        steps = max(len(data.photos) // recipe.batch, 1)
        self._optimiser = make_optimiser(self.model, recipe, steps)

    def optimiser(self, epoch: int) -> tuple[Optimizer, LRScheduler]:
        """The same one in every epoch."""
        return self._optimiser

    def batches(self, epoch: int, start: int) -> Iterable:
        """Batches of photos; for canonical correlation analysis all pairs of features are the one batch."""
        if self.recipe.network.kind == "cca":
            return [self._pairs()][start:]
        if self.recipe.mining_epoch and epoch >= self.recipe.mining_epoch and self.kept["mined"] is None:
            self.kept["mined"] = self._mine()
        dataset = self._dataset()
        return DataLoader(
            dataset,
            batch_sampler=EpochSampler(len(dataset), self.recipe.batch, self.run.seed, epoch, start),
            collate_fn=self.collate,
            num_workers=readers(self.run.device),
            generator=torch.Generator(),  # else the loader draws from dropout's, and a resumed run would differ
        )

    def loss(self, batch: Batch | Iterable) -> torch.Tensor:
        """The loss of a batch: equations (1) to (4), or the similarity network's, and the box refinement's."""
        network = self.model.network
        if self.recipe.network.kind == "cca":  # in place of a loss one less the mean correlation
            return 1 - network.fit(batch).mean()
        batch = batch.to(self.run.device)
        refined = None
        with autocast(self.run.device, self.run.precision):
            features = batch.features  # (R, D)
            if features is None:
                features = self.model.regions(batch.squeezed, batch.regions)
            elif self.recipe.unseen:
                features = self._partly_seen(features)
            if batch.things is not None:
                features = torch.cat([features, batch.things], dim=1)
            x, y = network(features, self._read(batch.phrases))  # (R, E), (P, E)
            if network.refiner and self.recipe.loss.refinement:
                of_phrase, of_region = batch.refinable.nonzero(as_tuple=True)
                # Gradients stop at y: only the ranking loss moves phrase embeddings.
                regions, phrases = network.refiner.describe(features)[of_region], y.detach()[of_phrase]
                refined = network.refiner(regions, phrases, torch.cat(batch.regions)[of_region])
            y, x = self._named(y, x, batch.phrases.cpu(), batch.things)
            # What follows is of all photos of the step, in every process that trains.
            x, y, matches = processes.gathered(x), processes.gathered(y), self._matches(batch)
            if self.recipe.network.kind == "similarity":
                loss = similarity_loss(network, x, y, matches)
        if self.recipe.network.kind != "similarity":
            loss = structure_preserving_loss(x, y, matches, self.recipe.loss)["loss"]
        if refined is not None:
            refined, right = processes.gathered(refined), processes.gathered(batch.boxes[of_phrase])
            loss = loss + self.recipe.loss.refinement * refinement_loss(refined, right)
        return loss

    def validate(self) -> dict[str, float]:
        """R@1 and R@10 of the watched val photos."""
        measured = self.measure(halves(self.data.val)[0][:WATCHED], "watched val")
        return {name: measured[name] for name in ("recall_at_1", "recall_at_10")}

    def measure(self, photos: Sequence[AnnotatedPhoto], description: str) -> dict:
        """The measures of annotated photos by the model as it is; ``description`` is the progress bar's."""
        self.model.eval()

        def progress(work: Iterable) -> Iterable:
            return self.run.bar(work, description)

        if not self.recipe.calibrated:
            results = ranking.rank_annotated(self.model, photos, self.data.store, self.frozen, progress)
            return ranking.measure_ranking(results)
        results, _ = localize_annotated(self.model, photos, self.data.store, progress, frozen=self.frozen)
        return measure_localization(results)

    def _matches(self, batch: Batch) -> Matches:
        """Who matches whom in a step: in the batch, and in the batches of all processes that train together."""
        if processes.count() == 1:
            return batch.matches
        return self.collate.matches(Shown.joined(processes.everyone(batch.shown))).to(self.run.device)

    def _read(self, rows: torch.Tensor) -> torch.Tensor:
        """Features (P, T) float32 of phrases of the table, some without their last word vectors."""
        features = self.phrase_features[rows].float()
        if self.recipe.unread:
            unread = torch.rand(len(rows), 1).to(features.device) < self.recipe.unread
            features[:, self.data.text_encoder.last_columns] *= ~unread
        return features

    def _partly_seen(self, features: torch.Tensor) -> torch.Tensor:
        """Features (R, D) with some numbers of their appearance set to 0, the others raised; geometry stays."""
        shown = self.model.regions.appearance_size
        return torch.cat([functional.dropout(features[:, :shown], self.recipe.unseen), features[:, shown:]], dim=1)

    def _named(
        self, y: torch.Tensor, x: torch.Tensor, rows: torch.Tensor | np.ndarray, things: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings of phrases of the table and of regions, with the named part of the space where there is one."""
        if (part := self.model.network.named) is None:
            return y, x
        return part.phrases(y, self.data.named[rows].float().to(self.run.device)), part.regions(x, things)

    def _dataset(self) -> RegionPhraseDataset:
        mined = self.kept["mined"] and [rows.numpy() for rows in self.kept["mined"]]
        data = self.data
        return RegionPhraseDataset(data.photos, data.store, self.recipe, self.run.seed, self.frozen, mined, data.things)

    def _prepare_features(self) -> None:
        """Compute the frozen features that are not on disk yet: of the training photos, and of val if it uses any."""
        self.model.eval()
        dataset = self._dataset()
        with autocast(self.run.device, self.run.precision):
            for index in self.run.bar(processes.share(range(len(dataset))), "region features"):
                dataset.prepare_features(index)
            for photo in self.run.bar(processes.share(self.data.val), "region features of val"):
                self.frozen.prepare(photo.path, self.data.store.proposals(photo.path).boxes)
        processes.wait()

    def _pairs(self) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        """Features (P, D) and (P, T) of all pairs of region and phrase, photo by photo."""
        dataset = self._dataset()
        for index, photo in enumerate(self.data.photos):
            yield dataset.everything(index)[1], self.data.phrase_features[photo.phrases].float()

    def _mine(self) -> list[torch.Tensor]:
        """For each photo the wrong proposals that the network, as it is now, ranks above a right region."""
        self.model.eval()
        network, dataset, found = self.model.network, self._dataset(), []
        for index, photo in enumerate(self.run.bar(self.data.photos, "hard negatives")):
            proposals, of_phrases, of_proposals = dataset.everything(index)
            with torch.inference_mode(), autocast(self.run.device, self.run.precision):
                y = network.text(self.phrase_features[photo.phrases].float())
                features = torch.cat([of_phrases, of_proposals]).to(self.run.device)
                things = features[:, -len(THINGS) :]  # where there is a detector
                scores = network.scores(*self._named(y, network.image(features), photo.phrases, things)).cpu()
            p = len(photo.phrases)
            right, others = scores[:, :p].diagonal(), scores[:, p:]
            found.append(torch.from_numpy(hard_negatives(right, others, photo.boxes, proposals, self.recipe)))
        return found


def hard_negatives(
    right: torch.Tensor, scores: torch.Tensor, boxes: np.ndarray, proposals: np.ndarray, recipe: LocalizationRecipe
) -> np.ndarray:
    """Proposals that score above the right box of some phrase and show something else: the worst of a photo.

    Args:
        right: (P,) score of each phrase with its own box.
        scores: (P, N) its scores with the proposals.
        boxes, proposals: (P, 4) and (N, 4), in one frame.

    Returns:
        Up to ``recipe.mined`` rows of the proposals, the one that is the farthest above first.
    """
    above = scores - right[:, None]
    above = above.masked_fill(torch.from_numpy(iou(boxes, proposals) >= recipe.negative_iou), -torch.inf)
    above = above.max(dim=0).values  # (N,)
    order = above.argsort(descending=True, stable=True)[: recipe.mined]
    return order[above[order] > 0].numpy()
