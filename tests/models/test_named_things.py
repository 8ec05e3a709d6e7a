"""The named part of the common space: what it adds to a score, and how trust is learnt."""

import torch
from torch.nn import functional

from sspe.models.named_things import NamedThings
from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

SMALL = NetworkSettings(hidden=16, embedding=6, dropout=0.5)


def test_the_named_part_adds_what_the_detector_sees_of_what_a_phrase_names():
    torch.manual_seed(0)
    network = TwoBranchNetwork(12, 9, SMALL, named=True).eval()
    torch.nn.init.normal_(network.named.trust.weight)
    x, y = network(torch.randn(7, 12), torch.randn(3, 9))
    things, names = torch.rand(7, 4), torch.tensor([[0, 1.0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    regions, phrases = network.named.regions(x, things), network.named.phrases(y, names)
    assert regions.shape == (7, 10) and phrases.shape == (3, 10)
    torch.testing.assert_close(phrases.norm(dim=1), torch.ones(3))
    trust = phrases[:, 6:].sum(dim=1, keepdim=True)
    assert trust[1] == 0 and trust[0] > 0 and trust[2] > 0 and trust[0] != trust[2]
    expected = (1 - trust**2).sqrt() * (y @ x.T) + trust * (names @ things.T)
    torch.testing.assert_close(network.scores(phrases, regions), expected)
    assert TwoBranchNetwork(12, 9, SMALL).named is None


def test_trust_is_learnt_and_leaves_the_phrase_where_it_is():
    torch.manual_seed(0)
    named = NamedThings(6)
    y = functional.normalize(torch.randn(3, 6), dim=1).requires_grad_()
    named.phrases(y, torch.ones(3, 4))[:, 6:].sum().backward()
    assert named.trust.weight.grad.abs().sum() > 0 and not y.grad.any()


def test_the_bare_name_of_a_thing_is_trusted_more():
    torch.manual_seed(0)
    named = NamedThings(6)
    y, names = functional.normalize(torch.randn(3, 6), dim=1), torch.ones(3, 1)
    plain, bare = (named.phrases(y, names, torch.tensor(flags))[:, 6] for flags in ([False] * 3, [True, False, True]))
    assert torch.equal(plain, named.phrases(y, names)[:, 6])
    assert bare[0] > plain[0] and bare[1] == plain[1] and bare[2] > plain[2] and bare.max() < 1
