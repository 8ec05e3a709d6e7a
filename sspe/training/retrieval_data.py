"""What a retrieval run reads: photos, sentences, text features. Runs that differ in none of it share it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import torch

from sspe.data.captions import Captions, open_captions
from sspe.errors import SspeError
from sspe.files import atomic_write, cache_dir, settings_key
from sspe.settings import INCOMPLETE
from sspe.text.encoders import JoinedEncoder, TextEncoder, create_text_encoder
from sspe.training.recipes import RetrievalRecipe
from sspe.training.retrieval_batches import DescribedPhoto, SentenceTable, described_photos

_SENTENCES = 4096  # encoded at once


@dataclass(frozen=True)
class RetrievalData:
    """The data of a run.

    Attributes:
        photos, table: the training photos and their sentences.
        val: photos and sentences to measure on.
        text_encoder: fitted on the training sentences.
        features: of every sentence of the table, (U, T) float16.
        val_features: of every sentence of val, (M, T) float32.
    """

    photos: list[DescribedPhoto]
    table: SentenceTable
    val: Captions
    text_encoder: TextEncoder
    features: torch.Tensor
    val_features: torch.Tensor

    @classmethod
    def read(cls, recipe: RetrievalRecipe, options: argparse.Namespace) -> RetrievalData:
        """Read what the options of ``sspe train`` name.

        Sentences that the data lists as describing another photo are trained on by nobody, and measured with as usual.
        Raises SspeError where there is nothing to train on, and what reading raises.
        """
        common = {"photos": options.photos, "incomplete": options.incomplete or INCOMPLETE[0]}
        train = open_captions(options.data, options.train_split, limit=options.limit, unrelated=False, **common)
        val = open_captions(options.data, options.val_split, limit=options.val_limit, **common)
        if len(train) < 2:
            raise SspeError(f"{options.data} has one photo to train on, and training compares photos; give more.")
        both = {photo.id for photo in train} & {photo.id for photo in val}
        if both:
            raise SspeError(
                f"{len(both)} photos, {min(both)} for one, are in the splits {options.train_split!r} and "
                f"{options.val_split!r} alike; give data that lists its splits, or name others."
            )
        photos, table = described_photos(train)
        text_encoder = create_text_encoder(recipe.text, train.sentences)
        features = text_features(text_encoder, table.texts, torch.float16)
        val_features = text_features(text_encoder, val.sentences, torch.float32)
        return cls(photos, table, val, text_encoder, features, val_features)


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
        with atomic_write(file) as temporary:
            np.save(temporary, features.numpy())
    return features
