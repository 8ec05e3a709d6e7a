"""tf-idf: which words a text has, the rare ones weighing more; the paper's text feature without word vectors."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from sspe.errors import DataError
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder
from sspe.text.words import WordVectors, words_of


class TfidfEncoder(TextEncoder):
    """One number a vocabulary word: how often it stands in the text, times its idf; L2-normalised.

    idf = log((1 + n) / (1 + n_w)) + 1 for a word that n_w of the n training texts have.
    """

    name = "tfidf"

    def __init__(self, table: WordVectors, context: int = 0):
        """``table`` holds one number a word, its idf."""
        self.table = table
        self.context = context
        self.phrase_size = self.context_size = len(table.words)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> "TfidfEncoder":
        """The most frequent ``settings.vocabulary`` words of the texts. Raises DataError where they have no word."""
        found = Counter(word for text in texts for word in set(words_of(text)))
        if not found:
            raise DataError("The training texts hold no word, so tf-idf has no vocabulary; train on other data.")
        chosen = sorted(found, key=lambda word: (-found[word], word))[: settings.vocabulary]
        idf = [math.log((1 + len(texts)) / (1 + found[word])) + 1 for word in chosen]
        return cls(WordVectors(tuple(chosen), np.array(idf, np.float32)[:, None]), settings.context)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> "TfidfEncoder":
        """The encoder a checkpoint carries."""
        return cls(WordVectors(tuple(settings["words"]), state["idf"].float().numpy()), settings["context"])

    def _phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        return self._texts(phrases)

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        features = np.zeros((len(texts), self.context_size), np.float32)
        for i, text in enumerate(texts):
            for row in self.table.rows(words_of(text)):
                features[i, row] += self.table.vectors[row, 0]
        return functional.normalize(torch.from_numpy(features), dim=1)

    def settings(self) -> dict:
        """The vocabulary, and how much context is read."""
        return {"words": list(self.table.words), "context": self.context}

    def state(self) -> dict[str, torch.Tensor]:
        """The idf (V, 1)."""
        return {"idf": torch.from_numpy(self.table.vectors)}
