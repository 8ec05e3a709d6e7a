"""The similarity network: its layers, its scores, and its loss against the literal loop."""

import math

import pytest
import torch

from sspe.models.losses import Matches
from sspe.models.networks import NETWORKS, create_network
from sspe.models.similarity import SimilarityNetwork, similarity_loss
from sspe.settings import NETWORK_KINDS, NetworkSettings

SMALL = NetworkSettings(kind="similarity", hidden=16, embedding=6, judge=10, refiner=0)


@pytest.fixture
def network() -> SimilarityNetwork:
    torch.manual_seed(0)
    return create_network(12, 9, SMALL).eval()


def matches(positive, negative, same_photo) -> Matches:
    positive, negative, same_photo = (torch.tensor(rows, dtype=torch.bool) for rows in (positive, negative, same_photo))
    return Matches(positive, negative, same_photo, torch.eye(len(positive), dtype=torch.bool))


def test_kinds():
    assert tuple(NETWORKS) == NETWORK_KINDS
    with pytest.raises(ValueError, match="'other'; choose one of embedding, similarity, cca"):
        create_network(3, 4, NetworkSettings(kind="other"))


def test_the_layers_are_those_of_the_journal_version(network):
    first, norm, relu, last = network.judge
    assert (first.in_features, first.out_features, norm.num_features) == (6, 10, 10)
    assert isinstance(norm, torch.nn.BatchNorm1d) and isinstance(relu, torch.nn.ReLU)
    assert (last.in_features, last.out_features) == (10, 1)


def test_scores_are_probabilities_of_every_pair(network):
    x, y = network(torch.randn(5, 12), torch.randn(3, 9))
    scores = network.scores(y, x)
    assert scores.shape == (3, 5) and ((scores > 0) & (scores < 1)).all()
    for p in range(3):
        for r in range(5):
            product = (x[r] * y[p] * 6**0.5)[None]
            torch.testing.assert_close(scores[p, r], network.judge(product)[0, 0].sigmoid())
    assert network.scores(y[:0], x).shape == (0, 5) and network.scores(y, x[:0]).shape == (3, 0)


def test_the_loss_is_the_literal_loop(network):
    # Two photos of two regions and two phrases; the second phrase is neutral to its own first region.
    m = matches(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]],
        [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]],
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
    )
    x, y = network(torch.randn(4, 12), torch.randn(4, 9))
    found = similarity_loss(network, x, y, m)
    total, count = 0.0, 0
    for p in range(4):
        for r in range(4):
            t = 1 if m.positive[p, r] else -1 if m.negative[p, r] else 0
            if t:
                s = network.similarities(x[r : r + 1], y[p : p + 1]).item()
                total, count = total + math.log(1 + math.exp(-t * s)), count + 1
    assert count == 6 and found.item() == pytest.approx(total / count, rel=1e-5)


def test_as_many_pairs_across_photos_as_there_are_matches(network):
    positive, same = torch.eye(8, dtype=torch.bool), torch.eye(8, dtype=torch.bool)
    m = Matches(positive, ~positive, same, positive)
    x, y = network(torch.randn(8, 12), torch.randn(8, 9))
    seen = []
    whole = network.similarities
    network.similarities = lambda a, b: seen.append(len(a)) or whole(a, b)
    torch.manual_seed(1)
    one = similarity_loss(network, x, y, m)
    other = similarity_loss(network, x, y, m)
    assert seen == [16, 16] and one != other  # eight matches, eight mismatches, drawn anew
    torch.manual_seed(1)
    assert similarity_loss(network, x, y, m) == one


def test_no_pair_and_one_pair_give_zero_and_a_gradient(network):
    network.train()
    none = torch.zeros(2, 2, dtype=torch.bool)
    for positive in (none, torch.tensor([[True, False], [False, False]])):
        x, y = network(torch.randn(2, 12), torch.randn(2, 9))
        loss = similarity_loss(network, x, y, Matches(positive, none, none, none))
        assert loss == 0
        loss.backward()


def test_it_learns_to_tell_matches_from_mismatches():
    torch.manual_seed(0)
    settings = NetworkSettings(kind="similarity", hidden=64, embedding=32, judge=32, dropout=0.0, refiner=0)
    network = create_network(12, 12, settings).train()
    features = torch.randn(32, 12)
    same = torch.eye(32, dtype=torch.bool)
    m = Matches(same, ~same, torch.ones_like(same), same)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(150):
        loss = similarity_loss(network, *network(features, features), m)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    scores = network.scores(network.text(features), network.image(features))
    assert (scores.argmax(dim=1) == torch.arange(32)).float().mean() > 0.8
