"""Whole-photo features: a photo in, one vector out (the paper's x where images and sentences are matched)."""

import cv2
import numpy as np
import torch
from torch.nn import functional

from sspe.settings import VIEWS, PhotoSettings
from sspe.vision.backbones import BackboneEncoder, create_backbone
from sspe.vision.photo import squeeze


class PhotoEncoder(BackboneEncoder):
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
        return functional.normalize(self.head(self.map(self.normalised(pictures))).float(), dim=1)

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


def ten_crops(photo: np.ndarray, shorter: int = 256, side: int = 224) -> np.ndarray:
    """Four corners, the centre, and the mirror images of the five: (10, side, side, 3) uint8.

    The photo (H, W, 3) uint8 RGB is scaled so that its shorter side is ``shorter`` pixels, at least ``side``.
    """
    if shorter < side:
        raise ValueError(f"crops of {side} pixels need a shorter side of as many, got {shorter}")
    height, width = photo.shape[:2]
    factor = shorter / min(height, width)
    size = max(round(width * factor), side), max(round(height * factor), side)
    scaled = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    right, bottom = size[0] - side, size[1] - side
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    crops = np.stack([scaled[y : y + side, x : x + side] for x, y in corners])
    return np.concatenate([crops, crops[:, :, ::-1]])
