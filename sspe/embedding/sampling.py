"""Batches of photos with their phrases, boxes and sampled proposals, and who matches whom in them.

Neighbourhood sampling (section 3.2): the structure terms need several phrases of one region and several regions of one
phrase in every batch. A photo brings all its phrases, five captions' worth, so most of its regions are named more than
once, and proposals that overlap a phrase's box well are further regions of that phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from sspe.boxes import flip, iou, scale
from sspe.data.feature_store import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.embedding.losses import Matches
from sspe.recipes import Recipe
from sspe.text.words import words_of

_ARTICLES = frozenset({"a", "an", "the"})
_SIDES = re.compile(r"\b(left|right)(most|wards?)?\b", re.IGNORECASE)


def same_words_key(phrase: str) -> str:
    """Phrases with one key read the same: lower case, no punctuation, no article in front ("A man" and "the man")."""
    words = words_of(phrase)
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)


@dataclass(frozen=True)
class TrainingPhoto:
    """What training needs of an annotated photo: its distinct (phrase, merged box) pairs.

    Attributes:
        phrases: P indices into the table of distinct phrases.
        boxes: (P, 4) float32 merged boxes, relative: 0..1 of width and height.
        sided: some sentence says left or right, so the photo must not be mirrored.
    """

    photo: AnnotatedPhoto
    phrases: np.ndarray
    boxes: np.ndarray
    sided: bool


class PhraseTable:
    """The distinct phrases of a training set, each with its same-words group."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.groups: list[int] = []
        self._rows: dict[str, int] = {}
        self._group_rows: dict[str, int] = {}

    def row(self, text: str) -> int:
        """Index of a phrase, entered if it is new."""
        if text not in self._rows:
            key = same_words_key(text)
            self._rows[text] = len(self.texts)
            self.texts.append(text)
            self.groups.append(self._group_rows.setdefault(key, len(self._group_rows)))
        return self._rows[text]


def training_photos(photos: Sequence[AnnotatedPhoto]) -> tuple[list[TrainingPhoto], PhraseTable]:
    """Every photo that has a phrase with a box, and the table of all those phrases."""
    table = PhraseTable()
    found = []
    for photo in photos:
        pairs: dict[tuple, tuple[int, np.ndarray]] = {}
        sided = False
        for sentence in photo.sentences:
            sided = sided or bool(_SIDES.search(sentence.text))
            for phrase in sentence.phrases:
                if len(phrase.boxes):
                    box = scale(phrase.box, 1 / photo.width, 1 / photo.height)
                    row = table.row(phrase.text.lower())
                    pairs.setdefault((row, *box.tolist()), (row, box))
        if pairs:
            rows, boxes = zip(*pairs.values(), strict=True)
            found.append(TrainingPhoto(photo, np.array(rows), np.stack(boxes), sided))
    return found, table


@dataclass(frozen=True)
class Example:
    """One photo of a batch; all boxes relative.

    Attributes:
        squeezed: (side, side, 3) uint8; None where the regions' features are given.
        features: (R, D) float32 of a frozen backbone; None where they are to be computed.
        regions: (R, 4) float32, annotated boxes first, then sampled proposals.
        phrases: (P,) int64 rows of the phrase table.
        positive, negative: (P, R) bool.
    """

    squeezed: torch.Tensor | None
    features: torch.Tensor | None
    regions: torch.Tensor
    phrases: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor


class RegionPhraseDataset(Dataset):
    """(epoch, index) -> :class:`Example`. The same seed, epoch and index always give the same example.

    ``frozen`` gives the features of a backbone that is not trained; photos are then neither mirrored nor recoloured.
    """

    def __init__(
        self,
        photos: Sequence[TrainingPhoto],
        store: FeatureStore,
        recipe: Recipe,
        seed: int,
        frozen: FrozenFeatures | None = None,
    ):
        self.photos, self.store, self.recipe, self.seed, self.frozen = photos, store, recipe, seed, frozen

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        item = self.photos[index]
        boxes, annotated, squeezed = self._all_boxes(item)
        count = min(self.recipe.sampled_proposals, len(boxes) - annotated)
        sampled = annotated + rng.choice(len(boxes) - annotated, count, replace=False)
        rows = np.concatenate([np.arange(annotated), sampled])
        regions = boxes[rows]
        overlap = iou(item.boxes, regions)  # (P, R); relative boxes keep the intersection over union, mirrored ones too
        features = None
        if self.frozen is not None:
            squeezed, features = None, torch.from_numpy(self.frozen.get(item.photo.path, boxes)[rows]).float()
        else:
            if self.recipe.flip and not item.sided and rng.random() < 0.5:
                squeezed, regions = squeezed[:, ::-1], flip(regions, 1.0)
            if self.recipe.colour:
                squeezed = _recoloured(squeezed, self.recipe.colour, rng)
            squeezed = torch.from_numpy(np.ascontiguousarray(squeezed))
        return Example(
            squeezed,
            features,
            torch.from_numpy(regions),
            torch.from_numpy(item.phrases),
            torch.from_numpy(overlap >= self.recipe.positive_iou),
            torch.from_numpy(overlap < self.recipe.negative_iou),
        )

    def prepare_features(self, index: int) -> None:
        """Compute the frozen features of a photo, if they are not on disk yet."""
        item = self.photos[index]
        self.frozen.get(item.photo.path, self._all_boxes(item)[0])

    def _all_boxes(self, item: TrainingPhoto) -> tuple[np.ndarray, int, np.ndarray]:
        """The distinct annotated boxes, then all proposals, (R, 4) relative; how many are annotated; the picture."""
        stored = self.store.get(item.photo.path)
        annotated = np.unique(item.boxes, axis=0)
        return np.concatenate([annotated, stored.boxes]), len(annotated), stored.squeezed


def _recoloured(squeezed: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Contrast times, and brightness plus, a random amount of at most ``strength``."""
    contrast, brightness = rng.uniform(1 - strength, 1 + strength), rng.uniform(-strength, strength) * 128
    levels = (np.arange(256) - 128) * contrast + 128 + brightness
    return np.clip(levels, 0, 255).astype(np.uint8)[squeezed]


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) in an order fixed by seed and epoch, from batch ``start`` on: a resumed run goes on."""

    def __init__(self, length: int, batch: int, seed: int, epoch: int, start: int = 0):
        order = np.random.default_rng([seed, epoch]).permutation(length)
        # Spread evenly: a last batch of one photo would have no other photo's negatives and poor batch statistics.
        whole = max(length // batch, 1)
        self.batches = [[(epoch, int(i)) for i in part] for part in np.array_split(order, whole)][start:]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)


@dataclass(frozen=True)
class Batch:
    """Examples side by side: the arguments of the encoder, rows of the phrase table, and the matches."""

    squeezed: torch.Tensor | None  # (N, side, side, 3) uint8
    features: torch.Tensor | None  # (R, D)
    regions: list[torch.Tensor]  # N of (R_n, 4)
    phrases: torch.Tensor  # (P,)
    matches: Matches

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        m = self.matches
        masks = (m.positive, m.negative, m.same_photo, m.same_words)
        return Batch(
            None if self.squeezed is None else self.squeezed.to(device),
            None if self.features is None else self.features.to(device),
            [r.to(device) for r in self.regions],
            self.phrases.to(device),
            Matches(*(mask.to(device) for mask in masks)),
        )


class Collate:
    """Examples -> :class:`Batch`."""

    def __init__(self, groups: Sequence[int]):
        self.groups = np.asarray(groups)

    def __call__(self, examples: Sequence[Example]) -> Batch:
        phrases = torch.cat([e.phrases for e in examples])  # (P,)
        group = torch.from_numpy(self.groups[phrases.numpy()])
        of_phrase = torch.repeat_interleave(torch.tensor([len(e.phrases) for e in examples]))  # photo of each phrase
        of_region = torch.repeat_interleave(torch.tensor([len(e.regions) for e in examples]))
        same_photo = of_phrase[:, None] == of_region[None]
        same_words = group[:, None] == group[None]  # (P, P)

        positive = torch.block_diag(*(e.positive for e in examples))
        here = torch.block_diag(*(e.negative for e in examples))
        # What a phrase's twin in the same photo shows, it shows as well: two men of one photo are both "a man".
        twins = (same_words & (of_phrase[:, None] == of_phrase[None])).float()
        here = here & ((twins @ (~here & same_photo).float()) == 0)
        # Another photo with the same words may show the same thing anywhere, annotated or not: no region of it counts.
        photos = torch.arange(len(examples))
        has_words = (same_words.float() @ (of_phrase[:, None] == photos[None]).float()) > 0  # (P, N)
        negative = here | (~same_photo & ~has_words[:, of_region])
        frozen = examples[0].features is not None
        return Batch(
            None if frozen else torch.stack([e.squeezed for e in examples]),
            torch.cat([e.features for e in examples]) if frozen else None,
            [e.regions for e in examples],
            phrases,
            Matches(positive, negative, same_photo, same_words),
        )
