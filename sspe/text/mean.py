"""The mean of word vectors: the paper's simplest text feature, and what the shipped localizer reads."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from sspe.phrases.head import head_of
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder
from sspe.text.words import WordVectors, training_vectors, words_of

# What a checkpoint carries of a table: every word of the training texts, and the most frequent words of English
# besides, so that a user's words are known although no training caption held them.
COMMON_WORDS = 60_000


class MeanEncoder(TextEncoder):
    """The mean of the phrase's word vectors, L2-normalised: the paper's simplest text feature.

    Several tables of vectors give one mean each, one after the other. With ``head`` the vector of the head noun, see
    :func:`sspe.phrases.head.head_of`, follows each mean: in "the woman's red shirt" the mean alone cannot tell the
    shirt from the woman.
    """

    name = "mean"

    def __init__(self, tables: Sequence[WordVectors], head: bool = False, context: int = 0):
        self.tables = tuple(tables)
        self.head = head
        self.context = context
        self.context_size = sum(table.size for table in self.tables)
        self.phrase_size = self.context_size * (2 if head else 1)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> "MeanEncoder":
        """An encoder for training on ``texts``: GloVe 6B 50-d, then every file of vectors of the settings."""
        seen = {word for text in texts for word in words_of(text)}
        tables = [training_vectors(file, seen, COMMON_WORDS) for file in (None, *settings.vectors)]
        return cls(tables, settings.head, settings.context)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> "MeanEncoder":
        """The encoder a checkpoint carries."""
        tables = [
            WordVectors(tuple(words), state[f"vectors.{i}"].float().numpy())
            for i, words in enumerate(settings["words"])
        ]
        return cls(tables, settings["head"], settings["context"])

    def _phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        """Per table the mean and the head word's vector; each has unit length, or is zero where no word is known."""
        parts = []
        for table in self.tables:
            parts.append(_means(table, [words_of(phrase) for phrase in phrases]))
            if self.head:
                parts.append(_means(table, [words_of(head_of(phrase))[-1:] for phrase in phrases]))
        return torch.cat(parts, dim=1)

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.cat([_means(table, [words_of(text) for text in texts]) for table in self.tables], dim=1)

    def settings(self) -> dict:
        """The vocabulary of each table, and whether the head word and the context have a part."""
        return {"words": [list(table.words) for table in self.tables], "head": self.head, "context": self.context}

    def state(self) -> dict[str, torch.Tensor]:
        """The vectors (V, D) of each table."""
        return {f"vectors.{i}": torch.from_numpy(table.vectors) for i, table in enumerate(self.tables)}


def _means(table: WordVectors, texts: Sequence[Sequence[str]]) -> torch.Tensor:
    """The mean vector (N, D) of each list of words, brought to unit length; zero where no word of it is known."""
    means = np.zeros((len(texts), table.size), np.float32)
    for i, words in enumerate(texts):
        if rows := table.rows(words):
            means[i] = table.vectors[rows].mean(axis=0)
    return functional.normalize(torch.from_numpy(means), dim=1)
