"""A phrase is compared with those of training: how familiar it is, and what tells it from them."""

from dataclasses import replace

import pytest
import torch

from sspe.models.search_fit import SearchFit
from sspe.searching.familiar import SHARED, FamiliarPhrases


@pytest.fixture(scope="module")
def fit():
    """Two directions of three are kept of the training phrases: some men alike, and one dog."""
    nothing = torch.zeros(0)
    men = torch.tensor([[1.0, 0.0], [0.995, 0.0995], [0.98, -0.2]])
    familiar = torch.cat([torch.nn.functional.normalize(men, dim=1), torch.tensor([[0.0, 1.0]])])
    hubs = torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]])
    return SearchFit(
        torch.eye(3), torch.ones(3), nothing, nothing, nothing, hubs, nothing, torch.tensor(0.1),
        familiar=familiar, familiar_basis=torch.eye(3)[:, :2],
    )  # fmt: skip


def test_what_captions_speak_of_is_familiar(fit):
    man, unheard_of = FamiliarPhrases(fit).familiarity(torch.tensor([[1.0, 0, 0], [0, 0, 2.0]]))
    assert man == pytest.approx((1 + 0.995 + 0.98) / 3, abs=1e-3) and unheard_of == 0


def test_what_phrases_share_is_taken_off_in_part(fit):
    y = torch.tensor([[0.9, 0, 0.4359]])  # a man, and something that no other has
    apart, plain = FamiliarPhrases(fit).set_apart(torch.cat([y, y]), ["a man in a red hat", "The man"])
    assert apart[0] == pytest.approx(0.9 - SHARED, abs=0.02) and apart[2] == y[0, 2]
    assert abs(apart[1]) < 0.02  # the dog is too far away to count
    assert torch.equal(plain, y[0])  # what all of them show


def test_an_older_fit_has_the_phrases_of_hubs_alone(fit):
    older = FamiliarPhrases(replace(fit, familiar=None, familiar_basis=None))
    y = torch.tensor([[0, 0.6, 0.8]])
    assert older.familiarity(y) == pytest.approx(1) and torch.equal(older.set_apart(y, ["two dogs"]), y)
    nothing = FamiliarPhrases(replace(fit, phrases=torch.zeros(0, 3), familiar=None, familiar_basis=None))
    assert nothing.familiarity(y).tolist() == [0] and torch.equal(nothing.set_apart(y, ["two dogs"]), y)
