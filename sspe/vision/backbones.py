"""Backbone registry: each network declares its stages, its normalisation, and where it is cut in two.

``map``, run once per photo, turns it into a feature map at stride 16; ``head``, run on every region, turns a window of
that map, brought to a fixed size, into one feature vector. Run one after the other on a whole crop they are the
published classifier without its last layer. A recipe says by a stage's name how much of the network to freeze.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import dropwhile, takewhile

import torch
from torch import nn

from sspe.errors import CheckpointError, SspeError
from sspe.vision.folding import fold_batch_norm
from sspe.vision.weights import PUBLISHED, RANDOM, efficientnet_lite, from_torchvision, weights_key


class MeanPooledHead(nn.Sequential):
    """The network's last stages, then the mean over the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, h, w) -> (N, D)
        return super().forward(x).mean(dim=(2, 3))


class VGGHead(nn.Module):
    """fc6 and fc7 on a window of 7 x 7; a larger one, of a whole crop, is max-pooled to that, as conv5 is in VGG."""

    def __init__(self, fc6: nn.Linear, fc7: nn.Linear):
        super().__init__()
        self.pool = nn.AdaptiveMaxPool2d(7)
        self.fc6, self.fc7 = fc6, fc7

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, 512, h, w) -> (N, 4096)
        x = torch.relu(self.fc6(self.pool(x).flatten(1)))
        return torch.relu(self.fc7(x))


@dataclass(frozen=True)
class Backbone:
    """A network cut in two.

    Attributes:
        stages: the modules of every stage by its name, in the order in which the photo passes them.
        cut: the first stage that belongs to the head and not to the map.
        map_size: C, channels of the map.
        feature_size: D, length of a feature vector.
        mean, std: per-channel normalisation; input = (pixel - mean) / std with pixels in 0..255.
        stride: pixels of the photo per cell of the map.
        pool: makes the head of the modules of its stages: it brings the window to one vector.
        max_pooled: windows are cut by RoI max pooling, as in Fast R-CNN, and not by RoIAlign.
    """

    stages: Mapping[str, Sequence[nn.Module]]
    cut: str
    map_size: int
    feature_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    stride: int = 16
    pool: Callable[..., nn.Module] = MeanPooledHead
    max_pooled: bool = False

    @cached_property
    def map(self) -> nn.Module:
        """(N, 3, H, W) normalised RGB -> (N, C, H / stride, W / stride)."""
        return nn.Sequential(*self._modules(takewhile(lambda stage: stage != self.cut, self.stages)))

    @cached_property
    def head(self) -> nn.Module:
        """(N, C, h, w) -> (N, D)."""
        return self.pool(*self._modules(dropwhile(lambda stage: stage != self.cut, self.stages)))

    def freeze_through(self, stage: str | None) -> None:
        """Fix the weights from the first stage to ``stage`` inclusive; None, "" or "none" fixes nothing.

        Raises SspeError for a stage that this backbone does not have.
        """
        if stage in (None, "", "none"):
            return
        if stage not in self.stages:
            raise SspeError(f"The backbone has no stage {stage!r} to freeze; choose one of {', '.join(self.stages)}.")
        names = list(self.stages)
        for module in self._modules(names[: names.index(stage) + 1]):
            module.requires_grad_(False)

    def _modules(self, stages: Iterable[str]) -> list[nn.Module]:
        return [module for stage in stages for module in self.stages[stage]]


IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's, of 0..255


def create_backbone(name: str, pretrained: bool = False, weights: str | None = None) -> Backbone:
    """Build the backbone ``name``, with random weights or, ``pretrained``, those that ``weights`` names.

    Args:
        name: one of :data:`BACKBONES`.
        pretrained: False leaves the weights random.
        weights: None is the published ImageNet weights, from their pip package or through torchvision; "timm" are
            timm's, downloaded; a path is a file of weights for the whole network; "random" leaves them random.

    Raises:
        CheckpointError: the name is unknown, or the weights are not at hand or do not fit.
    """
    if name not in BACKBONES:
        raise CheckpointError(f"There is no backbone {name!r}; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[name]((weights or PUBLISHED) if pretrained and weights != RANDOM else None)


def _efficientnet_lite(version: int, weights: str | None) -> Backbone:
    network = fold_batch_norm(efficientnet_lite(version, weights))
    stages = {f"stage{i}": [block] for i, block in enumerate(network.blocks, 1)}  # stage1 to stage7
    return Backbone(
        stages={"stem": [network.conv_stem, network.bn1], **stages, "top": [network.conv_head, network.bn2]},
        cut="stage6",  # stage5 ends at stride 16 with 112 channels; stage6 halves the map again
        map_size=network.blocks[4][-1].conv_pwl.out_channels,
        feature_size=network.conv_head.out_channels,
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
    )


def _vgg(depth: int, weights: str | None) -> Backbone:
    network = from_torchvision(f"vgg{depth}", weights)
    stages: dict[str, list[nn.Module]] = {"stage1": []}
    for layer in network.features[:-1]:  # to the ReLU after the last convolution; the pooling after it is the region's
        stages[f"stage{len(stages)}"].append(layer)
        if isinstance(layer, nn.MaxPool2d):  # ends a group of convolutions
            stages[f"stage{len(stages) + 1}"] = []
    return Backbone(
        stages={**stages, "fc6": [network.classifier[0]], "fc7": [network.classifier[3]]},
        cut="fc6",
        map_size=512,
        feature_size=4096,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        pool=VGGHead,
        max_pooled=True,
    )


def _resnet(depth: int, weights: str | None) -> Backbone:
    network = fold_batch_norm(from_torchvision(f"resnet{depth}", weights))
    return Backbone(
        stages={
            "stem": [nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)],
            "stage1": [network.layer1],
            "stage2": [network.layer2],
            "stage3": [network.layer3],
            "stage4": [network.layer4],
        },
        cut="stage4",
        map_size=1024,
        feature_size=2048,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


BACKBONES: dict[str, Callable[[str | None], Backbone]] = {
    "efficientnet_lite0": partial(_efficientnet_lite, 0),
    "efficientnet_lite1": partial(_efficientnet_lite, 1),
    "efficientnet_lite2": partial(_efficientnet_lite, 2),
    "vgg16": partial(_vgg, 16),
    "vgg19": partial(_vgg, 19),
    "resnet50": partial(_resnet, 50),
    "resnet152": partial(_resnet, 152),
}


class BackboneEncoder(nn.Module):
    """A backbone with the normalisation of what it is shown: what the encoders of regions and of whole photos share."""

    def __init__(self, backbone: Backbone):
        super().__init__()
        self.map, self.head = backbone.map, backbone.head
        self._backbone = backbone
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(backbone.std).view(1, 3, 1, 1), persistent=False)

    def freeze_through(self, stage: str | None) -> None:
        """See :meth:`Backbone.freeze_through`."""
        self._backbone.freeze_through(stage)

    def weights_key(self) -> str:
        """Short hash of the weights: identifies what was computed with them."""
        return weights_key(self)

    def normalised(self, photos: torch.Tensor) -> torch.Tensor:
        """(N, H, W, 3) uint8 -> (N, 3, H, W) float32; the permuted view already is channels_last, the fast layout."""
        return (photos.permute(0, 3, 1, 2).float() - self.mean) / self.std
