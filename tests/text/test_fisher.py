"""The hybrid mixture against scikit-learn, literal loops and naive medians."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from sspe.text import fisher
from sspe.text.fisher import FLOOR, KINDS, HybridMixture, fit_mixture, weighted_medians

K, D = 4, 5


def drawn(seed: int = 0, kind: str = "hybrid") -> HybridMixture:
    """A mixture with parameters at random."""
    rng = torch.Generator().manual_seed(seed)

    def uniform(least: float, most: float) -> torch.Tensor:
        return least + (most - least) * torch.rand(K, D, generator=rng)

    weights = torch.rand(K, generator=rng) + 0.1
    flags = {"hybrid": (uniform(0, 1) > 0.5).float(), "gaussian": torch.zeros(K, D), "laplacian": torch.ones(K, D)}
    parameters = [uniform(-2, 2), uniform(0.2, 3), uniform(-2, 2), uniform(0.2, 2), flags[kind]]
    return HybridMixture(weights / weights.sum(), *parameters)


def words(count: int = 60, seed: int = 1) -> torch.Tensor:
    return 2 * torch.randn(count, D, generator=torch.Generator().manual_seed(seed))


def literal_posteriors(m: HybridMixture, x: torch.Tensor) -> np.ndarray:
    """gamma as the formulas have it, one number after the other."""
    rows = []
    for word in x.double().tolist():
        joint = []
        for k in range(K):
            log_p = math.log(float(m.weights[k]))
            for d in range(D):
                if m.laplacian[k, d]:
                    s = float(m.scales[k, d])
                    log_p += -math.log(2 * s) - abs(word[d] - float(m.medians[k, d])) / s
                else:
                    var = float(m.variances[k, d])
                    log_p += -0.5 * math.log(2 * math.pi * var) - (word[d] - float(m.means[k, d])) ** 2 / (2 * var)
            joint.append(log_p)
        joint = np.exp(np.array(joint) - max(joint))
        rows.append(joint / joint.sum())
    return np.array(rows)


def literal_fisher_vector(m: HybridMixture, x: torch.Tensor) -> np.ndarray:
    """The Fisher vector of one text of n words x (n, D), block A and then block B, as the formulas have it."""
    n, gamma = len(x), literal_posteriors(m, x)
    a, b = np.zeros((K, D)), np.zeros((K, D))
    for i, word in enumerate(x.double().tolist()):
        for k in range(K):
            pi = float(m.weights[k])
            for d in range(D):
                if m.laplacian[k, d]:
                    gap = word[d] - float(m.medians[k, d])
                    a[k, d] += gamma[i, k] * np.sign(gap) / math.sqrt(n * pi)
                    b[k, d] += gamma[i, k] * (abs(gap) / float(m.scales[k, d]) - 1) / math.sqrt(n * pi)
                else:
                    gap, var = word[d] - float(m.means[k, d]), float(m.variances[k, d])
                    a[k, d] += gamma[i, k] * gap / math.sqrt(var) / math.sqrt(n * pi)
                    b[k, d] += gamma[i, k] * (gap**2 / var - 1) / math.sqrt(2 * n * pi)
    whole = np.concatenate([a.ravel(), b.ravel()])
    whole = np.sign(whole) * np.sqrt(np.abs(whole))
    return whole / np.linalg.norm(whole)


# Posteriors


@pytest.mark.parametrize("kind", KINDS)
def test_posteriors_are_those_of_the_formulas(kind):
    m, x = drawn(kind=kind), words()
    found = m.posteriors(x)
    np.testing.assert_allclose(found, literal_posteriors(m, x), atol=1e-5)
    assert found.shape == (60, K) and ((found > 0.05).sum(dim=1) > 1).any()  # not all of them certain


def test_a_gaussian_mixture_has_scikit_learns_responsibilities():
    mixture = pytest.importorskip("sklearn.mixture").GaussianMixture(K, covariance_type="diag")
    m, x = drawn(kind="gaussian"), words(200)
    mixture.weights_, mixture.means_, mixture.covariances_ = m.weights.numpy(), m.means.numpy(), m.variances.numpy()
    mixture.precisions_cholesky_ = 1 / np.sqrt(mixture.covariances_)
    np.testing.assert_allclose(m.posteriors(x), mixture.predict_proba(x.numpy()), atol=1e-5)
    np.testing.assert_allclose(m.log_joint(x).logsumexp(dim=1), mixture.score_samples(x.numpy()), rtol=1e-4)


def test_a_word_far_from_everything_still_has_posteriors():
    found = drawn().posteriors(torch.full((1, D), 1e4))
    assert found.isfinite().all() and found.sum() == pytest.approx(1)


# Fisher vectors


@pytest.mark.parametrize("kind", KINDS)
def test_fisher_vectors_are_those_of_the_formulas(kind):
    m, x = drawn(3, kind), words(9)
    texts = [[0], [1, 2, 3], [4, 4, 5, 8], list(range(9))]
    found = m.fisher_vectors(x, texts)
    assert found.shape == (4, 2 * K * D)
    for row, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(row, literal_fisher_vector(m, x[text]), atol=1e-5)


def test_texts_of_no_word_are_zero_and_do_not_touch_their_neighbours():
    m, x = drawn(), words(3)
    found = m.fisher_vectors(x, [[], [0, 1], [], [2], []])
    assert not found[[0, 2, 4]].any()
    torch.testing.assert_close(found[[1, 3]], m.fisher_vectors(x, [[0, 1], [2]]))
    assert torch.equal(m.fisher_vectors(x, [[], []]), torch.zeros(2, 2 * K * D))


def test_the_order_of_words_and_how_often_the_text_is_repeated_do_not_matter():
    m, x = drawn(), words(4)
    first, turned, twice = m.fisher_vectors(x, [[0, 1, 3], [3, 0, 1], [0, 1, 3, 0, 1, 3]])
    torch.testing.assert_close(first, turned)
    torch.testing.assert_close(first, twice)


# Expectation-maximisation


def naive_median(values: list[float], weights: list[float]) -> float:
    """The smallest value that holds half of the weight together with those below it."""
    below = 0.0
    for value, weight in sorted(zip(values, weights, strict=True)):
        below += weight
        if below >= sum(weights) * (0.5 - 1e-9):
            return value
    raise AssertionError


def test_medians_are_the_naive_ones():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, (40, D)).astype(np.float32)  # many ties
    weights = rng.random((40, K)).astype(np.float32) * (rng.random((40, K)) > 0.4)
    found = weighted_medians(torch.from_numpy(x), torch.from_numpy(weights), torch.from_numpy(x.T).argsort(dim=1))
    for k in range(K):
        for d in range(D):
            expected = naive_median(x[:, d].astype(float).tolist(), weights[:, k].astype(float).tolist())
            assert found[k, d] == expected


def test_of_two_equal_halves_the_lower_one_is_the_median():
    x = torch.tensor([[3.0], [1.0], [2.0], [4.0]])
    equal = torch.full((4, 1), 0.1)
    assert weighted_medians(x, equal, x.T.argsort(dim=1)).item() == 2


def test_counting_a_word_twice_is_having_it_twice():
    x = words(50)
    twice = fit_mixture(x, torch.full((50,), 2), K)
    gamma = fit_mixture(x, torch.ones(50), K).posteriors(x)
    torch.testing.assert_close(twice.posteriors(x), gamma)
    counts = torch.randint(1, 4, (50,), generator=torch.Generator().manual_seed(0))
    repeated = x.repeat_interleave(counts, dim=0)
    old = drawn()
    once = fisher._maximised(old, x, old.posteriors(x) * counts[:, None], x.T.argsort(dim=1), "hybrid")
    each = fisher._maximised(old, repeated, old.posteriors(repeated), repeated.T.argsort(dim=1), "hybrid")
    for name, value in once.as_dict().items():
        torch.testing.assert_close(value, each.as_dict()[name])


def test_one_step_of_a_gaussian_mixture_is_scikit_learns():
    module = pytest.importorskip("sklearn.mixture")
    m, x = drawn(kind="gaussian"), words(300)
    found = fisher._maximised(m, x, m.posteriors(x), x.T.argsort(dim=1), "gaussian")
    start = {"weights": m.weights, "means": m.means, "precisions": 1 / m.variances}
    start = {f"{name}_init": value.double().numpy() for name, value in start.items()}
    start["weights_init"] /= start["weights_init"].sum()
    mixture = module.GaussianMixture(K, covariance_type="diag", max_iter=1, reg_covar=0, **start)
    with pytest.warns(UserWarning, match="converge"):
        mixture.fit(x.double().numpy())
    np.testing.assert_allclose(found.weights, mixture.weights_, rtol=1e-3)
    np.testing.assert_allclose(found.means, mixture.means_, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.variances, mixture.covariances_, rtol=1e-3)


def test_each_dimension_takes_the_kind_it_was_drawn_from():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (4000, 2)), rng.laplace(0, 1, (4000, 2))], axis=1).astype(np.float32)
    found = fit_mixture(torch.from_numpy(x), torch.ones(4000), 1)
    assert found.laplacian.tolist() == [[0, 0, 1, 1]]
    np.testing.assert_allclose(found.variances[0, :2], 1, atol=0.1)
    np.testing.assert_allclose(found.scales[0, 2:], 1, atol=0.1)
    np.testing.assert_allclose(found.medians[0], np.median(x, axis=0), atol=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_clusters_are_found(kind):
    places = 20 * torch.eye(3, D)
    made = torch.Generator().manual_seed(0)
    x = torch.cat(
        [place + 0.5 * torch.randn(n, D, generator=made) for place, n in zip(places, (30, 60, 10), strict=True)]
    )
    found = fit_mixture(x, torch.ones(100), 3, kind=kind, seed=5)
    order = found.weights.argsort()
    np.testing.assert_allclose(found.weights[order], [0.1, 0.3, 0.6], atol=1e-5)
    np.testing.assert_allclose(found.means[order], places[[2, 0, 1]], atol=0.5)
    np.testing.assert_allclose(found.medians[order], places[[2, 0, 1]], atol=0.7)
    assert {"gaussian": 0, "laplacian": 1}.get(kind, found.laplacian.mean()) == found.laplacian.mean()


def test_likelihood_rises_with_every_iteration():
    """Not to be expected of the hybrid, whose flags are hard; of each kind by itself it is."""
    x, counts = words(200), torch.ones(200)
    for kind in ("gaussian", "laplacian"):
        told = [fit_mixture(x, counts, K, i, kind).log_joint(x).logsumexp(dim=1).mean().item() for i in range(8)]
        assert all(later >= earlier - 1e-4 for earlier, later in pairwise(told))
        assert told[-1] > told[0] + 0.1


def test_seeds():
    x, counts = words(80), torch.ones(80)
    one, again, other = (fit_mixture(x, counts, K, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.means, again.means) and not torch.equal(one.means, other.means)


def test_fewer_words_than_components_and_words_that_coincide():
    few = fit_mixture(words(2), torch.ones(2), K)
    assert few.means.shape == (2, D) and all(value.isfinite().all() for value in few.as_dict().values())
    alike = torch.ones(6, D)
    same = fit_mixture(alike, torch.ones(6), K)
    assert (same.variances == FLOOR).all() and same.weights.sum() == pytest.approx(1)
    assert same.fisher_vectors(alike, [[0, 1]]).isfinite().all()
    with pytest.raises(ValueError, match="'mixed'; choose one of hybrid, gaussian, laplacian"):
        fit_mixture(words(5), torch.ones(5), 2, kind="mixed")


def test_unit_length():
    found = drawn().fisher_vectors(words(7), [[0], [1, 2], [3, 4, 5, 6]])
    torch.testing.assert_close(found, functional.normalize(found, dim=1))
