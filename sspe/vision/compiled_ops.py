"""RoIAlign, RoI max pooling and non-maximum suppression: torchvision's compiled functions, without the rest of it.

``import torchvision`` brings the compiler of torch and a thousand files with it and takes longer than a photo. At
inference three functions of its library are enough, and the library can be loaded alone. Training imports torchvision
as usual, for newer versions know the gradients in Python only.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices (K,) of boxes (N, 4) that no better one overlaps by more than ``threshold``, best score first."""
    return _library().nms(boxes, scores, threshold)


def nms_by_kind(boxes: torch.Tensor, scores: torch.Tensor, kinds: torch.Tensor, threshold: float) -> torch.Tensor:
    """As :func:`nms`, where boxes of different kinds (N,), integers, do not suppress each other."""
    if not len(boxes):
        return kinds.new_zeros(0, dtype=torch.long)
    apart = kinds.to(boxes) * (boxes.max() + 1)  # each kind is moved to a place of its own
    return nms(boxes + apart[:, None], scores, threshold)


def roi_align(maps: torch.Tensor, boxes: Sequence[torch.Tensor], window: int, scale: float) -> torch.Tensor:
    """Windows (sum of R_n, C, window, window) of maps (N, C, h, w): per cell the mean of 2 x 2 points, interpolated.

    Args:
        maps: float32.
        boxes: N tensors (R_n, 4) float32.
        window: cells on a side.
        scale: cells of the map per unit of the boxes.
    """
    if torch.is_grad_enabled():
        from torchvision.ops import roi_align

        return roi_align(maps, list(boxes), window, scale, sampling_ratio=2, aligned=True)
    return _library().roi_align(maps, _numbered(boxes), scale, window, window, 2, True)


def roi_pool(maps: torch.Tensor, boxes: Sequence[torch.Tensor], window: int, scale: float) -> torch.Tensor:
    """As :func:`roi_align`, with the largest value in every cell, as in Fast R-CNN."""
    if torch.is_grad_enabled():
        from torchvision.ops import roi_pool

        return roi_pool(maps, list(boxes), window, scale)
    return _library().roi_pool(maps, _numbered(boxes), scale, window, window)[0]


def _numbered(boxes: Sequence[torch.Tensor]) -> torch.Tensor:
    """Boxes of N photos as (sum of R_n, 5): the photo's number, then the box."""
    numbers = [torch.full_like(of_photo[:, :1], n) for n, of_photo in enumerate(boxes)]
    return torch.cat([torch.cat(numbers), torch.cat(list(boxes))], dim=1)


@cache
def _library():
    """The functions of torchvision's library; where its file cannot be loaded alone, torchvision is imported."""
    found = None if "torchvision" in sys.modules else find_spec("torchvision")
    for folder in found.submodule_search_locations if found else ():
        for file in (*Path(folder).glob("_C*.so"), *Path(folder).glob("_C*.pyd")):
            try:
                torch.ops.load_library(file)
                torch.ops.torchvision.nms, torch.ops.torchvision.roi_align, torch.ops.torchvision.roi_pool  # noqa: B018
            except (OSError, AttributeError):  # another kind of file in another version
                continue
            return torch.ops.torchvision
    import torchvision  # noqa: F401 (loads it)

    return torch.ops.torchvision
