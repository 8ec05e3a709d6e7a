"""Region features: photos and boxes in, one vector per box out (the paper's x)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import roi_align

from sspe.boxes import scale
from sspe.photo import squeeze
from sspe.settings import REGION_MODES, RegionSettings
from sspe.vision.backbones import Backbone, create_backbone


class RegionEncoder(nn.Module):
    """Photos and boxes -> region features, each L2-normalised, then followed by five numbers of geometry."""

    batch = 25  # regions a pass of the head at inference: larger batches fall out of a CPU's cache and are slower

    def __init__(self, settings: RegionSettings, pretrained: bool = False):
        super().__init__()
        if settings.mode not in REGION_MODES:
            raise ValueError(f"region mode is {settings.mode!r}; choose one of {REGION_MODES}")
        backbone: Backbone = create_backbone(settings.backbone, pretrained)
        self.settings = settings
        self.map, self.head = backbone.map, backbone.head
        self.stride = backbone.stride
        self.feature_size = backbone.feature_size + (5 if settings.geometry else 0)
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, squeezed: torch.Tensor, boxes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of all boxes of a batch of photos, with gradients (mode "roi").

        Args:
            squeezed: (N, side, side, 3) uint8 photos from :func:`sspe.photo.squeeze`.
            boxes: N tensors (R_n, 4), relative to each photo: 0..1 of its width and height.

        Returns:
            (sum of R_n, feature_size) float32, photo after photo.
        """
        maps = self.map(self._normalised(squeezed))
        features = self.head(self._windows(maps, boxes))
        return self._finish(features, torch.cat(list(boxes)))

    @torch.inference_mode()
    def encode(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """Features (R, feature_size) float32 of the boxes (R, 4), pixels, of one photo (H, W, 3) uint8 RGB."""
        height, width = photo.shape[:2]
        relative = torch.from_numpy(scale(boxes, 1 / width, 1 / height)).to(self.mean.device)
        if self.settings.mode == "crops":
            starts = range(0, max(len(boxes), 1), self.batch)  # no boxes: one empty part, so that cat has its width
            parts = (self._crops(photo, boxes[i : i + self.batch]) for i in starts)
            features = [self.head(self.map(crops)) for crops in parts]
        else:
            squeezed = torch.from_numpy(squeeze(photo, self.settings.side)).to(self.mean.device)
            windows = self._windows(self.map(self._normalised(squeezed[None])), [relative])
            features = [self.head(part) for part in windows.split(self.batch)]
        return self._finish(torch.cat(features), relative)

    def _normalised(self, squeezed: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32; the permuted view already is channels_last, the fast layout."""
        return (squeezed.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def _windows(self, maps: torch.Tensor, boxes: Sequence[torch.Tensor]) -> torch.Tensor:
        """RoIAlign: maps (N, C, h, w) and relative boxes -> (sum of R_n, C, window, window)."""
        side, window = self.settings.side, self.settings.window
        # In float32: bfloat16 would round the corners to 2 pixels, and RoIAlign computes in float32 anyway.
        pixels = [b.float() * side for b in boxes]
        windows = roi_align(maps.float(), pixels, window, spatial_scale=1 / self.stride, sampling_ratio=2, aligned=True)
        return windows.to(maps.dtype).contiguous(memory_format=torch.channels_last)

    def _crops(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """Cut boxes (R, 4) from the photo, at least a pixel of it, and resize each: (R, 3, crop, crop) normalised."""
        side = self.settings.crop
        limit = np.array(photo.shape[1::-1])  # width, height
        cut = np.empty((len(boxes), side, side, 3), np.uint8)
        for i, box in enumerate(boxes):
            x1, y1 = np.clip(np.floor(box[:2]).astype(int), 0, limit - 1)
            x2, y2 = np.maximum(np.ceil(box[2:]).astype(int), [x1 + 1, y1 + 1])
            cut[i] = cv2.resize(photo[y1:y2, x1:x2], (side, side), interpolation=cv2.INTER_LINEAR)
        return self._normalised(torch.from_numpy(cut).to(self.mean.device))

    def _finish(self, features: torch.Tensor, relative: torch.Tensor) -> torch.Tensor:
        features = functional.normalize(features.float(), dim=1)  # (R, D)
        if not self.settings.geometry:
            return features
        area = (relative[:, 2:] - relative[:, :2]).clamp(min=0).prod(dim=1, keepdim=True)
        return torch.cat([features, relative, area], dim=1).float()  # (R, D + 5)
