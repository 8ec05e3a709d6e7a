"""Box refinement: changes by hand, its loss against a literal computation, and that it learns."""

import math

import pytest
import torch

from sspe.models.box_refiner import LARGEST, BoxRefiner, apply_changes, refinement_loss
from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

BOXES = torch.tensor([[10.0, 20, 50, 100], [0, 0, 4, 2], [-3, 5, 7, 6], [8, 8, 8, 8]])


def random_boxes(count: int, seed: int = 0) -> torch.Tensor:
    """Boxes (count, 4) of a unit frame, none of them empty."""
    rng = torch.Generator().manual_seed(seed)
    corner, size = torch.rand(count, 2, generator=rng) * 0.6, 0.1 + torch.rand(count, 2, generator=rng) * 0.3
    return torch.cat([corner, corner + size], dim=1)


def refiner(features: int = 6, embedding: int = 4, hidden: int = 8, learnt: bool = True) -> BoxRefiner:
    """One that moves boxes; or, not ``learnt``, a fresh one."""
    torch.manual_seed(0)
    made = BoxRefiner(features, embedding, hidden).eval()
    if learnt:
        torch.nn.init.normal_(made.changes.weight, 0, 0.3)
        torch.nn.init.normal_(made.changes.bias, 0, 0.1)
    return made


def unit(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


# Changes


def test_no_change_leaves_every_box_where_it_is():
    torch.testing.assert_close(apply_changes(BOXES, torch.zeros(4, 4)), BOXES)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ([0.5, 0, 0, 0], [30, 20, 70, 100]),  # half of its 40 to the right
        ([0, -0.25, 0, 0], [10, 0, 50, 80]),  # a quarter of its 80 up
        ([0, 0, math.log(2), 0], [-10, 20, 70, 100]),  # twice as wide about its centre at 30
        ([0, 0, 0, -math.log(2)], [10, 40, 50, 80]),  # half as high about its centre at 60
        ([0.5, -0.25, math.log(2), -math.log(2)], [10, 20, 90, 60]),  # moved by the sides it had, then stretched
    ],
)
def test_changes_by_hand(change, expected):
    found = apply_changes(BOXES[:1], torch.tensor([change]))
    torch.testing.assert_close(found, torch.tensor([expected]).float())


@pytest.mark.parametrize(
    ("asked", "factor"), [(5.0, math.exp(LARGEST)), (-5.0, math.exp(-LARGEST)), (0.9, math.exp(0.9))]
)
def test_a_side_grows_and_shrinks_only_so_far(asked, factor):
    found = apply_changes(torch.tensor([[0.0, 0, 2, 4]]), torch.tensor([[0, 0, asked, asked]]))
    width, height = 2 * factor, 4 * factor
    expected = [1 - width / 2, 2 - height / 2, 1 + width / 2, 2 + height / 2]
    torch.testing.assert_close(found, torch.tensor([expected]))


def test_the_unit_and_the_place_do_not_matter():
    changes = torch.randn(30, 4, generator=torch.Generator().manual_seed(2))
    boxes = random_boxes(30)
    found = apply_changes(boxes, changes)
    size, corner = torch.tensor([640.0, 480, 640, 480]), torch.tensor([7.0, -3, 7, -3])
    torch.testing.assert_close(
        apply_changes(boxes * size + corner, changes), found * size + corner, rtol=1e-4, atol=1e-3
    )
    assert (found[:, 2:] > found[:, :2]).all()  # never inside out


def test_one_box_for_each_of_several_phrases():
    changes = torch.randn(3, 4, 4)
    found = apply_changes(BOXES, changes)
    assert found.shape == (3, 4, 4)
    for p in range(3):
        for r in range(4):
            torch.testing.assert_close(found[p, r], apply_changes(BOXES[r], changes[p, r]))


# Loss


def literal_loss(refined: torch.Tensor, right: torch.Tensor) -> float:
    """1 - (intersection over union - the share of the frame around both that neither covers), box by box."""
    losses = []
    for (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) in zip(refined.tolist(), right.tolist(), strict=True):
        common = max(min(ax2, bx2) - max(ax1, bx1), 0) * max(min(ay2, by2) - max(ay1, by1), 0)
        together = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common
        frame = (max(ax2, bx2) - min(ax1, bx1)) * (max(ay2, by2) - min(ay1, by1))
        losses.append(1 - common / together + (frame - together) / frame)
    return sum(losses) / len(losses)


def test_the_loss_is_the_literal_one():
    a, b = random_boxes(50, seed=3), random_boxes(50, seed=4)
    assert refinement_loss(a, b).item() == pytest.approx(literal_loss(a, b), abs=1e-5)
    apart = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]])
    assert refinement_loss(*apart).item() == pytest.approx(1.5)  # no overlap, and half of the frame of 4 is empty


def test_right_boxes_cost_nothing_and_wrong_ones_pull():
    boxes = random_boxes(5)
    assert refinement_loss(boxes, boxes).item() == pytest.approx(0, abs=1e-5)
    moved = (boxes + torch.tensor([0.9, 0, 0.9, 0])).requires_grad_()  # far to the right of where they belong
    refinement_loss(moved, boxes).backward()
    assert moved.grad.isfinite().all() and (moved.grad[:, [0, 2]].sum(dim=1) > 0).all()  # descent goes left


def test_no_boxes_cost_nothing_and_can_be_differentiated():
    made = refiner()
    none = made(torch.zeros(0, 8), torch.zeros(0, 4), torch.zeros(0, 4))
    loss = refinement_loss(none, torch.zeros(0, 4))
    assert loss.shape == () and loss.item() == 0
    loss.backward()
    grad = made.changes.weight.grad
    assert grad is not None and not grad.any()


# The refiner


def test_an_untrained_refiner_returns_the_boxes_themselves():
    made = refiner(learnt=False)
    found = made(made.describe(torch.randn(4, 6)), unit(3, 1, 4), BOXES)
    torch.testing.assert_close(found, BOXES.expand(3, 4, 4))


def test_the_refiner_is_one_hidden_layer_of_both_shares():
    made = refiner()
    features, phrases, boxes = torch.randn(5, 6), unit(5, 4), random_boxes(5)
    linear, norm = made.region
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        share = (features @ linear.weight.T + linear.bias - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        hidden = (share + 2 * phrases @ made.phrase.weight.T).clamp(min=0)  # 2: root of the embedding's 4
        changes = hidden @ made.changes.weight.T + made.changes.bias
        torch.testing.assert_close(made.describe(features), share)
        torch.testing.assert_close(made(share, phrases, boxes), apply_changes(boxes, changes))
    assert changes.abs().min() > 1e-3


def test_all_phrases_at_once_are_each_for_itself():
    made = refiner()
    regions, phrases, boxes = made.describe(torch.randn(7, 6)), unit(3, 4), random_boxes(7)
    together = made(regions, phrases[:, None], boxes)
    assert together.shape == (3, 7, 4)
    for p in range(3):
        for r in range(7):
            torch.testing.assert_close(together[p, r], made(regions[r], phrases[p], boxes[r]))
    assert (together[0] - together[1]).abs().max() > 0.01  # what is framed is told by the phrase


def test_autocast_still_gives_float32_near_the_exact_boxes():
    made = refiner()
    features, phrases, boxes = torch.randn(7, 6), unit(3, 1, 4), 500 * random_boxes(7)
    exact = made(made.describe(features), phrases, boxes)
    with torch.autocast("cpu", torch.bfloat16):
        regions = made.describe(features)
        rounded = made(regions, phrases, boxes)
    assert regions.dtype == rounded.dtype == torch.float32
    sides = boxes[:, 2:] - boxes[:, :2]
    assert ((rounded - exact).abs() / torch.cat([sides, sides], dim=1)).max() < 0.05


def test_a_constant_offset_is_learnt():
    """Every box is a fifth too far right and a third too small; what to do is the same for all."""
    made = refiner(learnt=False).train()
    features, phrases, right = torch.randn(64, 6), unit(64, 4), random_boxes(64)
    sides = (right[:, 2:] - right[:, :2]) / 1.5
    middle = (right[:, :2] + right[:, 2:]) / 2 + 0.2 * sides * torch.tensor([1, 0])
    boxes = torch.cat([middle - sides / 2, middle + sides / 2], dim=1)
    optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
    losses = []
    for _ in range(80):
        loss = refinement_loss(made(made.describe(features), phrases, boxes), right)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(literal_loss(boxes, right), abs=1e-5) and losses[0] > 0.5
    assert losses[-1] < 0.1


def test_what_to_frame_is_learnt_from_the_phrase():
    """The same region: the first phrase means its left half, the second its right half."""
    made = refiner(learnt=False).train()
    features, phrases = torch.randn(32, 6), unit(2, 4)
    boxes, which = random_boxes(32), torch.arange(32) % 2
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    right = boxes.clone()
    right[which == 0, 2], right[which == 1, 0] = middle[which == 0], middle[which == 1]
    optimiser = torch.optim.Adam(made.parameters(), lr=0.03)
    for _ in range(80):
        loss = refinement_loss(made(made.describe(features), phrases[which], boxes), right)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    made.eval()
    found = made(made.describe(features), phrases[:, None], boxes)
    assert loss < 0.15
    for phrase in (0, 1):  # also for the regions that this phrase was never said of
        centre = (found[phrase, :, 0] + found[phrase, :, 2]) / 2
        assert ((centre < middle) if phrase == 0 else (centre > middle)).float().mean() > 0.9


# Beside the branches


def test_the_network_has_a_refiner_of_the_size_it_is_told_or_none():
    network = TwoBranchNetwork(12, 9, NetworkSettings(hidden=16, embedding=6, refiner=10))
    assert network.refiner.region[0].in_features == 12 and network.refiner.phrase.in_features == 6
    assert network.refiner.changes.in_features == 10
    bare = TwoBranchNetwork(12, 9, NetworkSettings(hidden=16, embedding=6, refiner=0))
    assert bare.refiner is None
    assert {name for name in network.state_dict() if not name.startswith("refiner.")} == set(bare.state_dict())
