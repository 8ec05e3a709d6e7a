"""tf-idf: which words a text has, the rare ones weighing more; the paper's text feature without word vectors."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch.nn import functional

from sspe.errors import DataError
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder, as_stored
from sspe.text.words import Vocabulary, words_of


class TfidfEncoder(TextEncoder):
    """One number per vocabulary word: how often it stands in the text, times its idf; L2-normalised.

    idf = log((1 + n) / (1 + n_w)) + 1 for a word that n_w of the n training texts have.
    """

    name = "tfidf"

    def __init__(self, words: Sequence[str], idf: torch.Tensor, context: int = 0):
        """``idf`` (V, 1) float32 belongs to the V ``words``."""
        super().__init__()
        if idf.shape != (len(words), 1):
            raise ValueError(f"{len(words)} words need as many idf values, got a tensor of {tuple(idf.shape)}")
        self.vocabulary = Vocabulary(tuple(words))
        self.register_buffer("idf", idf, persistent=False)
        self.context = context
        self.phrase_size = self.context_size = len(words)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> TfidfEncoder:
        """The most frequent ``settings.vocabulary`` words of the texts. Raises DataError where they have no word."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        if not counts:
            raise DataError("The training texts hold no word, so tf-idf has no vocabulary; train on other data.")
        chosen = sorted(counts, key=lambda word: (-counts[word], word))[: settings.vocabulary]
        idf = torch.tensor([math.log((1 + len(texts)) / (1 + counts[word])) + 1 for word in chosen])
        return cls(chosen, as_stored(idf)[:, None], settings.context)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> TfidfEncoder:
        """The encoder a checkpoint carries."""
        return cls(settings["words"], state["idf"].float(), settings["context"])

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, V) of unit length, or zero where no word is known."""
        rows = [self.vocabulary.rows(words_of(text)) for text in texts]
        owner = torch.tensor([i for i, text in enumerate(rows) for _ in text], dtype=torch.long)
        words = torch.tensor([row for text in rows for row in text], dtype=torch.long)
        owner, words = owner.to(self.idf.device), words.to(self.idf.device)
        features = self.idf.new_zeros(len(texts), len(self.idf))
        features.index_put_((owner, words), self.idf[words, 0], accumulate=True)
        return functional.normalize(features, dim=1)

    def knows(self, phrases: Sequence[str]) -> list[bool]:
        """For each phrase, whether its head word is in the vocabulary."""
        return [self.vocabulary.knows(phrase) for phrase in phrases]

    def settings(self) -> dict:
        """The vocabulary, and how much context is read."""
        return {"words": list(self.vocabulary.words), "context": self.context}
