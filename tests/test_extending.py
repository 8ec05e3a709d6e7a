"""What docs/extending.md tells a reader to add, added as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sspe.text
from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.data import open_dataset
from sspe.models.localization import LocalizationModel
from sspe.settings import EdgeBoxesSettings, LocalizationModelSettings, NetworkSettings, RegionSettings, TextSettings
from sspe.text.base import REGISTERED
from sspe.text.context import Context
from sspe.text.encoders import create_text_encoder, text_encoders
from sspe.vision import backbones
from sspe.vision.region_encoder import RegionEncoder

DOCUMENT = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


def code(name: str) -> str:
    """The code block of the document with this name."""
    (block,) = re.findall(rf"^```python {name}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return block


def test_a_backbone(monkeypatch):
    monkeypatch.setattr(backbones, "BACKBONES", dict(backbones.BACKBONES))
    exec(code("backbone"), {})
    encoder = RegionEncoder(RegionSettings("mobilenet_v2", side=96, surroundings=0)).eval()
    photo = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    features = encoder.encode(photo, np.array([[0, 0, 80, 60], [5, 5, 30, 40]], np.float32))
    assert features.shape == (2, 1280 + 5) and not torch.equal(features[0], features[1])
    assert encoder.map(torch.zeros(1, 3, 64, 96)).shape == (1, 96, 4, 6)
    encoder.freeze_through("stage2")
    assert {name.split(".")[1] for name, p in encoder.map.named_parameters("map") if not p.requires_grad} == set("0123")
    assert all(p.requires_grad for p in encoder.head.parameters())


@pytest.fixture
def trigrams(monkeypatch, tmp_path):
    """sspe/text/trigrams.py is there."""
    (tmp_path / "trigrams.py").write_text(code("trigrams"), encoding="utf-8")
    monkeypatch.setattr(sspe.text, "__path__", [*sspe.text.__path__, str(tmp_path)])
    yield
    REGISTERED.pop("trigrams", None)


def test_a_text_encoder(trigrams, tmp_path):
    assert "trigrams" in text_encoders()
    texts = ["a red hat", "a man", "the croissant"]
    encoder = create_text_encoder(TextSettings("trigrams", context=2), texts)
    hat, hats, nothing = encoder.encode(["red hat", "red hats", "..."])
    assert hat @ hats > 0.5 and not nothing.any()
    model = LocalizationModel(
        LocalizationModelSettings(
            RegionSettings(side=64, surroundings=0),
            NetworkSettings(hidden=16, embedding=8, refiner=0),
            EdgeBoxesSettings(count=5),
        ),
        encoder,
    )
    save_checkpoint(model.eval(), tmp_path / "model.safetensors", {})
    loaded = load_checkpoint(tmp_path / "model.safetensors")[0].eval()
    phrases, contexts = ["a croissant", "a hat"], [Context("the man with", ""), Context()]
    assert torch.equal(loaded.text_encoder.encode(phrases, contexts), encoder.encode(phrases, contexts))
    torch.testing.assert_close(loaded.embed_phrases(phrases), model.embed_phrases(phrases), atol=1e-2, rtol=0)


def test_a_data_set(tmp_path):
    Image.new("RGB", (64, 48)).save(tmp_path / "1.png")
    (tmp_path / "annotations.csv").write_text(
        "photo,sentence,phrase,left,top,width,height\n"
        "1.png,A man in a hat.,A man,10,5,20,40\n"
        "1.png,A man in a hat.,a hat,12,5,10,8\n"
        '1.png,"A hat, red.",A hat,12,5,10,8\n',
        encoding="utf-8",
    )
    names: dict = {}
    exec(code("data"), names)
    names["convert"](tmp_path / "annotations.csv", tmp_path / "val.jsonl")
    (photo,) = open_dataset(tmp_path, "val")
    assert [sentence.text for sentence in photo.sentences] == ["A man in a hat.", "A hat, red."]
    man, hat = photo.sentences[0].phrases
    assert (man.text, hat.text) == ("A man", "a hat")
    np.testing.assert_array_equal(man.box, [10, 5, 30, 45])
