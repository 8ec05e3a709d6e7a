"""The two-branch network (section 3.1): regions and phrases into one space of unit vectors."""

import torch
from torch import nn
from torch.nn import functional

from sspe.models.box_refiner import BoxRefiner
from sspe.models.named_things import NamedThings
from sspe.settings import NetworkSettings


class Branch(nn.Module):
    """fc -> batch norm -> ReLU -> dropout -> fc -> L2; without a hidden layer fc -> L2, the paper's linear branch."""

    def __init__(self, features: int, settings: NetworkSettings):
        super().__init__()
        if settings.hidden:
            self.layers = nn.Sequential(
                nn.Linear(features, settings.hidden),
                nn.BatchNorm1d(settings.hidden),
                nn.ReLU(),
                nn.Dropout(settings.dropout),
                nn.Linear(settings.hidden, settings.embedding),
            )
        else:
            self.layers = nn.Sequential(nn.Linear(features, settings.embedding))

    def forward(self, features: torch.Tensor) -> torch.Tensor:  # (N, D) -> (N, E), unit length
        return functional.normalize(self.layers(features).float(), dim=1)


class TwoBranchNetwork(nn.Module):
    """One branch per modality; their outputs are compared by Euclidean distance or, the same on unit vectors, cosine.

    Beside the branches stand the box refinement, ``refiner``, and the ``named`` part of the common space; None where
    the settings, or a model without a detector, leave them out.

    Attributes:
        full_precision: whether a checkpoint keeps the whole model in float32. float16 moves embeddings by less than a
            thousandth, but whitening, see :mod:`sspe.models.cca`, magnifies what rounding does to the features.
    """

    full_precision = False

    def __init__(
        self, image_features: int, text_features: int, settings: NetworkSettings | None = None, named: bool = False
    ):
        super().__init__()
        self.settings = settings or NetworkSettings()
        self.image = Branch(image_features, self.settings)
        self.text = Branch(text_features, self.settings)
        s = self.settings
        self.refiner = BoxRefiner(image_features, s.embedding, s.refiner) if s.refiner else None
        self.named = NamedThings(s.embedding) if named else None

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Region features x (R, D) and phrase features y (P, T) -> embeddings (R, E) and (P, E) of unit length."""
        return self.image(x), self.text(y)

    def scores(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """How well regions x (R, E) fit phrases y (P, E), both embedded: (P, R) float32 cosines, -1..1.

        With a named part (·, E + T) dot products, -1 to about 1.4.
        """
        with torch.autocast(y.device.type, enabled=False):
            return y.float() @ x.float().T
