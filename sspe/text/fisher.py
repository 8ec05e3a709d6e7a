"""Fisher vectors of a hybrid Gaussian-Laplacian mixture, HGLMM (Klein, Lev, Sadeh, Wolf, CVPR 2015).

Every dimension of every component carries a Gaussian and a Laplacian, and a flag that says which of the two it uses.
Words x are rows (N, D); the mixture has K components.
"""

from dataclasses import dataclass, fields

import torch
from torch.nn import functional

KINDS = ("hybrid", "gaussian", "laplacian")
FLOOR = 1e-3  # least variance of a Gaussian and least scale of a Laplacian
_LEAST_SHARE = 1e-6  # of the words, for a component: one that lost all its words must not divide by zero


@dataclass(frozen=True)
class HybridMixture:
    """The mixture's parameters, all float32.

    Attributes:
        weights: (K,) pi, sums to 1.
        means, variances: (K, D) mu and sigma squared of the Gaussians.
        medians, scales: (K, D) m and s of the Laplacians.
        laplacian: (K, D) 1 where the dimension is Laplacian, 0 where it is Gaussian: b.
    """

    weights: torch.Tensor
    means: torch.Tensor
    variances: torch.Tensor
    medians: torch.Tensor
    scales: torch.Tensor
    laplacian: torch.Tensor

    def log_joint(self, x: torch.Tensor) -> torch.Tensor:
        """log pi_k + log p_k(x) of words x (N, D): (N, K)."""
        columns = []
        for k in range(len(self.weights)):  # one component at a time: all at once would hold N x K x D numbers
            gauss, laplace = self._log_densities(x, k)
            columns.append(torch.where(self.laplacian[k] > 0, laplace, gauss).sum(dim=1))
        return torch.stack(columns, dim=1) + self.weights.log()

    def posteriors(self, x: torch.Tensor) -> torch.Tensor:
        """gamma (N, K), rows that sum to 1: how far each component answers for each word x (N, D)."""
        return self.log_joint(x).softmax(dim=1)

    def contributions(self, x: torch.Tensor) -> torch.Tensor:
        """What each word x (N, D) adds to a Fisher vector, (N, 2 K D): block A, then block B, each K x D.

        The terms of the sums without the 1 / sqrt(n), which stands before the sum over a text's n words.
        """
        gamma = self.posteriors(x)[:, :, None]  # (N, K, 1)
        deviation = x[:, None] - self.means  # (N, K, D)
        gauss_a = deviation / self.variances.sqrt()
        gauss_b = (deviation.square() / self.variances - 1) / 2**0.5
        deviation = x[:, None] - self.medians
        laplacian = self.laplacian > 0
        a = torch.where(laplacian, deviation.sign(), gauss_a)
        b = torch.where(laplacian, deviation.abs() / self.scales - 1, gauss_b)
        share = gamma / self.weights.sqrt()[:, None]
        return torch.cat([(share * a).flatten(1), (share * b).flatten(1)], dim=1)

    def fisher_vectors(self, x: torch.Tensor, texts: list[list[int]]) -> torch.Tensor:
        """Improved Fisher vectors (T, 2 K D) of T texts, each a list of rows of x (N, D), of unit length.

        Sum over the words, divided by sqrt(n), then the signed square root, then L2; a text of no words gives zeros.
        """
        each = self.contributions(x)
        lengths = torch.tensor([len(rows) for rows in texts], device=x.device)
        offsets = lengths.cumsum(0) - lengths
        flat = torch.tensor([row for rows in texts for row in rows], dtype=torch.long, device=x.device)
        if not len(flat):
            return each.new_zeros(len(texts), 2 * self.means.numel())
        sums = functional.embedding_bag(flat, each, offsets, mode="sum")  # (T, 2 K D); nothing where a bag is empty
        sums = sums / lengths.clamp(min=1).sqrt()[:, None]
        return functional.normalize(sums.sign() * sums.abs().sqrt(), dim=1)

    def as_dict(self) -> dict[str, torch.Tensor]:
        """The parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def _log_densities(self, x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log densities (N, D) of each dimension under component k: as a Gaussian, as a Laplacian."""
        gauss = -0.5 * ((2 * torch.pi * self.variances[k]).log() + (x - self.means[k]).square() / self.variances[k])
        laplace = -(2 * self.scales[k]).log() - (x - self.medians[k]).abs() / self.scales[k]
        return gauss, laplace


def fit_mixture(
    x: torch.Tensor,
    counts: torch.Tensor,
    components: int = 30,
    iterations: int = 10,
    kind: str = "hybrid",
    seed: int = 0,
) -> HybridMixture:
    """Expectation-maximisation on words x (N, D) float32 that occur ``counts`` (N,) times.

    It begins at the centres of k-means, for which single rare words are no centres; there are fewer components where
    there are fewer words. ``kind`` "gaussian" and "laplacian" keep every dimension at the one kind.
    """
    if kind not in KINDS:
        raise ValueError(f"the kind of mixture is {kind!r}; choose one of {', '.join(KINDS)}")
    counts = counts.to(x.dtype)
    share = counts / counts.sum()
    centres = _centres(x, share, min(components, len(x)), seed)  # (K, D)
    deviation = x - share @ x
    mixture = HybridMixture(
        torch.full((len(centres),), 1 / len(centres)),
        centres,
        (share @ deviation.square()).clamp(min=FLOOR).expand_as(centres),
        centres,
        (share @ deviation.abs()).clamp(min=FLOOR).expand_as(centres),
        torch.full_like(centres, float(kind == "laplacian")),
    )
    order = x.T.argsort(dim=1)  # (D, N), for the medians
    for _ in range(iterations):
        mixture = _maximised(mixture, x, mixture.posteriors(x) * counts[:, None], order, kind)
    return mixture


def _centres(x: torch.Tensor, share: torch.Tensor, count: int, seed: int, rounds: int = 10) -> torch.Tensor:
    """``count`` centres (K, D) of words x (N, D), each the ``share`` (N,) of all text: k-means, begun as k-means++."""
    generator = torch.Generator().manual_seed(seed)
    centres = x[torch.multinomial(share, 1, generator=generator)]
    while len(centres) < count:
        far = torch.cdist(x, centres).square().min(dim=1).values + 1e-9  # twins of the centres, where nothing else is
        centres = torch.cat([centres, x[torch.multinomial(far * share, 1, generator=generator)]])
    for _ in range(rounds):
        of_centre = functional.one_hot(torch.cdist(x, centres).argmin(dim=1), count) * share[:, None]  # (N, K)
        total = of_centre.sum(dim=0)[:, None]
        centres = torch.where(total > 0, of_centre.T @ x / total.clamp(min=1e-30), centres)
    return centres


def _maximised(
    old: HybridMixture, x: torch.Tensor, gamma: torch.Tensor, order: torch.Tensor, kind: str
) -> HybridMixture:
    """The M-step, given gamma (N, K) times the counts; a component without words stays where it was."""
    total = gamma.sum(dim=0)  # (K,)
    weights = (total / total.sum()).clamp(min=_LEAST_SHARE)
    alive = (total > _LEAST_SHARE * total.sum())[:, None]
    share = gamma / total.clamp(min=1e-30)  # (N, K), columns that sum to 1
    means = share.T @ x
    medians = weighted_medians(x, share, order)
    variances, scales = torch.empty_like(means), torch.empty_like(means)
    for k in range(len(weights)):
        variances[k] = share[:, k] @ (x - means[k]).square()
        scales[k] = share[:, k] @ (x - medians[k]).abs()
    new = HybridMixture(
        weights / weights.sum(),
        torch.where(alive, means, old.means),
        torch.where(alive, variances.clamp(min=FLOOR), old.variances),
        torch.where(alive, medians, old.medians),
        torch.where(alive, scales.clamp(min=FLOOR), old.scales),
        old.laplacian.clone(),
    )
    if kind == "hybrid":
        for k in torch.nonzero(alive[:, 0])[:, 0].tolist():
            gauss, laplace = new._log_densities(x, k)
            new.laplacian[k] = (share[:, k] @ laplace > share[:, k] @ gauss).to(x.dtype)
    return new


def weighted_medians(x: torch.Tensor, weights: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Medians (K, D) of the columns of x (N, D), once for each column of weights (N, K).

    A median is the smallest value that, with those below it, holds half of the weight. ``order`` (D, N) sorts x' rows.
    """
    ordered = x.T.gather(1, order)  # (D, N)
    medians = []
    for w in weights.T.double():
        below = w[order].cumsum(dim=1)  # (D, N)
        # A hair below the half: the sum of N weights is rounded, and two halves must stay two halves.
        half = below[:, -1:] * (0.5 - 1e-9)
        place = torch.searchsorted(below, half).clamp(max=len(x) - 1)
        medians.append(ordered.gather(1, place)[:, 0])
    return torch.stack(medians)
