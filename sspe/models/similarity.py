"""The similarity network of the paper's journal version: does a region match a phrase, yes or no?

Two branches as before; the element-wise product of their outputs goes through fc -> batch norm -> ReLU -> fc to one
number s, and sigmoid(s) is the score.
"""

import torch
from torch import nn
from torch.nn import functional

from sspe.models.losses import Matches
from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings


class SimilarityNetwork(TwoBranchNetwork):
    """Two branches and a judge of pairs. Regions are still embedded once per photo; only the judge needs pairs."""

    def __init__(self, image_features: int, text_features: int, settings: NetworkSettings):
        super().__init__(image_features, text_features, settings)
        self.judge = nn.Sequential(
            nn.Linear(settings.embedding, settings.judge),
            nn.BatchNorm1d(settings.judge),
            nn.ReLU(),
            nn.Linear(settings.judge, 1),
        )
        self.scale = settings.embedding**0.5  # products of unit vectors shrink with their length; this undoes it

    def similarities(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """s (N,) of N pairs of region embeddings x (N, E) and phrase embeddings y (N, E)."""
        return self.judge(self.scale * x * y)[:, 0].float()

    def scores(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Probabilities (P, R), sigmoid(s) in 0..1 and no cosines, that phrases y (P, E) match regions x (R, E)."""
        rows = [self.similarities(x, phrase.expand_as(x)).sigmoid() for phrase in y]
        return torch.stack(rows) if rows else y.new_zeros(0, len(x))


def similarity_loss(network: SimilarityNetwork, x: torch.Tensor, y: torch.Tensor, matches: Matches) -> torch.Tensor:
    """Logistic loss, mean of log(1 + exp(-t s)) over pairs of a batch, t = 1 for a match and -1 for a mismatch.

    All matches, all stated mismatches of the same photo, and as many mismatches across photos, drawn at random, as
    there are matches. Zero where the batch has no pair.
    """
    positive = matches.positive.nonzero()
    same_photo = (matches.negative & matches.same_photo).nonzero()
    others = (matches.negative & ~matches.same_photo).nonzero()
    others = others[torch.randperm(len(others), device=others.device)[: len(positive)]]
    pairs = torch.cat([positive, same_photo, others])
    if len(pairs) < 2:  # batch norm has no statistics of one pair
        return (x.sum() + y.sum()) * 0
    s = network.similarities(x[pairs[:, 1]], y[pairs[:, 0]])
    sign = torch.where(torch.arange(len(pairs), device=s.device) < len(positive), 1.0, -1.0)
    return functional.softplus(-sign * s).mean()
