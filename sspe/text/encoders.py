"""Text encoders by name: phrases or sentences in, one vector each out (the paper's y), behind one interface.

An encoder is made once for training and travels inside the checkpoint: ``state`` gives its tensors, ``settings`` its
JSON-like description, and :func:`load_text_encoder` builds it again from the two. Names joined by "+", such as
"mean+tfidf", are several encoders side by side. The encoder "NAME" is in the file ``sspe/text/NAME.py``, which is
imported when it is asked for.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import nn

import sspe.text
from sspe.errors import CheckpointError
from sspe.settings import TextSettings
from sspe.text.base import REGISTERED, TextEncoder

__all__ = ["JoinedEncoder", "TextEncoder", "create_text_encoder", "load_text_encoder", "text_encoders"]


class JoinedEncoder(TextEncoder):
    """Several encoders side by side: their features of a text one after the other, as each gives them.

    What one loses another keeps: the mean of word vectors knows that a puppy is a dog, and tf-idf which of the two was
    said.
    """

    def __init__(self, parts: Sequence[TextEncoder]):
        """``parts`` read equally much of the context and have different names."""
        super().__init__()
        self.parts = nn.ModuleList(parts)
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
        for name, part_settings in settings.items():
            own = {k.removeprefix(f"{name}."): tensor for k, tensor in state.items() if k.startswith(f"{name}.")}
            parts.append(_named(name).load(part_settings, own))
        return cls(parts)

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Views of what each part gave of phrases' own features (N, phrase_size), no context among them."""
        return features.split([part.phrase_size for part in self.parts], dim=1)

    def phrase_features(self, phrases: Sequence[str]) -> torch.Tensor:
        """Those of the parts, side by side: (P, phrase_size)."""
        return torch.cat([part.phrase_features(phrases) for part in self.parts], dim=1)

    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """Those of the parts, side by side: (N, context_size)."""
        return torch.cat([part.features(texts) for part in self.parts], dim=1)

    def knows(self, phrases: Sequence[str]) -> list[bool]:
        """For each phrase, whether a part knows it."""
        return [any(answers) for answers in zip(*(part.knows(phrases) for part in self.parts), strict=True)]

    def settings(self) -> dict:
        """Those of each part by its name, in order."""
        return {part.name: part.settings() for part in self.parts}

    def state(self) -> dict[str, torch.Tensor]:
        """The tensors of each part, its name before theirs."""
        return {f"{part.name}.{k}": tensor for part in self.parts for k, tensor in part.state().items()}


def text_encoders() -> list[str]:
    """Names of all encoders, sorted; it imports every file of ``sspe/text/``."""
    for module in pkgutil.iter_modules(sspe.text.__path__):
        import_module(f"sspe.text.{module.name}")
    return sorted(REGISTERED)


def create_text_encoder(settings: TextSettings, texts: Sequence[str]) -> TextEncoder:
    """An encoder for training on ``texts``, phrases or sentences, as often as they occur.

    From them come the words it must know and the statistics it fits; fitting is seeded. With ``settings.context`` 0 it
    encodes whole sentences as well as phrases.

    Raises CheckpointError for an unknown name or a package not installed, DataError for a broken file of vectors or
    where no text has a word that the encoder can know.
    """
    return _class(settings.encoder).create(texts, settings)


def load_text_encoder(name: str, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
    """The encoder that a checkpoint describes. Raises CheckpointError for an unknown name or a context that is none."""
    encoder = _class(name).load(settings, state)
    if type(encoder.context) is not int or encoder.context < 0:
        raise CheckpointError(
            f"The checkpoint's text encoder reads {encoder.context!r} words around a phrase; it must be a whole number "
            "of at least 0, so copy or train it again."
        )
    return encoder


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
    if name not in REGISTERED and name.isidentifier() and find_spec(f"sspe.text.{name}"):
        import_module(f"sspe.text.{name}")
    if name not in REGISTERED:
        raise CheckpointError(f"There is no text encoder {name!r}; choose one of {', '.join(text_encoders())}.")
    return REGISTERED[name]
