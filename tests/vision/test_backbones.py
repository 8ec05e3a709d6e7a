"""The backbones: cut in two they are still the published networks."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from sspe.errors import CheckpointError, SspeError
from sspe.vision import weights as sources
from sspe.vision.backbones import BACKBONES, create_backbone
from sspe.vision.photo import open_photo, squeeze

LITE = [name for name in BACKBONES if name.startswith("efficientnet_lite")]
PAPERS = [name for name in BACKBONES if name not in LITE]  # the paper's and its successors', through torchvision


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_and_stride(name):
    with torch.device("meta"):  # shapes alone: no memory for VGG's 138 million weights, and no time to draw them
        backbone = create_backbone(name)
        photo = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        features = backbone.map(photo)
        vectors = backbone.head(features)
    if name in LITE:  # as its weights were trained
        assert (backbone.mean, backbone.std) == ((127,) * 3, (128,) * 3)
    else:
        np.testing.assert_allclose(np.array(backbone.mean) / 255, [0.485, 0.456, 0.406])
        np.testing.assert_allclose(np.array(backbone.std) / 255, [0.229, 0.224, 0.225])
    assert backbone.feature_size == {"vgg": 4096, "res": 2048}.get(name[:3], 1280)
    assert features.shape[1:] == (backbone.map_size, 64 // backbone.stride, 96 // backbone.stride)
    assert vectors.shape == (2, backbone.feature_size)
    with torch.inference_mode():
        assert backbone.head(features[:, :, :3, :3]).shape == (2, backbone.feature_size)  # any window
    assert not any(isinstance(m, nn.BatchNorm2d) for part in (backbone.map, backbone.head) for m in part.modules())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(CheckpointError, match=r"no backbone 'resnet'; choose one of efficientnet_lite0, .*vgg19"):
        create_backbone("resnet")


def test_random_weights_follow_the_seed():
    made = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        made.append(create_backbone("efficientnet_lite0").map[0].weight)
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


EFFICIENTNET = ["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "top"]
RESNET = ["stem", "stage1", "stage2", "stage3", "stage4"]
VGG = ["stage1", "stage2", "stage3", "stage4", "stage5", "fc6", "fc7"]


@pytest.mark.parametrize(
    ("name", "stages"), [("efficientnet_lite2", EFFICIENTNET), ("resnet50", RESNET), ("vgg16", VGG), ("vgg19", VGG)]
)
def test_stages_cover_the_network_in_order(name, stages):
    with torch.device("meta"):
        backbone = create_backbone(name)
    assert list(backbone.stages) == stages and backbone.cut in stages
    declared = [p for modules in backbone.stages.values() for module in modules for p in module.parameters()]
    used = [*backbone.map.parameters(), *backbone.head.parameters()]
    assert [id(p) for p in declared] == [id(p) for p in used]


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        # What was frozen when stages were counted by their position: stem convolution, activation, blocks 0 and 1.
        ("efficientnet_lite0", ["map.0.", "map.2.", "map.3."]),
        ("efficientnet_lite2", ["map.0.", "map.2.", "map.3."]),
        ("resnet50", ["map.0.", "map.1.", "map.2."]),  # stem, layer1, layer2
        ("vgg16", ["map.0.", "map.2.", "map.5.", "map.7."]),  # conv1_1, conv1_2, conv2_1, conv2_2
    ],
)
def test_freezing_counts_stages_by_name(name, frozen):
    with torch.device("meta"):
        backbone = create_backbone(name)
    backbone.freeze_through("stage2")
    parts = nn.ModuleDict({"map": backbone.map, "head": backbone.head})
    for key, parameter in parts.named_parameters():
        assert parameter.requires_grad == (not key.startswith(tuple(frozen))), key


@pytest.mark.parametrize("nothing", ["", "none", None])
def test_nothing_is_frozen_without_a_stage(nothing):
    backbone = create_backbone("efficientnet_lite0")
    backbone.freeze_through(nothing)
    assert all(p.requires_grad for p in [*backbone.map.parameters(), *backbone.head.parameters()])


def test_the_whole_backbone_can_be_frozen():
    with torch.device("meta"):
        backbone = create_backbone("resnet50")
    backbone.freeze_through("stage4")
    assert not any(p.requires_grad for p in [*backbone.map.parameters(), *backbone.head.parameters()])


def test_an_unknown_stage_is_answered_with_those_of_the_backbone():
    with pytest.raises(SspeError, match=r"no stage 'layer2'.*stem, stage1, stage2, stage3, stage4\.$"):
        create_backbone("resnet50").freeze_through("layer2")


@pytest.fixture(scope="module")
def whole() -> nn.Module:
    """The published classifier, uncut and unfolded."""
    return sources.efficientnet_lite(0, sources.PUBLISHED)


def test_map_then_head_is_the_published_network_without_its_last_layer(whole):
    backbone = create_backbone("efficientnet_lite0", pretrained=True)
    photo = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = whole.bn2(whole.conv_head(whole.blocks(whole.bn1(whole.conv_stem(photo))))).mean(dim=(2, 3))
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


# Through torchvision


def spread(network: nn.Module) -> None:
    """Batch norms with statistics at random, or folding them would be nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)


@pytest.fixture(scope="module")
def published():
    """published(name) -> torchvision's own network, its weights random."""
    made = {}

    def make(name: str) -> nn.Module:
        if name not in made:
            torch.manual_seed(0)
            made[name] = torchvision.models.get_model(name, weights=None).eval()
            spread(made[name])
        return made[name]

    return make


@pytest.fixture
def as_file(published, monkeypatch):
    """as_file(name) -> a path from which that network's weights are read; those of VGG would fill half a gigabyte."""

    def make(name: str) -> str:
        monkeypatch.setattr(sources, "read_weights", lambda path: published(name).state_dict())
        return f"{name}.pth"

    return make


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_map_then_head_is_torchvisions_network_without_its_last_layer(published, as_file, name):
    whole = published(name)
    backbone = create_backbone(name, pretrained=True, weights=as_file(name))
    photo = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = backbone.head(backbone.map(photo))
        if name == "vgg16":
            pooled = whole.avgpool(whole.features(photo)).flatten(1)
            expected = whole.classifier[:-1](pooled)  # fc7 after its ReLU
        else:
            last = whole.fc
            expected = whole(photo)
            found = last(found)
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_window_of_a_region_goes_to_fc6_as_it_is(published, as_file):
    whole = published("vgg16")
    backbone = create_backbone("vgg16", pretrained=True, weights=as_file("vgg16"))
    window = torch.rand(2, 512, 7, 7)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.head(window), whole.classifier[:-1](window.flatten(1)))
    assert backbone.max_pooled and not create_backbone("resnet50").max_pooled
