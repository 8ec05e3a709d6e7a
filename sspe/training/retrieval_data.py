"""What training for retrieval reads: photos, sentences, text features. Runs that differ in none of it can share it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sspe.data.captions import CaptionedPhoto, Captions, open_captions
from sspe.errors import SspeError
from sspe.files import cache_dir, settings_key, written
from sspe.text.encoders import JoinedEncoder, TextEncoder, create_text_encoder
from sspe.training.batches import SIDES, same_words_key
from sspe.training.recipes import RetrievalRecipe
from sspe.training.source import Source, fingerprint

_SENTENCES = 4096  # encoded at once


@dataclass(frozen=True)
class DescribedPhoto:
    """What training needs of a captioned photo.

    Attributes:
        sentences: its rows of the sentence table, each once.
        sided: some sentence says left or right, so the photo must not be mirrored.
    """

    path: Path
    sentences: np.ndarray
    sided: bool


class SentenceTable:
    """The distinct sentences of a training set, each with its wording: equal where two of them read the same."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.wordings: list[int] = []
        self._rows: dict[str, int] = {}
        self._wording_numbers: dict[str, int] = {}

    def row(self, text: str) -> int:
        """Index of a sentence, entered if it is new."""
        if text not in self._rows:
            self._rows[text] = len(self.texts)
            self.texts.append(text)
            self.wordings.append(self._wording_numbers.setdefault(same_words_key(text), len(self._wording_numbers)))
        return self._rows[text]


def described_photos(photos: Sequence[CaptionedPhoto]) -> tuple[list[DescribedPhoto], SentenceTable]:
    """The photos for training, and the table of their sentences."""
    table = SentenceTable()
    found = []
    for photo in photos:
        rows = np.array(list(dict.fromkeys(table.row(text) for text in photo.sentences)))
        found.append(DescribedPhoto(photo.path, rows, any(SIDES.search(text) for text in photo.sentences)))
    return found, table


@dataclass(frozen=True)
class RetrievalData:
    """The data of a run.

    Attributes:
        name, fingerprint: what checkpoints call the data, and what a resumed run knows them by.
        photos, table: the training photos and their sentences.
        val: photos and sentences to measure on.
        text_encoder: fitted on the training sentences.
        features: of every sentence of the table, (U, T) float16.
        val_features: of every sentence of val, (M, T) float32.
    """

    name: str
    fingerprint: str
    photos: list[DescribedPhoto]
    table: SentenceTable
    val: Captions
    text_encoder: TextEncoder
    features: torch.Tensor
    val_features: torch.Tensor

    @classmethod
    def read(
        cls, recipe: RetrievalRecipe, source: Source, bar: Callable[..., Iterable] = lambda work, *_: work
    ) -> RetrievalData:
        """Read the photos and sentences of a source; ``bar`` is there for both tasks' data to be read alike.

        Sentences that the data lists as describing another photo are not trained on, and measured with as usual.
        Raises SspeError where there is nothing to train on, and what reading raises.
        """
        common = {"photos": source.photos, "incomplete": source.incomplete}
        train = open_captions(source.data, source.train_split, limit=source.limit, unrelated=False, **common)
        val = open_captions(source.data, source.val_split, limit=source.val_limit, **common)
        if len(train) < 2:
            raise SspeError(f"{source.data} has one photo to train on, and training compares photos; give more.")
        both = {photo.id for photo in train} & {photo.id for photo in val}
        if both:
            raise SspeError(
                f"{len(both)} photos, {min(both)} for one, are in the splits {source.train_split!r} and "
                f"{source.val_split!r} alike; give data that lists its splits, or name others."
            )
        photos, table = described_photos(train)
        text_encoder = create_text_encoder(recipe.text, train.sentences)
        features = text_features(text_encoder, table.texts, torch.float16)
        val_features = text_features(text_encoder, val.sentences, torch.float32)
        return cls(source.name, fingerprint(train, val), photos, table, val, text_encoder, features, val_features)


def text_features(encoder: TextEncoder, texts: list[str], dtype: torch.dtype) -> torch.Tensor:
    """Features (N, T) of sentences.

    Those of an encoder that nothing was fitted for, the large one of them all, are kept on disk.
    """
    if isinstance(encoder, JoinedEncoder):
        features = torch.empty(len(texts), encoder.feature_size, dtype=dtype)
        for part, columns in zip(encoder.parts, encoder.split(features), strict=True):
            columns.copy_(text_features(part, texts, dtype))
        return features
    file = None
    if not encoder.state():
        key = settings_key(encoder.name, encoder.settings(), str(dtype), texts)
        file = cache_dir() / "texts" / f"{key}.npy"
        try:
            return torch.from_numpy(np.load(file))
        except (OSError, ValueError, EOFError):  # absent or damaged: make it again
            pass
    features = torch.empty(len(texts), encoder.feature_size, dtype=dtype)
    for i in range(0, len(texts), _SENTENCES):
        features[i : i + _SENTENCES] = encoder.encode(texts[i : i + _SENTENCES])
    if file is not None:
        with written(file) as temporary:
            np.save(temporary, features.numpy())
    return features
