"""Batches of photos with their phrases, boxes and sampled proposals, and who matches whom in them.

Neighbourhood sampling (section 3.2): the structure terms need several phrases of one region and several regions of one
phrase in every batch. A photo brings all its phrases, five captions' worth, so most of its regions are named more than
once, and proposals that overlap a phrase's box well are further regions of that phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.models.losses import Matches
from sspe.training.augmentation import recoloured, zoomed
from sspe.training.batches import counted_on, owners
from sspe.training.localization_data import PhraseTable, TrainingPhoto
from sspe.training.recipes import LocalizationRecipe
from sspe.vision.boxes import flip, iou
from sspe.vision.detections import THINGS, things_in
from sspe.vision.proposals import Proposals

PERSON = THINGS.index("person")
LEAST_SEEN = 0.1  # of a thing, from which a region may show it
_TOO_NEAR = 0.95  # IoU; the annotated box itself, or as good as: nothing is left to refine


@dataclass(frozen=True)
class Example:
    """One photo of a batch; all boxes relative: 0..1 of width and height.

    Attributes:
        squeezed: (side, side, 3) uint8; None where the regions' features are given.
        features: (R, D) float32 of a frozen backbone; None where they are to be computed.
        regions: (R, 4) float32, annotated boxes first, then sampled proposals.
        phrases: (P,) int64 rows of the phrase table.
        boxes: (P, 4) float32, the phrases' merged boxes.
        positive, negative: (P, R) bool.
        refinable: (P, R) bool, the region is near enough to the phrase's box to be refined onto it.
        things: (R, T) float32, what the detector found in each region; None without a detector.
    """

    squeezed: torch.Tensor | None
    features: torch.Tensor | None
    regions: torch.Tensor
    phrases: torch.Tensor
    boxes: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    refinable: torch.Tensor
    things: torch.Tensor | None = None


class RegionPhraseDataset(Dataset):
    """(epoch, index) -> :class:`Example`. The same seed, epoch and index always give the same example."""

    def __init__(
        self,
        photos: Sequence[TrainingPhoto],
        store: FeatureStore,
        recipe: LocalizationRecipe,
        seed: int,
        frozen: FrozenFeatures | None = None,
        mined: Sequence[np.ndarray] | None = None,
        things: np.ndarray | None = None,
    ):
        """
        Args:
            things: rows of the phrase table that name the detector's things; needed where the recipe shows some.
            frozen: features of a backbone that is not trained; photos are then neither zoomed, mirrored nor recoloured.
            mined: for each photo, rows of the proposals that every step is to see.
        """
        self.photos, self.store, self.recipe, self.seed = photos, store, recipe, seed
        self.frozen, self.mined, self.things = frozen, mined, things

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        photo, r = self.photos[index], self.recipe
        boxes = photo.boxes
        in_sentence = np.array([rng.choice(rows) for rows in photo.mentions])
        phrases = np.where(rng.random(len(boxes)) < r.alone, photo.phrases, in_sentence)
        phrases = np.where(rng.random(len(boxes)) < r.bare, photo.heads, phrases) if r.bare else phrases
        if self.frozen is not None:
            squeezed, proposals = None, self.store.proposals(photo.record.path)
        else:
            stored = self.store.get(photo.record.path)
            squeezed, proposals = stored.squeezed, stored.proposals
            if r.zoom < 1:
                squeezed, proposals, boxes, kept = zoomed(squeezed, proposals, boxes, r.zoom, rng)
                phrases = phrases[kept]
            if r.flip and not photo.sided and rng.random() < 0.5:
                squeezed, proposals, boxes = squeezed[:, ::-1], proposals.flipped(1.0), flip(boxes, 1.0)
            if r.colour:
                squeezed = recoloured(squeezed, r.colour, rng)
        annotated = np.unique(boxes, axis=0)
        shown, of_thing = self._shown_things(proposals, rng)
        boxes = np.concatenate([boxes, proposals.boxes[shown]])
        phrases = np.concatenate([phrases, self.things[of_thing]]) if len(shown) else phrases
        mined = np.zeros(0, int) if self.mined is None else self.mined[index]
        wanted = np.concatenate([mined, shown[~np.isin(shown, mined)]])
        sampled = self._sampled(iou(boxes, proposals.boxes).max(axis=0), wanted, rng)
        regions = np.concatenate([annotated, proposals.boxes[sampled]])
        overlap = iou(boxes, regions)  # (P, R); relative boxes keep the intersection over union
        features = None
        if self.frozen is not None:
            rows = np.concatenate([rows_of(annotated, photo.annotated), len(photo.annotated) + sampled])
            everything = np.concatenate([photo.annotated, proposals.boxes])
            features = torch.from_numpy(self.frozen.get(photo.record.path, everything, rows))
        else:
            squeezed = torch.from_numpy(np.ascontiguousarray(squeezed))
        found = proposals.detections
        things = None if found is None else things_in(regions, found)
        negative = overlap < r.negative_iou
        refinable = (overlap >= r.refined_iou) & (overlap < _TOO_NEAR)
        if len(shown):
            # The detector frames its things well: their boxes learn to stay as they are.
            refinable[-len(shown) :] = overlap[-len(shown) :] >= r.refined_iou
            # A name alone means every such thing of the photo, also those of which the detector is unsure.
            negative[-len(shown) :] &= things[:, of_thing].T < LEAST_SEEN
        return Example(
            squeezed,
            features,
            torch.from_numpy(regions),
            torch.from_numpy(phrases),
            torch.from_numpy(boxes),
            torch.from_numpy(overlap >= r.positive_iou),
            torch.from_numpy(negative),
            torch.from_numpy(refinable),
            None if things is None else torch.from_numpy(things),
        )

    def _shown_things(self, proposals: Proposals, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Proposals in which the detector is sure of a thing, as many as the recipe shows by name, and which things.

        Of persons only one that is alone, for of several the captions tell which is which.
        """
        found = proposals.detections
        if not self.recipe.things or found is None or not len(found.boxes):
            return np.zeros(0, int), np.zeros(0, int)
        thing, score = found.scores.argmax(axis=1), found.scores.max(axis=1)
        sure = score >= self.recipe.sure_thing
        if (sure & (thing == PERSON)).sum() > 1:
            sure &= thing != PERSON
        rows = rows_of(found.boxes, proposals.boxes)
        chosen = np.flatnonzero(sure & (rows >= 0))
        chosen = rng.permutation(chosen)[: self.recipe.things]
        return rows[chosen], thing[chosen]

    def _sampled(self, nearness: np.ndarray, wanted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Rows of the proposals of one step, given the overlap (N,) of each with the nearest phrase's box.

        Those wanted, mined or shown by name; the recipe's share of near ones, or as many as there are; then any others
        up to its count.
        """
        count = min(self.recipe.sampled_proposals, len(nearness))
        order = rng.permutation(len(nearness))
        order = order[~np.isin(order, wanted)]
        near = order[nearness[order] >= self.recipe.refined_iou][: round(count * self.recipe.sampled_near)]
        others = order[~np.isin(order, near)][: max(count - len(near) - len(wanted), 0)]
        return np.concatenate([wanted, near, others])

    def everything(self, index: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """All regions of a photo, for a frozen backbone.

        Returns:
            The proposals (N, 4), the features (P, D) of the phrases' boxes, and those (N, D) of the proposals.
        """
        photo = self.photos[index]
        proposals = self.store.proposals(photo.record.path)
        boxes = np.concatenate([photo.annotated, proposals.boxes])
        features = self.frozen.get(photo.record.path, boxes)
        if proposals.detections is not None:
            features = np.concatenate([features, things_in(boxes, proposals.detections)], axis=1)
        of_phrases = features[rows_of(photo.boxes, photo.annotated)]
        return proposals.boxes, torch.from_numpy(of_phrases), torch.from_numpy(features[len(photo.annotated) :])

    def prepare_features(self, index: int) -> None:
        """Compute the frozen features of a photo, if they are not on disk yet."""
        photo = self.photos[index]
        boxes = np.concatenate([photo.annotated, self.store.proposals(photo.record.path).boxes])
        self.frozen.prepare(photo.record.path, boxes)


def rows_of(boxes: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each of boxes (N, 4) the row of the equal one among (M, 4), M at least 1; -1 where there is none."""
    equal = (boxes[:, None] == among[None]).all(axis=2)
    return np.where(equal.any(axis=1), equal.argmax(axis=1), -1)


@dataclass(frozen=True)
class Shown:
    """What the N photos of a batch show, each by itself: all that is needed to say who matches whom in the batch.

    Attributes:
        phrases: (P,) int64 rows of the phrase table.
        of_phrase, of_region: (P,) and (R,) int64, the photo of each, 0 to N - 1.
        positive, negative: (P, R) bool, false where phrase and region are of two photos.
    """

    phrases: torch.Tensor
    of_phrase: torch.Tensor
    of_region: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor

    @classmethod
    def by(cls, examples: Sequence[Example]) -> Shown:
        """What examples show."""
        return cls(
            torch.cat([e.phrases for e in examples]),
            owners([e.phrases for e in examples]),
            owners([e.regions for e in examples]),
            torch.block_diag(*(e.positive for e in examples)),
            torch.block_diag(*(e.negative for e in examples)),
        )

    @classmethod
    def joined(cls, parts: Sequence[Shown]) -> Shown:
        """The photos of several, the first one's first."""
        photos = [len(part.of_region.unique()) for part in parts]
        return cls(
            torch.cat([part.phrases for part in parts]),
            counted_on([part.of_phrase for part in parts], photos),
            counted_on([part.of_region for part in parts], photos),
            torch.block_diag(*(part.positive for part in parts)),
            torch.block_diag(*(part.negative for part in parts)),
        )


@dataclass(frozen=True)
class Batch:
    """Examples side by side: the arguments of the encoder, rows of the phrase table, and the matches."""

    squeezed: torch.Tensor | None  # (N, side, side, 3) uint8
    features: torch.Tensor | None  # (R, D)
    regions: list[torch.Tensor]  # N of (R_n, 4)
    phrases: torch.Tensor  # (P,)
    boxes: torch.Tensor  # (P, 4)
    matches: Matches  # (P, R)
    refinable: torch.Tensor  # (P, R)
    shown: Shown
    things: torch.Tensor | None = None  # (R, T)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device, but for what it is made of: ``shown``."""
        return Batch(
            None if self.squeezed is None else self.squeezed.to(device),
            None if self.features is None else self.features.to(device),
            [r.to(device) for r in self.regions],
            self.phrases.to(device),
            self.boxes.to(device),
            self.matches.to(device),
            self.refinable.to(device),
            self.shown,
            None if self.things is None else self.things.to(device),
        )


class Collate:
    """Examples -> :class:`Batch`."""

    def __init__(self, table: PhraseTable, context: int, bare: bool = False):
        """
        Args:
            context: how many words the text encoder reads on either side of a phrase.
            bare: a bare head noun, "dog", may show whatever a phrase with that head shows, "the brown dog".
        """
        self.groups, self.heads, self.bare = np.array(table.groups), np.array(table.heads), bare
        self.alone = np.array([not any(c.nearest(context)) for c in table.contexts])

    def __call__(self, examples: Sequence[Example]) -> Batch:
        shown = Shown.by(examples)
        frozen, named = examples[0].features is not None, examples[0].things is not None
        return Batch(
            None if frozen else torch.stack([e.squeezed for e in examples]),
            torch.cat([e.features for e in examples]) if frozen else None,
            [e.regions for e in examples],
            shown.phrases,
            torch.cat([e.boxes for e in examples]),
            self.matches(shown),
            torch.block_diag(*(e.refinable for e in examples)),
            shown,
            torch.cat([e.things for e in examples]) if named else None,
        )

    def matches(self, shown: Shown) -> Matches:
        """Who matches whom in a batch of photos that show this."""
        of_phrase, of_region, phrases = shown.of_phrase, shown.of_region, shown.phrases.numpy()
        group, head = (torch.from_numpy(numbers[phrases]) for numbers in (self.groups, self.heads))
        same_photo = of_phrase[:, None] == of_region[None]  # (P, R)
        alike = group[:, None] == group[None]  # (P, P): what the second shows, the first may show
        if self.bare:
            alike = alike | ((head[:, None] == head[None]) & (group == head)[:, None])

        # What a phrase's twin in the same photo shows, it shows as well: two men of one photo are both "a man", unless
        # the sentence says which of them is meant.
        alone = torch.from_numpy(self.alone[phrases])
        twins = (alike & alone[:, None] & (of_phrase[:, None] == of_phrase[None])).float()
        here = shown.negative & ((twins @ (~shown.negative & same_photo).float()) == 0)
        # Another photo with the same words may show the same thing anywhere, annotated or not: no region of it counts.
        photos = of_region.unique()
        has_words = (alike.float() @ (of_phrase[:, None] == photos[None]).float()) > 0  # (P, N)
        negative = here | (~same_photo & ~has_words[:, of_region])
        return Matches(shown.positive, negative, same_photo, alike | alike.T)
