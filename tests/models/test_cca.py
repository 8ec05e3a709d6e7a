"""Canonical correlation analysis against scikit-learn and on made data."""

import numpy as np
import pytest
import torch

from sspe.models.cca import CCANetwork, canonical
from sspe.models.networks import create_network
from sspe.settings import NetworkSettings

SETTINGS = NetworkSettings(kind="cca", embedding=4)


def views(count: int = 2000, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two views (N, 7) and (N, 5) of three hidden numbers, the first seen best, each among numbers of its own."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(count, 3))
    made = []
    for size in (7, 5):
        own = rng.normal(size=(count, size))
        seen = hidden @ (rng.normal(size=(3, size)) * np.array([[3.0], [1.5], [0.7]]))
        made.append(torch.from_numpy(seen * noise + own + rng.normal(size=size)).float())
    return made[0], made[1]


def fitted(x, y, **changes) -> tuple[CCANetwork, torch.Tensor]:
    network = CCANetwork(x.shape[1], y.shape[1], NetworkSettings(kind="cca", **{"embedding": 4} | changes))
    return network, network.fit(zip(x.split(300), y.split(300), strict=True))


def covariances(x, y):
    whole = torch.from_numpy(np.cov(torch.cat([x, y], dim=1).T.double(), bias=True))
    d = x.shape[1]
    return whole[:d, :d], whole[d:, d:], whole[:d, d:]


def test_correlations_and_directions_are_scikit_learns():
    decomposition = pytest.importorskip("sklearn.cross_decomposition")
    x, y = views()
    wx, wy, correlations = canonical(*covariances(x, y), ridge=0)
    a, b = (view.double() - view.double().mean(dim=0) for view in (x, y))
    ours = a @ wx, b @ wy
    other = decomposition.CCA(3, scale=False, max_iter=5000, tol=1e-12).fit(x.double().numpy(), y.double().numpy())
    theirs = other.transform(x.double().numpy(), y.double().numpy())
    for k in range(3):
        expected = np.corrcoef(theirs[0][:, k], theirs[1][:, k])[0, 1]
        assert float(correlations[k]) == pytest.approx(expected, abs=1e-4)
        assert np.corrcoef(ours[0][:, k], ours[1][:, k])[0, 1] == pytest.approx(expected, abs=1e-4)
        for our, their in zip(ours, theirs, strict=True):
            assert abs(np.corrcoef(our[:, k], their[:, k])[0, 1]) > 0.999
    assert correlations[0] > correlations[1] > correlations[2] > 2 * correlations[3]  # three numbers are shared


def test_canonical_variates_are_white_and_correlated_pair_by_pair_alone():
    x, y = views()
    cxx, cyy, cxy = covariances(x, y)
    wx, wy, correlations = canonical(cxx, cyy, cxy, ridge=0)
    torch.testing.assert_close(wx.T @ cxx @ wx, torch.eye(5).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(wy.T @ cyy @ wy, torch.eye(5).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(wx.T @ cxy @ wy, torch.diag(correlations), atol=1e-6, rtol=0)


def test_the_embeddings_by_hand():
    """Centre, project, weigh by the correlations, unit length."""
    x, y = views()
    network, correlations = fitted(x, y)
    wx, wy, all_correlations = canonical(*covariances(x, y))
    torch.testing.assert_close(correlations, all_correlations[:4].float(), atol=1e-4, rtol=0)
    found = network(x[:9], y[:9])
    for view, w, given, embedded in ((x, wx, x[:9], found[0]), (y, wy, y[:9], found[1])):
        expected = (given.double() - view.double().mean(dim=0)) @ w[:, :4] * all_correlations[:4]
        expected /= expected.norm(dim=1, keepdim=True)
        # A direction may come out with either sign, in both views at once.
        sign = (expected * embedded).sum(dim=0).sign()
        torch.testing.assert_close(embedded.double(), expected * sign, atol=1e-3, rtol=0)
    torch.testing.assert_close(network.scores(found[1], found[0]), found[1] @ found[0].T)
    assert network.scores(found[1], found[0]).diagonal().mean() > 0.3


def test_matching_pairs_score_higher_than_others():
    x, y = views(noise=1.0)
    network, _ = fitted(x[:1000], y[:1000])
    a, b = network(x[1000:], y[1000:])  # pairs it was not fitted on
    scores = network.scores(b, a)
    rank = (scores > scores.diagonal()[:, None]).float().mean(dim=1)
    assert rank.mean() < 0.1  # 0.5 would be chance


def test_batches_do_not_matter_and_fitting_leaves_nothing_to_train():
    x, y = views(500)
    one, other = CCANetwork(7, 5, SETTINGS), CCANetwork(7, 5, SETTINGS)
    torch.testing.assert_close(one.fit([(x, y)]), other.fit(zip(x.split(77), y.split(77), strict=True)))
    torch.testing.assert_close(one.image.matrix, other.image.matrix, rtol=1e-3, atol=1e-4)
    assert list(one.parameters()) == [] and one.refiner is None


def test_features_that_say_nothing_new_stay_finite():
    x, y = views(400)
    x = torch.cat([x, x[:, :1], torch.ones(400, 1)], dim=1)  # twice the same, and a constant
    network, correlations = fitted(x, y)
    assert all(v.isfinite().all() for v in network(x, y)) and correlations.isfinite().all()
    assert (correlations <= 1 + 1e-6).all()


def test_sizes_and_precision():
    network = create_network(7, 5, NetworkSettings(kind="cca"))
    assert isinstance(network, CCANetwork) and network.image.matrix.shape == (7, 5)  # no more directions than numbers
    x, y = views()
    network, _ = fitted(x, y)
    exact = network(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(exact, network(x, y), strict=True))
