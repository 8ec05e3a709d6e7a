"""A detector's head, to stand in for the paper's Fast R-CNN: a backbone that learns to name what regions show.

The paper's region features come from a detector trained on VOC. Instead, an ImageNet backbone learns through RoIAlign
which head nouns, and which types, the training phrases of a region have, or that it shows none of their things:
cross-entropy over classes, and no embedding of phrases. Its features are then frozen, and what is trained on them (see
benchmarks/ablation.py, or ``--start``) is compared on regions that know things.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from sspe.checkpoint import load_checkpoint
from sspe.data.records import PHRASE_TYPES, AnnotatedPhoto
from sspe.evaluation.cross_fitting import halves
from sspe.files import written
from sspe.models.device import autocast
from sspe.models.localization import LocalizationModel
from sspe.phrases.head import head_of
from sspe.settings import LocalizationModelSettings
from sspe.training import processes
from sspe.training.batches import EpochSampler, readers, same_words_key
from sspe.training.localization_batches import Batch, Collate, RegionPhraseDataset, rows_of
from sspe.training.localization_data import WATCHED, LocalizationData, training_photos
from sspe.training.loop import Run, train_epochs
from sspe.training.optimiser import optimiser_of, schedule_of
from sspe.training.recipes import LocalizationRecipe

log = logging.getLogger("sspe.train")

BACKGROUND = 0  # the class of regions that show nothing a phrase of the photo names


def train_region_features(recipe: LocalizationRecipe, data: LocalizationData, run: Run) -> dict:
    """Train the backbone on ``recipe.nouns`` head nouns; its best checkpoint is for ``--start`` and locates nothing.

    Returns the share of watched val boxes whose noun is right, as in metrics.json; the first of several processes does.
    """
    train_epochs(NounTask(recipe, data, run), recipe, data, run)
    if not processes.is_first():
        return {}
    measured = load_checkpoint(run.best_checkpoint)[1]["watched_val"]
    log.info("%s\nright nouns: %.1f %%", run.best_checkpoint, 100 * measured["right_nouns"])
    with written(run.output / "metrics.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=2) + "\n")
    return measured


class NounTask:
    """What :func:`sspe.training.loop.train_epochs` trains: region features -> nouns and types."""

    def __init__(self, recipe: LocalizationRecipe, data: LocalizationData, run: Run):
        self.recipe, self.data, self.run = recipe, data, run
        torch.manual_seed(run.seed)
        settings = LocalizationModelSettings(recipe.regions, recipe.network, recipe.proposals, recipe.detector)
        self.model = LocalizationModel(settings, data.text_encoder, pretrained=True)
        self.model.to(run.device, memory_format=torch.channels_last)
        self.model.precision = run.precision
        self.classes, types = noun_classes([photo.record for photo in data.photos], recipe.nouns)
        self.targets = noun_targets(data.table.texts, self.classes, types)
        features = self.model.regions.feature_size
        # Features have unit length; batch norm gives each number a spread of its own for the classes to tell apart.
        head = nn.Sequential(nn.BatchNorm1d(features), nn.Linear(features, self.targets.shape[1]))
        processes.share_batch_norm(head)
        self.trained = nn.ModuleDict({"regions": self.model.regions, "head": head.to(run.device)})
        self.epochs, self.kept = recipe.epochs, {}
        self.model.regions.freeze_through(recipe.frozen_through)
        groups = [
            {"params": [*head.parameters()], "lr": recipe.branch_lr},
            {"params": [p for p in self.model.regions.parameters() if p.requires_grad], "lr": recipe.backbone_lr},
        ]
        optimiser = optimiser_of(groups, recipe)
        steps = max(len(data.photos) // recipe.batch, 1)
        self._optimiser = optimiser, schedule_of(optimiser, recipe, steps, recipe.epochs)

    def optimiser(self, epoch: int) -> tuple[Optimizer, LRScheduler]:
        """The same one in every epoch."""
        return self._optimiser

    def batches(self, epoch: int, start: int) -> Iterable[Batch]:
        """Batches of photos with their annotated boxes and some proposals."""
        data = self.data
        dataset = RegionPhraseDataset(data.photos, data.store, self.recipe, self.run.seed)
        return DataLoader(
            dataset,
            batch_sampler=EpochSampler(len(dataset), self.recipe.batch, self.run.seed, epoch, start),
            collate_fn=Collate(data.table, context=0),
            num_workers=readers(self.run.device),
            generator=torch.Generator(),
        )

    def loss(self, batch: Batch) -> torch.Tensor:
        """Cross-entropy of nouns, and of types where there is one, over the regions that show something or nothing."""
        self.trained["head"].train()
        shown = wanted(batch, self.targets)
        batch = batch.to(self.run.device)
        with autocast(self.run.device, self.run.precision):
            features = self.model.regions(batch.squeezed, batch.regions)
            logits = self.trained["head"](features)
        logits, shown = processes.gathered(logits.float()), processes.gathered(shown.to(self.run.device))
        parts = [len(self.classes), shown.shape[1] - len(self.classes)]
        losses = []
        for found, right in zip(logits.split(parts, 1), shown.split(parts, 1), strict=True):
            rows = right.sum(dim=1) > 0
            if rows.any():
                losses.append(functional.cross_entropy(found[rows], functional.normalize(right[rows], p=1, dim=1)))
        return sum(losses, logits.sum() * 0)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Share of the watched val photos' annotated boxes whose likeliest noun some phrase of theirs has."""
        self.trained.eval()
        photos, table = training_photos(halves(self.data.val)[0][:WATCHED], context=False)
        targets = noun_targets(table.texts, self.classes, {})[:, : len(self.classes)].numpy()
        right = []
        for photo in photos:
            squeezed = torch.from_numpy(self.data.store.get(photo.record.path).squeezed).to(self.run.device)
            boxes = torch.from_numpy(photo.annotated).to(self.run.device)
            with autocast(self.run.device, self.run.precision):
                logits = self.trained["head"](self.model.regions(squeezed[None], [boxes]))
            best = logits[:, 1 : len(self.classes)].argmax(dim=1).cpu().numpy() + 1  # that something is there is given
            shown = np.zeros((len(boxes), len(self.classes)))
            np.add.at(shown, rows_of(photo.boxes, photo.annotated), targets[photo.phrases])
            known = shown.any(axis=1)
            right += (shown[np.arange(len(boxes)), best] > 0)[known].tolist()
        return {"right_nouns": float(np.mean(right)) if right else 0.0}


def noun_classes(photos: Sequence[AnnotatedPhoto], count: int) -> tuple[dict[str, int], dict[str, Counter]]:
    """The ``count`` most frequent head nouns of the phrases with a box, and how often each noun has which type.

    Returns:
        class by noun, 0 being the background, written ""; and a count of types by noun, of every noun.
    """
    phrases = [p for photo in photos for s in photo.sentences for p in s.phrases if len(p.boxes)]
    frequent = Counter(_noun(p.text) for p in phrases).most_common(count)
    types: dict[str, Counter] = {}
    for phrase in phrases:
        types.setdefault(_noun(phrase.text), Counter()).update(phrase.types)
    return {name: i for i, name in enumerate(["", *(noun for noun, _ in frequent)])}, types


def noun_targets(texts: Sequence[str], classes: dict[str, int], types: dict[str, Counter]) -> torch.Tensor:
    """For each phrase 1 at the class of its head noun and the shares of that noun's types: (U, classes + types)."""
    found = torch.zeros(len(texts), len(classes) + len(PHRASE_TYPES))
    for row, text in zip(found, texts, strict=True):
        noun = _noun(text)
        if noun in classes:
            row[classes[noun]] = 1
        for name, count in types.get(noun, {}).items():
            row[len(classes) + PHRASE_TYPES.index(name)] = count / types[noun].total()
    return found


def wanted(batch: Batch, targets: torch.Tensor) -> torch.Tensor:
    """What each region of a batch should be called: (R, classes + types), sums of its phrases' ``targets``.

    One box that is "a man", "a guy" and "a surfer" is all three. A region far from everything that its photo's phrases
    name is background; one that is neither near nor far is nothing.
    """
    matches = batch.matches
    shown = matches.positive.T.float() @ targets[batch.phrases]
    shown[(matches.negative | ~matches.same_photo).all(dim=0), BACKGROUND] = 1
    return shown


def _noun(phrase: str) -> str:
    return same_words_key(head_of(phrase.lower()))
