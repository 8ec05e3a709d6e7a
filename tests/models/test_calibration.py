"""Evidence by a literal recomputation, and probabilities through the model and its checkpoint."""

import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sspe.checkpoint import load_checkpoint, save_checkpoint
from sspe.errors import CheckpointError
from sspe.models.calibration import (
    BARE_EVIDENCE,
    EVIDENCE,
    NAMED_EVIDENCE,
    TEMPERATURE,
    Calibration,
    Seen,
    evidence_of,
    logistic,
    of_presence,
)
from sspe.text.context import Context
from sspe.vision.boxes import consensus, nms
from sspe.vision.photo import open_photo

PHRASES = ["a man", "the large red ball", "woman", "a striped hat on a dog", "unheard-of zyx"]


def deviation(values) -> float:
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


def test_evidence_of_a_phrase_that_names_a_thing():
    """What the detector sees of it, anywhere and in the answer; of its bare name the bank as well; else zeros."""
    rng = np.random.default_rng(0)
    scores, bank = rng.uniform(-1, 1, (3, 5)).astype(np.float32), rng.uniform(-1, 1, (3, 50)).astype(np.float32)
    boxes = np.tile(np.array([[0, 0, 10, 10]], np.float32), (3, 5, 1))
    kept, agreement = [np.array([3, 1]), np.array([2]), np.array([0])], [0.5, 0.5, 0.5]
    here = np.array([[0.1, 0.7, 0.2, 0.4, 0], [0] * 5, [1, 0, 0, 0, 0]])
    seen = Seen(np.array([True, False, True]), np.array([False, False, True]), np.array([0.8, 0, 1]), here)
    plain = evidence_of(bank, scores, boxes, kept, agreement, 400)
    found = evidence_of(bank, scores, boxes, kept, agreement, 400, seen)
    assert found.shape == (3, len(EVIDENCE + NAMED_EVIDENCE + BARE_EVIDENCE)) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:, : len(EVIDENCE)], plain)
    odds = [math.log((p + 0.002) / (1.002 - p)) for p in (0.8, 0.4, 1)]
    np.testing.assert_allclose(found[0, len(EVIDENCE) :], [1, *odds[:2], 0, 0, 0, 0, 0], rtol=1e-5)
    assert not found[1, len(EVIDENCE) :].any()
    bank_says = [plain[2][EVIDENCE.index(name)] for name in ("above_bank", "bank_deviations")]
    np.testing.assert_allclose(found[2, len(EVIDENCE) :], [0, 0, 0, 1, odds[2], odds[2], *bank_says], rtol=1e-5)
    # Whether the thing is there is heard from that alone where the phrase is its bare name.
    heard = of_presence(found)
    np.testing.assert_array_equal(heard[:2], found[:2])
    assert not heard[2, : len(EVIDENCE)].any()
    np.testing.assert_array_equal(heard[2, len(EVIDENCE) :], found[2, len(EVIDENCE) :])
    np.testing.assert_array_equal(of_presence(plain), plain)


@pytest.mark.parametrize(("regions", "bank"), [(40, 500), (11, 3), (10, 1), (3, 201), (1, 20)])
def test_evidence_by_hand(regions, bank):
    rng = np.random.default_rng(regions)
    scores = rng.uniform(-1, 1, (4, regions)).astype(np.float32)
    corners = rng.uniform(0, 60, (4, regions, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (4, regions, 2))], axis=2).astype(np.float32)
    bank_scores = rng.uniform(-1, 1, (4, bank)).astype(np.float32)
    # The answer is any region; the candidates after it are what suppression leaves of the others.
    answers = rng.integers(regions, size=4)
    kept = [nms(p, np.where(np.arange(regions) == a, 9, r)) for p, r, a in zip(boxes, scores, answers, strict=True)]
    agreement = rng.random(4).tolist()
    found = evidence_of(bank_scores, scores, boxes, kept, agreement, 100 * 100)
    assert found.shape == (4, len(EVIDENCE)) and found.dtype == np.float32
    for i in range(4):
        row, others, candidates = scores[i].tolist(), sorted(bank_scores[i].tolist()), [scores[i][k] for k in kept[i]]
        best, score, answer = max(row), row[answers[i]], boxes[i][answers[i]].tolist()
        second = max(candidates[1:]) if len(candidates) > 1 else min(row)
        top = others[int(0.995 * (bank - 1))]
        share_of_photo = (answer[2] - answer[0]) * (answer[3] - answer[1]) / 10_000
        expected = {
            "score": score,
            "short_of_best": best - score,
            "lead": score - second,
            "share": 1 / sum(math.exp((c - score) / TEMPERATURE) for c in candidates),
            "above_photo": (best - sum(row) / regions) / (deviation(row) + 1e-6),
            "above_bank": best - top,
            "bank_deviations": (best - sum(others) / bank) / (deviation(others) + 1e-6),
            "bank_top": top,
            "agreement": agreement[i],
            "size": math.sqrt(share_of_photo),
            "size_squared": share_of_photo,
        }
        assert tuple(expected) == EVIDENCE
        if bank > 1 and regions > 1:  # a deviation of nothing is divided by all but nothing
            np.testing.assert_allclose(found[i], list(expected.values()), rtol=2e-4, atol=2e-5)
        assert np.isfinite(found).all()


def test_evidence_of_no_phrase():
    assert evidence_of(np.zeros((0, 5)), np.zeros((0, 3)), np.zeros((0, 3, 4)), (), (), 100).shape == (0, len(EVIDENCE))


def test_the_logistic_function():
    evidence = np.array([[0.0, 0.0], [1.0, 2.0], [1000.0, 0.0], [-1000.0, 0.0]])
    found = logistic(evidence, np.array([2.0, -1.0, 0.5]))
    np.testing.assert_allclose(found[:2], [1 / (1 + math.exp(-0.5)), 1 / (1 + math.exp(-0.5))])
    assert 1 - 1e-12 < found[2] <= 1 and 0 <= found[3] < 1e-12  # without a warning of overflow


@pytest.fixture
def calibrated(make_localization_model, photos):
    """A model on the CPU with made-up weights, and the regions of a photo."""
    model = make_localization_model().for_inference("cpu", "float32")
    photo, other = open_photo(photos[0]), open_photo(photos[1])
    regions = model.embed_regions(photo, model.edge_boxes(photo))
    bank = model.embed_regions(other, model.edge_boxes(other)).embeddings
    rng = torch.Generator().manual_seed(0)
    confidence = torch.randn(len(EVIDENCE) + 1, generator=rng) / 3
    model.calibration = Calibration(bank, confidence, -confidence)
    return model, regions


def test_a_calibrated_pipeline_finds_the_same_and_says_how_surely(calibrated):
    model, regions = calibrated
    contexts = [Context("a dog and ", " with a red hat")] * len(PHRASES)
    located = model.locate(regions, PHRASES, contexts)
    bank = model.embed_phrases(PHRASES, contexts).numpy() @ model.calibration.bank.numpy().T
    proposed = model._placed(regions, model.embed_phrases(PHRASES, contexts))
    agreement = [consensus(boxes, row)[2] for boxes, row in zip(proposed, located.scores, strict=True)]
    area = regions.width * regions.height
    expected = evidence_of(bank, located.scores, located.boxes, located.kept, agreement, area)
    np.testing.assert_allclose(located.evidence, expected, rtol=1e-4, atol=1e-5)
    weights = model.calibration.confidence.numpy()
    for i in range(len(PHRASES)):
        assert located.confidence[i] == pytest.approx(
            1 / (1 + math.exp(-(located.evidence[i] @ weights[:-1] + weights[-1]))), abs=1e-5
        )
    np.testing.assert_allclose(located.present, 1 - located.confidence, atol=1e-6)  # of the opposite weights
    assert located.known.dtype == bool and list(located.known) == model.text_encoder.knows(PHRASES)
    model.calibration = None
    plain = model.locate(regions, PHRASES, contexts)
    np.testing.assert_array_equal(plain.known, located.known)
    assert plain.evidence is plain.confidence is plain.present is None
    np.testing.assert_array_equal(plain.scores, located.scores)
    np.testing.assert_array_equal(plain.boxes, located.boxes)


def test_probabilities_survive_the_checkpoint(calibrated, tmp_path):
    model, regions = calibrated
    before = model.locate(regions, PHRASES)
    save_checkpoint(model, tmp_path / "a.safetensors", {})
    loaded = load_checkpoint(tmp_path / "a.safetensors")[0].for_inference("cpu", "float32")
    for name, tensor in vars(model.calibration).items():
        kept = getattr(loaded.calibration, name)
        assert kept.dtype == torch.float32
        torch.testing.assert_close(kept, tensor, atol=1e-3, rtol=1e-3)
    after = loaded.locate(regions, PHRASES)
    np.testing.assert_allclose(after.confidence, before.confidence, atol=0.005)
    np.testing.assert_allclose(after.present, before.present, atol=0.005)
    assert np.abs(before.present - before.confidence).max() > 0.1  # there is a difference to be lost
    assert np.ptp(before.confidence) > 0.05
    save_checkpoint(loaded, tmp_path / "b.safetensors", {})
    again = load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(tensor, again[name]) for name, tensor in load_file(tmp_path / "a.safetensors").items())


def test_a_checkpoint_without_calibration_has_none(checkpoint):
    assert not any(name.startswith("calibration") for name in load_file(checkpoint))
    assert load_checkpoint(checkpoint)[0].calibration is None


def test_half_a_calibration_is_refused(calibrated, tmp_path):
    save_checkpoint(calibrated[0], tmp_path / "whole.safetensors", {})
    with safe_open(tmp_path / "whole.safetensors", framework="pt") as file:
        metadata = file.metadata()
    for name in ("bank", "confidence", "present"):
        tensors = load_file(tmp_path / "whole.safetensors")
        del tensors[f"calibration.{name}"]
        save_file(tensors, tmp_path / "less.safetensors", metadata)
        with pytest.raises(CheckpointError, match=f"less.safetensors lacks.*{name}"):
            load_checkpoint(tmp_path / "less.safetensors")
