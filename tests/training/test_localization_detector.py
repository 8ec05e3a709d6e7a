"""Training with the detector: its boxes and names in every step, and none of it trained or kept twice."""

from pathlib import Path

import numpy as np
import pytest
import torch
from annotated import MAN, Frozen, Store, dataset, plainly
from run_files import same, weights
from safetensors.torch import load_file

import sspe.vision.detector
from sspe.checkpoint import load_checkpoint
from sspe.data.caches import FeatureStore, StoredPhoto
from sspe.errors import CheckpointError
from sspe.localizer import Localizer
from sspe.training.localization import LocalizationTask
from sspe.training.localization_batches import Collate, RegionPhraseDataset
from sspe.training.localization_data import training_photos
from sspe.vision.boxes import iou
from sspe.vision.detections import THINGS, Detections, things_in

ON = "detector.boxes=5"


@pytest.fixture(autouse=True)
def quick_words(few_words) -> None:
    """A few words in place of GloVe."""


class Detecting(Store):
    """The detector found two things: the first of MAN's boxes for sure, and something that covers the right half."""

    found = Detections(
        np.array([[0.1, 0.1, 0.5, 0.9], [0.5, 0, 1, 1]], np.float32),
        np.array([[0.9, 0.1], [0.2, 0.5]], np.float32),
        np.array([0.9, 0.5], np.float32),
    )

    def get(self, path: Path) -> StoredPhoto:
        stored = super().get(path)
        return StoredPhoto(stored.squeezed, stored.boxes, self.found)


def test_every_region_of_an_example_knows_what_was_detected_in_it():
    examples = RegionPhraseDataset(training_photos([MAN])[0], Detecting(), plainly(), 0)
    example = examples[0, 0]
    np.testing.assert_array_equal(example.things, things_in(example.regions.numpy(), Detecting.found))
    assert example.things[0].tolist() == pytest.approx([0.9, 0.1]) and example.things.dtype == torch.float32
    plain = dataset([MAN])[0, 0]
    assert plain.things is None and torch.equal(plain.regions, example.regions)


def test_things_are_shown_by_their_names():
    """Things of which the detector is sure are phrases as well; where it half sees another, that is no negative."""

    class Sure(Detecting):
        found = Detections(
            np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9], [0.1, 0.6, 0.3, 0.9]], np.float32),
            np.eye(len(THINGS), dtype=np.float32)[[16, 16, 41]] * np.array([[0.9], [0.3], [0.7]], np.float32),
            np.zeros(len(THINGS), np.float32),  # of the whole photo; training reads the regions
        )

        def get(self, path: Path) -> StoredPhoto:
            stored = super().get(path)
            boxes = np.concatenate([stored.boxes[:1], self.found.boxes, stored.boxes[1:]])
            return StoredPhoto(stored.squeezed, boxes, self.found)

    photos, table = training_photos([MAN])
    rows = np.array([table.row(thing) for thing in THINGS])
    example = RegionPhraseDataset(photos, Sure(), plainly(things=2, sampled_proposals=24), 0, things=rows)[0, 0]
    assert sorted(table.texts[row] for row in example.phrases[-2:]) == ["cup", "dog"] and len(example.phrases) == 4
    dog = 2 + [table.texts[row] for row in example.phrases[-2:]].index("dog")
    assert example.boxes[dog].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3])
    near = iou(example.regions.numpy(), Sure.found.boxes)
    assert example.positive[dog][near[:, 0] > 0.99].all() and near[:, 0].max() > 0.99
    assert not example.negative[dog][near[:, 1] > 0.99].any()  # the other dog
    assert example.negative[dog][near[:, 2] > 0.99].all()  # the cup

    one = RegionPhraseDataset(photos, Sure(), plainly(things=1), 0, things=rows)
    assert {table.texts[one[epoch, 0].phrases[-1]] for epoch in range(20)} == {"cup", "dog"}


def test_of_several_persons_none_is_shown_as_person():
    scores = np.zeros((2, len(THINGS)), np.float32)
    scores[:, 0] = 0.9
    boxes = np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.9, 0.9]], np.float32)
    photos, table = training_photos([MAN])
    rows = np.array([table.row(thing) for thing in THINGS])
    for count, shown in ((1, ["person"]), (2, [])):

        class Persons(Detecting):
            found = Detections(boxes[:count], scores[:count], scores[0])

            def get(self, path: Path) -> StoredPhoto:
                stored = super().get(path)
                return StoredPhoto(stored.squeezed, np.concatenate([boxes, stored.boxes]), self.found)

        example = RegionPhraseDataset(photos, Persons(), plainly(things=2), 0, things=rows)[0, 0]
        assert [table.texts[row] for row in example.phrases[2:]] == shown


def test_detections_are_cut_and_mirrored_with_the_photo():
    """However the photo is turned and cut, the man's box is what was detected for sure."""
    recipe = plainly(zoom=0.5, flip=True)
    examples = RegionPhraseDataset(training_photos([MAN])[0], Detecting(), recipe, 0)
    widths, seen = set(), 0
    for epoch in range(40):
        example = examples[epoch, 0]
        widths.add(round(float(example.boxes[0, 2] - example.boxes[0, 0]), 3))
        assert example.things.shape == (len(example.regions), 2)
        if len(example.boxes) == 2:  # the man and his hat, which he is larger than
            regions = example.regions[:2]
            man = (regions[:, 2:] - regions[:, :2]).prod(dim=1).argmax()
            assert example.things[man, 0] == pytest.approx(0.9, abs=1e-4)
            seen += 1
    assert seen >= 10 and len(widths) > 10


def test_a_batch_holds_the_things_of_all_its_regions():
    photos, table = training_photos([MAN])
    examples = RegionPhraseDataset(photos, Detecting(), plainly(), 0)
    batch = Collate(table, 5)([examples[0, 0], examples[1, 0]]).to(torch.device("cpu"))
    assert torch.equal(batch.things, torch.cat([examples[0, 0].things, examples[1, 0].things]))
    plain = dataset([MAN])
    assert Collate(table, 5)([plain[0, 0]]).to(torch.device("cpu")).things is None


def test_features_of_a_frozen_backbone_are_followed_by_the_things():
    photos, _ = training_photos([MAN])
    proposals, of_phrases, of_proposals = RegionPhraseDataset(
        photos, Detecting(), plainly(), 0, frozen=Frozen()
    ).everything(0)
    np.testing.assert_array_equal(of_phrases[:, 1:], things_in(photos[0].boxes, Detecting.found))
    np.testing.assert_array_equal(of_proposals[:, 1:], things_in(proposals, Detecting.found))


def test_a_run_with_the_detector(train, tmp_path, scenes, monkeypatch):
    measured = train(tmp_path / "run", ON, "epochs=1", limit=4, val_limit=2)
    assert measured["phrases"] > 5
    model, about = load_checkpoint(tmp_path / "run" / "best.safetensors")
    assert model.settings.detector.boxes == about["settings"]["detector"]["boxes"] == 5
    assert model.network.image.layers[0].in_features == model.regions.feature_size + 80
    published = load_file(sspe.vision.detector.SHIPPED / sspe.vision.detector.DETECTOR_FILE)
    assert all(torch.equal(tensor.float(), model.state_dict()[f"detector.{n}"]) for n, tensor in published.items())
    assert not any("detector" in name for name in weights(tmp_path / "run"))  # what did not change is not kept

    monkeypatch.setattr(sspe.vision.detector, "SHIPPED", tmp_path / "nowhere")
    localizer = Localizer.from_pretrained(tmp_path / "run" / "best.safetensors", "cpu", "float32")
    photo = sorted((scenes / "flickr30k-images").glob("*.jpg"))[0]
    assert len(localizer(photo, "a red ball and a dog").phrases) == 2
    # What the store keeps is what the localizer sees.
    store = FeatureStore(96, model.settings.proposals, detector=localizer.model.detector)
    view = localizer.see(photo)
    stored = store.proposals(photo).scaled(view.regions.width, view.regions.height)
    np.testing.assert_allclose(stored.boxes, view.regions.boxes, atol=0.01)

    with pytest.raises(CheckpointError, match="cannot be read") as error:
        train(tmp_path / "other", ON)
    assert "detector.boxes=0" in str(error.value)


def test_an_interrupted_run_ends_as_the_undisturbed_one(train, tmp_path, stop_at):
    train(tmp_path / "whole", ON, limit=4, val_limit=2)
    with pytest.raises(KeyboardInterrupt):
        stop_at(LocalizationTask, 2)
        train(tmp_path / "run", ON, limit=4, val_limit=2, save_every=-1.0)
    with pytest.raises(CheckpointError, match=r"detector\.boxes"):
        train(tmp_path / "run", limit=4, val_limit=2, resume=True)
    train(tmp_path / "run", ON, limit=4, val_limit=2, resume=True)
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


@pytest.mark.parametrize("name", ["frozen", "ablation"])
def test_a_run_on_frozen_features(train, tmp_path, name):
    changes = ["text.encoder=mean", "epochs=1", "mining_epoch=0", ON]
    measured = train(tmp_path, *changes, name=name, limit=4, val_limit=2)
    assert 0 <= measured["recall_at_1"] <= 1
    model, _ = load_checkpoint(tmp_path / "best.safetensors")
    assert model.network.image.layers[0].in_features == model.regions.feature_size + 80
