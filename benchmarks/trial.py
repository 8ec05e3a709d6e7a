"""One network of the ablation, trained and measured on region vectors that lie in memory.

What is trained is the package's own: its networks, its loss, its rules of who matches whom, its measures. Only the way
to the vectors is shorter than that of ``sspe train``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from region_vectors import PhotoRegions

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase
from sspe.evaluation.ranking import Ranked, by_proposals, measure_ranking, rank_phrases
from sspe.files import settings_key, written
from sspe.models.losses import structure_preserving_loss
from sspe.models.networks import create_network
from sspe.models.similarity import similarity_loss
from sspe.settings import TextSettings
from sspe.text.encoders import create_text_encoder
from sspe.training.batches import EpochSampler
from sspe.training.localization import hard_negatives
from sspe.training.localization_batches import Batch, Collate, Example, rows_of
from sspe.training.localization_data import PhraseTable, TrainingPhoto
from sspe.training.optimiser import optimiser_of, schedule_of
from sspe.training.recipes import LocalizationRecipe
from sspe.vision.boxes import iou, nms, scale

WATCHED = 120  # val photos measured after every epoch
LONE = 6  # times as many photos, of one phrase each, have about as many pairs


@dataclass(frozen=True)
class Inputs:
    """What a network is shown beside the recipe.

    Attributes:
        proposals: the first so many of each photo, in training and in measuring.
        edge_boxes: leave the detector's boxes out.
        things: the detector's eighty scores join the vectors.
        lone: a photo brings one phrase to a batch, so no batch has neighbours.
    """

    proposals: int = 200
    edge_boxes: bool = False
    things: bool = False
    lone: bool = False

    def chosen(self, regions: PhotoRegions) -> np.ndarray:
        """Which rows of the regions are proposals that take part."""
        taking = regions.ranks < self.proposals
        if self.edge_boxes:
            taking &= (regions.ranks == 0) | (regions.ranks > regions.detected)
        return regions.annotated + np.flatnonzero(taking)


@dataclass(frozen=True)
class Data:
    """All photos with their regions and phrases.

    Attributes:
        train, table: training photos that have a pair of phrase and box, and their phrases.
        train_regions: of each of them.
        phrases: what the text encoder is fitted on: every phrase with a box, with its repetitions.
        val, val_regions: the photos to measure on, and their regions.
    """

    train: Sequence[TrainingPhoto]
    table: PhraseTable
    train_regions: Sequence[PhotoRegions]
    phrases: Sequence[str]
    val: Sequence[AnnotatedPhoto]
    val_regions: Sequence[PhotoRegions]

    @cached_property
    def asked(self) -> list[str]:
        """The distinct phrases of val."""
        return sorted(
            {p.text.lower() for photo in self.val for s in photo.sentences for p in s.phrases if len(p.boxes)}
        )

    @cached_property
    def overlaps(self) -> list[np.ndarray]:
        """For each training photo (P, R): of its phrases' boxes with its regions."""
        return [iou(p.boxes, r.boxes) for p, r in zip(self.train, self.train_regions, strict=True)]

    def text_features(self, settings: TextSettings, folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
        """Features of the table's phrases (U, T) and of val's (V, T), float32; kept in ``folder``."""
        file = folder / f"text-{settings_key(vars(settings), self.table.texts, self.asked)}.npz"
        if not file.exists():
            encoder = create_text_encoder(settings, self.phrases)
            found = [_encoded(encoder, texts) for texts in (self.table.texts, self.asked)]
            with written(file) as temporary, temporary.open("wb") as out:
                np.savez(out, train=found[0], val=found[1])
        with np.load(file) as arrays:
            return tuple(torch.from_numpy(arrays[name].astype(np.float32)) for name in ("train", "val"))


def _located(photo: AnnotatedPhoto) -> list[AnnotatedPhrase]:
    """Its phrases that have a box."""
    return [p for sentence in photo.sentences for p in sentence.phrases if len(p.boxes)]


def _encoded(encoder, texts: Sequence[str]) -> np.ndarray:
    parts = [encoder.encode(texts[i : i + 4096]).half().numpy() for i in range(0, len(texts), 4096)]
    return np.concatenate(parts)


def trial(recipe: LocalizationRecipe, inputs: Inputs, seed: int, data: Data, text: tuple[torch.Tensor, ...]) -> dict:
    """Train a network and measure it on val: JSON-like values, rates in 0..1.

    Beside what :func:`sspe.evaluation.ranking.measure_ranking` gives: "curve", R@1 of the first val photos after every
    epoch; "nms", R@K after non-maximum suppression; "by_proposals"; "hits", a bit for each phrase whose first region is
    right, hexadecimal, and "phrases_of_photos", how many phrases each photo has, in the same order.
    """
    torch.manual_seed(seed)
    if inputs.lone:  # as many steps, though a batch holds more photos
        recipe = replace(recipe, epochs=recipe.epochs * LONE)
    batches = Batches(recipe, inputs, seed, data)
    network = create_network(batches.features(0).shape[1], text[0].shape[1], recipe.network)
    curve = []
    if recipe.network.kind == "cca":
        network.fit(batches.pairs(text[0]))
    else:
        optimiser = optimiser_of([{"params": [*network.parameters()], "lr": recipe.branch_lr}], recipe)
        schedule = schedule_of(optimiser, recipe, len(batches.order(0)), recipe.epochs)
        for epoch in range(recipe.epochs):
            if recipe.mining_epoch and epoch == recipe.mining_epoch:
                batches.mine(network.eval(), text[0])
            network.train()
            for batch in batches.of(epoch):
                x, y = network(batch.features, text[0][batch.phrases])
                if recipe.network.kind == "similarity":
                    loss = similarity_loss(network, x, y, batch.matches)
                else:
                    loss = structure_preserving_loss(x, y, batch.matches, recipe.loss)["loss"]
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
            if not inputs.lone or epoch % LONE == LONE - 1:
                ranked = rank(network, recipe, inputs, data, text[1], WATCHED)[0]
                curve.append(round(measure_ranking(ranked)["recall_at_1"], 4))
    ranked, kept = rank(network, recipe, inputs, data, text[1])
    measured = measure_ranking(ranked)
    counts = [count for count in (50, 100, 200) if count <= inputs.proposals and not inputs.edge_boxes]
    return {
        **measured,
        "curve": curve,
        "nms": {f"recall_at_{k}": float(np.mean(kept < k)) for k in (1, 5, 10)},
        "by_proposals": by_proposals(ranked, counts),
        "phrases_of_photos": [n for photo in data.val if (n := len(_located(photo)))],
        "hits": np.packbits([r.right[r.order[0]] for r in ranked]).tobytes().hex(),
    }


class Batches:
    """Batches of training photos; the same seed, epoch and number always give the same one."""

    def __init__(self, recipe: LocalizationRecipe, inputs: Inputs, seed: int, data: Data):
        self.recipe, self.inputs, self.seed, self.data = recipe, inputs, seed, data
        self.collate = Collate(data.table, context=0)
        self.mined: list[np.ndarray] | None = None
        chosen = [inputs.chosen(r) for r in data.train_regions]
        near = [overlap.max(axis=0) >= recipe.refined_iou for overlap in data.overlaps]
        self.near = [rows[of[rows]] for rows, of in zip(chosen, near, strict=True)]
        self.far = [rows[~of[rows]] for rows, of in zip(chosen, near, strict=True)]

    def order(self, epoch: int) -> list[list[int]]:
        """Photos of every batch of an epoch."""
        batch = self.recipe.batch * (LONE if self.inputs.lone else 1)
        sampler = EpochSampler(len(self.data.train), batch, self.seed, epoch)
        return [[index for _, index in part] for part in sampler]

    def of(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        rng = np.random.default_rng([self.seed, epoch, 1])
        for photos in self.order(epoch):
            yield self.collate([self.example(index, rng) for index in photos])

    def example(self, index: int, rng: np.random.Generator) -> Example:
        """One photo: its phrases, their boxes, and some proposals, the recipe's share of them near a phrase's box."""
        photo, regions, recipe = self.data.train[index], self.data.train_regions[index], self.recipe
        overlap, pairs = self.data.overlaps[index], slice(None)
        count = recipe.sampled_proposals
        if self.inputs.lone:
            pairs, count = [rng.integers(len(photo.phrases))], 2
        mined = self.mined[index] if self.mined else np.zeros(0, int)
        near = rng.permutation(self.near[index])[: round(count * recipe.sampled_near)]
        far = rng.permutation(self.far[index])[: max(count - len(near) - len(mined), 0)]
        known = np.flatnonzero((overlap[pairs][:, : regions.annotated] == 1).any(axis=0))
        rows = np.unique(np.concatenate([known, mined, near, far]))
        overlap = overlap[pairs][:, rows]
        positive = torch.from_numpy(overlap >= min(recipe.positive_iou, 1.0))
        return Example(
            None,
            torch.from_numpy(self.features(index, rows)),
            torch.from_numpy(regions.boxes[rows]),
            torch.from_numpy(photo.phrases[pairs]),
            torch.from_numpy(photo.boxes[pairs]),
            positive,
            torch.from_numpy(overlap < recipe.negative_iou),
            positive,  # nothing is refined
        )

    def features(self, index: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Vectors (R, D) float32 of the training photo's regions, with all that the row adds to them."""
        return shown(self.data.train_regions[index], self.recipe, self.inputs)[rows]

    def pairs(self, text: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All pairs of region and phrase, photo by photo."""
        for i, photo in enumerate(self.data.train):
            rows = rows_of(photo.boxes, photo.annotated)
            yield torch.from_numpy(self.features(i, rows)), text[photo.phrases]

    @torch.inference_mode()
    def mine(self, network, text: torch.Tensor) -> None:
        """From now on every photo brings the wrong proposals that the network ranks above a right region."""
        self.mined = []
        for i, (photo, regions) in enumerate(zip(self.data.train, self.data.train_regions, strict=True)):
            chosen = np.concatenate([self.near[i], self.far[i]])
            y = network.text(text[photo.phrases])
            right = network.scores(
                y, network.image(torch.from_numpy(self.features(i, rows_of(photo.boxes, photo.annotated))))
            )
            others = network.scores(y, network.image(torch.from_numpy(self.features(i, chosen))))
            found = hard_negatives(right.diagonal(), others, photo.boxes, regions.boxes[chosen], self.recipe)
            self.mined.append(chosen[found])


def shown(regions: PhotoRegions, recipe: LocalizationRecipe, inputs: Inputs) -> np.ndarray:
    """What a network is shown of a photo's regions: (R, D) float32."""
    parts = [regions.vectors]
    if inputs.things:
        parts.append(regions.things)
    if recipe.regions.geometry:
        sides = (regions.boxes[:, 2:] - regions.boxes[:, :2]).clip(0)
        parts += [regions.boxes, sides.prod(axis=1, keepdims=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


@torch.inference_mode()
def rank(
    network, recipe: LocalizationRecipe, inputs: Inputs, data: Data, text: torch.Tensor, count: int | None = None
) -> tuple[list[Ranked], np.ndarray]:
    """Every region of the first ``count`` val photos ranked for every phrase; of None, also the ranks after NMS.

    The second is the rank of each phrase's first right region among those that non-maximum suppression at 0.5 keeps.
    """
    network.eval()
    place = {phrase: i for i, phrase in enumerate(data.asked)}
    y = network.text(text)
    results, after = [], []
    for photo, regions in zip(data.val[:count], data.val_regions[:count], strict=True):
        phrases = _located(photo)
        if not phrases:
            continue
        taking = inputs.chosen(regions)
        x = network.image(torch.from_numpy(shown(regions, recipe, inputs)[taking]))
        scores = network.scores(y[[place[p.text.lower()] for p in phrases]], x).numpy()
        boxes = scale(regions.boxes[taking], photo.width, photo.height)
        ranked = rank_phrases(phrases, boxes, scores, photo)
        results += ranked
        for one, fits in zip(ranked, scores, strict=True) if count is None else ():
            kept = one.right[nms(boxes, fits)]
            after.append(kept.argmax() if kept.any() else np.inf)
    return results, np.array(after)
