"""The training run of image-sentence retrieval: photos and their sentences, from caption files to a checkpoint."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from sspe.checkpoint import load_checkpoint
from sspe.data.caches import FrozenPhotoFeatures
from sspe.data.captions import Captions
from sspe.errors import CheckpointError
from sspe.evaluation.retrieval import DIRECTIONS, measure_retrieval, table
from sspe.models.device import autocast
from sspe.models.losses import structure_preserving_loss
from sspe.models.retrieval import Bank, RetrievalModel
from sspe.settings import RetrievalModelSettings
from sspe.text.encoders import TextEncoder
from sspe.training.batches import EpochSampler
from sspe.training.loop import Run, log
from sspe.training.optimiser import one_cycle
from sspe.training.recipes import RetrievalRecipe
from sspe.training.retrieval_batches import PhotoBatch, PhotoCollate, PhotoSentenceDataset
from sspe.training.retrieval_data import RetrievalData
from sspe.vision.folding import load_collapsed
from sspe.vision.photo import open_photo

WATCHED = 1000  # val photos measured after every epoch; always the same ones
BANK_PHOTOS, BANK_SENTENCES = 2048, 2  # photos of the bank, and of each so many sentences: 6 MB in the checkpoint
_FITTED = 256  # photos a part of what the analysis is fitted on


class RetrievalRun(Run):
    """One run that trains a :class:`sspe.models.retrieval.RetrievalModel`: the branches first, then everything."""

    def __init__(
        self,
        chosen: RetrievalRecipe,
        name: str,
        output: Path,
        options: argparse.Namespace,
        data: RetrievalData | None = None,
    ):
        """``data`` spares reading it again where a run before had the same photos and text settings."""
        super().__init__(chosen, name, output, options)
        self.data = RetrievalData.read(chosen, options) if data is None else data
        self.photos, self.val = self.data.photos, self.data.val
        torch.manual_seed(options.seed)
        self.model = RetrievalModel(
            RetrievalModelSettings(chosen.photos, chosen.network), self.data.text_encoder, pretrained=True
        )
        if self.start:  # of a resumed run, too: what is not trained is not in its state
            self._start_from(self.start)
        self.model.to(self.device, memory_format=torch.channels_last)
        self.model.precision = self.precision
        self.sentence_features = self.data.features.to(self.device)  # (U, T)
        self.frozen, self.frozen_val = self._frozen_features() if chosen.frozen_epochs else (None, None)
        frozen_epochs = min(chosen.frozen_epochs, 1) if chosen.network.kind == "cca" else chosen.frozen_epochs
        self.epochs = frozen_epochs + chosen.epochs
        self._begin(fine=not chosen.frozen_epochs)
        self.resume()

    def size(self) -> str:
        """How many photos and sentences."""
        return f"{len(self.photos)} photos, {len(self.data.table.texts)} distinct sentences"

    def train_photos(self) -> int:
        """All."""
        return len(self.photos)

    def learns(self, name: str) -> bool:
        """All, but for the backbone where it is never trained."""
        return bool(self.recipe.epochs) or not name.startswith("photos.")

    def more_state(self) -> dict:
        """Which of the two parts of the training the optimiser belongs to."""
        return {"fine": self.fine}

    def take_more_state(self, state: dict) -> None:
        """The optimiser of the part that was left."""
        self._begin(state["fine"])

    def train_epoch(self) -> float:
        """One pass over the photos, or the one fit of the analysis; the mean loss."""
        if self.recipe.network.kind == "cca":
            return self._fit()
        if not self.fine and self.epoch >= self.recipe.frozen_epochs:
            self._begin(fine=True)
        dataset = PhotoSentenceDataset(self.photos, self.recipe, self.options.seed, None if self.fine else self.frozen)
        batch = self.recipe.batch if self.fine else self.recipe.frozen_batch
        batches = DataLoader(
            dataset,
            batch_sampler=EpochSampler(len(dataset), batch, self.options.seed, self.epoch, self.step_of_epoch),
            collate_fn=PhotoCollate(self.data.table),
            num_workers=int(self.fine),  # opens photos ahead; the computing process keeps every core
            generator=torch.Generator(),  # a loader draws from its generator: dropout's would not survive a --resume
        )
        self.model.train()
        return self.train_batches(batches, self.step)

    def step(self, batch: PhotoBatch) -> float:
        """One descent on a batch; its loss."""
        batch = batch.to(self.device)
        with autocast(self.device, self.precision):
            features = self.model.photos(batch.seen) if self.fine else batch.seen
            x, y = self.model.network(features, self.sentence_features[batch.sentences].float())
        loss = structure_preserving_loss(x, y, batch.matches, self.recipe.loss.terms)["loss"]
        return self.descend(loss, self.trained)

    def watch(self) -> tuple[dict[str, float], dict]:
        """Mean recall and R@1 in both directions of the watched val photos."""
        measured = self.measure(Captions(self.val.photos[:WATCHED]), "watched val", self.fine)
        figures = {"mean_recall": measured["mean_recall"]}
        figures |= {f"{direction}_recall_at_1": measured[direction]["recall_at_1"] for direction in DIRECTIONS[:2]}
        return figures, measured

    def measure(self, captions: Captions, name: str, fine: bool) -> dict:
        """The measures of the first val photos by the network as it is; ``name`` is the progress bar's.

        Unless ``fine``, by the features of the frozen backbone.
        """
        self.model.eval()
        paths = [photo.path for photo in captions]
        if fine:
            x = self.model.embed_photos(open_photo(path) for path in self.bar(paths, desc=name))
        else:
            x = self._embed_frozen(self.frozen_val[: len(paths)])
        owners = captions.owners
        y = self.model.embed_text_features(self.data.val_features[: len(owners)])
        scores = self.model.cosines(x, y).cpu().numpy()
        return measure_retrieval(scores, owners, y.cpu().numpy())

    def finish(self) -> None:
        """Measure the best checkpoint, as it is on disk, on all val photos by cosine, and give it its bank."""
        self.model, about = load_checkpoint(self.best_checkpoint, RetrievalModel.task)
        self.model.for_inference(self.device, self.precision)
        measured = self.measure(self.val, "all val", fine=bool(self.recipe.epochs))
        self.model.bank = self.make_bank()
        self.write_measured(self.model, about, measured)
        log.info("%s\n%s", self.best_checkpoint, table(measured))

    def make_bank(self) -> Bank:
        """Embeddings of some training photos, always the same ones, and of the first two sentences of each."""
        rng = np.random.default_rng(0)
        chosen = sorted(rng.choice(len(self.photos), min(BANK_PHOTOS, len(self.photos)), replace=False).tolist())
        photos = [self.photos[i] for i in chosen]
        if self.recipe.epochs:
            x = self.model.embed_photos(open_photo(photo.path) for photo in self.bar(photos, desc="bank"))
        else:
            x = self._embed_frozen(self.frozen[chosen])
        rows = np.concatenate([photo.sentences[:BANK_SENTENCES] for photo in photos])
        return Bank(x, self.model.embed_text_features(self.data.features[rows]))

    def _start_from(self, path: Path) -> None:
        """Take the weights of a checkpoint. Raises CheckpointError where its network or text encoder is another."""
        started = load_checkpoint(path, RetrievalModel.task)[0]
        tensors, own = started.state_dict(), self.model.state_dict()
        differing = sorted(name for name in {**own, **tensors} if _shape(own, name) != _shape(tensors, name))
        if not differing and not _alike(started.text_encoder, self.model.text_encoder):
            differing = ["text encoder"]
        if differing:
            raise CheckpointError(
                f"Training cannot start from {path}: its {differing[0]} differs from this run's; give this run the "
                "training photos and the --set options of the one that made it."
            )
        load_collapsed(self.model, tensors)

    def _begin(self, fine: bool) -> None:
        """What is trained from now on, everything or the branches alone, with its optimiser and schedule."""
        r, photos = self.recipe, self.model.photos
        self.fine = fine
        photos.requires_grad_(fine)
        photos.freeze_through(r.frozen_through)
        backbone = [p for p in photos.parameters() if p.requires_grad]
        branches = [*self.model.network.parameters()]
        groups = [{"params": branches, "lr": r.branch_lr if fine else r.frozen_lr}]
        groups += [{"params": backbone, "lr": r.backbone_lr}] if fine else []
        batch, epochs = (r.batch, r.epochs) if fine else (r.frozen_batch, r.frozen_epochs)
        self.trained = branches + backbone
        self.optimiser = torch.optim.AdamW(groups, weight_decay=r.weight_decay)
        self.schedule = one_cycle(self.optimiser, max(len(self.photos) // batch, 1) * epochs, r.warm_up)

    def _frozen_features(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the training photos and of val, from disk where they are known."""
        self.model.eval()
        store = FrozenPhotoFeatures(self.model.photos, self.precision)
        with autocast(self.device, self.precision):
            train, val = (
                store.get([photo.path for photo in photos], lambda parts: self.bar(parts, desc="photo features"))
                for photos in (self.photos, self.val)
            )
        return train, val

    @torch.inference_mode()
    def _embed_frozen(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings (N, E) of photos whose features (N, D) by the frozen backbone are known."""
        with autocast(self.device, self.precision):
            return self.model.network.image(features.to(self.device))

    def _fit(self) -> float:
        """Fit the canonical correlation analysis on every pair; one less the mean correlation, in place of a loss."""
        return 1 - self.model.network.fit(self._pairs()).mean().item()

    def _pairs(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Features of every sentence and of its photo, some hundred photos at a time."""
        for start in range(0, len(self.photos), _FITTED):
            part = self.photos[start : start + _FITTED]
            owners = np.repeat(np.arange(len(part)), [len(photo.sentences) for photo in part])
            rows = np.concatenate([photo.sentences for photo in part])
            yield self.frozen[start : start + len(part)][owners], self.data.features[rows].float()


def _alike(a: TextEncoder, b: TextEncoder) -> bool:
    """Whether two encoders read every text alike, but for the rounding of a checkpoint."""
    ours, theirs = a.state(), b.state()
    return (a.name, a.settings(), ours.keys()) == (b.name, b.settings(), theirs.keys()) and all(
        torch.equal(ours[name].cpu().half(), theirs[name].cpu().half()) for name in ours
    )


def _shape(tensors: dict[str, torch.Tensor], name: str) -> torch.Size | None:
    """Of the tensor with this name; None where there is none."""
    return tensors[name].shape if name in tensors else None
