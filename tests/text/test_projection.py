"""Independent and principal components against made sources and scikit-learn."""

import numpy as np
import pytest
import torch

from sspe.text.projection import independent_components, principal_components


def sources(count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Three independent sources (N, 3), none Gaussian, and a mixture of them (N, 3)."""
    rng = np.random.default_rng(0)
    s = np.stack([rng.laplace(size=count), rng.uniform(-1, 1, count), rng.exponential(size=count)], axis=1)
    mixing = np.array([[1, 0.5, 0.2], [0.3, 1, 0.4], [-0.4, 0.2, 1]])
    return torch.from_numpy(s).float(), torch.from_numpy(s @ mixing.T + [1, 2, 3]).float()


def correlations(a, b) -> np.ndarray:
    """Absolute correlations of the columns of a with those of b."""
    return np.abs(np.corrcoef(np.asarray(a).T, np.asarray(b).T)[: a.shape[1], a.shape[1] :])


def test_independent_components_are_the_sources():
    s, x = sources()
    mean, w = independent_components(x, torch.ones(len(x)))
    found = (x - mean) @ w.T
    assert (correlations(s, found).max(axis=1) > 0.99).all()
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=1e-2)  # uncorrelated, of variance 1


def test_independent_components_are_those_of_scikit_learn():
    decomposition = pytest.importorskip("sklearn.decomposition")
    _, x = sources()
    mean, w = independent_components(x, torch.ones(len(x)))
    other = decomposition.FastICA(random_state=0, whiten="unit-variance").fit_transform(x.double().numpy())
    assert (correlations((x - mean) @ w.T, other).max(axis=1) > 0.999).all()


def test_a_row_that_counts_thrice_is_one_that_stands_there_thrice():
    _, x = sources(300)
    counts = torch.randint(1, 4, (300,), generator=torch.Generator().manual_seed(0))
    mean, w = independent_components(x, counts, seed=2)
    other_mean, other = independent_components(
        x.repeat_interleave(counts, dim=0), torch.ones(int(counts.sum())), seed=2
    )
    torch.testing.assert_close(mean, other_mean)
    torch.testing.assert_close(w, other, rtol=1e-2, atol=1e-2)


def test_a_direction_without_variance_stays_finite():
    _, x = sources(200)
    flat = torch.cat([x, x[:, :1]], dim=1)  # the fourth column says nothing new
    mean, w = independent_components(flat, torch.ones(200))
    assert w.isfinite().all() and ((flat - mean) @ w.T).isfinite().all()


def test_independent_components_follow_the_seed():
    _, x = sources(300)
    one, again, other = (independent_components(x, torch.ones(300), seed)[1] for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.allclose(one, other)


# Principal components


def shaped(rows: int = 300, columns: int = 200) -> torch.Tensor:
    """Rows whose variance falls off from direction to direction."""
    rng = torch.Generator().manual_seed(0)
    scale = 0.97 ** torch.arange(columns)
    rotation = torch.linalg.qr(torch.randn(columns, columns, generator=rng)).Q
    return torch.randn(rows, columns, generator=rng) * scale @ rotation + 3


@pytest.mark.parametrize("oversampling", [10, 300])  # approximate, and as many directions as there are
def test_principal_components_are_those_of_the_full_decomposition(oversampling):
    x = shaped()
    centred = (x - x.mean(dim=0)).double()
    expected = torch.linalg.svd(centred, full_matrices=False).Vh[:20]
    mean, found = principal_components(x.clone(), 20, oversampling=oversampling)
    torch.testing.assert_close(mean, x.mean(dim=0))
    torch.testing.assert_close(found @ found.T, torch.eye(20), rtol=0, atol=1e-4)
    kept, best = (centred @ found.double().T).square().sum(), (centred @ expected.T).square().sum()
    assert kept > 0.998 * best
    assert ((found[:5].double() @ expected[:5].T).diagonal().abs() > 0.99).all()  # in the order of their variance


def test_the_variance_kept_is_scikit_learns():
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = shaped()
    mean, found = principal_components(x.clone(), 12)
    other = decomposition.PCA(12, svd_solver="full").fit(x.double().numpy())
    np.testing.assert_allclose(((x - mean) @ found.T).var(dim=0), other.explained_variance_, rtol=1e-2)


def test_no_more_components_than_there_are_directions():
    x = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) @ torch.randn(3, 50)
    _, found = principal_components(x.clone(), 40)
    assert found.shape == (3, 50)
    torch.testing.assert_close(found @ found.T, torch.eye(3), rtol=0, atol=1e-4)
    assert len(principal_components(torch.randn(4, 50), 40)[1]) == 3  # four points span three directions


def test_principal_components_follow_the_seed():
    one, again, other = (principal_components(shaped(), 5, seed, oversampling=2)[1] for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)
