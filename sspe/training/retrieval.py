"""Training for image-sentence retrieval: one step, and a run from photos and their sentences to a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from sspe.checkpoint import load_checkpoint
from sspe.data.caches import FrozenPhotoFeatures
from sspe.data.captions import Captions
from sspe.evaluation.retrieval import DIRECTIONS, measure_retrieval, table
from sspe.models.device import autocast
from sspe.models.losses import Matches, structure_preserving_loss
from sspe.models.retrieval import Bank, RetrievalModel
from sspe.settings import RetrievalModelSettings
from sspe.training import processes
from sspe.training.batches import EpochSampler, readers
from sspe.training.loop import Run, train_epochs, write_measures
from sspe.training.optimiser import optimiser_of, schedule_of
from sspe.training.recipes import RetrievalRecipe
from sspe.training.retrieval_batches import Described, PhotoBatch, PhotoCollate, PhotoSentenceDataset
from sspe.training.retrieval_data import RetrievalData
from sspe.training.start import take_weights
from sspe.vision.photo import open_photo

log = logging.getLogger("sspe.train")

WATCHED = 1000  # val photos measured after every epoch; always the same ones
BANK_PHOTOS, BANK_SENTENCES = 2048, 2  # photos of the bank, and sentences of each: 6 MB in the checkpoint
_FITTED = 256  # photos per part of what the analysis is fitted on


def train_retrieval(recipe: RetrievalRecipe, data: RetrievalData, run: Run) -> dict:
    """Train, then measure the best checkpoint on all val photos by cosine, and give it its bank.

    Returns the measures, as in metrics.json; of several processes the first alone measures.
    """
    log.info("%d photos, %d distinct sentences", len(data.photos), len(data.table.texts))
    task = RetrievalTask(recipe, data, run)
    train_epochs(task, recipe, data, run)
    if not processes.is_first():
        return {}

    task.model, about = load_checkpoint(run.best_checkpoint, RetrievalModel.task)  # as on disk, rounded to float16
    task.model.for_inference(run.device, run.precision)
    task.fine = bool(recipe.epochs)
    measured = task.measure(data.val, "all val")
    task.model.bank = task.make_bank()
    write_measures(task.model, about, measured, run)
    log.info("%s\n%s", run.best_checkpoint, table(measured))
    return measured


class RetrievalTask:
    """What :func:`sspe.training.loop.train_epochs` trains: photos and sentences into one space.

    Attributes:
        fine: everything is being trained, the second phase; before, the branches alone on frozen features.
    """

    def __init__(self, recipe: RetrievalRecipe, data: RetrievalData, run: Run):
        self.recipe, self.data, self.run = recipe, data, run
        torch.manual_seed(run.seed)
        settings = RetrievalModelSettings(recipe.photos, recipe.network)
        self.model = RetrievalModel(settings, data.text_encoder, pretrained=True)
        if run.start:  # of a resumed run, too: what is not trained is not in its state
            take_weights(self.model, run.start)
        processes.share_batch_norm(self.model.network.image, self.model.network.text)
        self.model.to(run.device, memory_format=torch.channels_last)
        self.model.precision = run.precision
        self.trained = self.model if recipe.epochs else self.model.network
        self.collate = PhotoCollate(data.table)
        self.sentence_features = data.features.to(run.device)  # (U, T)
        self.frozen, self.frozen_val = self._frozen_features() if recipe.frozen_epochs else (None, None)
        # The analysis is fitted at once.
        self.frozen_epochs = min(recipe.frozen_epochs, 1) if recipe.network.kind == "cca" else recipe.frozen_epochs
        self.epochs = self.frozen_epochs + recipe.epochs
        self.kept: dict = {}
        self._begin(fine=not self.frozen_epochs)

    def optimiser(self, epoch: int) -> tuple[Optimizer, LRScheduler]:
        """One for the epochs of the branches alone, and another for those of everything."""
        fine = epoch >= self.frozen_epochs and bool(self.recipe.epochs)
        if fine != self.fine:
            self._begin(fine)
        return self._optimiser, self._schedule

    def batches(self, epoch: int, start: int) -> Iterable:
        """Batches of photos; for canonical correlation analysis all pairs of features are the one batch."""
        if self.recipe.network.kind == "cca":
            return [self._pairs()][start:]
        frozen = None if self.fine else self.frozen
        dataset = PhotoSentenceDataset(self.data.photos, self.recipe, self.run.seed, frozen)
        batch = self.recipe.batch if self.fine else self.recipe.frozen_batch
        return DataLoader(
            dataset,
            batch_sampler=EpochSampler(len(dataset), batch, self.run.seed, epoch, start),
            collate_fn=self.collate,
            num_workers=readers(self.run.device) if self.fine else 0,  # frozen features lie in memory
            generator=torch.Generator(),  # else the loader draws from dropout's, and a resumed run would differ
        )

    def loss(self, batch: PhotoBatch | Iterable) -> torch.Tensor:
        """The loss of a batch: equations (1) to (4) with photos for regions and sentences for phrases."""
        if self.recipe.network.kind == "cca":  # in place of a loss one less the mean correlation
            return 1 - self.model.network.fit(batch).mean()
        device = self.run.device
        seen, sentences = batch.seen.to(device), batch.described.sentences.to(device)
        with autocast(device, self.run.precision):
            features = self.model.photos(seen) if self.fine else seen  # (N, D)
            x, y = self.model.network(features, self.sentence_features[sentences].float())  # (N, E), (M, E)
        # What follows is of all photos of the step, in every process that trains.
        x, y, matches = processes.gathered(x), processes.gathered(y), self._matches(batch)
        return structure_preserving_loss(x, y, matches.to(device), self.recipe.loss.terms)["loss"]

    def validate(self) -> dict[str, float]:
        """Mean recall and R@1 in both directions of the watched val photos."""
        measured = self.measure(Captions(self.data.val.photos[:WATCHED]), "watched val")
        recalls = {f"{direction}_recall_at_1": measured[direction]["recall_at_1"] for direction in DIRECTIONS[:2]}
        return {"mean_recall": measured["mean_recall"], **recalls}

    def measure(self, captions: Captions, description: str) -> dict:
        """The measures of the first val photos by the model as it is; ``description`` is the progress bar's."""
        self.model.eval()
        paths = [photo.path for photo in captions]
        if self.fine:
            x = self.model.embed_photos(open_photo(path) for path in self.run.bar(paths, description))
        else:
            x = self._embed_frozen(self.frozen_val[: len(paths)])
        owners = captions.owners
        y = self.model.embed_text_features(self.data.val_features[: len(owners)])
        scores = self.model.cosines(x, y).cpu().numpy()
        return measure_retrieval(scores, owners, y.cpu().numpy())

    def make_bank(self) -> Bank:
        """Embeddings of some training photos, always the same ones, and of the first two sentences of each."""
        everyone = self.data.photos
        chosen = np.random.default_rng(0).choice(len(everyone), min(BANK_PHOTOS, len(everyone)), replace=False)
        chosen = sorted(chosen.tolist())
        photos = [everyone[i] for i in chosen]
        if self.fine:
            x = self.model.embed_photos(open_photo(photo.path) for photo in self.run.bar(photos, "bank"))
        else:
            x = self._embed_frozen(self.frozen[chosen])
        rows = np.concatenate([photo.sentences[:BANK_SENTENCES] for photo in photos])
        return Bank(x, self.model.embed_text_features(self.data.features[rows]))

    def _matches(self, batch: PhotoBatch) -> Matches:
        """Who matches whom in a step: in the batch, and in the batches of all processes that train together."""
        if processes.count() == 1:
            return batch.matches
        return self.collate.matches(Described.joined(processes.everyone(batch.described)))

    def _begin(self, fine: bool) -> None:
        """Start a phase: everything is trained from now on, or the branches alone."""
        r, photos = self.recipe, self.model.photos
        self.fine = fine
        photos.requires_grad_(fine)
        photos.freeze_through(r.frozen_through)
        groups = [{"params": [*self.model.network.parameters()], "lr": r.branch_lr if fine else r.frozen_lr}]
        if fine:
            groups.append({"params": [p for p in photos.parameters() if p.requires_grad], "lr": r.backbone_lr})
        batch, epochs = (r.batch, r.epochs) if fine else (r.frozen_batch, r.frozen_epochs)
        self._optimiser = optimiser_of(groups, r)
        self._schedule = schedule_of(self._optimiser, r, max(len(self.data.photos) // batch, 1), epochs)

    def _frozen_features(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the training photos and of val, from disk where they are known."""
        self.model.eval()
        store = FrozenPhotoFeatures(self.model.photos, self.run.precision)
        paths = [[photo.path for photo in photos] for photos in (self.data.photos, self.data.val)]

        def progress(parts: Iterable) -> Iterable:
            return self.run.bar(parts, "photo features")

        with autocast(self.run.device, self.run.precision):
            if processes.count() > 1:  # each makes its share of what is missing, and then reads everything
                for some in map(processes.share, paths):
                    if some:
                        store.get(some, progress)
                processes.wait()
            train, val = (store.get(some, progress) for some in paths)
        return train, val

    @torch.inference_mode()
    def _embed_frozen(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, E) of photos whose features (N, D) by the frozen backbone are known."""
        with autocast(self.run.device, self.run.precision):
            return self.model.network.image(features.to(self.run.device))

    def _pairs(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Features of every sentence and of its photo, some hundred photos at a time."""
        for start in range(0, len(self.data.photos), _FITTED):
            part = self.data.photos[start : start + _FITTED]
            owners = np.repeat(np.arange(len(part)), [len(photo.sentences) for photo in part])
            rows = np.concatenate([photo.sentences for photo in part])
            yield self.frozen[start : start + len(part)][owners], self.data.features[rows].float()
