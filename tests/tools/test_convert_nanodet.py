"""The converter of the published detector, on graphs made here."""

import numpy as np
import pytest
import torch
from convert_nanodet import GRAPH, WEIGHTS, convert, convolutions, main
from torch import nn

from sspe.errors import CheckpointError
from sspe.settings import DetectorSettings
from sspe.vision.detector import SIDE, Detector


def published(layers: list[nn.Conv2d], order: list[int]) -> tuple[dict, bytes]:
    """Graph and weights as TensorFlow.js has them, the nodes in the given order; an array of no use stands first."""
    nodes, manifest, content = [], [{"name": "axis", "shape": [2], "dtype": "int32"}], bytes(8)
    for number in order:
        layer, name = layers[number], "call/convolution" + (f"_{number}" if number else "")
        kernel = layer.weight.detach().permute(2, 3, 1, 0)
        nodes.append({"name": name, "op": "Conv2D", "input": ["read", f"kernel{number}"]})
        nodes.append({"name": f"call/Add_{number}", "op": "Add", "input": [name, f"bias{number}"]})
        for array, values in (("kernel", kernel), ("bias", layer.bias.detach())):
            quantized = {"quantization": {"dtype": "float16", "original_dtype": "float32"}}
            entry = {"name": f"{array}{number}", "shape": list(values.shape), "dtype": "float32"}
            manifest.append(entry | (quantized if array == "kernel" else {}))
            kind = "<f2" if array == "kernel" else "<f4"
            content += values.contiguous().numpy().astype(kind).tobytes()
    return {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": manifest}]}, content


def layers_of(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def test_convolutions_come_in_the_order_of_their_numbers():
    layers = [nn.Conv2d(2, 3, 3), nn.Conv2d(3, 1, 1), *(nn.Conv2d(1, 1, 1) for _ in range(9))]
    found = convolutions(*published(layers, [4, 1, 10, 0, *range(5, 10), 2, 3]))
    assert len(found) == 11
    for layer, (kernel, bias) in zip(layers, found, strict=True):
        np.testing.assert_allclose(kernel, layer.weight.detach().permute(2, 3, 1, 0), atol=1e-3)
        np.testing.assert_array_equal(bias, layer.bias.detach())


def test_a_whole_graph_becomes_the_detector_it_was():
    torch.manual_seed(0)
    first = Detector(DetectorSettings()).eval()
    layers = layers_of(first)
    assert len(layers) == 34
    made = convert(*published(layers, list(range(34))))
    photo = torch.randint(0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for a, b in zip(first(photo), made(photo), strict=True):
            torch.testing.assert_close(a, b, atol=2e-3, rtol=0)


def test_a_graph_of_another_network_is_refused():
    with pytest.raises(CheckpointError, match="2 convolutions, and NanoDet-g 34"):
        convert(*published([nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3)], [0, 1]))
    layers = layers_of(Detector(DetectorSettings()))
    layers[5] = nn.Conv2d(7, 7, 3)
    with pytest.raises(CheckpointError, match="Convolution 5 has a kernel of"):
        convert(*published(layers, list(range(34))))


def test_files_that_are_missing_or_others_are_one_sentence_and_exit_code_2(tmp_path, capsys):
    line = [str(tmp_path), str(tmp_path / "out.safetensors")]
    assert main(line) == 2
    (tmp_path / GRAPH).write_text("{}")
    (tmp_path / WEIGHTS).write_bytes(b"")
    assert main(line) == 2
    missing, other = capsys.readouterr().err.splitlines()
    assert "There is no" in missing and "3.0.4" in missing
    assert "SHA-256" in other and GRAPH in other and "3.0.4" in other
    assert not (tmp_path / "out.safetensors").exists()
