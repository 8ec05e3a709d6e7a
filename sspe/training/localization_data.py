"""What training for phrase localization reads: photos, phrases, boxes, proposals, text features.

Runs that differ in none of it can share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sspe.data import AnnotatedPhoto, open_dataset
from sspe.data.caches import FeatureStore
from sspe.errors import SspeError
from sspe.phrases.head import head_of
from sspe.phrases.naming import things_named
from sspe.text.context import ALONE, Context
from sspe.text.encoders import TextEncoder, create_text_encoder
from sspe.training import processes
from sspe.training.batches import SIDES, same_words_key
from sspe.training.recipes import LocalizationRecipe
from sspe.training.source import Source, fingerprint
from sspe.vision.boxes import scale
from sspe.vision.detections import THINGS
from sspe.vision.detector import published_detector

WATCHED = 120  # val photos measured after every epoch; always the same ones
_TEXTS = 8192  # phrases encoded at once


@dataclass(frozen=True)
class TrainingPhoto:
    """What training needs of an annotated photo: its distinct (phrase, merged box) pairs.

    Attributes:
        record: the annotated photo itself.
        phrases: P rows of the table: each phrase alone.
        heads: P rows of the table: each phrase's head noun, alone; the same as ``phrases`` where the table has none.
        mentions: P arrays of such rows: the phrase in every sentence that uses it for this box.
        boxes: (P, 4) float32 merged boxes, relative: 0..1 of width and height.
        sided: some sentence says left or right, so the photo must not be mirrored.
        annotated: (A, 4) float32, the distinct boxes of the photo, also of pairs that were left out.
    """

    record: AnnotatedPhoto
    phrases: np.ndarray
    heads: np.ndarray
    mentions: tuple[np.ndarray, ...]
    boxes: np.ndarray
    sided: bool
    annotated: np.ndarray

    def only(self, pairs: Sequence[int]) -> TrainingPhoto:
        """The same photo with these of its pairs alone."""
        mentions = tuple(self.mentions[i] for i in pairs)
        return replace(
            self, phrases=self.phrases[pairs], heads=self.heads[pairs], mentions=mentions, boxes=self.boxes[pairs]
        )


class PhraseTable:
    """The distinct phrases of a training set, alone and in their contexts, each with its same-words group.

    Attributes:
        texts, contexts: of each row.
        groups: phrases of one number read the same.
        heads: the group of each phrase's head noun; a phrase whose group it is, is bare: "the dog".
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.contexts: list[Context] = []
        self.groups: list[int] = []
        self.heads: list[int] = []
        self._rows: dict[tuple[str, Context], int] = {}
        self._group_numbers: dict[str, int] = {}

    def row(self, text: str, context: Context = ALONE) -> int:
        """Index of a phrase in its context, entered if it is new."""
        if (text, context) not in self._rows:
            self._rows[text, context] = len(self.texts)
            self.texts.append(text)
            self.contexts.append(context)
            self.groups.append(self._group(text))
            self.heads.append(self._group(head_of(text)))
        return self._rows[text, context]

    def _group(self, text: str) -> int:
        return self._group_numbers.setdefault(same_words_key(text), len(self._group_numbers))


def training_photos(
    photos: Sequence[AnnotatedPhoto], context: bool = True, bare: bool = False
) -> tuple[list[TrainingPhoto], PhraseTable]:
    """Every photo that has a phrase with a box, and the table of all those phrases.

    Without ``context`` a phrase is the same in all its sentences; with ``bare`` the table has their heads as well.
    """
    table = PhraseTable()
    found = []
    for photo in photos:
        pairs: dict[tuple, tuple[int, np.ndarray, list[int]]] = {}  # phrase and box -> row, box, rows of mentions
        for sentence in photo.sentences:
            for phrase in sentence.phrases:
                if len(phrase.boxes):
                    box = scale(phrase.box, 1 / photo.width, 1 / photo.height)
                    text = phrase.text.lower()
                    row = table.row(text)
                    mentions = pairs.setdefault((row, *box.tolist()), (row, box, []))[2]
                    around = Context.of(sentence.text.lower(), phrase.start, phrase.end) if context else ALONE
                    mentions.append(table.row(text, around))
        if pairs:
            rows, boxes, mentions = zip(*pairs.values(), strict=True)
            heads = np.array([table.row(head_of(table.texts[row])) if bare else row for row in rows])
            boxes, mentions = np.stack(boxes), tuple(map(np.array, mentions))
            sided = any(SIDES.search(sentence.text) for sentence in photo.sentences)
            found.append(TrainingPhoto(photo, np.array(rows), heads, mentions, boxes, sided, np.unique(boxes, axis=0)))
    return found, table


def limit_regions(photos: Sequence[TrainingPhoto], most: int, seed: int) -> list[TrainingPhoto]:
    """The photos with at most ``most`` regions per distinct phrase, drawn at random: 10 in the paper.

    Otherwise "a man" alone would be a good part of all pairs. A photo left without a phrase is left out.
    """
    pairs = [(i, j) for i, photo in enumerate(photos) for j in range(len(photo.phrases))]
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
class LocalizationData:
    """The data of a run.

    Attributes:
        name, fingerprint: what checkpoints call the data, and what a resumed run knows them by.
        val: annotated photos to measure on.
        photos, table: the training photos that have a pair of phrase and box, and their phrases.
        text_encoder: fitted on the training phrases.
        phrase_features: of every row of the table, (U, T): float32, or float16 where the backbone is frozen and the
            phrases' features are most of what the run holds.
        named: which of the detector's things each row of the table names, (U, T) bool.
        things: rows of the table: the names of the T things; None where the recipe shows none.
        store: proposals of all photos.
    """

    name: str
    fingerprint: str
    val: Sequence[AnnotatedPhoto]
    photos: list[TrainingPhoto]
    table: PhraseTable
    text_encoder: TextEncoder
    phrase_features: torch.Tensor
    named: torch.Tensor
    things: np.ndarray | None
    store: FeatureStore

    @classmethod
    def read(
        cls, recipe: LocalizationRecipe, source: Source, bar: Callable[..., Iterable] = lambda work, *_: work
    ) -> LocalizationData:
        """Read the photos and sentences of a source, and make the proposals that are missing.

        ``bar`` wraps (iterable, description, total), as :meth:`sspe.training.loop.Run.bar` does. Raises SspeError where
        there is nothing to train on or to measure, and what reading raises.
        """
        if recipe.unread and not (recipe.text.encoder == "mean" and len(recipe.text.vectors) > 1):
            raise SspeError(
                "The last of several word vectors is left out with text.encoder=mean and two text.vectors; set these, "
                "or unread=0."
            )
        train = open_dataset(source.data, source.train_split, limit=source.limit, photos=source.photos)
        val = open_dataset(source.data, source.val_split, limit=source.val_limit, photos=source.photos)
        photos, table = training_photos(train, recipe.text.context > 0, recipe.bare > 0)
        if recipe.regions_per_phrase:
            photos = limit_regions(photos, recipe.regions_per_phrase, seed=0)
        pairs = sum(len(photo.phrases) for photo in photos)
        if not pairs:
            raise SspeError(f"No photo of {source.data} has a phrase with a box; there is nothing to train on.")
        if pairs == 1:
            raise SspeError(f"{source.data} has one phrase with a box, and training compares phrases; give more.")
        if not training_photos(val[:WATCHED])[0]:
            raise SspeError(
                f"No watched val photo of {source.data} has a phrase with a box; there is nothing to measure."
            )
        things = np.array([table.row(thing) for thing in THINGS]) if recipe.things else None
        phrases = [p.text for photo in train for s in photo.sentences for p in s.phrases if len(p.boxes)]
        text_encoder = create_text_encoder(recipe.text, phrases)
        detector = published_detector(recipe.detector) if recipe.detector.boxes else None
        store = FeatureStore(recipe.regions.side, recipe.proposals, detector=detector)
        paths = processes.share([photo.path for photo in [*train, *val]])
        store.prepare(paths, lambda work, total: bar(work, "proposals", total))
        processes.wait()
        dtype = torch.float32 if recipe.fine_tune else torch.float16
        features = torch.empty(len(table.texts), text_encoder.feature_size, dtype=dtype)
        for i in range(0, len(features), _TEXTS):
            features[i : i + _TEXTS] = text_encoder.encode(table.texts[i : i + _TEXTS], table.contexts[i : i + _TEXTS])
        named = torch.from_numpy(things_named(table.texts) > 0)
        return cls(
            source.name, fingerprint(train, val), val, photos, table, text_encoder, features, named, things, store
        )
