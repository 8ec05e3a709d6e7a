"""The two branches: shapes, unit length, and what changes between training and use."""

import pytest
import torch

from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

SMALL = NetworkSettings(hidden=16, embedding=6, dropout=0.5)


@pytest.fixture
def network() -> TwoBranchNetwork:
    torch.manual_seed(0)
    return TwoBranchNetwork(12, 9, SMALL)


def test_the_layers_are_those_of_the_released_code(network):
    for branch, features in ((network.image, 12), (network.text, 9)):
        first, norm, relu, dropout, last = branch.layers
        assert (first.in_features, first.out_features, norm.num_features) == (features, 16, 16)
        assert isinstance(relu, torch.nn.ReLU) and dropout.p == 0.5
        assert (last.in_features, last.out_features) == (16, 6)


def test_the_default_sizes_are_the_papers():
    network = TwoBranchNetwork(3, 4)
    assert network.settings == NetworkSettings() and (SMALL.hidden, NetworkSettings().hidden) == (16, 2048)
    assert network.text.layers[-1].out_features == 512


@pytest.mark.parametrize("training", [True, False])
def test_embeddings_have_unit_length(network, training):
    network.train(training)
    x, y = network(100 * torch.randn(7, 12), torch.randn(5, 9))
    assert x.shape == (7, 6) and y.shape == (5, 6) and x.dtype == y.dtype == torch.float32
    for v in (x, y):
        torch.testing.assert_close(v.norm(dim=1), torch.ones(len(v)))


def test_a_phrase_of_no_known_word_still_has_an_embedding(network):
    _, y = network.eval()(torch.zeros(1, 12), torch.zeros(2, 9))
    torch.testing.assert_close(y.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(y[0], y[1])


def test_in_use_a_row_depends_on_itself_alone(network):
    x, y = torch.randn(8, 12), torch.randn(8, 9)
    network.eval()
    together, again = network(x, y), network(x, y)
    for a, b in zip(together, again, strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(network.image(x[3:4]), together[0][3:4])
    torch.testing.assert_close(network.text(y[3:4]), together[1][3:4])
    assert network.image(x[:0]).shape == (0, 6)


def test_training_drops_units_and_moves_the_statistics(network):
    x, y = torch.randn(8, 12), torch.randn(8, 9)
    network.train()
    first, second = network(x, y)[0], network(x, y)[0]
    assert not torch.allclose(first, second)
    assert network.image.layers[1].running_mean.abs().max() > 0
    assert network.text.layers[1].num_batches_tracked == 2


def test_each_branch_learns_from_its_own_side_alone(network):
    x, y = network.train()(torch.randn(8, 12), torch.randn(8, 9))
    (x @ torch.randn(6)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.image.parameters())
    assert all(p.grad is None for p in network.text.parameters())
    assert y.requires_grad


def test_autocast_still_gives_float32_of_unit_length(network):
    network.eval()
    x, y = torch.randn(4, 12), torch.randn(4, 9)
    exact = network(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x, y)
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype == torch.float32
        torch.testing.assert_close(b.norm(dim=1), torch.ones(4))
        assert (a * b).sum(dim=1).min() > 0.999


def test_on_unit_vectors_distance_and_cosine_rank_alike(network):
    x, y = network.eval()(torch.randn(20, 12), torch.randn(1, 9))
    by_distance = torch.cdist(y, x)[0].argsort()
    assert torch.equal(by_distance, (y @ x.T)[0].argsort(descending=True))
