"""What the search of a collection needs beside the model: fitted to a checkpoint's weights, and travels in it.

Embeddings of regions crowd into few directions of their space: 98 % of their energy lies in 32 of 512. So they are
turned into the principal directions of a bank of training regions, and kept as small whole numbers. What box refinement
reads of a region is kept in the same way. Fitted by :mod:`sspe.training.search`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

HEADROOM = 1.25  # a number may be so many times as large as the largest of the bank before it is cut
LEVELS = 127  # of a signed byte
FINEST = 32  # times finer than the coarsest scale is the finest: finer ones would gain nothing, and cut what is unusual


@dataclass(frozen=True)
class SearchFit:
    """Bases, scales, phrases and weights; E numbers in an embedding, H in what box refinement reads.

    Attributes:
        basis: (E, K) float32, orthonormal columns, the one with the most energy first.
        scale: (K,) float32, what 1 of a signed byte stands for.
        described_mean, described_basis, described_scale: (H,), (H, J), (J,), the same for box refinement; of a model
            without one H and J are 0.
        phrases: (M, K + T) float32 training phrases in that basis, then the T things they name: a photo that lies near
            all of them is a hub. M is 0 where nothing was fitted.
        weights: (F + 1,) of the evidence for a search's probability, the constant last; empty where nothing was fitted.
        threshold: () the probability from which a photo counts as found.
    """

    basis: torch.Tensor
    scale: torch.Tensor
    described_mean: torch.Tensor
    described_basis: torch.Tensor
    described_scale: torch.Tensor
    phrases: torch.Tensor
    weights: torch.Tensor
    threshold: torch.Tensor


def principal_directions(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """The first ``count`` principal directions (D, count) of vectors (N, D) as they come, not centred."""
    values, directions = torch.linalg.eigh(vectors.double().T @ vectors.double())
    return directions[:, values.argsort(descending=True)[:count]].float()


def scales_of(vectors: torch.Tensor) -> torch.Tensor:
    """What 1 of a signed byte stands for, (D,), so that vectors (N, D) and somewhat larger ones fit in."""
    largest = vectors.abs().amax(dim=0).clamp(min=1e-6)
    return largest.clamp(min=float(largest.max()) / FINEST) * HEADROOM / LEVELS
