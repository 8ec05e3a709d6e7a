"""Normalised canonical correlation analysis: the baseline that the paper compares its network with.

Two linear maps in closed form: each view is centred and whitened, the whitened views are turned so that their
correlations stand on the diagonal, each direction is weighed by its correlation, and the result is compared by cosine.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional

from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

RIDGE = 1e-4  # of the largest eigenvalue, added to each covariance
_LEAST_RIDGE = 1e-8


class Projection(nn.Module):
    """(features - mean) @ matrix -> L2, in float32 whatever the precision: whitening leaves no digits to spare."""

    def __init__(self, features: int, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("matrix", torch.zeros(features, size))

    def forward(self, features: torch.Tensor) -> torch.Tensor:  # (N, D) -> (N, E), unit length
        with torch.autocast(features.device.type, enabled=False):
            return functional.normalize((features.float() - self.mean) @ self.matrix, dim=1)


class CCANetwork(TwoBranchNetwork):
    """Two projections in the place of the branches; :meth:`fit` takes the place of training. No box refinement."""

    full_precision = True

    def __init__(self, image_features: int, text_features: int, settings: NetworkSettings):
        nn.Module.__init__(self)  # not the branches
        self.settings, self.refiner, self.named = settings, None, None
        size = min(settings.embedding, image_features, text_features)
        self.image, self.text = Projection(image_features, size), Projection(text_features, size)

    @torch.no_grad()
    def fit(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        """Fit on batches of matching features, (N, D) of regions and (N, T) of phrases, at least two pairs in all.

        Returns the canonical correlations (E,), largest first.
        """
        count, sums = 0, None
        for x, y in pairs:
            both = torch.cat([x, y], dim=1).double().cpu()
            new = (both.sum(dim=0), both.T @ both)
            sums = new if sums is None else (sums[0] + new[0], sums[1] + new[1])
            count += len(both)
        mean = sums[0] / count
        covariance = sums[1] / count - mean[:, None] * mean
        d = len(self.image.mean)
        wx, wy, correlations = canonical(covariance[:d, :d], covariance[d:, d:], covariance[:d, d:])
        size = self.image.matrix.shape[1]
        for view, view_mean, w in ((self.image, mean[:d], wx), (self.text, mean[d:], wy)):
            view.mean.copy_(view_mean)
            view.matrix.copy_(w[:, :size] * correlations[:size])
        return correlations[:size].float()


def canonical(
    cxx: torch.Tensor, cyy: torch.Tensor, cxy: torch.Tensor, ridge: float = RIDGE
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Canonical directions Wx (D, E) and Wy (T, E) and their correlations (E,), largest first; E = min(D, T).

    Args:
        cxx, cyy, cxy: covariances (D, D), (T, T) and (D, T), float64.
        ridge: share of the largest eigenvalue that is added to the diagonals of ``cxx`` and ``cyy``.
    """
    x, y = _inverse_root(cxx, ridge), _inverse_root(cyy, ridge)
    u, correlations, v = torch.linalg.svd(x @ cxy @ y, full_matrices=False)
    return x @ u, y @ v.T, correlations


def _inverse_root(c: torch.Tensor, ridge: float) -> torch.Tensor:
    """(C + r I)^-1/2, symmetric."""
    values, vectors = torch.linalg.eigh(c)
    values = values.clamp(min=0) + max(ridge * float(values[-1]), _LEAST_RIDGE)
    return (vectors * values.rsqrt()) @ vectors.T
