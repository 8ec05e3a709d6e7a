"""A second look at the best regions of a phrase, beside what the other phrases of its sentence were found to be.

Beyond the paper, which chooses for every phrase by itself. In "a man in a red hat" a hat lies on the upper end of a
man, and of two hats the man's is meant. So each of a phrase's best regions is looked at again: its place and size, how
many others lie where it lies, and how it lies to the answers of the sentence's other phrases. What comes out is added
to its score. A phrase that stands alone is not looked at again. Fitted by :mod:`sspe.training.second_look`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sspe.text.context import Context

BEST = 20  # regions per phrase that are looked at again; sixty gain no more and take three times as long
SHARPNESS = 25.0  # of scores as it is fitted: 1 / the temperature of :func:`sspe.vision.boxes.consensus`
# What is fitted on photos that the branches know by heart is not trusted fully. In two trial fits R@1 on the first half
# of val gained 0.2 to 0.6 points from 0.25 to 1, and most from 0.6 to 0.75.
TRUST = 0.6
WIDTH = 32  # numbers that a phrase's embedding is turned into
NEAREST = (
    8  # other phrases that each is looked at beside: no training sentence has more, and all pairs of 500 fill 8 GB
)
FAR = 60  # characters between two phrases from which it is no matter how many more there are


@dataclass(frozen=True)
class Pairs:
    """N pairs of two phrases that stand in one sentence, among P phrases.

    Attributes:
        of, beside: (N,) int64 rows of the phrase that is looked at, and of the one whose answer lies there.
        order: (N, 2) float32, whether it comes later in the sentence, 0 or 1, and how far apart they are, 0..2.
    """

    of: torch.Tensor
    beside: torch.Tensor
    order: torch.Tensor

    @classmethod
    def among(cls, places: np.ndarray) -> Pairs:
        """Each of P phrases at ``places`` (P, 3), see :func:`places_of`, with the nearest others of its sentence."""
        sentence, start, end = places.T
        other = (start[:, None] != start) | (end[:, None] != end)
        together = (sentence[:, None] == sentence) & other
        gap = np.maximum(start[:, None] - end, start - end[:, None]).clip(0)
        nearest = np.argsort(np.where(together, gap, np.inf), axis=1, kind="stable")
        near = np.argsort(nearest, axis=1) < NEAREST  # the inverse permutation: how many others are nearer
        of, beside = np.nonzero(together & near)
        order = np.stack([start[of] > start[beside], gap[of, beside].clip(0, FAR) / (FAR / 2)], axis=1)
        return cls(torch.from_numpy(of), torch.from_numpy(beside), torch.from_numpy(order.astype(np.float32)))

    def to(self, device: torch.device) -> Pairs:
        """The same on a device."""
        return Pairs(*(value.to(device) for value in vars(self).values()))


def places_of(phrases: Sequence[str], contexts: Sequence[Context]) -> np.ndarray:
    """Of P phrases in their contexts the sentence, numbered, and their characters in it, from and to: (P, 3) int64."""
    numbers: dict[str, int] = {}
    places = []
    for phrase, context in zip(phrases, contexts, strict=True):
        sentence = numbers.setdefault(context.before + phrase + context.after, len(numbers))
        places.append((sentence, len(context.before), len(context.before) + len(phrase)))
    return np.array(places, np.int64).reshape(-1, 3)


class SecondLook(nn.Module):
    """Embeddings of phrases, their best regions and each other's answers -> what is added to the regions' scores."""

    def __init__(self, embedding: int, hidden: int = 96):
        super().__init__()
        self.scale = embedding**0.5  # a unit vector's numbers are small; beside boxes they would not count
        self.phrase, self.other = nn.Linear(embedding, WIDTH), nn.Linear(embedding, WIDTH)
        self.itself = nn.Sequential(nn.Linear(WIDTH + 8, hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, 1))
        self.words, self.layout = nn.Linear(2 * WIDTH + 2, hidden), nn.Linear(13, hidden, bias=False)
        self.beside = nn.Sequential(
            nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        for last in (self.itself[-1], self.beside[-1]):  # nothing is added at first
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(
        self, y: torch.Tensor, boxes: torch.Tensor, scores: torch.Tensor, answers: torch.Tensor, pairs: Pairs
    ) -> torch.Tensor:
        """Logits (P, K) float32 for the K best regions of P phrases; scores times ``SHARPNESS`` are beside them.

        Args:
            y: (P, E) phrase embeddings of unit length.
            boxes: (P, K, 4) regions, best first, relative: 0..1 of width and height.
            scores: (P, K) theirs.
            answers: (P, 4) relative, where each phrase was found at first.
            pairs: which phrases stand in one sentence.
        """
        read = functional.relu(self.phrase(y * self.scale))  # (P, W)
        own = torch.cat([read[:, None].expand(-1, boxes.shape[1], -1), described(boxes, scores)], dim=2)
        logits = self.itself(own)[..., 0].float()
        beside = functional.relu(self.other(y * self.scale))[pairs.beside]
        words = self.words(torch.cat([read[pairs.of], beside, pairs.order], dim=1))  # (N, H)
        lies = self.layout(layout(boxes[pairs.of], answers[pairs.beside][:, None]))  # (N, K, H)
        return logits.index_add(0, pairs.of, self.beside(words[:, None] + lies)[..., 0].float())


def described(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Eight numbers (P, K, 8) of each of the best regions: place, size, rank, score, and how many lie where it lies."""
    centres, sides = boxes[..., :2] + boxes[..., 2:] - 1, _sides(boxes)
    rank = torch.arange(boxes.shape[1], device=boxes.device).expand(scores.shape) / BEST
    below = scores - scores.amax(dim=1, keepdim=True)
    weights = torch.softmax(SHARPNESS * scores, dim=1)[..., None]
    shared, union, area = overlaps(boxes[:, :, None], boxes[:, None])
    votes = (shared / union) ** 2 @ weights  # (P, K, 1), as in the consensus
    inside = shared / area @ weights  # how much of the others lies in it
    return torch.cat([centres, sides.log(), rank[..., None], votes, inside, 10 * below[..., None]], dim=2)


def layout(boxes: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """How boxes (..., 4) lie to other boxes (..., 4), relative to the photo: thirteen numbers each, (..., 13)."""
    other = other.expand_as(boxes)
    sides, theirs = _sides(boxes), _sides(other)
    apart = (boxes[..., :2] + boxes[..., 2:] - other[..., :2] - other[..., 2:]) / 2
    shared, union, area = overlaps(boxes, other)
    own = _area(sides)
    numbers = [
        *((apart / theirs).clamp(-4, 4), (apart / sides).clamp(-4, 4), (sides / theirs).log(), 2 * apart),
        torch.stack([shared / union, shared / own, shared / area, own.log() / 4, area.log() / 4], dim=-1),
    ]
    return torch.cat(numbers, dim=-1)


def _sides(boxes: torch.Tensor) -> torch.Tensor:
    """Width and height (..., 2) of relative boxes, at least a hundredth: their logarithms are taken."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0.01)


def _area(sides: torch.Tensor) -> torch.Tensor:
    """Width times height (...) of sides (..., 2)."""
    return sides[..., 0] * sides[..., 1]


def overlaps(boxes: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Areas of the intersection, of the union and of the other box, of relative boxes (..., 4)."""
    from_, to = torch.maximum(boxes[..., :2], other[..., :2]), torch.minimum(boxes[..., 2:], other[..., 2:])
    shared, area = _area((to - from_).clamp_min(0)), _area(_sides(other))
    return shared, _area(_sides(boxes)) + area - shared, area
