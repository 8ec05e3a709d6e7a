"""A small detector that knows eighty everyday things by name: NanoDet-g, trained on COCO, as a PyTorch module.

NanoDet (Apache-2.0, github.com/RangiLyu/nanodet) is a one-stage detector: a backbone whose stages pass on half of what
they read unchanged (CSP), a neck that adds its maps of strides 8, 16 and 32 to each other from the coarse to the fine
and back (PAN), and at every cell of each map eighty class scores and, for each side of a box, a distribution over
eleven distances (generalised focal loss, Li et al., NeurIPS 2020). ``tools/convert_nanodet.py`` made the weights that
ship from a published file. They are never trained here.
"""

import hashlib
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sspe.errors import CheckpointError
from sspe.files import DETECTOR_FILE, SHIPPED, settings_key
from sspe.settings import DetectorSettings
from sspe.vision.compiled_ops import nms_by_kind
from sspe.vision.detections import THINGS, Detections
from sspe.vision.weights import weights_key

SHA256 = "5053c46ca369038d7aed0c93416e50123d330433d3cae0246b7d958d2b59191c"  # of the file of weights that ships
SIDE = 416  # pixels; the photo is squeezed to SIDE x SIDE
STRIDES = (8, 16, 32)
BINS = 11  # distances from a cell's centre to a side of its box, 0 to 10 strides
MOST = 100  # detections per photo
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)  # of blue, green, red, pixels in 0..255


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.LeakyReLU(0.1))


class _Residual(nn.Module):
    """(N, C, H, W) -> the same: two convolutions to half the channels, one after the other, side by side."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = _convolution(channels, channels // 2)
        self.second = _convolution(channels // 2, channels // 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return torch.cat([self.second(x), x], dim=1)


class _Stage(nn.Module):
    """(N, C, H, W) -> (N, 2 C, H / stride, W / stride): what was read, and before it what became of it."""

    def __init__(self, channels: int, residuals: int, stride: int):
        super().__init__()
        self.enter = _convolution(channels, channels, stride)
        self.residuals = nn.Sequential(*(_Residual(channels) for _ in range(residuals)))
        self.leave = _convolution(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        return torch.cat([self.leave(self.residuals(x)), x], dim=1)


class Detector(nn.Module):
    """Photo -> :class:`sspe.vision.detections.Detections`; always in float32, and without gradients."""

    channels = 128  # of the neck's maps

    def __init__(self, settings: DetectorSettings):
        """Its weights are random until they are loaded; :func:`published_detector` has the published ones."""
        super().__init__()
        self.settings = settings
        self.stem = nn.Sequential(_convolution(3, 32, 2), nn.MaxPool2d(3, 2, 1))
        self.stages = nn.ModuleList([_Stage(32, 1, 1), _Stage(64, 2, 2), _Stage(128, 2, 2), _Stage(256, 3, 2)])
        self.laterals = nn.ModuleList(nn.Conv2d(size, self.channels, 1) for size in (128, 256, 512))
        outputs = len(THINGS) + 4 * BINS
        self.heads = nn.ModuleList(
            nn.Sequential(_convolution(self.channels, self.channels), nn.Conv2d(self.channels, outputs, 1))
            for _ in STRIDES
        )
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def key(self) -> str:
        """Short hash of settings and weights: identifies what was made with them."""
        return settings_key(asdict(self.settings), weights_key(self))

    def forward(self, squeezed: torch.Tensor) -> list[torch.Tensor]:
        """Photos (N, SIDE, SIDE, 3) uint8 RGB -> per stride (N, 80 + 4 * BINS, SIDE / stride, SIDE / stride).

        Class scores as logits, then the logits of the distances to the left, upper, right and lower side.
        """
        x = self.stem((squeezed.flip(3).permute(0, 3, 1, 2).float() - self.mean) / self.std)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        low, middle, high = (lateral(x) for lateral, x in zip(self.laterals, maps[1:], strict=True))
        middle = middle + _resized(high, middle)
        low = low + _resized(middle, low)
        middle = middle + _resized(low, middle)
        high = high + _resized(middle, high)
        return [head(x) for head, x in zip(self.heads, (low, middle, high), strict=True)]

    @torch.inference_mode()
    def detect(self, photo: np.ndarray) -> Detections:
        """The things in a photo (H, W, 3) uint8 RGB, boxes in its pixels and inside it: at most 100.

        Each has a score of at least ``settings.least``; of boxes of one thing that overlap by more than
        ``settings.overlap`` the best stays.
        """
        height, width = photo.shape[:2]
        squeezed = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        device = self.mean.device
        with torch.autocast(device.type, enabled=False):  # bfloat16 would find other boxes
            scores, boxes = decode(self(torch.from_numpy(squeezed)[None].to(device)))
        anywhere = scores[0].amax(dim=0)
        best, thing = scores[0].max(dim=1)
        seen = best >= self.settings.least
        scores, boxes, best, thing = scores[0][seen], boxes[0][seen], best[seen], thing[seen]
        kept = nms_by_kind(boxes, best, thing, self.settings.overlap)[:MOST]
        frame = np.array([width, height, width, height], np.float32)
        return Detections(boxes[kept].cpu().numpy() / SIDE * frame, scores[kept].cpu().numpy(), anywhere.cpu().numpy())


def published_detector(settings: DetectorSettings, file: Path | None = None) -> Detector:
    """The detector with the published weights, on the CPU.

    Args:
        file: as ``tools/convert_nanodet.py`` writes it; None is the one beside the shipped checkpoints.

    Raises:
        CheckpointError: the file is missing or another one.
    """
    from safetensors.torch import load

    file = file or SHIPPED / DETECTOR_FILE
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"The detector's weights {file} cannot be read ({error.strerror}); take checkpoints/{DETECTOR_FILE} of the "
            "repository, or set detector.boxes=0 to train without a detector."
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise CheckpointError(
            f"The detector's weights {file} have the SHA-256 {found} instead of {SHA256}; take "
            f"checkpoints/{DETECTOR_FILE} of the repository."
        )
    detector = Detector(settings)
    detector.load_state_dict({name: tensor.float() for name, tensor in load(content).items()})
    return detector.eval()


def decode(outputs: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Class scores (N, C, 80) in 0..1 and boxes (N, C, 4), pixels of the squeezed photo, of all C cells.

    ``outputs`` are those of :meth:`Detector.forward`. A side of a box lies as far from the cell's centre as is to be
    expected of its distribution, in strides.
    """
    scores, boxes = [], []
    for output, stride in zip(outputs, STRIDES, strict=True):
        flat = output.float().flatten(2).transpose(1, 2)  # (N, cells, 80 + 4 * BINS)
        logits, distances = flat.split([len(THINGS), 4 * BINS], dim=2)
        bins = torch.arange(BINS, dtype=torch.float32, device=flat.device)
        sides = distances.unflatten(2, (4, BINS)).softmax(dim=3) @ bins * stride  # (N, cells, 4)
        rows, columns = (torch.arange(size, device=flat.device) for size in output.shape[-2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        centre = (torch.stack([x, y], dim=-1).flatten(0, 1) + 0.5) * stride  # (cells, 2)
        box = torch.cat([centre - sides[..., :2], centre + sides[..., 2:]], dim=2)
        boxes.append(box.clamp(0, SIDE))
        scores.append(logits.sigmoid())
    return torch.cat(scores, dim=1), torch.cat(boxes, dim=1)


def _resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
