"""Linear maps that the Fisher vectors need: independent components before them, principal components after them."""

import torch


def independent_components(
    x: torch.Tensor, counts: torch.Tensor, seed: int = 0, iterations: int = 200, tolerance: float = 1e-4
) -> tuple[torch.Tensor, torch.Tensor]:
    """FastICA (Hyvärinen 1999), symmetric, with the contrast log cosh, on rows that occur ``counts`` times.

    Args:
        x: (N, D) float32, N at least D; a direction without variance gives a component without variance.
        counts: (N,) how often each row occurs.

    Returns:
        The mean (D,) and the unmixing matrix W (D, D); the components of a row are W (x - mean), uncorrelated, of
        variance 1. Their order and signs follow the seed.
    """
    share = (counts / counts.sum()).to(x.dtype)
    mean = share @ x
    centred = x - mean
    values, vectors = torch.linalg.eigh(((centred * share[:, None]).T @ centred).double())
    floor = values[-1].clamp(min=1e-30) * 1e-9
    scale = torch.where(values > floor, values.clamp(min=floor).rsqrt(), torch.zeros_like(values))
    whitening = (vectors * scale).T.to(x.dtype)  # (D, D)
    white = centred @ whitening.T
    w = _decorrelated(torch.randn(x.shape[1], x.shape[1], generator=torch.Generator().manual_seed(seed)))
    for _ in range(iterations):
        g = torch.tanh(white @ w.T)  # (N, D)
        slope = share @ (1 - g.square())  # (D,)
        new = _decorrelated((g * share[:, None]).T @ white - slope[:, None] * w)
        change = ((new * w).sum(dim=1).abs() - 1).abs().max()
        w = new
        if change < tolerance:
            break
    return mean, w @ whitening


def _decorrelated(w: torch.Tensor) -> torch.Tensor:
    """The nearest orthogonal matrix, (W W')^-1/2 W."""
    u, _, v = torch.linalg.svd(w)
    return u @ v


def principal_components(
    x: torch.Tensor, size: int, seed: int = 0, oversampling: int = 100, passes: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (F,) and the first ``size`` principal components (size, F), orthonormal rows, of x (N, F) float32.

    By randomized subspace iteration (Halko, Martinsson, Tropp 2011, algorithm 4.4); exact up to rounding where
    ``size + oversampling`` reaches N or F. ``x`` is centred in place, so that no second copy of it is needed. There are
    fewer components where x has fewer directions.
    """
    mean = x.mean(dim=0)
    x -= mean
    width = min(size + oversampling, *x.shape)
    basis = x @ torch.randn(x.shape[1], width, generator=torch.Generator().manual_seed(seed))  # (N, width)
    basis = torch.linalg.qr(basis).Q
    for _ in range(passes):
        basis = torch.linalg.qr(x.T @ basis).Q  # (F, width)
        basis = torch.linalg.qr(x @ basis).Q  # (N, width)
    small = basis.T @ x  # (width, F)
    # Its singular vectors through the Gram matrix, the smaller square; float64, for squaring halves the digits.
    values, vectors = torch.linalg.eigh((small @ small.T).double())
    values, vectors = values.flip(0)[:size], vectors.flip(1)[:, :size]
    kept = values > values[0].clamp(min=1e-30) * 1e-9
    values, vectors = values[kept], vectors[:, kept]
    return mean, (vectors * values.rsqrt()).T.to(x.dtype) @ small
