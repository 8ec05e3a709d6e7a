"""Regions in few bytes: what comes back is what went in, to the step of its scale."""

import numpy as np
import pytest

from sspe.indexing.coding import CODE, Coding


@pytest.fixture
def coding():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(100, 100)))[0].astype(np.float32)
    stretched = np.linspace(0.8, 1.2, 100, dtype=np.float32)  # no longer orthonormal: another one reads it
    described = np.linalg.qr(rng.normal(size=(30, 30)))[0].astype(np.float32)
    mean = rng.normal(size=30).astype(np.float32)
    scale = np.full(100, 1 / 127, np.float32)
    return Coding(basis * stretched, basis / stretched, scale, mean, described, np.full(30, 0.1, np.float32))


def test_there_and_back(coding):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 100)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    described = rng.normal(size=(7, 30)).astype(np.float32)
    boxes = np.sort(rng.random((7, 2, 2)), axis=1).reshape(7, 4).astype(np.float32)
    codes, rows = coding.encode(x, described, boxes)
    assert codes.shape == (7, CODE) and codes.dtype == np.int8
    assert rows.shape == (7, coding.row_size) and rows.dtype == np.uint8
    numbers = coding.numbers(codes, rows)
    assert np.abs(numbers @ coding.reading.T - x).max() < 0.02
    rounded = np.abs(numbers - x @ coding.basis).max(axis=0)
    assert rounded[:CODE].max() <= 0.51 / 127 / 254 and rounded[CODE:].max() <= 0.5 / 127 + 1e-6
    y = rng.normal(size=(3, 100)).astype(np.float32)
    scores = coding.weighed(y @ coding.reading) @ coding.signed_bytes(codes, rows).T
    assert np.allclose(scores, y @ (numbers @ coding.reading.T).T, atol=1e-5)
    assert np.abs(coding.described(rows) - described).max() < 0.2
    assert np.abs(coding.boxes(rows) - boxes).max() < 1e-5


def test_what_is_too_large_is_cut_and_does_not_turn_over(coding):
    codes, rows = coding.encode(
        100 * np.ones((1, 100), np.float32) @ coding.reading.T, np.zeros((1, 30)), np.zeros((1, 4))
    )
    assert (codes == 127).all() and np.allclose(coding.numbers(codes, rows), 1, atol=0.005)


def test_without_refinement_nothing_is_kept_for_it(coding):
    empty = np.zeros((0, 0), np.float32)
    plain = Coding(coding.basis[:, :40], coding.reading[:, :40], coding.scale[:40], np.zeros(0), empty, np.zeros(0))
    codes, rows = plain.encode(np.eye(100, dtype=np.float32)[:3], None, np.zeros((3, 4)))
    assert codes.shape == (3, 40) and rows.shape == (3, 48) and plain.described(rows) is None


def test_a_file_of_it_is_read_again(coding, tmp_path):
    coding.save(tmp_path / "coding.safetensors")
    again = Coding.load(tmp_path / "coding.safetensors")
    assert all(np.array_equal(getattr(coding, name), getattr(again, name)) for name in vars(coding))
