"""What the batches of both tasks share: their order, who reads them, whose things are whose, what reads the same."""

import os
import re
from collections.abc import Iterator, Sequence, Sized

import numpy as np
import torch
from torch.utils.data import Sampler

from sspe.errors import SspeError
from sspe.text.words import words_of
from sspe.training import processes

MOST_READERS = 8  # beyond that a GPU of today has waited for something else


class EpochSampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) in an order fixed by seed and epoch, from batch ``start`` on: a resumed run goes on.

    Of several processes each takes its share of every batch. Raises SspeError where one would have none.
    """

    def __init__(self, length: int, batch: int, seed: int, epoch: int, start: int = 0):
        order = np.random.default_rng([seed, epoch]).permutation(length)
        # Spread evenly: a last batch of one photo would have no other photo's negatives and poor batch statistics.
        whole = np.array_split(order, max(length // batch, 1))
        if len(whole[-1]) < processes.count():
            raise SspeError(
                f"A step of {len(whole[-1])} photos gives each of {processes.count()} processes less than one; start "
                "fewer of them, or give more photos and a larger batch."
            )
        self.batches = [[(epoch, int(i)) for i in processes.share(part)] for part in whole][start:]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.batches)


def readers(device: torch.device) -> int:
    """How many processes read batches ahead for one that trains: 1 on a CPU, where all cores are to compute.

    For a GPU one per core of this machine that its training processes leave, at most :data:`MOST_READERS` for each.
    """
    if device.type == "cpu":
        return 1
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(max(cores // beside - 1, 1), MOST_READERS)


def owners(parts: Sequence[Sized]) -> torch.Tensor:
    """Where N photos' things lie one after the other, the photo of each: int64, 0 to N - 1."""
    return torch.repeat_interleave(torch.tensor([len(part) for part in parts]))


def counted_on(parts: Sequence[torch.Tensor], photos: Sequence[int]) -> torch.Tensor:
    """The owners of several batches as those of one: each batch of so many ``photos`` counts on from the one before."""
    starts = np.cumsum([0, *photos[:-1]]).tolist()
    return torch.cat([part + start for part, start in zip(parts, starts, strict=True)])


SIDES = re.compile(r"\b(left|right)(most|wards?)?\b", re.IGNORECASE)  # a photo of such words is not to be mirrored


_ARTICLES = frozenset({"a", "an", "the"})


def same_words_key(phrase: str) -> str:
    """Phrases with one key read the same: lower case, no punctuation, no article in front ("A man" and "the man")."""
    words = words_of(phrase)
    return " ".join(words[1:] if len(words) > 1 and words[0] in _ARTICLES else words)
