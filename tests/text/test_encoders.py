"""Text encoders by name: found in their files, joined by "+", moved and stored with the model."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sspe.errors import CheckpointError
from sspe.settings import TextSettings
from sspe.text.base import REGISTERED, TextEncoder
from sspe.text.context import ALONE, Context
from sspe.text.encoders import create_text_encoder, load_text_encoder, text_encoders
from sspe.text.mean import MeanEncoder
from sspe.text.words import WordVectors

WORDS = WordVectors(("red", "shirt", "woman", "hat"), np.array([[1, 0], [0, 2], [3, 4], [-1, 0]], np.float32))


def test_an_unknown_encoder_is_answered_with_the_known_ones():
    for call in (lambda: create_text_encoder(TextSettings("bert"), []), lambda: load_text_encoder("bert", {}, {})):
        with pytest.raises(
            CheckpointError, match=r"no text encoder 'bert'; choose one of hglmm, mean, minilm, tfidf\."
        ):
            call()
    assert text_encoders() == ["hglmm", "mean", "minilm", "tfidf"]


def test_a_file_that_is_no_encoder_is_none():
    with pytest.raises(CheckpointError, match="no text encoder 'words'"):
        create_text_encoder(TextSettings("words"), [])


def test_only_what_is_asked_for_is_imported(monkeypatch):
    for name in text_encoders():
        monkeypatch.delitem(sys.modules, f"sspe.text.{name}")
        monkeypatch.delitem(REGISTERED, name)
    load_text_encoder("tfidf", {"words": ["a"], "context": 0}, {"idf": torch.ones(1, 1)})
    assert list(REGISTERED) == ["tfidf"]
    assert not {"sspe.text.minilm", "sspe.text.mean", "sspe.text.hglmm"} & set(sys.modules)


def test_two_encoders_of_one_name_are_refused():
    with pytest.raises(TypeError, match=r"names its text encoder 'mean', as sspe\.text\.mean does"):
        type("Other", (TextEncoder,), {"name": "mean", "__module__": __name__})
    assert REGISTERED["mean"] is MeanEncoder


@pytest.mark.parametrize("name", ["mean", "tfidf", "hglmm", "mean+tfidf"])
def test_an_encoder_moves_with_the_model_and_is_no_part_of_its_weights(name, monkeypatch, tmp_path):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    encoder = create_text_encoder(TextSettings(name, context=2, centres=2), ["a red hat", "the woman's shirt"])
    model = nn.ModuleDict({"text": encoder, "other": nn.Linear(2, 2)})
    assert set(model.state_dict()) == {"other.weight", "other.bias"}
    assert [name for name, _ in model.named_parameters()] == ["other.weight", "other.bias"]
    model.train()
    assert not encoder.training and model.training
    tensors = encoder.state()
    assert tensors and all(tensor.device.type == "cpu" for tensor in tensors.values())
    model.to("meta")
    assert encoder.state().keys() == tensors.keys()
    assert all(tensor.device.type == "meta" for tensor in encoder.state().values())


# Several side by side


def test_joined_encoders_stand_side_by_side_and_survive_the_round_trip(monkeypatch):
    monkeypatch.setattr("sspe.text.words.glove", lambda: WORDS)
    texts = ["a red hat", "the woman's shirt", "zebra"]
    settings = TextSettings("mean+tfidf", context=2)
    parts = [create_text_encoder(replace(settings, encoder=name), texts) for name in ("mean", "tfidf")]
    joined = create_text_encoder(settings, texts)
    assert joined.name == "mean+tfidf" and joined.feature_size == sum(part.feature_size for part in parts)
    asked = (["red hat", "zebra", "unknown"], [Context("the woman", ""), ALONE, Context("red", "hat")])
    mean_features, tfidf_features = (part.encode(*asked) for part in parts)
    found = joined.encode(*asked)
    sizes = [part.phrase_size for part in parts] + [part.context_size for part in parts] * 2
    own_mean, own_tfidf, mean_before, tfidf_before, mean_after, tfidf_after = found.split(sizes, dim=1)
    assert torch.equal(torch.cat([own_mean, mean_before, mean_after], dim=1), mean_features)
    assert torch.equal(torch.cat([own_tfidf, tfidf_before, tfidf_after], dim=1), tfidf_features)
    assert [part.knows(asked[0]) for part in parts] == [[True, False, False], [True, True, False]]
    assert joined.knows(asked[0]) == [True, True, False] and joined.knows([]) == []
    loaded = load_text_encoder(joined.name, json.loads(json.dumps(joined.settings())), joined.state())
    assert loaded.name == joined.name and torch.equal(loaded.encode(*asked), found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean+bert", "no text encoder 'bert'"),
        ("mean+", "no text encoder ''"),
        ("tfidf+mean+tfidf", "joins 'tfidf' to itself"),
    ],
)
def test_what_cannot_be_joined_is_named(name, message):
    with pytest.raises(CheckpointError, match=message):
        create_text_encoder(TextSettings(name), ["a hat"])
