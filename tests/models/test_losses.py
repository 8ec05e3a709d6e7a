"""The vectorised loss against a slow, literal loop over the triplets of equations (1) to (4)."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from sspe.models.losses import (
    Matches,
    distances,
    phrase_neighbours,
    region_neighbours,
    structure_preserving_loss,
    triplet_term,
)
from sspe.settings import LossSettings

TERMS = ("region_anchor", "phrase_anchor", "same_photo", "region_structure", "phrase_structure")
ALL = LossSettings(region_anchor=1.0, phrase_anchor=2.0, same_photo=0.7, region_structure=0.3, phrase_structure=0.2)


# The literal version: numbers, loops and the words of the paper; nothing of it is shared with the code under test.


def d(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Euclidean distance of two unit vectors, not squared; the constant is the released code's."""
    return (((a - b) ** 2).sum() + 1e-4) ** 0.5


def hinges(margin: float, top_k: int, triplets: list[tuple]) -> torch.Tensor:
    """Mean over positive pairs of the sum of [m + d(anchor, positive) - d(anchor, negative)]+, the K largest of each.

    ``triplets`` holds one (anchor, positive, negatives) for every positive pair.
    """
    total = torch.zeros((), dtype=torch.float64)
    for anchor, positive, negatives in triplets:
        violations = [margin + d(anchor, positive) - d(anchor, negative) for negative in negatives]
        violations = sorted((v for v in violations if v > 0), key=lambda v: -v.item())
        for violation in violations[:top_k]:
            total = total + violation
    return total / max(len(triplets), 1)


def literal_terms(x, y, m: Matches, s: LossSettings) -> dict[str, torch.Tensor]:
    regions, phrases = range(len(x)), range(len(y))

    def shared(i, j) -> bool:  # regions i and j share a phrase
        return any(m.positive[p, i] and m.positive[p, j] for p in phrases)

    def reads_alike(i, j) -> bool:  # a phrase of region i has the words of a phrase of region j
        return any(m.positive[p, i] and m.positive[q, j] and m.same_words[p, q] for p in phrases for q in phrases)

    def mismatch(i, j) -> bool:  # one of the regions is a stated mismatch of a phrase of the other
        return any((m.positive[p, i] and m.negative[p, j]) or (m.positive[p, j] and m.negative[p, i]) for p in phrases)

    def common(p, q) -> bool:  # phrases p and q share a region
        return any(m.positive[p, i] and m.positive[q, i] for i in regions)

    def common_words(p, q) -> bool:  # somewhere in the batch, phrases of these words share a region
        return any(m.same_words[p, a] and common(a, b) and m.same_words[b, q] for a in phrases for b in phrases)

    def wrong(p, q) -> bool:  # a region of one phrase is a stated mismatch of the other
        return any((m.positive[p, i] and m.negative[q, i]) or (m.positive[q, i] and m.negative[p, i]) for i in regions)

    one = [
        (x[i], y[p], [y[q] for q in phrases if m.negative[q, i]]) for i in regions for p in phrases if m.positive[p, i]
    ]
    two = [
        (y[p], x[i], [x[k] for k in regions if m.negative[p, k]]) for p in phrases for i in regions if m.positive[p, i]
    ]
    own = [
        (y[p], x[i], [x[k] for k in regions if m.negative[p, k] and m.same_photo[p, k]])
        for p in phrases
        for i in regions
        if m.positive[p, i]
    ]

    def neighbours(anchor, positives) -> list:  # all of them, or the farthest alone
        return sorted(positives, key=lambda other: -d(anchor, other).item())[: 1 if s.farthest else None]

    three = [
        (
            x[i],
            near,
            [x[k] for k in regions if k != i and mismatch(i, k) and not shared(i, k) and not reads_alike(i, k)],
        )
        for i in regions
        for near in neighbours(x[i], [x[j] for j in regions if i != j and shared(i, j)])
    ]
    four = [
        (y[p], near, [y[r] for r in phrases if wrong(p, r) and not m.same_words[p, r] and not common_words(p, r)])
        for p in phrases
        for near in neighbours(y[p], [y[q] for q in phrases if common(p, q) and not m.same_words[p, q]])
    ]
    return {
        "region_anchor": hinges(s.margin, s.top_k, one),
        "phrase_anchor": hinges(s.margin, s.top_k, two),
        "same_photo": hinges(s.margin, s.same_photo_top_k, own),
        "region_structure": hinges(s.margin, s.top_k, three),
        "phrase_structure": hinges(s.margin, s.top_k, four),
    }


def embeddings(matches: Matches, seed: int = 0, size: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """Leaf tensors x (R, E) and y (P, E) of unit length, float64."""
    phrases, regions = matches.positive.shape
    made = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(n, size, generator=made, dtype=torch.float64) for n in (regions, phrases))
    return tuple(functional.normalize(v, dim=1).detach().requires_grad_() for v in (x, y))


def random_matches(seed: int, photos: int = 3, words: int = 5, bare: bool = False) -> Matches:
    """Photos of 2 to 4 phrases and 3 to 5 regions, with twins, regions that are neither, words in several photos.

    ``bare``: words 0 read like words 1 and 2, which do not read like each other: "dog", "brown dog", "black dog".
    """
    made = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=made))

    sizes = [(number(2, 5), number(3, 6)) for _ in range(photos)]
    of_phrase = torch.cat([torch.full((p,), i) for i, (p, _) in enumerate(sizes)])
    of_region = torch.cat([torch.full((r,), i) for i, (_, r) in enumerate(sizes)])
    same_photo = of_phrase[:, None] == of_region[None]
    said = torch.randint(0, words, (len(of_phrase),), generator=made)
    same_words = said[:, None] == said[None]
    if bare:
        of_bare = (said[:, None] == 0) & (said[None] > 0) & (said[None] < 3)
        same_words = same_words | of_bare | of_bare.T
    kind = torch.rand(same_photo.shape, generator=made)
    positive = same_photo & (kind < 0.35)
    elsewhere = torch.stack(
        [(same_words[p] & (of_phrase[None] == of_region[:, None])).any(1) for p in range(len(said))]
    )
    negative = (same_photo & (kind > 0.5)) | (~same_photo & ~elsewhere)
    return Matches(positive, negative, same_photo, same_words)


# Value and gradient


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(("top_k", "own_top_k", "farthest"), [(1, 1, False), (3, 2, True), (1000, 1000, False)])
def test_every_term_and_the_total_equal_the_literal_loop(seed, top_k, own_top_k, farthest, bare):
    matches = random_matches(seed, words=8 if bare else 5, bare=bare)
    settings = replace(ALL, margin=0.4, top_k=top_k, same_photo_top_k=own_top_k, farthest=farthest)
    x, y = embeddings(matches, seed)
    computed = structure_preserving_loss(x, y, matches, settings)
    expected = literal_terms(x, y, matches, settings)
    assert set(computed) == {"loss", *TERMS}
    for name in TERMS:
        assert computed[name].item() == pytest.approx(expected[name].item(), abs=1e-9), name
        assert expected[name].item() > 0, name  # or the comparison would say nothing
    total = sum(getattr(settings, name) * expected[name] for name in TERMS)
    assert computed["loss"].item() == pytest.approx(total.item(), abs=1e-9)
    for ours, theirs in zip(
        torch.autograd.grad(computed["loss"], (x, y)), torch.autograd.grad(total, (x, y)), strict=True
    ):
        # Off the sphere the two distances differ, |a|^2 + |b|^2 - 2ab against 2 - 2ab; along it they are one.
        torch.testing.assert_close(_tangent(ours, (x, y)), _tangent(theirs, (x, y)), atol=1e-9, rtol=1e-9)


def _tangent(gradient: torch.Tensor, points: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The part of a gradient along the unit sphere, which is all that normalised embeddings pass on."""
    point = next(p.detach() for p in points if p.shape == gradient.shape)
    return gradient - (gradient * point).sum(dim=1, keepdim=True) * point


@pytest.mark.parametrize("name", TERMS)
def test_each_term_alone_has_the_literal_gradient(name):
    matches = random_matches(11)
    weights = dict.fromkeys(TERMS, 0.0) | {name: 1.0}
    settings = LossSettings(margin=0.5, top_k=2, same_photo_top_k=2, **weights)
    x, y = embeddings(matches, 11)
    computed = structure_preserving_loss(x, y, matches, settings)
    assert set(computed) == {"loss", name} and not computed[name].requires_grad
    expected = literal_terms(x, y, matches, settings)[name]
    ours = torch.autograd.grad(computed["loss"], (x, y), allow_unused=True)
    theirs = torch.autograd.grad(expected, (x, y), allow_unused=True)
    for a, b, point in zip(ours, theirs, (x, y), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert b.abs().max() > 0
            torch.testing.assert_close(_tangent(a, (point,)), _tangent(b, (point,)), atol=1e-9, rtol=1e-9)


def test_through_normalisation_the_gradient_equals_the_numerical_one():
    matches = random_matches(2, photos=2)
    raw = [
        torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
        for n in matches.positive.shape
    ]
    y, x = (v.requires_grad_() for v in raw)

    def loss(x, y):
        return structure_preserving_loss(
            functional.normalize(x, dim=1), functional.normalize(y, dim=1), matches, replace(ALL, margin=0.3)
        )["loss"]

    assert torch.autograd.gradcheck(loss, (x, y), eps=1e-7, atol=1e-5)


def test_distances_are_euclidean_and_have_a_gradient_where_vectors_coincide():
    x, y = embeddings(random_matches(0))
    apart = torch.cdist(y, x)
    torch.testing.assert_close(distances(y, x), (apart**2 + 1e-4).sqrt(), atol=1e-12, rtol=0)
    assert (distances(y, x) - apart).abs().max() <= 0.01
    same = distances(x, x)
    assert same.diagonal().min() >= 0.01 - 1e-9  # the constant alone
    (gradient,) = torch.autograd.grad(same.sum(), x)
    assert gradient.isfinite().all()


def test_vectors_a_little_too_long_give_no_nan():
    v = functional.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    v = (v * 1.001).requires_grad_()  # 2 - 2ab falls below 0
    loss = distances(v, v).sum()
    loss.backward()
    assert loss.isfinite() and v.grad.isfinite().all()


# Mining


def test_top_k_keeps_the_most_violating_negatives():
    d = torch.tensor([[0.5, 0.9, 0.1, 0.4, 0.45, 0.7]], requires_grad=True)
    positive = torch.tensor([[True, False, False, False, False, False]])
    negative = ~positive
    negative[0, 4] = False  # neither: never counted, near as it is
    for k, expected, pulled in (
        (1, 0.6, [2]),
        (2, 0.6 + 0.3, [2, 3]),
        (4, 0.6 + 0.3, [2, 3]),  # the third nearest is farther than the margin
        (50, 0.6 + 0.3, [2, 3]),
    ):
        value = triplet_term(d, positive, negative, margin=0.2, top_k=k)
        assert value.item() == pytest.approx(expected, abs=1e-6)
        (gradient,) = torch.autograd.grad(value, d)
        expected_gradient = torch.zeros(6)
        expected_gradient[pulled] = -1
        expected_gradient[0] = len(pulled)
        torch.testing.assert_close(gradient[0], expected_gradient)


def test_every_positive_pair_of_an_anchor_counts_and_the_sum_is_divided_by_the_pairs():
    d = torch.tensor([[0.5, 0.6, 0.3], [0.2, 0.9, 0.4]])
    positive = torch.tensor([[True, True, False], [True, False, False]])
    value = triplet_term(d, positive, ~positive, margin=0.1, top_k=5)
    # Anchor 0: .1 + .5 - .3 and .1 + .6 - .3; anchor 1: nothing nearer than .2 + .1.
    assert value.item() == pytest.approx((0.3 + 0.4) / 3)


def test_no_positive_pair_and_no_negative_give_zero_with_a_gradient():
    for positive, negative in ((False, True), (True, False), (False, False)):
        matches = Matches(
            torch.full((3, 4), positive), torch.full((3, 4), negative), torch.ones(3, 4, dtype=bool), torch.eye(3) > 0
        )
        x, y = embeddings(matches)
        computed = structure_preserving_loss(x, y, matches, replace(ALL, top_k=2))
        assert all(value.item() == 0 for value in computed.values())
        for gradient in torch.autograd.grad(computed["loss"], (x, y)):
            assert gradient.isfinite().all() and not gradient.any()


def test_a_batch_without_phrases_or_with_one_of_each():
    none = torch.zeros(0, 4, dtype=bool)
    empty = Matches(none, none, none, torch.zeros(0, 0, dtype=bool))
    x, y = embeddings(empty)
    assert structure_preserving_loss(x, y, empty, ALL)["loss"].item() == 0
    yes = torch.ones(1, 1, dtype=bool)
    single = Matches(yes, ~yes, yes, yes)
    x, y = embeddings(single)
    assert structure_preserving_loss(x, y, single, ALL)["loss"].item() == 0


def test_a_weight_of_zero_leaves_its_term_out_and_the_defaults_hold():
    matches = random_matches(1)
    x, y = embeddings(matches)
    computed = structure_preserving_loss(x, y, matches)
    assert set(computed) == {"loss", "region_anchor", "phrase_anchor", "same_photo", "phrase_structure"}
    s = LossSettings()
    total = sum(getattr(s, name) * value for name, value in computed.items() if name != "loss")
    torch.testing.assert_close(computed["loss"].detach(), total)
    assert computed["loss"].requires_grad and not any(computed[name].requires_grad for name in set(computed) - {"loss"})


def test_a_perfect_embedding_costs_nothing():
    eye = torch.eye(2, dtype=torch.bool)
    matches = Matches(eye, ~eye, eye, eye)
    x = torch.eye(2, 4, dtype=torch.float64).requires_grad_()
    computed = structure_preserving_loss(x, x.clone(), matches, replace(ALL, margin=1.3))
    assert computed["loss"].item() == 0
    assert structure_preserving_loss(x, x.flip(0), matches, ALL)["loss"].item() > 1


class Largest(TorchDispatchMode):
    """Watches every tensor that is made within its block, forwards and backwards."""

    numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        made = function(*arguments, **(keywords or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("top_k", [5, 1000])
def test_no_tensor_grows_with_triplets_however_many_pairs_match(top_k):
    """Every phrase of a photo fits every region of it: a quarter of all pairs, with as many triplets each as asked."""
    side = 48
    photo = torch.arange(side) // 12
    positive = photo[:, None] == photo[None]
    matches = Matches(positive, ~positive, positive, torch.eye(side) > 0)
    x, y = embeddings(matches, size=4)
    with Largest() as largest:
        structure_preserving_loss(x, y, matches, replace(ALL, margin=0.5, top_k=top_k))["loss"].backward()
    assert side**2 <= largest.numbers <= 1.1 * side**2  # a line of a row's sums is one longer than the row


# Neighbours


def two_photos() -> Matches:
    """Photo A: "a man" and "a person" are region 0, "a hat" is region 1. Photo B: "a man" is region 2, "a dog" 3.

    Region 4 is a proposal of B near the man's box: neither his nor not his.
    """
    words = ["man", "person", "hat", "man", "dog"]
    of_phrase = torch.tensor([0, 0, 0, 1, 1])
    of_region = torch.tensor([0, 0, 1, 1, 1])
    positive = torch.zeros(5, 5, dtype=bool)
    for phrase, region in ((0, 0), (1, 0), (2, 1), (3, 2), (4, 3)):
        positive[phrase, region] = True
    same_photo = of_phrase[:, None] == of_region[None]
    same_words = torch.tensor([[a == b for b in words] for a in words])
    negative = ~positive
    negative[3, 4] = False
    negative[0, 2:] = False  # "a man" of A says nothing of B's regions, and the other way round
    negative[3, :2] = False
    return Matches(positive, negative, same_photo, same_words)


def test_phrases_of_one_region_are_near_and_phrases_of_the_same_words_are_neither():
    near, far = phrase_neighbours(two_photos())
    assert near.nonzero().tolist() == [[0, 1], [1, 0]]
    # man and hat, person and hat, hat and man', hat and dog, person and dog, man and dog, man' and dog; not man and
    # man', nor person and man', for in A a man is a person.
    expected = {(0, 2), (1, 2), (2, 3), (2, 4), (1, 4), (0, 4), (3, 4)}
    assert {(int(a), int(b)) for a, b in far.nonzero() if a < b} == expected


def test_regions_of_one_phrase_are_near_and_regions_of_the_same_words_are_neither():
    matches = two_photos()
    matches.positive[0, 1], matches.negative[0, 1] = True, False  # region 1 shows the man as well
    near, far = region_neighbours(matches)
    assert near.nonzero().tolist() == [[0, 1], [1, 0]]
    # B's man is neither near nor far from A's. Region 4 shows nothing, but is a stated mismatch of others' phrases.
    assert {(int(a), int(b)) for a, b in far.nonzero() if a < b} == {(0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (3, 4)}


def test_neighbours_are_symmetric_disjoint_and_never_oneself():
    pairs = 0
    for seed in range(20):
        matches = random_matches(seed, photos=4)
        for near, far in (region_neighbours(matches), phrase_neighbours(matches)):
            assert torch.equal(near, near.T) and torch.equal(far, far.T)
            assert not (near & far).any() and not near.diagonal().any() and not far.diagonal().any()
            pairs += int(near.any()) + int(far.any())
        near, far = phrase_neighbours(matches)
        assert not (near & matches.same_words).any() and not (far & matches.same_words).any()
    assert pairs > 70  # of 80: nearly every batch has both kinds on both sides


def test_neighbours_of_phrases_depend_on_words_as_equal_words_have_equal_vectors():
    """A triplet whose positive and negative read the same would cost the margin for ever, whatever is learnt."""
    several = 0
    for seed in range(20):
        matches = random_matches(seed, photos=4)
        near, far = phrase_neighbours(matches)
        reads_near = (near.float() @ matches.same_words.float()) > 0  # (P, P): reads like a neighbour of the anchor
        assert not (reads_near & far).any()
        several += int((reads_near & ~near).sum())
    assert several > 20  # there were such phrases to leave out


def test_descent_on_the_loss_brings_matches_together():
    matches = random_matches(3, photos=3, words=9)
    x, y = (v.detach().float().requires_grad_() for v in embeddings(matches, size=8))
    optimiser = torch.optim.Adam([x, y], lr=0.05)
    costs = []
    for _ in range(60):
        unit = [functional.normalize(v, dim=1) for v in (x, y)]
        loss = structure_preserving_loss(*unit, matches, ALL)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        costs.append(loss.item())
    assert costs[-1] < 0.2 * costs[0]
