"""The structure-preserving loss: equations (1) to (4) of section 3.2, on a batch of regions and phrases.

Every term sums hinges over triplets (anchor, positive, negative): the anchor must lie nearer to what it matches than to
what it does not, by a margin. The sum is divided by the number of positive pairs, so that a weight means the same
whatever the batch holds. The four terms differ only in which pairwise distances they read and which pairs they call
matching; :func:`triplet_term` is all four of them.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from sspe.settings import LossSettings


@dataclass(frozen=True)
class Matches:
    """Who matches whom in a batch of P phrases and R regions; what is neither a match nor a mismatch is left out.

    Attributes:
        positive: (P, R) bool, the region shows the phrase.
        negative: (P, R) bool, the region shows something else. Neither a match nor a mismatch are regions that overlap
            the right box in part, what a phrase of the same words shows in the same photo, and every region of another
            photo that has a phrase of the same words.
        same_photo: (P, R) bool, phrase and region come from one photo.
        same_words: (P, P) bool, symmetric, the two phrases read the same, every phrase as itself: such phrases are
            never each other's negatives, nor each other's positives, which would be trivial. Where "dog" reads like
            "brown dog" and like "black dog", these two do not read like each other.
    """

    positive: torch.Tensor
    negative: torch.Tensor
    same_photo: torch.Tensor
    same_words: torch.Tensor

    def to(self, device: torch.device) -> "Matches":
        """The same on another device."""
        return Matches(*(mask.to(device) for mask in vars(self).values()))


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (N, M) between unit vectors a (N, E) and b (M, E); not squared.

    The small constant keeps the gradient finite where two vectors coincide.
    """
    return (2 - 2 * a @ b.T).clamp(min=0).add(1e-4).sqrt()


def structure_preserving_loss(
    x: torch.Tensor, y: torch.Tensor, matches: Matches, settings: LossSettings | None = None
) -> dict[str, torch.Tensor]:
    """Weighted sum of the four terms, and of the one for the own photo's negatives.

    Args:
        x: region embeddings (R, E), unit length; with a named part, see :mod:`sspe.models.named_things`, (R, E + T),
            and what is called a distance is that of unit vectors with the same dot product.
        y: phrase embeddings (P, E) or (P, E + T), unit length.
        matches: who matches whom among them.
        settings: margin, weights and mining; None for the defaults.

    Returns:
        "loss", the weighted sum to descend on, and each term that has a weight, unweighted, by its setting's name.
    """
    s = settings or LossSettings()
    xy = distances(y, x)  # (P, R)
    positive, negative = matches.positive, matches.negative
    terms: dict[str, torch.Tensor] = {}
    if s.region_anchor:  # (1)
        terms["region_anchor"] = triplet_term(xy.T, positive.T, negative.T, s.margin, s.top_k)
    if s.phrase_anchor:  # (2)
        terms["phrase_anchor"] = triplet_term(xy, positive, negative, s.margin, s.top_k)
    if s.same_photo:  # (2), negatives of the same photo alone
        here = negative & matches.same_photo
        terms["same_photo"] = triplet_term(xy, positive, here, s.margin, s.same_photo_top_k)
    if s.region_structure:  # (3)
        terms["region_structure"] = _structure_term(distances(x, x), *region_neighbours(matches), s)
    if s.phrase_structure:  # (4)
        terms["phrase_structure"] = _structure_term(distances(y, y), *phrase_neighbours(matches), s)
    total = sum((getattr(s, name) * term for name, term in terms.items()), torch.zeros((), device=x.device))
    return {"loss": total, **{name: term.detach() for name, term in terms.items()}}


def triplet_term(
    d: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float, top_k: int
) -> torch.Tensor:
    """Mean over positive pairs (i, j) of the sum over negatives k of [margin + d(i, j) - d(i, k)]+.

    Of each positive pair's triplets only the ``top_k`` most violating count: with j fixed those are i's nearest
    negatives. Zero where there is no positive pair. Memory grows with A x B, however many pairs are positive.

    Args:
        d: distances (A, B) from anchors to candidates.
        positive, negative: (A, B) bool; pairs in neither are left out.
    """
    anchors, candidates = positive.nonzero(as_tuple=True)
    if len(anchors) == 0:
        return d.sum() * 0
    k = min(top_k, d.shape[1])
    far = torch.where(negative, d, torch.inf)
    nearest = far.topk(k, dim=1, largest=False).values.double()  # (A, k), sorted; inf where there are fewer than k
    reach = (margin + d[anchors, candidates]).double()  # of each pair: negatives nearer than this violate
    # How many those are, without writing a triplet down: all rows' distances stand in one sorted line, each row beyond
    # the one before.
    end = reach.detach().max() + 1
    apart = torch.arange(len(d), device=d.device) * (end + 1)
    line = (nearest.detach().clamp(max=end) + apart[:, None]).flatten()
    count = torch.searchsorted(line, reach.detach() + apart[anchors]) - anchors * k
    sums = functional.pad(nearest.cumsum(dim=1), (1, 0))  # (A, 1 + k), of the nearest none, one, two, ...
    violations = count * reach - sums[anchors, count]
    return (violations.sum() / len(anchors)).to(d.dtype)


def _structure_term(d: torch.Tensor, near: torch.Tensor, far: torch.Tensor, s: LossSettings) -> torch.Tensor:
    """Equation (3) or (4) from distances and neighbours (A, A) of one view."""
    if s.farthest:
        farthest = torch.where(near, d, -torch.inf).argmax(dim=1, keepdim=True)
        near = near & torch.zeros_like(near).scatter(1, farthest, True)
    return triplet_term(d, near, far, s.margin, s.top_k)


def region_neighbours(matches: Matches) -> tuple[torch.Tensor, torch.Tensor]:
    """N(x_i) of equation (3), two symmetric (R, R) bool: regions that share a phrase, and regions that share none.

    Two regions are far only where one of them is a stated mismatch of the other's phrase, and where no phrase of one
    reads like a phrase of the other: regions that two photos call "a man" are neither near nor far.
    """
    shown = matches.positive.T  # (R, P)
    near = _meet(shown, shown)
    reads_like = _meet(shown, matches.same_words)  # (R, P): the region shows a phrase that reads like this one
    alike = _meet(shown, reads_like)
    far = _meet(shown, matches.negative.T)
    near.fill_diagonal_(False)
    return near, (far | far.T) & ~alike


def phrase_neighbours(matches: Matches) -> tuple[torch.Tensor, torch.Tensor]:
    """N(y_i) of equation (4), two symmetric (P, P) bool: phrases that share a region, and phrases that share none.

    Phrases of the same words are neither. Two phrases are far only where a region of one is a stated mismatch of the
    other, and where their words share no region anywhere in the batch: one photo's "a person", who is its "a man", is
    not pushed away from another photo's "a man", for the two men are one and the same vector.
    """
    near, same = _meet(matches.positive, matches.positive), matches.same_words
    beside = _meet(near, same)  # (P, P): the first shares a region with a phrase that reads like the second
    alike = _meet(same, beside.T) | same
    far = _meet(matches.positive, matches.negative)
    return near & ~same, (far | far.T) & ~alike


def _meet(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Whether row i of a and row j of b, (A, C) and (B, C) bool, are both true in some column: (A, B) bool.

    Fast where a is true in few places, as it is of positive pairs: a row of b costs as much as a has such places.
    """
    return torch.sparse.mm(a.to_sparse().float(), b.T.float()) > 0
