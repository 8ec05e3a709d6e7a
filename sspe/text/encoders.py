"""Text encoders by name: phrases or sentences in, one vector each out (the paper's y), behind one interface.

An encoder is made once for training and travels inside the checkpoint: ``state`` gives its tensors, ``settings`` its
JSON-like description, and :func:`load_text_encoder` builds it again from the two. Names joined by "+", such as
"mean+tfidf", are several encoders side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sspe.errors import CheckpointError
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder
from sspe.text.hglmm import HGLMMEncoder
from sspe.text.mean import MeanEncoder
from sspe.text.minilm import MiniLMEncoder
from sspe.text.tfidf import TfidfEncoder

__all__ = ["TEXT_ENCODERS", "JoinedEncoder", "TextEncoder", "create_text_encoder", "load_text_encoder"]

_ENCODERS = {encoder.name: encoder for encoder in (MeanEncoder, TfidfEncoder, HGLMMEncoder, MiniLMEncoder)}
TEXT_ENCODERS = tuple(_ENCODERS)


class JoinedEncoder(TextEncoder):
    """Several encoders side by side: their features of a text one after the other, as each gives them.

    What one loses another keeps: the mean of word vectors knows that a puppy is a dog, and tf-idf which of the two was
    said.
    """

    def __init__(self, parts: Sequence[TextEncoder]):
        """``parts`` read equally much of the context and have different names."""
        self.parts = tuple(parts)
        self.name = "+".join(part.name for part in parts)
        self.context = self.parts[0].context
        self.phrase_size = sum(part.phrase_size for part in parts)
        self.context_size = sum(part.context_size for part in parts)

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> JoinedEncoder:
        """The encoders that ``settings.encoder`` names, each created for the same texts with the same settings."""
        return cls([_named(name).create(texts, settings) for name in _names(settings.encoder)])

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> JoinedEncoder:
        """The encoders a checkpoint carries."""
        parts = []
        for name, of_part in settings.items():
            own = {k.removeprefix(f"{name}."): tensor for k, tensor in state.items() if k.startswith(f"{name}.")}
            parts.append(_named(name).load(of_part, own))
        return cls(parts)

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of what each part gave of phrases' own features (N, phrase_size), no context among them."""
        return features.split([part.phrase_size for part in self.parts], dim=1)

    def _phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        return torch.cat([part._phrases(phrases) for part in self.parts], dim=1)

    def _texts(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.cat([part._texts(texts) for part in self.parts], dim=1)

    def settings(self) -> dict:
        """Those of each part by its name, in order."""
        return {part.name: part.settings() for part in self.parts}

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors of each part, its name before theirs."""
        return {f"{part.name}.{k}": tensor for part in self.parts for k, tensor in part.state().items()}


def create_text_encoder(settings: TextSettings, texts: Sequence[str]) -> TextEncoder:
    """An encoder for training on ``texts``, phrases or sentences, as often as they occur.

    From them come the words it must know and the statistics it fits; fitting is seeded. With ``settings.context`` 0 it
    encodes whole sentences as well as phrases.

    Raises CheckpointError for an unknown name or a package not installed, DataError for a broken file of vectors or
    where no text has a word that the encoder can know.
    """
    return _class(settings.encoder).create(texts, settings)


def load_text_encoder(name: str, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
    """The encoder that a checkpoint describes. Raises CheckpointError for an unknown name."""
    return _class(name).load(settings, state)


def _class(name: str) -> type[TextEncoder]:
    names = _names(name)
    return JoinedEncoder if len(names) > 1 else _named(name)


def _names(name: str) -> list[str]:
    """The encoders a name joins. Raises CheckpointError where one is unknown or named twice."""
    names = name.split("+")
    for part in names:
        _named(part)
        if names.count(part) > 1:
            raise CheckpointError(f"The text encoder {name!r} joins {part!r} to itself; name each once.")
    return names


def _named(name: str) -> type[TextEncoder]:
    if name not in _ENCODERS:
        raise CheckpointError(f"There is no text encoder {name!r}; choose one of {', '.join(TEXT_ENCODERS)}.")
    return _ENCODERS[name]
