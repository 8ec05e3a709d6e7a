"""What the batches of both tasks share: their order, and which words say the same."""

import re
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from sspe.text.words import words_of


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


SIDES = re.compile(r"\b(left|right)(most|wards?)?\b", re.IGNORECASE)  # a photo of such words is not to be mirrored


_ARTICLES = frozenset({"a", "an", "the"})


def same_words_key(phrase: str) -> str:
    """Phrases with one key read the same: lower case, no punctuation, no article in front ("A man" and "the man")."""
    words = words_of(phrase)
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)
