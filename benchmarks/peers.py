"""What a user would pick instead: open-vocabulary detectors of `transformers`, built at their published sizes.

Their weights are random, for the time does not depend on them. The photo is opened, resized and normalised as their
processors do; the phrases are as many words of random ids. Needs `transformers` (the extra "retrieval" brings it).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from sspe.vision.photo import open_photo

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Peer:
    """A network, and how a photo file and phrases become what it takes."""

    name: str
    network: nn.Module
    size: tuple[int, int]  # width and height of the photo as it is shown, pixels
    text: Callable[[Sequence[str]], dict[str, torch.Tensor]]

    @torch.inference_mode()
    def __call__(self, file: Path, phrases: Sequence[str]) -> object:
        """Its raw outputs: scores and boxes of every query."""
        photo = cv2.resize(open_photo(file), self.size, interpolation=cv2.INTER_AREA).astype(np.float32)
        pixels = torch.from_numpy((photo / 255 - 0.45) / 0.27).permute(2, 0, 1)[None]
        like = next(self.network.parameters())
        inputs = {name: tensor.to(like.device) for name, tensor in self.text(phrases).items()}
        return self.network(pixel_values=pixels.to(like.device, like.dtype), **inputs)


def owlvit() -> Peer:
    """OWL-ViT base/32: a photo of 768 x 768; every phrase is read for itself, 16 tokens long."""
    from transformers import OwlViTConfig, OwlViTForObjectDetection

    def text(phrases: Sequence[str]) -> dict[str, torch.Tensor]:
        ids = torch.randint(1, 49000, (len(phrases), 16))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return Peer("OWL-ViT base/32", OwlViTForObjectDetection(OwlViTConfig()).eval(), (768, 768), text)


def grounding_dino() -> Peer:
    """Grounding DINO tiny: a photo of 640 x 480 with its shorter side at 800; the phrases are one text."""
    from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection

    def text(phrases: Sequence[str]) -> dict[str, torch.Tensor]:
        words = sum(len(phrase.split()) + 1 for phrase in phrases) + 2  # a full stop after each, a token at either end
        ids = torch.randint(2000, 30000, (1, words))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}

    network = GroundingDinoForObjectDetection(GroundingDinoConfig()).eval()
    return Peer("Grounding DINO tiny", network, (1066, 800), text)


PEERS = (owlvit, grounding_dino)


def faster_precision(
    peer: Peer, file: Path, phrases: Sequence[str], device: torch.device, clock: Callable[[], float]
) -> str:
    """The precision in which the peer answers sooner, by one answer in each; its network is left in it."""
    taken: dict[str, float] = {}
    for precision, kind in PRECISIONS.items():
        peer.network.to(device, kind)
        for _ in range(2):  # the first one warms up, but is enough for a precision that is several times slower
            begun = clock()
            peer(file, phrases)
            taken[precision] = clock() - begun
            if taken[precision] > 3 * min(taken.values()):
                break
    best = min(taken, key=taken.get)
    peer.network.to(device, PRECISIONS[best])
    return best
