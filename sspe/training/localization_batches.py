"""Batches of photos with their phrases, boxes and sampled proposals, and who matches whom in them.

Neighbourhood sampling (section 3.2): the structure terms need several phrases of one region and several regions of one
phrase in every batch. A photo brings all its phrases, five captions' worth, so most of its regions are named more than
once, and proposals that overlap a phrase's box well are further regions of that phrase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Dataset

from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.data.records import AnnotatedPhoto
from sspe.models.losses import Matches
from sspe.text.context import ALONE, Context
from sspe.training.augmentation import recoloured, zoomed
from sspe.training.batches import SIDES, same_words_key
from sspe.training.recipes import Recipe
from sspe.vision.boxes import flip, iou, scale

_TOO_NEAR = 0.95  # the annotated box itself, or as good as: nothing of it is left to refine


@dataclass(frozen=True)
class TrainingPhoto:
    """What training needs of an annotated photo: its distinct (phrase, merged box) pairs.

    Attributes:
        phrases: P rows of the table: each phrase alone.
        mentions: P arrays of such rows: the phrase in every sentence that uses it for this box.
        boxes: (P, 4) float32 merged boxes, relative: 0..1 of width and height.
        sided: some sentence says left or right, so the photo must not be mirrored.
        annotated: (A, 4) float32, the distinct boxes of the photo, also of pairs that were left out.
    """

    photo: AnnotatedPhoto
    phrases: np.ndarray
    mentions: tuple[np.ndarray, ...]
    boxes: np.ndarray
    sided: bool
    annotated: np.ndarray

    def only(self, places: Sequence[int]) -> TrainingPhoto:
        """The same photo with these of its pairs alone."""
        mentions = tuple(self.mentions[i] for i in places)
        return replace(self, phrases=self.phrases[places], mentions=mentions, boxes=self.boxes[places])


class PhraseTable:
    """The distinct phrases of a training set, alone and in their contexts, each with its same-words group."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.contexts: list[Context] = []
        self.groups: list[int] = []
        self._rows: dict[tuple[str, Context], int] = {}
        self._group_rows: dict[str, int] = {}

    def row(self, text: str, context: Context = ALONE) -> int:
        """Index of a phrase in its context, entered if it is new."""
        if (text, context) not in self._rows:
            key = same_words_key(text)
            self._rows[text, context] = len(self.texts)
            self.texts.append(text)
            self.contexts.append(context)
            self.groups.append(self._group_rows.setdefault(key, len(self._group_rows)))
        return self._rows[text, context]


def training_photos(photos: Sequence[AnnotatedPhoto], context: bool = True) -> tuple[list[TrainingPhoto], PhraseTable]:
    """Every photo that has a phrase with a box, and the table of all those phrases.

    Without ``context`` a phrase is the same in all its sentences.
    """
    table = PhraseTable()
    found = []
    for photo in photos:
        pairs: dict[tuple, tuple[int, np.ndarray, list[int]]] = {}
        sided = False
        for sentence in photo.sentences:
            sided = sided or bool(SIDES.search(sentence.text))
            for phrase in sentence.phrases:
                if len(phrase.boxes):
                    box = scale(phrase.box, 1 / photo.width, 1 / photo.height)
                    text = phrase.text.lower()
                    row = table.row(text)
                    mentions = pairs.setdefault((row, *box.tolist()), (row, box, []))[2]
                    said = Context.of(sentence.text.lower(), phrase.start, phrase.end) if context else ALONE
                    mentions.append(table.row(text, said))
        if pairs:
            rows, boxes, mentions = zip(*pairs.values(), strict=True)
            boxes = np.stack(boxes)
            mentions = tuple(map(np.array, mentions))
            found.append(TrainingPhoto(photo, np.array(rows), mentions, boxes, sided, np.unique(boxes, axis=0)))
    return found, table


def at_most_a_phrase(photos: Sequence[TrainingPhoto], most: int, seed: int) -> list[TrainingPhoto]:
    """The photos with at most so many regions of each distinct phrase, drawn at random: 10 in the paper.

    Otherwise "a man" alone would be a good part of all pairs. A photo left without a phrase is left out.
    """
    pairs = [(i, j) for i, item in enumerate(photos) for j in range(len(item.phrases))]
    seen: Counter[int] = Counter()
    kept: dict[int, list[int]] = {}
    for place in np.random.default_rng(seed).permutation(len(pairs)):
        i, j = pairs[place]
        row = int(photos[i].phrases[j])
        seen[row] += 1
        if seen[row] <= most:
            kept.setdefault(i, []).append(j)
    return [photos[i].only(sorted(kept[i])) for i in sorted(kept)]


@dataclass(frozen=True)
class Example:
    """One photo of a batch; all boxes relative.

    Attributes:
        squeezed: (side, side, 3) uint8; None where the regions' features are given.
        features: (R, D) float32 of a frozen backbone; None where they are to be computed.
        regions: (R, 4) float32, annotated boxes first, then sampled proposals.
        phrases: (P,) int64 rows of the phrase table.
        boxes: (P, 4) float32, the phrases' merged boxes.
        positive, negative: (P, R) bool.
        refinable: (P, R) bool, the region is near enough to the phrase's box to be refined onto it.
    """

    squeezed: torch.Tensor | None
    features: torch.Tensor | None
    regions: torch.Tensor
    phrases: torch.Tensor
    boxes: torch.Tensor
    positive: torch.Tensor
    negative: torch.Tensor
    refinable: torch.Tensor


class RegionPhraseDataset(Dataset):
    """(epoch, index) -> :class:`Example`. The same seed, epoch and index always give the same example.

    ``frozen`` gives the features of a backbone that is not trained; photos are then neither zoomed, mirrored nor
    recoloured.
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
        self.mined: Sequence[np.ndarray] | None = None  # per photo, proposals that every step is to see

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        item, r = self.photos[index], self.recipe
        right = item.boxes
        said = np.array([rng.choice(rows) for rows in item.mentions])
        phrases = np.where(rng.random(len(said)) < r.alone, item.phrases, said)
        if self.frozen is not None:
            squeezed, proposals = None, self.store.boxes(item.photo.path)
        else:
            stored = self.store.get(item.photo.path)
            squeezed, proposals = stored.squeezed, stored.boxes
            if r.zoom < 1:
                squeezed, proposals, right, kept = zoomed(squeezed, proposals, right, r.zoom, rng)
                phrases = phrases[kept]
            if r.flip and not item.sided and rng.random() < 0.5:
                squeezed, proposals, right = squeezed[:, ::-1], flip(proposals, 1.0), flip(right, 1.0)
            if r.colour:
                squeezed = recoloured(squeezed, r.colour, rng)
        annotated = np.unique(right, axis=0)
        mined = np.zeros(0, int) if self.mined is None else self.mined[index]
        sampled = self._sampled(iou(right, proposals).max(axis=0), mined, rng)
        regions = np.concatenate([annotated, proposals[sampled]])
        overlap = iou(right, regions)  # (P, R); relative boxes keep the intersection over union
        features = None
        if self.frozen is not None:
            rows = np.concatenate([rows_of(annotated, item.annotated), len(item.annotated) + sampled])
            everything = np.concatenate([item.annotated, proposals])
            features = torch.from_numpy(self.frozen.get(item.photo.path, everything, rows))
        else:
            squeezed = torch.from_numpy(np.ascontiguousarray(squeezed))
        return Example(
            squeezed,
            features,
            torch.from_numpy(regions),
            torch.from_numpy(phrases),
            torch.from_numpy(right),
            torch.from_numpy(overlap >= r.positive_iou),
            torch.from_numpy(overlap < r.negative_iou),
            torch.from_numpy((overlap >= r.refined_iou) & (overlap < _TOO_NEAR)),
        )

    def _sampled(self, nearness: np.ndarray, mined: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which proposals a step sees, given the overlap (N,) of each with the nearest phrase's box.

        Those mined; at least so many near ones as the recipe asks for, or there are; and up to its count any others.
        """
        count = min(self.recipe.sampled_proposals, len(nearness))
        order = rng.permutation(len(nearness))
        order = order[~np.isin(order, mined)]
        near = order[nearness[order] >= self.recipe.refined_iou][: round(count * self.recipe.sampled_near)]
        others = order[~np.isin(order, near)][: max(count - len(near) - len(mined), 0)]
        return np.concatenate([mined, near, others])

    def everything(self, index: int) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
        """All of a photo, for a frozen backbone: its proposals (N, 4), and features (P, D) and (N, D).

        The former are those of the phrases' boxes, the latter those of the proposals.
        """
        item = self.photos[index]
        proposals = self.store.boxes(item.photo.path)
        features = self.frozen.get(item.photo.path, np.concatenate([item.annotated, proposals]))
        right = features[rows_of(item.boxes, item.annotated)]
        return proposals, torch.from_numpy(right), torch.from_numpy(features[len(item.annotated) :])

    def prepare_features(self, index: int) -> None:
        """Compute the frozen features of a photo, if they are not on disk yet."""
        item = self.photos[index]
        self.frozen.prepare(item.photo.path, np.concatenate([item.annotated, self.store.boxes(item.photo.path)]))


def hard_negatives(
    right: torch.Tensor, scores: torch.Tensor, boxes: np.ndarray, proposals: np.ndarray, recipe: Recipe
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


def rows_of(boxes: np.ndarray, among: np.ndarray) -> np.ndarray:
    """For each of boxes (N, 4) the row of the equal one among (M, 4)."""
    return (boxes[:, None] == among[None]).all(axis=2).argmax(axis=1)


@dataclass(frozen=True)
class Batch:
    """Examples side by side: the arguments of the encoder, rows of the phrase table, and the matches."""

    squeezed: torch.Tensor | None  # (N, side, side, 3) uint8
    features: torch.Tensor | None  # (R, D)
    regions: list[torch.Tensor]  # N of (R_n, 4)
    phrases: torch.Tensor  # (P,)
    boxes: torch.Tensor  # (P, 4)
    matches: Matches
    refinable: torch.Tensor  # (P, R)

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        m = self.matches
        masks = (m.positive, m.negative, m.same_photo, m.same_words)
        return Batch(
            None if self.squeezed is None else self.squeezed.to(device),
            None if self.features is None else self.features.to(device),
            [r.to(device) for r in self.regions],
            self.phrases.to(device),
            self.boxes.to(device),
            Matches(*(mask.to(device) for mask in masks)),
            self.refinable.to(device),
        )


class Collate:
    """Examples -> :class:`Batch`."""

    def __init__(self, table: PhraseTable, context: int):
        """``context`` is how many words the text encoder reads on either side of a phrase."""
        self.groups = np.array(table.groups)
        self.alone = np.array([not any(c.nearest(context)) for c in table.contexts])

    def __call__(self, examples: Sequence[Example]) -> Batch:
        phrases = torch.cat([e.phrases for e in examples])  # (P,)
        group = torch.from_numpy(self.groups[phrases.numpy()])
        of_phrase = torch.repeat_interleave(torch.tensor([len(e.phrases) for e in examples]))  # photo of each phrase
        of_region = torch.repeat_interleave(torch.tensor([len(e.regions) for e in examples]))
        same_photo = of_phrase[:, None] == of_region[None]
        same_words = group[:, None] == group[None]  # (P, P)

        positive = torch.block_diag(*(e.positive for e in examples))
        here = torch.block_diag(*(e.negative for e in examples))
        # What a phrase's twin in the same photo shows, it shows as well: two men of one photo are both "a man", unless
        # the sentence says which of them is meant.
        alone = torch.from_numpy(self.alone[phrases.numpy()])
        twins = (same_words & alone[:, None] & (of_phrase[:, None] == of_phrase[None])).float()
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
            torch.cat([e.boxes for e in examples]),
            Matches(positive, negative, same_photo, same_words),
            torch.block_diag(*(e.refinable for e in examples)),
        )
