"""The structure-preserving loss: equations (1) to (4) of section 3.2, on a batch of regions and phrases.

Every term is a sum of hinges over triplets (anchor, positive, negative): the anchor must lie nearer to what it matches
than to what it does not, by a margin. The four terms differ only in which pairwise distances they read and which pairs
they call matching; :func:`triplet_term` is all four of them.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LossSettings:
    """Margin, weights and mining.

    Attributes:
        margin: m of the equations, in units of distance between unit vectors (0..2).
        region_anchor: weight of (1), region anchor and phrases; 1 in the paper.
        phrase_anchor: lambda 1, weight of (2), phrase anchor and regions.
        region_structure: lambda 2, weight of (3), regions that share a phrase stay near each other.
        phrase_structure: lambda 3, weight of (4), phrases that share a region stay near each other.
        same_photo: weight of the part of (2) whose negatives come from the phrase's own photo: the very choice
            that localization makes later.
        top_k: triplets kept per positive pair, the most violating ones; K of the paper.
        same_photo_top_k: the same for the own photo's negatives.
    """

    margin: float = 0.1
    region_anchor: float = 1.0
    phrase_anchor: float = 1.0
    region_structure: float = 0.0
    phrase_structure: float = 0.1
    same_photo: float = 1.0
    top_k: int = 20
    same_photo_top_k: int = 5


@dataclass(frozen=True)
class Matches:
    """Who matches whom in a batch of P phrases and R regions; what is neither a match nor a mismatch is left out.

    Attributes:
        positive: (P, R) bool, the region shows the phrase.
        negative: (P, R) bool, the region shows something else. Regions that overlap the right box by half are neither,
            and so is every region of another photo that has a phrase of the same words.
        same_photo: (P, R) bool, phrase and region come from one photo.
        same_words: (P, P) bool, the two phrases read the same: such phrases are never each other's negatives.
    """

    positive: torch.Tensor
    negative: torch.Tensor
    same_photo: torch.Tensor
    same_words: torch.Tensor


def distances(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Euclidean distances (N, M) between unit vectors a (N, E) and b (M, E); not squared.

    The small constant keeps the gradient finite where two vectors coincide.
    """
    return (2 - 2 * a @ b.T).clamp(min=0).add(1e-4).sqrt()


def structure_preserving_loss(
    x: torch.Tensor, y: torch.Tensor, matches: Matches, settings: LossSettings | None = None
) -> dict[str, torch.Tensor]:
    """Weighted sum of the four terms.

    Args:
        x: region embeddings (R, E), unit length.
        y: phrase embeddings (P, E), unit length.

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
        near, far = region_neighbours(matches)
        terms["region_structure"] = triplet_term(distances(x, x), near, far, s.margin, s.top_k)
    if s.phrase_structure:  # (4)
        near, far = phrase_neighbours(matches)
        terms["phrase_structure"] = triplet_term(distances(y, y), near, far, s.margin, s.top_k)
    total = sum((getattr(s, name) * term for name, term in terms.items()), torch.zeros((), device=x.device))
    return {"loss": total, **{name: term.detach() for name, term in terms.items()}}


def triplet_term(
    d: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, margin: float, top_k: int
) -> torch.Tensor:
    """Mean over positive pairs (i, j) of the sum over negatives k of [margin + d(i, j) - d(i, k)]+.

    Of each positive pair's triplets only the ``top_k`` most violating count: with j fixed those are i's nearest
    negatives. Zero where there is no positive pair.

    Args:
        d: distances (A, B) from anchors to candidates.
        positive, negative: (A, B) bool; pairs in neither are left out.
    """
    anchors, candidates = positive.nonzero(as_tuple=True)
    if len(anchors) == 0:
        return d.sum() * 0
    k = min(top_k, d.shape[1])
    far = torch.where(negative, d, torch.inf)
    nearest = far.topk(k, dim=1, largest=False).values  # (A, k); inf where an anchor has fewer than k negatives
    violations = (margin + d[anchors, candidates][:, None] - nearest[anchors]).clamp(min=0)
    return violations.sum() / len(anchors)


def region_neighbours(matches: Matches) -> tuple[torch.Tensor, torch.Tensor]:
    """N(x_i) of equation (3), two (R, R) bool: regions that share a phrase, and regions that share none.

    Two regions are far only where one of them is a stated mismatch of the other's phrase.
    """
    p, n = matches.positive.float(), matches.negative.float()
    near = (p.T @ p) > 0
    far = ((p.T @ n) > 0) & ~near
    near.fill_diagonal_(False)
    return near, far | far.T


def phrase_neighbours(matches: Matches) -> tuple[torch.Tensor, torch.Tensor]:
    """N(y_i) of equation (4), two (P, P) bool: phrases that share a region, and phrases that share none."""
    p, n = matches.positive.float(), matches.negative.float()
    near = (p @ p.T) > 0
    far = ((p @ n.T) > 0) & ~near & ~matches.same_words
    near = near & ~matches.same_words
    return near, (far | far.T)
