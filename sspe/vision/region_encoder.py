"""Region features: photos and boxes in, one vector per box out (the paper's x)."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sspe.settings import REGION_MODES, RegionSettings
from sspe.vision.backbones import BackboneEncoder, create_backbone
from sspe.vision.boxes import scale
from sspe.vision.compiled_ops import roi_align, roi_pool
from sspe.vision.photo import squeeze


class RegionEncoder(BackboneEncoder):
    """Photos and boxes -> region features: the box's, its surroundings', and five numbers of geometry, side by side."""

    batch = 125  # regions per pass of the head at inference: on two cores 25 take 1.5 times as long, 500 1.3 times

    def __init__(self, settings: RegionSettings, pretrained: bool = False):
        if settings.mode not in REGION_MODES:
            raise ValueError(f"region mode is {settings.mode!r}; choose one of {REGION_MODES}")
        if settings.mode == "crops" and settings.surroundings:
            raise ValueError('surroundings are read off the map, which mode "crops" lacks; set surroundings to 0')
        backbone = create_backbone(settings.backbone, pretrained, settings.weights)
        super().__init__(backbone)
        self.settings = settings
        self.stride, self.max_pooled = backbone.stride, backbone.max_pooled
        self.around = _Surroundings(backbone.map_size, settings) if settings.surroundings else None
        self.appearance_size = backbone.feature_size + settings.surroundings
        self.feature_size = self.appearance_size + (5 if settings.geometry else 0)

    def forward(self, squeezed: torch.Tensor, boxes: Sequence[torch.Tensor]) -> torch.Tensor:
        """Features of all boxes of a batch of photos, with gradients (mode "roi").

        Args:
            squeezed: (N, side, side, 3) uint8 photos from :func:`sspe.vision.photo.squeeze`.
            boxes: N tensors (R_n, 4), relative to each photo: 0..1 of its width and height.

        Returns:
            (sum of R_n, feature_size) float32, photo after photo.
        """
        maps = self.map(self.normalised(squeezed))
        parts = [self.head(self._windows(maps, boxes)), *self._around(maps, boxes)]
        return self.with_geometry(_side_by_side(parts), torch.cat(list(boxes)))

    @torch.inference_mode()
    def encode(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """Features (R, feature_size) float32 of the boxes (R, 4), pixels, of one photo (H, W, 3) uint8 RGB."""
        height, width = photo.shape[:2]
        relative = torch.from_numpy(scale(boxes, 1 / width, 1 / height)).to(self.mean.device)
        return self.with_geometry(self.appearance(photo, boxes), relative)

    def with_geometry(self, appearance: torch.Tensor, relative: torch.Tensor) -> torch.Tensor:
        """Features of regions: their :meth:`appearance` (R, ·) and, if set, the geometry of relative boxes (R, 4)."""
        if not self.settings.geometry:
            return appearance
        area = (relative[:, 2:] - relative[:, :2]).clamp(min=0).prod(dim=1, keepdim=True)
        return torch.cat([appearance, relative.float(), area.float()], dim=1)

    @torch.inference_mode()
    def appearance(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """As :meth:`encode`, without the geometry."""
        height, width = photo.shape[:2]
        relative = torch.from_numpy(scale(boxes, 1 / width, 1 / height)).to(self.mean.device)
        if self.settings.mode == "crops":
            starts = range(0, max(len(boxes), 1), self.batch)  # no boxes: one empty part, so that cat has its width
            parts = (self._crops(photo, boxes[i : i + self.batch]) for i in starts)
            return _side_by_side([torch.cat([self.head(self.map(crops)) for crops in parts])])
        squeezed = torch.from_numpy(squeeze(photo, self.settings.side)).to(self.mean.device)
        maps = self.map(self.normalised(squeezed[None]))
        features = [self.head(part) for part in self._windows(maps, [relative]).split(self.batch)]
        return _side_by_side([torch.cat(features), *self._around(maps, [relative])])

    def _windows(self, maps: torch.Tensor, boxes: Sequence[torch.Tensor]) -> torch.Tensor:
        """RoIAlign: maps (N, C, h, w) and relative boxes -> (sum of R_n, C, window, window).

        RoI max pooling where the backbone asks for it.
        """
        side, window = self.settings.side, self.settings.window
        # In float32: bfloat16 would round the corners to 2 pixels, and RoIAlign computes in float32 anyway.
        pixels = [b.float() * side for b in boxes]
        cut = roi_pool if self.max_pooled else roi_align
        windows = cut(maps.float(), pixels, window, 1 / self.stride)
        return windows.to(maps.dtype).contiguous(memory_format=torch.channels_last)

    def _around(self, maps: torch.Tensor, boxes: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The surroundings of all boxes (sum of R_n, surroundings) as a list of one, or of none where left out."""
        if self.around is None:
            return []
        wide = [_widened(b.float(), self.settings.margin) for b in boxes]
        return [self.around(self._windows(self.around.narrowed(maps), wide))]

    def _crops(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """Cut boxes (R, 4) from the photo, at least a pixel of it, and resize each: (R, 3, crop, crop) normalised."""
        side = self.settings.crop
        limit = np.array(photo.shape[1::-1])  # width, height
        cut = np.empty((len(boxes), side, side, 3), np.uint8)
        for i, box in enumerate(boxes):
            x1, y1 = np.clip(np.floor(box[:2]).astype(int), 0, limit - 1)
            x2, y2 = np.maximum(np.ceil(box[2:]).astype(int), [x1 + 1, y1 + 1])
            cut[i] = cv2.resize(photo[y1:y2, x1:x2], (side, side), interpolation=cv2.INTER_LINEAR)
        return self.normalised(torch.from_numpy(cut).to(self.mean.device))


class _Surroundings(nn.Module):
    """What a window shows, and where in it: unlike the head it keeps positions.

    A 1 x 1 convolution to few channels, then a linear layer on the whole window. The convolution runs on the map before
    windows are cut: both are linear, so their order makes no difference but to the time. Its bias comes after.
    """

    channels = 32

    def __init__(self, map_size: int, settings: RegionSettings):
        super().__init__()
        self.squeeze = nn.Conv2d(map_size, self.channels, 1)
        self.describe = nn.Linear(self.channels * settings.window**2, settings.surroundings)

    def narrowed(self, maps: torch.Tensor) -> torch.Tensor:
        """Maps (N, C, h, w) -> (N, 32, h, w)."""
        return functional.conv2d(maps, self.squeeze.weight)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Windows (R, 32, window, window) of the narrowed maps -> (R, surroundings)."""
        activations = functional.relu(windows + self.squeeze.bias.view(-1, 1, 1))
        return functional.relu(self.describe(activations.flatten(1)))


def _widened(boxes: torch.Tensor, margin: float) -> torch.Tensor:
    """Boxes (R, 4) that reach ``margin`` of their width and height farther on every side, past the photo as well."""
    sides = (boxes[:, 2:] - boxes[:, :2]) * margin
    return torch.cat([boxes[:, :2] - sides, boxes[:, 2:] + sides], dim=1)


def _side_by_side(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Parts (R, ·), each brought to unit length: (R, sum of their lengths) float32."""
    return torch.cat([functional.normalize(part.float(), dim=1) for part in parts], dim=1)
