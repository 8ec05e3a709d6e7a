"""What every text encoder is: phrases or sentences in, one vector each out (the paper's y)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from sspe.settings import TextSettings
from sspe.text.context import ALONE, Context

REGISTERED: dict[str, type[TextEncoder]] = {}  # by name: every encoder whose file has been imported


class TextEncoder(nn.Module, ABC):
    """Turns phrases into vectors of length ``feature_size`` T: the phrase's own features, then those of its context.

    A subclass with a ``name`` registers itself under it. An encoder is fitted when it is created and not trained, so
    it has no parameters: its tensors are buffers, which ``.to(device)`` moves. They are registered with
    ``persistent=False``, for a checkpoint stores them under names of its own, see :meth:`state`.

    Attributes:
        name: what ``text.encoder`` calls it; that of its file in ``sspe/text/``.
        phrase_size: length of a phrase's own features.
        context_size: length of the features of one side of the context.
        context: how many words of the sentence are read on either side; 0 where the context has no part.
    """

    name: str
    phrase_size: int
    context_size: int
    context: int

    def __init_subclass__(cls, **keywords) -> None:
        super().__init_subclass__(**keywords)
        if "name" in vars(cls):
            other = REGISTERED.setdefault(cls.name, cls)
            if other.__module__ != cls.__module__:
                raise TypeError(f"{cls.__module__} names its text encoder {cls.name!r}, as {other.__module__} does")

    @classmethod
    @abstractmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> TextEncoder:
        """An encoder for training on ``texts``, phrases or sentences, as often as they occur."""

    @classmethod
    @abstractmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
        """The encoder that :meth:`settings` and :meth:`state` describe."""

    @property
    def feature_size(self) -> int:
        """T."""
        return self.phrase_size + (2 * self.context_size if self.context else 0)

    def encode(self, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> torch.Tensor:
        """Features (P, T) float32 of P phrases, each in its context, or alone where ``contexts`` is None.

        A whole sentence is encoded like a phrase, with no contexts. The features are where the encoder's tensors are.

        What has no known word, a phrase or a side of its context, gives zeros; MiniLM knows some part of every word.
        """
        parts = [self.phrase_features(phrases)]
        if self.context:
            sides = [c.nearest(self.context) for c in contexts or [ALONE] * len(phrases)]
            around = self.features([" ".join(side[i]) for i in (0, 1) for side in sides])
            parts += [around[: len(phrases)], around[len(phrases) :]]
        return torch.cat(parts, dim=1)

    @abstractmethod
    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """Features (N, context_size) float32 of any texts."""

    def phrase_features(self, phrases: Sequence[str]) -> torch.Tensor:
        """The phrases' own features (P, phrase_size) float32; those of any text unless an encoder knows better."""
        return self.features(phrases)

    def knows(self, phrases: Sequence[str]) -> list[bool]:
        """For each phrase, whether the word that names its thing is one the encoder has learnt something about.

        Only then can a photo be searched for it. MiniLM, which reads parts of words, knows every one.
        """
        return [True] * len(phrases)

    @abstractmethod
    def settings(self) -> dict:
        """JSON-like values from which, with :meth:`state`, the encoder can be built again."""

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors that a checkpoint must carry, by name: all buffers."""
        return dict(self.named_buffers())

    def train(self, mode: bool = True) -> TextEncoder:
        """Stay in evaluation mode, also while the model around it trains."""
        return super().train(False)


class Tensors(nn.Module):
    """Named tensors that move with the module they are part of and are no part of its state dictionary."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)


def as_stored(tensor: torch.Tensor) -> torch.Tensor:
    """Rounded as a checkpoint rounds it, to float16, so that training sees what use will see."""
    return tensor.half().float()
