"""The named part of the common space: a detector's T things are T further directions of it.

Beyond the paper. A region lies along each thing as far as the detector sees it there, a phrase along those that it
names, so that the dot product of region and phrase holds the detector's word, too, for a "toothbrush" that no caption
ever spoke of. How far a phrase should be left to the detector is learnt: "a cup" wholly, "a man in a red shirt" hardly,
for there are three persons and the detector knows them all.
"""

import torch
from torch import nn


class NamedThings(nn.Module):
    """Regions and phrases, embedded by the branches, with their named part beside it."""

    # Added to the trust in the bare name of a thing, in use and not in training, whose photos the branches know too
    # well to need a detector. Chosen on the first half of val, where 0 to 2.5 are the same, and on COCO photos.
    bare = 2.0

    def __init__(self, embedding: int):
        super().__init__()
        self.trust = nn.Linear(embedding, 1)
        self.scale = embedding**0.5  # a unit vector's numbers are small
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, 1.0)  # trained photos teach little trust: the branches know them by heart

    def regions(self, x: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
        """Embeddings (R, E + T) of x (R, E), unit length, and what is seen in each region (R, T), 0..1."""
        return torch.cat([x, things.to(x.dtype)], dim=1)

    def phrases(self, y: torch.Tensor, named: torch.Tensor, bare: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings (P, E + T), unit length where a phrase names at most one thing.

        Args:
            y: (P, E), unit length. No gradient reaches it through the trust.
            named: (P, T), 0 or 1.
            bare: (P,) bool, the phrase is the bare name of one thing; None in training.
        """
        trust = self.trust(y.detach() * self.scale).float()  # (P, 1)
        if bare is not None:
            trust = trust + self.bare * bare[:, None]
        trust = torch.sigmoid(trust) * named.any(dim=1, keepdim=True)
        return torch.cat([(1 - trust**2).sqrt() * y, trust * named], dim=1)
