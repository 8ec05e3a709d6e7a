"""What a training run reads: photos, phrases, proposals, text features. Runs that differ in none of it share it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from sspe.data import AnnotatedPhoto, open_dataset
from sspe.data.caches import FeatureStore
from sspe.errors import SspeError
from sspe.text.encoders import TextEncoder, create_text_encoder
from sspe.training.localization_batches import PhraseTable, TrainingPhoto, at_most_a_phrase, training_photos
from sspe.training.recipes import Recipe

WATCHED = 120  # val photos measured after every epoch; always the same ones
_TEXTS = 8192  # phrases encoded at once


@dataclass(frozen=True)
class TrainingData:
    """The data of a run.

    Attributes:
        val: annotated photos to measure on.
        photos, table: the training photos that have a pair of phrase and box, and their phrases.
        text_encoder: fitted on the training phrases.
        phrase_features: of every row of the table, (U, T): float32, or float16 where the backbone is frozen and the
            phrases' features are most of what the run holds.
        store: proposals of all photos.
    """

    val: Sequence[AnnotatedPhoto]
    photos: list[TrainingPhoto]
    table: PhraseTable
    text_encoder: TextEncoder
    phrase_features: torch.Tensor
    store: FeatureStore

    @classmethod
    def read(
        cls, recipe: Recipe, options: argparse.Namespace, progress: Callable[[Iterable, int], Iterable]
    ) -> TrainingData:
        """Read what the options of ``sspe train`` name, and make the proposals that are missing.

        ``progress`` wraps (iterable, total) like tqdm. Raises SspeError where there is nothing to train on or to
        measure, and what reading raises.
        """
        train = open_dataset(options.data, options.train_split, limit=options.limit, photos=options.photos)
        val = open_dataset(options.data, options.val_split, limit=options.val_limit, photos=options.photos)
        photos, table = training_photos(train, context=recipe.text.context > 0)
        if recipe.regions_per_phrase:
            photos = at_most_a_phrase(photos, recipe.regions_per_phrase, seed=0)
        pairs = sum(len(item.phrases) for item in photos)
        if not pairs:
            raise SspeError(f"No photo of {options.data} has a phrase with a box; there is nothing to train on.")
        if pairs == 1:
            raise SspeError(f"{options.data} has one phrase with a box, and training compares phrases; give more.")
        if not training_photos(val[:WATCHED])[0]:
            raise SspeError(
                f"No watched val photo of {options.data} has a phrase with a box; there is nothing to measure."
            )
        said = [phrase.text for photo in train for s in photo.sentences for phrase in s.phrases if len(phrase.boxes)]
        text_encoder = create_text_encoder(recipe.text, said)
        store = FeatureStore(recipe.regions.side, recipe.proposals)
        store.prepare([photo.path for photo in [*train, *val]], progress)
        dtype = torch.float32 if recipe.fine_tune else torch.float16
        features = torch.empty(len(table.texts), text_encoder.feature_size, dtype=dtype)
        for i in range(0, len(features), _TEXTS):
            features[i : i + _TEXTS] = text_encoder.encode(table.texts[i : i + _TEXTS], table.contexts[i : i + _TEXTS])
        return cls(val, photos, table, text_encoder, features, store)
