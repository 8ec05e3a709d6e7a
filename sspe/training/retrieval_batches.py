"""Batches of photos with some of their sentences, and who matches whom in them.

Neighbourhood sampling (section 3.2): the structure term of sentences needs at least two of each photo in every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from sspe.models.losses import Matches
from sspe.training.augmentation import random_window, recoloured
from sspe.training.batches import counted_on, owners
from sspe.training.recipes import RetrievalRecipe
from sspe.training.retrieval_data import DescribedPhoto, SentenceTable
from sspe.vision.photo import open_photo, squeeze


@dataclass(frozen=True)
class PhotoExample:
    """One photo of a batch.

    Attributes:
        seen: (side, side, 3) uint8, or (D,) float32, the feature of a backbone that is not trained.
        sentences: (S,) int64 rows of the sentence table: the sentences drawn for this step.
        all_sentences: (C,) int64 rows of all of the photo's sentences.
    """

    seen: torch.Tensor
    sentences: torch.Tensor
    all_sentences: torch.Tensor


class PhotoSentenceDataset(Dataset):
    """(epoch, index) -> :class:`PhotoExample`. The same seed, epoch and index always give the same example.

    With ``features`` (N, D) of a frozen backbone photos are not opened, and so neither zoomed, mirrored nor recoloured.
    """

    def __init__(
        self,
        photos: Sequence[DescribedPhoto],
        recipe: RetrievalRecipe,
        seed: int,
        features: torch.Tensor | None = None,
    ):
        self.photos, self.recipe, self.seed, self.features = photos, recipe, seed, features

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, key: tuple[int, int]) -> PhotoExample:
        epoch, index = key
        rng = np.random.default_rng([self.seed, epoch, index])
        photo = self.photos[index]
        count = min(self.recipe.sentences, len(photo.sentences))
        drawn = rng.choice(photo.sentences, count, replace=False)
        seen = self._picture(photo, rng) if self.features is None else self.features[index]
        return PhotoExample(seen, torch.from_numpy(drawn), torch.from_numpy(photo.sentences))

    def _picture(self, photo: DescribedPhoto, rng: np.random.Generator) -> torch.Tensor:
        """The photo as this epoch shows it: (side, side, 3) uint8."""
        r, pixels = self.recipe, open_photo(photo.path)
        if r.zoom < 1:
            x, y, w, h = random_window(pixels.shape[1], pixels.shape[0], r.zoom, rng)
            pixels = pixels[y : y + h, x : x + w]
        picture = squeeze(pixels, r.photos.side)
        if r.flip and not photo.sided and rng.random() < 0.5:
            picture = picture[:, ::-1]
        if r.colour:
            picture = recoloured(picture, r.colour, rng)
        return torch.from_numpy(np.ascontiguousarray(picture))


@dataclass(frozen=True)
class Described:
    """The sentences of N photos: all that is needed to say who matches whom.

    Attributes:
        sentences: (M,) int64 rows of the sentence table: those drawn for this step.
        all_sentences: (C,) int64 rows of all of the photos' sentences.
        of_sentence, of_all: (M,) and (C,) int64, the photo of each, 0 to N - 1.
    """

    sentences: torch.Tensor
    all_sentences: torch.Tensor
    of_sentence: torch.Tensor
    of_all: torch.Tensor

    @classmethod
    def by(cls, examples: Sequence[PhotoExample]) -> Described:
        """The sentences of examples."""
        return cls(
            torch.cat([e.sentences for e in examples]),
            torch.cat([e.all_sentences for e in examples]),
            owners([e.sentences for e in examples]),
            owners([e.all_sentences for e in examples]),
        )

    @classmethod
    def joined(cls, parts: Sequence[Described]) -> Described:
        """The photos of several, the first one's first."""
        photos = [len(part.of_all.unique()) for part in parts]
        return cls(
            torch.cat([part.sentences for part in parts]),
            torch.cat([part.all_sentences for part in parts]),
            counted_on([part.of_sentence for part in parts], photos),
            counted_on([part.of_all for part in parts], photos),
        )


@dataclass(frozen=True)
class PhotoBatch:
    """Examples side by side: N photos, M sentences, and the matches, (M, N)."""

    seen: torch.Tensor  # (N, side, side, 3) uint8, or features (N, D)
    described: Described
    matches: Matches


class PhotoCollate:
    """Examples -> :class:`PhotoBatch`.

    A sentence matches every photo that has a caption of the same words, among the captions that were not drawn as well,
    and no other photo: a caption that two photos share is one sentence with two photos.
    """

    def __init__(self, table: SentenceTable):
        self.wordings = torch.tensor(table.wordings)

    def __call__(self, examples: Sequence[PhotoExample]) -> PhotoBatch:
        described = Described.by(examples)
        return PhotoBatch(torch.stack([e.seen for e in examples]), described, self.matches(described))

    def matches(self, described: Described) -> Matches:
        """Who matches whom among photos of these sentences."""
        wording, captions = self.wordings[described.sentences], self.wordings[described.all_sentences]  # (M,), (C,)
        photos = described.of_all.unique()  # (N,)
        same_wording = (wording[:, None] == captions[None]).float()  # (M, C)
        positive = (same_wording @ (described.of_all[:, None] == photos[None]).float()) > 0  # (M, N)
        same_photo = described.of_sentence[:, None] == photos[None]
        return Matches(positive, ~positive, same_photo, wording[:, None] == wording[None])
