"""The two-branch network (section 3.1): regions and phrases into one space of unit vectors."""

import torch
from torch import nn
from torch.nn import functional

from sspe.models.box_refiner import BoxRefiner
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


class NamedThings(nn.Module):
    """The named part of the common space: a detector's T things are T further directions of it.

    Beyond the paper. A region lies along each thing as far as the detector sees it there, a phrase along those that it
    names, so that the dot product of region and phrase holds the detector's word, too, for a "toothbrush" that no
    caption ever spoke of. How far a phrase should be left to the detector is learnt: "a cup" wholly, "a man in a red
    shirt" hardly, for there are three persons and the detector knows them all.
    """

    # Added to the trust in the bare name of a thing, in use and not in training, whose photos the branches know too
    # well to need a detector. Chosen on the first half of val, where 0 to 2.5 are the same, and on COCO photos.
    bare = 2.0

    def __init__(self, embedding: int):
        super().__init__()
        self.trust = nn.Linear(embedding, 1)
        self.scale = embedding**0.5  # a unit vector's numbers are small
        nn.init.zeros_(self.trust.weight)
        nn.init.constant_(self.trust.bias, 1.0)  # trained photos teach little trust: the branches know them by heart

    def regions(self, x: torch.Tensor, things: torch.Tensor) -> torch.Tensor:
        """Embeddings (R, E + T) of x (R, E), unit length, and what is seen in each region (R, T), 0..1."""
        return torch.cat([x, things.to(x.dtype)], dim=1)

    def phrases(self, y: torch.Tensor, named: torch.Tensor, bare: torch.Tensor | None = None) -> torch.Tensor:
        """Embeddings (P, E + T), unit length where a phrase names at most one thing.

        Args:
            y: (P, E), unit length. No gradient reaches it through the trust.
            named: (P, T), 0 or 1.
            bare: (P,) bool, the phrase is the bare name of one thing; None in training.
        """
        trust = self.trust(y.detach() * self.scale).float()  # (P, 1)
        if bare is not None:
            trust = trust + self.bare * bare[:, None]
        trust = torch.sigmoid(trust) * named.any(dim=1, keepdim=True)
        return torch.cat([(1 - trust**2).sqrt() * y, trust * named], dim=1)


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
