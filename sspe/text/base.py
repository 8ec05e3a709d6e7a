"""What every text encoder is: phrases or sentences in, one vector each out (the paper's y)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from sspe.settings import TextSettings
from sspe.text.context import ALONE, Context


class TextEncoder(ABC):
    """Turns phrases into vectors of length ``feature_size`` T: the phrase's own features, then those of its context.

    ``context`` is how many words of the sentence are read on either side; 0 where the context has no part.
    """

    name: str
    phrase_size: int  # length of a phrase's own features
    context_size: int  # length of those of one side of the context
    context: int

    @classmethod
    @abstractmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> "TextEncoder":
        """An encoder for training on ``texts``, phrases or sentences, as often as they occur."""

    @classmethod
    @abstractmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> "TextEncoder":
        """The encoder that :meth:`settings` and :meth:`state` describe."""

    @property
    def feature_size(self) -> int:
        """T."""
        return self.phrase_size + (2 * self.context_size if self.context else 0)

    def encode(self, phrases: Sequence[str], contexts: Sequence[Context] | None = None) -> torch.Tensor:
        """Features (P, T) float32 of P phrases, each in its context, or alone where ``contexts`` is None.

        A whole sentence is encoded like a phrase, with no contexts.

        What has no known word, a phrase or a side of its context, gives zeros; MiniLM knows some part of every word.
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
