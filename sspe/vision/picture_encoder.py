"""A backbone that looks at pictures: what the encoders of regions and of whole photos share."""

import hashlib

import torch
from torch import nn

from sspe.vision.backbones import Backbone


class PictureEncoder(nn.Module):
    """A backbone, ``map`` and ``head``, with the normalisation of what it is shown."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.map, self.head = backbone.map, backbone.head
        self._backbone = backbone
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def freeze_through(self, stage: str | None) -> None:
        """Fix the backbone's weights from its first stage to ``stage`` inclusive; None, "" or "none" fixes nothing.

        Raises SspeError, which lists the stages, for one that this backbone does not have.
        """
        self._backbone.freeze_through(stage)

    def weights_key(self) -> str:
        """Short hash of the weights: names what was computed with them."""
        digest = hashlib.sha256()
        for tensor in self.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def _normalised(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32; the permuted view already is channels_last, the fast layout."""
        return (pictures.permute(0, 3, 1, 2).float() - self.mean) / self.std
