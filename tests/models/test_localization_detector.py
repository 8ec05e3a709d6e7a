"""A model with a detector: its proposals, what its regions know, and its way through a checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import sspe.checkpoint
import sspe.vision.detector
from sspe.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from sspe.errors import CheckpointError
from sspe.files import DETECTOR_FILE, SHIPPED
from sspe.localizer import Localizer
from sspe.models.localization import LocalizationModel
from sspe.settings import DetectorSettings, LocalizationModelSettings
from sspe.vision.detections import THINGS
from sspe.vision.photo import open_photo

COFFEE = Path(__file__).parents[2] / "assets" / "coffee.jpg"


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return open_photo(COFFEE)


@pytest.fixture(scope="module")
def seeing(make_localization_model) -> LocalizationModel:
    """With five boxes of the detector's among its 40 proposals."""
    return make_localization_model(detector=5).for_inference("cpu", "float32")


def test_its_proposals_begin_with_what_the_detector_found(seeing, photo):
    made = seeing.propose(photo)
    found = seeing.detector.detect(photo)
    assert THINGS[found.scores[0].argmax()] == "cup" and len(found.boxes) > 5
    np.testing.assert_array_equal(made.boxes[0], [0, 0, 600, 400])
    np.testing.assert_array_equal(made.boxes[1:6], found.boxes[:5])
    np.testing.assert_array_equal(made.boxes[6:], seeing.edge_boxes(photo)[1:35])
    np.testing.assert_array_equal(made.detections.scores, found.scores)


def test_a_region_knows_what_was_detected_in_it(seeing, photo):
    made = seeing.propose(photo)
    given = seeing.embed_regions(photo, made.boxes, made.detections)
    assert torch.equal(seeing.embed_regions(photo, made.boxes).embeddings, given.embeddings)  # asked now, the same
    # Without anything detected it is another region, the more so the surer the detector was.
    nothing = replace(made.detections, boxes=made.detections.boxes[:0], scores=made.detections.scores[:0])
    change = (seeing.embed_regions(photo, made.boxes, nothing).embeddings - given.embeddings).norm(dim=1)
    assert change[1] > 0.1 and change[1] > change[-1]


def test_without_the_switch_there_is_no_trace_of_it(make_localization_model, photo):
    assert LocalizationModelSettings().detector.boxes == 0
    model = make_localization_model()
    assert model.detector is None and model.propose(photo).detections is None
    assert model.network.image.layers[0].in_features == model.regions.feature_size
    assert not any(name.startswith("detector.") for name in model.state_dict())
    np.testing.assert_array_equal(model.propose(photo).boxes, model.edge_boxes(photo))


def test_a_checkpoint_carries_the_detector(seeing, photo, tmp_path, monkeypatch):
    path = tmp_path / "seeing.safetensors"
    save_checkpoint(seeing, path, {})
    published, kept = load_file(SHIPPED / DETECTOR_FILE), load_file(path)
    assert all(torch.equal(tensor, kept[f"detector.{name}"]) for name, tensor in published.items())  # float16 both
    monkeypatch.setattr(sspe.vision.detector, "SHIPPED", tmp_path / "nowhere")
    localizer = Localizer.from_pretrained(path, "cpu", "float32")
    assert localizer.model.settings.detector == DetectorSettings(boxes=5)
    assert localizer.model.detector.key() == seeing.detector.key()
    stages = []
    view = localizer.see(COFFEE, stages.append)
    assert stages == ["Opening the photo", "Detector and Edge Boxes", "Embedding 40 regions"]
    made = seeing.propose(photo)
    np.testing.assert_array_equal(view.regions.boxes, made.boxes)
    expected = seeing.embed_regions(photo, made.boxes, made.detections).embeddings
    torch.testing.assert_close(view.regions.embeddings, expected, atol=4e-3, rtol=0)  # float16
    one, (batched,) = localizer.ground(view, "a red ball"), localizer.batch([COFFEE], "a red ball")
    assert one.to_dict() == batched.to_dict()


def test_older_checkpoints_have_no_such_settings():
    values = LocalizationModelSettings().as_dict()
    del values["detector"]
    assert LocalizationModelSettings.from_dict(values) == LocalizationModelSettings()
    with safe_open(find_checkpoint(), framework="pt") as file:
        shipped = LocalizationModelSettings.from_dict(json.loads(file.metadata()["settings"]))
        names = list(file.keys())
    assert shipped.detector.boxes == 30 and any(name.startswith("detector.") for name in names)


def test_the_detectors_file_is_no_checkpoint(tmp_path, monkeypatch):
    assert (SHIPPED / DETECTOR_FILE).is_file()
    for name in ("nanodet-g", DETECTOR_FILE):
        with pytest.raises(CheckpointError, match=f"There is no checkpoint '{name}'") as error:
            find_checkpoint(name)
        assert "(sspe-lite0, sspe-retrieval)" in str(error.value)
    with pytest.raises(CheckpointError, match="nanodet-g"):
        load_checkpoint(SHIPPED / DETECTOR_FILE)
