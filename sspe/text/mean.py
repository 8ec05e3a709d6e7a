"""The mean of word vectors: the paper's simplest text feature, and what the shipped localizer reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from sspe.errors import DataError
from sspe.phrases.head import head_of
from sspe.settings import TextSettings
from sspe.text.base import Tensors, TextEncoder, as_stored
from sspe.text.words import Vocabulary, WordVectors, training_vectors, words_of

ARTICLES = frozenset({"a", "an", "the"})


class MeanEncoder(TextEncoder):
    """The mean of the phrase's word vectors, L2-normalised: the paper's simplest text feature.

    Several tables of vectors give one mean each, one after the other. With ``head`` the vector of the head noun, see
    :func:`sspe.phrases.head.head_of`, follows each mean: in "the woman's red shirt" the mean alone cannot tell the
    shirt from the woman. Without ``articles`` those of a phrase are passed over: "the cup", "a cup" and "cup" have the
    same features.
    """

    name = "mean"

    def __init__(self, tables: Sequence[WordVectors], head: bool = False, context: int = 0, articles: bool = True):
        super().__init__()
        self.vocabularies = tuple(Vocabulary(table.words) for table in tables)
        self.vectors = Tensors({str(i): torch.from_numpy(table.vectors) for i, table in enumerate(tables)})
        self.head = head
        self.context = context
        self.articles = articles
        self.context_size = sum(table.size for table in tables)
        self.phrase_size = self.context_size * (2 if head else 1)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> MeanEncoder:
        """An encoder for training on ``texts`` that reads every table of ``settings.vectors``.

        It knows every word of the texts, and ``settings.common`` others, so that a user's words are known although no
        training caption held them.

        Raises DataError where there is none or a file is broken, CheckpointError without the package of GloVe.
        """
        if not settings.vectors:
            raise DataError(
                "The text encoder mean needs word vectors and the setting text.vectors names none; set it to glove, to "
                "a file, or to several with commas between them."
            )
        seen = {word for text in texts for word in words_of(text)}
        tables = [training_vectors(source, seen, settings.common) for source in settings.vectors]
        rounded = [WordVectors(t.words, as_stored(torch.from_numpy(t.vectors)).numpy()) for t in tables]
        return cls(rounded, settings.head, settings.context, settings.articles)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> MeanEncoder:
        """The encoder a checkpoint carries."""
        tables = [
            WordVectors(tuple(words), state[f"vectors.{i}"].float().numpy())
            for i, words in enumerate(settings["words"])
        ]
        return cls(
            tables, settings["head"], settings["context"], settings.get("articles", True)
        )  # older ones read them

    def phrase_features(self, phrases: Sequence[str]) -> torch.Tensor:
        """Per table the mean and the head noun's vector; each has unit length, or is zero where no word is known."""
        words = [self._naming(words_of(phrase)) for phrase in phrases]
        heads = [words_of(head_of(phrase))[-1:] for phrase in phrases] if self.head else []
        parts = []
        for vocabulary, vectors in self._tables():
            means = _means(vocabulary, vectors, words + heads)
            parts += [means[: len(words)], means[len(words) :]] if self.head else [means]
        return torch.cat(parts, dim=1)

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """Per table the mean, of unit length, or zero where no word is known: (N, context_size)."""
        words = [words_of(text) for text in texts]
        return torch.cat([_means(vocabulary, vectors, words) for vocabulary, vectors in self._tables()], dim=1)

    def knows(self, phrases: Sequence[str]) -> list[bool]:
        """For each phrase, whether a table has a vector for its head word."""
        return [any(vocabulary.knows(phrase) for vocabulary in self.vocabularies) for phrase in phrases]

    def settings(self) -> dict:
        """The vocabulary of each table, and whether the head word and the context have a part."""
        words = [list(vocabulary.words) for vocabulary in self.vocabularies]
        return {"words": words, "head": self.head, "context": self.context, "articles": self.articles}

    @property
    def last_columns(self) -> slice:
        """Where a phrase's own features from the last table stand among its features."""
        last = list(self.vectors.buffers())[-1].shape[1] * (2 if self.head else 1)
        return slice(self.phrase_size - last, self.phrase_size)

    def _naming(self, words: list[str]) -> list[str]:
        """The words of a phrase without articles, unless there is nothing else."""
        return words if self.articles else [word for word in words if word not in ARTICLES] or words

    def _tables(self) -> zip[tuple[Vocabulary, torch.Tensor]]:
        return zip(self.vocabularies, self.vectors.buffers(), strict=True)


def _means(vocabulary: Vocabulary, vectors: torch.Tensor, texts: Sequence[Sequence[str]]) -> torch.Tensor:
    """The mean vector (N, D) of each list of words, brought to unit length; zero where no word of it is known."""
    rows = [vocabulary.rows(words) for words in texts]
    flat = torch.tensor([row for text in rows for row in text], dtype=torch.long, device=vectors.device)
    if not len(flat):
        return vectors.new_zeros(len(texts), vectors.shape[1])
    lengths = torch.tensor([len(text) for text in rows], device=vectors.device)
    means = functional.embedding_bag(flat, vectors, lengths.cumsum(0) - lengths, mode="mean")  # 0 where a bag is empty
    return functional.normalize(means, dim=1)
