"""Annotated photos, proposals and a recipe for the tests of batches: small, and known to the last box."""

from pathlib import Path

import numpy as np

from sspe.data.caches import StoredPhoto
from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.training.localization_batches import RegionPhraseDataset
from sspe.training.localization_data import training_photos
from sspe.training.recipes import LocalizationRecipe
from sspe.vision.proposals import Proposals


def plainly(**changes) -> LocalizationRecipe:
    """A recipe under which photos and phrases stay as they are, but for ``changes``."""
    return LocalizationRecipe(
        **{"flip": False, "colour": 0.0, "zoom": 1.0, "alone": 1.0, "sampled_proposals": 5} | changes
    )


PLAIN = plainly()


def annotated(id: str, *sentences: tuple[str, dict[str, list]]) -> AnnotatedPhoto:
    """A photo of 100 x 50 pixels; a sentence is its words and the boxes of some of them."""
    made = []
    for number, (text, boxes) in enumerate(sentences):
        phrases = tuple(
            AnnotatedPhrase(words, text.index(words), text.index(words) + len(words), found)
            for words, found in boxes.items()
        )
        made.append(AnnotatedSentence(text, phrases, number))
    return AnnotatedPhoto(id, Path(f"{id}.jpg"), 100, 50, tuple(made))


class Store:
    """Twenty random proposals a photo after the whole photo, and a random picture."""

    def get(self, path: Path) -> StoredPhoto:
        rng = np.random.default_rng(sum(str(path).encode()))
        corner, size = rng.uniform(0, 0.6, (20, 2)), rng.uniform(0.1, 0.4, (20, 2))
        boxes = np.concatenate([[[0, 0, 1, 1]], np.concatenate([corner, corner + size], axis=1)])
        return StoredPhoto(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), boxes.astype(np.float32))

    def proposals(self, path: Path) -> Proposals:
        return self.get(path).proposals


def dataset(
    photos: list[AnnotatedPhoto], recipe: LocalizationRecipe = PLAIN, seed: int = 0, **options
) -> RegionPhraseDataset:
    return RegionPhraseDataset(training_photos(photos)[0], Store(), recipe, seed, **options)


MAN = annotated("1", ("a man in a hat", {"a man": [[10, 5, 50, 45]], "a hat": [[20, 5, 40, 15]]}))
DOG = annotated("2", ("a dog", {"a dog": [[0, 0, 60, 50]]}))


class Frozen:
    """Stands in for frozen features: one number per box; remembers what it was asked for."""

    def __init__(self):
        self.asked = []

    def get(self, path, boxes, rows=slice(None)):
        self.asked.append((path, boxes.tolist()))
        return (boxes @ np.array([[1], [10], [100], [1000]], np.float32))[rows]

    def prepare(self, path, boxes):
        self.get(path, boxes)
