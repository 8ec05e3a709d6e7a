"""Our own files, damaged: a checkpoint and an index are read right or refused in one sentence."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest
import torch
from mutations import mutated, outcome

from sspe.checkpoint import load_checkpoint
from sspe.collection import Collection


def check_checkpoints(checkpoint, path, seeds: range) -> int:
    """How many were refused of copies whose header is damaged; the others are what was written."""
    whole = checkpoint.read_bytes()
    length = 8 + int.from_bytes(whole[:8], "little")
    tensors, refused = load_checkpoint(checkpoint)[0].state_dict(), 0
    for seed in seeds:
        path.write_bytes(mutated(whole[:length], seed) + whole[length:])
        found = outcome(lambda: load_checkpoint(path))
        if isinstance(found, str):
            assert str(path) in found
            refused += 1
        else:
            assert all(torch.equal(tensor, tensors[name]) for name, tensor in found[0].state_dict().items())
    return refused


def test_damaged_headers_of_a_checkpoint(checkpoint, tmp_path):
    assert check_checkpoints(checkpoint, tmp_path / "damaged.safetensors", range(8)) > 4


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_five_hundred_damaged_headers_of_a_checkpoint(checkpoint, tmp_path):
    assert check_checkpoints(checkpoint, tmp_path / "damaged.safetensors", range(100, 600)) > 300


@pytest.fixture(scope="module")
def indexed(photos, tiny_localizer, tmp_path_factory):
    """A folder of three photos with its index."""
    folder = tmp_path_factory.mktemp("indexed")
    for photo in photos[:3]:
        shutil.copy(photo, folder)
    Collection.build(folder, localizer=tiny_localizer)
    return folder


def check_indexes(indexed, localizer, seeds: range) -> int:
    """How many were refused of indexes of which one file is damaged; the others answer as before."""
    index, refused = indexed / ".sspe", 0
    files = sorted(file for file in index.iterdir() if file.suffix in (".json", ".safetensors"))
    assert len(files) == 4  # the manifest, the coding, a segment and its table

    def answers() -> list:
        return [(hit.path, hit.score) for hit in Collection.open(indexed, localizer).search("a man", at_least=0).hits]

    right = answers()
    for seed in seeds:
        file = files[seed % len(files)]
        whole = file.read_bytes()
        if file.suffix == ".safetensors" and seed % 3:  # anywhere, not in the header alone
            place = random.Random(seed).randrange(len(whole))
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 64]) + whole[place + 1 :])
        else:
            file.write_bytes(mutated(whole, seed))
        found = outcome(answers)
        file.write_bytes(whole)
        if isinstance(found, str):
            refused += 1
        else:
            assert [path for path, _ in found] == [path for path, _ in right]
            np.testing.assert_allclose([score for _, score in found], [score for _, score in right])
    assert answers() == right
    return refused


def test_damaged_indexes(indexed, tiny_localizer):
    assert check_indexes(indexed, tiny_localizer, range(24)) > 18


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_damaged_indexes(indexed, tiny_localizer):
    assert check_indexes(indexed, tiny_localizer, range(100, 1100)) > 800
