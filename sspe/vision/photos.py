"""Whole-photo features: a photo in, one vector out (the paper's x where images and sentences are matched)."""

import numpy as np
import torch
from torch.nn import functional

from sspe.photo import squeeze
from sspe.settings import VIEWS, PhotoSettings
from sspe.vision.backbones import create_backbone
from sspe.vision.crops import ten_crops
from sspe.vision.pictures import PictureEncoder


class PhotoEncoder(PictureEncoder):
    """Photos -> features (N, D) of unit length: the whole backbone on the whole photo, mean-pooled."""

    def __init__(self, settings: PhotoSettings, pretrained: bool = False):
        """``pretrained`` starts the backbone from the weights of the settings; otherwise they are random."""
        if settings.views not in VIEWS:
            raise ValueError(f"the views are {settings.views!r}; choose one of {VIEWS}")
        backbone = create_backbone(settings.backbone, pretrained, settings.weights)
        super().__init__(backbone)
        self.settings = settings
        self.feature_size = backbone.feature_size

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (N, H, W, 3) uint8 -> features (N, D) float32 of unit length, with gradients."""
        return functional.normalize(self.head(self.map(self._normalised(pictures))).float(), dim=1)

    def views(self, photo: np.ndarray) -> np.ndarray:
        """The pictures (V, side, side, 3) uint8 that stand for a photo (H, W, 3) uint8 RGB at inference.

        "one" is the photo, squeezed; "mirror" adds its mirror image; "crops" are the paper's ten, cut from the photo
        scaled to a shorter side of 8/7 of a crop's: 256 pixels for the paper's 224.
        """
        side = self.settings.side
        if self.settings.views == "crops":
            return ten_crops(photo, round(side * 8 / 7), side)
        squeezed = squeeze(photo, side)[None]
        return squeezed if self.settings.views == "one" else np.concatenate([squeezed, squeezed[:, :, ::-1]])

    @torch.inference_mode()
    def encode(self, photos: list[np.ndarray]) -> torch.Tensor:
        """Features (N, D) float32, unit length, of N photos: of each the mean over its views."""
        views = [self.views(photo) for photo in photos]
        features = self(torch.from_numpy(np.concatenate(views)).to(self.mean.device))
        return functional.normalize(features.view(len(photos), len(views[0]), -1).mean(dim=1), dim=1)
