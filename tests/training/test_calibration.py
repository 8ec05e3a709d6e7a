"""After training: a bank of regions, and the probabilities fitted on val photos, or none where these are too few."""

import logging

import numpy as np
import pytest
import torch

from sspe.data import open_dataset
from sspe.data.caches import FeatureStore
from sspe.evaluation.answers import localize_annotated
from sspe.evaluation.measures import measure_localization
from sspe.models.calibration import EVIDENCE
from sspe.training import calibration
from sspe.training.calibration import calibrate, make_bank
from sspe.vision.photo import open_photo


@pytest.fixture
def scene(make_localization_model, scenes, cache):
    """A model, train and val photos, and a store of their proposals."""
    model = make_localization_model(refiner=0).for_inference("cpu", "float32")
    store = FeatureStore(96, model.settings.proposals)
    return model, open_dataset(scenes, "train", limit=3), open_dataset(scenes, "val"), store


def test_the_bank_holds_regions_of_the_photos(scene, monkeypatch):
    model, train, _, store = scene
    bank = make_bank(model, train, store)
    assert bank.shape == (3 * calibration.BANK_REGIONS, 24) and bank.dtype == torch.float32
    assert torch.equal(bank, make_bank(model, train, store))
    assert not torch.equal(bank, make_bank(model, train, store, seed=1))
    of_photos = []
    for photo in train:
        pixels = open_photo(photo.path)
        boxes = store.get(photo.path).boxes * np.array([*pixels.shape[1::-1]] * 2, np.float32)
        of_photos.append(model.embed_regions(pixels, boxes).embeddings)
    for of_photo, part in zip(of_photos, bank.split(calibration.BANK_REGIONS), strict=True):
        nearest = part @ of_photo.T
        assert nearest.max(dim=1).values.min() > 0.999
        assert len(set(nearest.argmax(dim=1).tolist())) > calibration.BANK_REGIONS // 2  # not one region many times
    monkeypatch.setattr(calibration, "BANK_PHOTOS", 2)
    assert len(make_bank(model, train, store)) == 2 * calibration.BANK_REGIONS


def test_a_model_is_calibrated(scene):
    model, train, val, store = scene
    plain = measure_localization(localize_annotated(model, val[1::2], store)[0])
    measured = calibrate(model, train, val, store)
    assert {name: measured[name] for name in plain} == plain
    judged = {"confidence", "present"}
    assert set(measured) - set(plain) == judged | {f"{name}_of_fit" for name in judged}
    assert measured["present_of_fit"]["count"] > 2 * len(val[::2])  # bare nouns are judged as well
    assert measured["confidence"]["count"] == measured["phrases"]
    assert measured["confidence"]["rate"] == pytest.approx(
        (measured["recall_at_1"] + measured["recall_at_1_without_sentence"]) / 2, abs=0.1
    )
    assert measured["present"]["rate"] == pytest.approx(0.5, abs=0.05)
    weights = model.calibration.present
    assert weights.shape == (len(EVIDENCE) + 1,) and weights.abs().max() > 0
    results, _ = localize_annotated(model, val[:1], store)
    assert all(0 < r.judged.present < 1 and 0 < r.judged.confidence < 1 for r in results)
    assert len({r.judged.present for r in results}) > 1


def test_too_few_photos_leave_a_model_uncalibrated(scene, caplog):
    model, train, val, store = scene
    with caplog.at_level(logging.WARNING):
        measured = calibrate(model, train, val[:4], store)
    assert model.calibration is None and "present" not in measured and "confidence" not in measured
    assert measured == measure_localization(localize_annotated(model, val[1:4:2], store)[0])
    assert "cannot be fitted on 2 photos" in caplog.text
