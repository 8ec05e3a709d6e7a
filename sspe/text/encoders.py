"""Text encoders by name: phrases or sentences in, one vector each out (the paper's y), behind one interface.

An encoder is made once for training and travels inside the checkpoint: ``state`` gives its tensors, ``settings`` its
JSON-like description, and :func:`load_text_encoder` builds it again from the two.
"""

from collections.abc import Sequence

import torch

from sspe.errors import CheckpointError
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder
from sspe.text.hglmm import HGLMMEncoder
from sspe.text.mean import MeanEncoder
from sspe.text.minilm import MiniLMEncoder
from sspe.text.tfidf import TfidfEncoder

__all__ = ["TEXT_ENCODERS", "TextEncoder", "create_text_encoder", "load_text_encoder"]

_ENCODERS = {encoder.name: encoder for encoder in (MeanEncoder, TfidfEncoder, HGLMMEncoder, MiniLMEncoder)}
TEXT_ENCODERS = tuple(_ENCODERS)


def create_text_encoder(settings: TextSettings, texts: Sequence[str]) -> TextEncoder:
    """An encoder for training on ``texts``, phrases or sentences, as often as they occur.

    From them come the words it must know and the statistics it fits; fitting is seeded. With ``settings.context`` 0 it
    encodes whole sentences as well as phrases.

    Raises CheckpointError for an unknown name or a package not installed, DataError for a broken file of vectors or
    where no text has a word that the encoder can know.
    """
    return _named(settings.encoder).create(texts, settings)


def load_text_encoder(name: str, settings: dict, state: dict[str, torch.Tensor]) -> TextEncoder:
    """The encoder that a checkpoint describes. Raises CheckpointError for an unknown name."""
    return _named(name).load(settings, state)


def _named(name: str) -> type[TextEncoder]:
    if name not in _ENCODERS:
        raise CheckpointError(f"There is no text encoder {name!r}; choose one of {', '.join(TEXT_ENCODERS)}.")
    return _ENCODERS[name]
