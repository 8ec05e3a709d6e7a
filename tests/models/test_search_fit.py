"""The directions that are kept of regions are those that phrases ask about."""

import pytest
import torch

from sspe.models.search_fit import HEADROOM, LEVELS, directions_seen, principal_directions, scales_of


@pytest.fixture(scope="module")
def spread():
    """Vectors that vary most where no phrase asks, and phrases."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(500, 20, generator=generator) * torch.tensor([9.0] * 5 + [1.0] * 5 + [0.01] * 10)
    phrases = torch.randn(300, 20, generator=generator) * torch.tensor([0.001] * 5 + [1.0] * 15)
    return vectors, phrases


def test_scores_stay_as_they_are_with_few_numbers(spread):
    vectors, phrases = spread
    exact = phrases @ vectors.T

    def error(basis, reading):
        return float((phrases @ reading @ (vectors @ basis).T - exact).square().mean() / exact.square().mean())

    plain = principal_directions(vectors, 5)
    assert error(plain, plain) > 0.9  # they keep what no phrase asks about
    assert error(*directions_seen(vectors, phrases, 10)) < 0.01
    assert error(*directions_seen(vectors, phrases, 20)) < 1e-6


def test_what_is_read_again_and_turned_again_is_the_same(spread):
    basis, reading = directions_seen(*spread, 10)
    assert torch.allclose(basis.T @ reading, torch.eye(10), atol=1e-4)
    energy = (spread[0] @ basis).square().mean(dim=0)
    assert (energy[:-1] >= energy[1:] * 0.999).all()  # the most important first


def test_signed_bytes_have_room_for_larger_numbers(spread):
    vectors = spread[0]
    assert float((vectors.abs() / scales_of(vectors)).max()) == pytest.approx(LEVELS / HEADROOM, rel=1e-4)
    assert float((vectors.abs() / scales_of(vectors, 1.0)).max()) == pytest.approx(LEVELS, rel=1e-4)
