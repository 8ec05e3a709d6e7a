"""What the search of a collection needs beside the model: fitted to a checkpoint's weights, and travels in it.

A score is the dot product of a region and a phrase, and of a region only what phrases ask about matters. So regions
are turned into the directions in which they differ most as phrases see them, and kept as small whole numbers: 32 of
512 hold 99.9 % of what their scores are made of. What box refinement reads of a region is kept in a like way. Fitted
by :mod:`sspe.training.search`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

# A number may be so many times as large as the largest of the bank before it is cut. The regions that phrases look for
# are unusual ones: with 1.25 a third of the error in their scores was what had been cut.
HEADROOM = 2.0
LEVELS = 127  # of a signed byte
FINEST = 512  # times finer than the coarsest scale is the finest: finer ones gain nothing, and cut what is unusual
EVERYWHERE = 0.02  # share of a metric that is the same in all directions


@dataclass(frozen=True)
class SearchFit:
    """Bases, scales, phrases and weights; E numbers in an embedding, H in what box refinement reads.

    Attributes:
        basis: (E, K) float32: x @ basis are the numbers that are kept of a region x, the one with most energy first.
        reading: (E, K) float32: (y @ reading) times the numbers is the score with a phrase y, and numbers @ reading.T
            is x again, nearly. None where the columns of the basis are orthonormal: it is the basis itself.
        scale: (K,) float32, what 1 of a signed byte stands for.
        described_mean, described_basis, described_scale: (H,), (H, J), (J,), the same for box refinement; of a model
            without one H and J are 0.
        phrases: (M, K + T) float32 training phrases, turned by ``reading``, then the T things they name: a photo that
            lies near all of them is a hub. M is 0 where nothing was fitted.
        weights: (F + 1,) of the evidence for a search's probability, the constant last; empty where nothing was fitted.
        threshold: () the probability from which a photo counts as found.
        familiar, familiar_basis: (L, J) unit vectors and (E, J), more training phrases in directions of their own: what
            is near none of them is nothing that captions speak of. None where ``phrases`` have to do.
    """

    basis: torch.Tensor
    scale: torch.Tensor
    described_mean: torch.Tensor
    described_basis: torch.Tensor
    described_scale: torch.Tensor
    phrases: torch.Tensor
    weights: torch.Tensor
    threshold: torch.Tensor
    reading: torch.Tensor | None = None
    familiar: torch.Tensor | None = None
    familiar_basis: torch.Tensor | None = None


def directions_seen(vectors: torch.Tensor, phrases: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``basis`` and ``reading`` (D, count), so that scores of vectors (N, D) with phrases (M, D) stay as they are.

    With W the root of the phrases' mean y y', a score (W^-1 y) (W x) is a dot product with a phrase whose numbers are
    all of one size. So what is kept are the principal directions of the W x. A part of W is the same in all directions:
    what looks like a region, and no phrase, is sought as well.
    """
    size = vectors.shape[1]
    x, y = vectors.double(), phrases.double()
    moments = y.T @ y
    moments = (1 - EVERYWHERE) * moments * size / moments.trace() + EVERYWHERE * torch.eye(size).double()
    values, directions = torch.linalg.eigh(moments)
    root, inverse = ((directions * values**power) @ directions.T for power in (0.5, -0.5))
    chosen = principal_directions(x @ root, count).double()
    return (root @ chosen).float(), (inverse @ chosen).float()


def principal_directions(vectors: torch.Tensor, count: int) -> torch.Tensor:
    """The first ``count`` principal directions (D, count) of vectors (N, D) as they come, not centred."""
    values, directions = torch.linalg.eigh(vectors.double().T @ vectors.double())
    return directions[:, values.argsort(descending=True)[:count]].float()


def scales_of(vectors: torch.Tensor, headroom: float = HEADROOM) -> torch.Tensor:
    """What 1 of a signed byte stands for, (D,), so that vectors (N, D), and ``headroom`` times larger ones, fit in."""
    largest = vectors.abs().amax(dim=0).clamp(min=1e-6)
    return largest.clamp(min=float(largest.max()) / FINEST) * headroom / LEVELS
