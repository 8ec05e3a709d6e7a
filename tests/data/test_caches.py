"""What is kept on disk: made once, never stale, and made again when it is damaged."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sspe.data import caches as feature_store
from sspe.data.caches import FeatureStore, FrozenFeatures, StoredPhoto
from sspe.errors import PhotoError
from sspe.files import settings_key
from sspe.settings import DetectorSettings, EdgeBoxesSettings, RegionSettings
from sspe.vision.detections import Detections
from sspe.vision.edge_boxes import EdgeBoxes
from sspe.vision.photo import open_photo, squeeze

FEW = EdgeBoxesSettings(count=30, size=96)


def draw(path: Path, seed: int = 0) -> Path:
    patches = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    Image.fromarray(patches).resize((180, 120), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return draw(tmp_path / "a.png")


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    return FeatureStore(32, FEW, tmp_path / "cache")


@pytest.fixture
def opened(monkeypatch) -> list:
    """Every photo that is decoded, in order."""
    seen = []
    monkeypatch.setattr(feature_store, "open_photo", lambda path: seen.append(path) or open_photo(path))
    return seen


def equal(a: StoredPhoto, b: StoredPhoto) -> bool:
    return np.array_equal(a.squeezed, b.squeezed) and np.array_equal(a.boxes, b.boxes)


def files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.rglob("*") if f.is_file())


# Photos


def test_a_stored_photo_is_the_squeezed_picture_and_relative_proposals(store, path):
    stored = store.get(path)
    photo = open_photo(path)
    np.testing.assert_array_equal(stored.squeezed, squeeze(photo, 32))
    assert stored.boxes.dtype == np.float32 and stored.boxes.shape == (30, 4)
    np.testing.assert_array_equal(stored.boxes[0], [0, 0, 1, 1])
    assert stored.boxes.min() >= 0 and stored.boxes.max() <= 1
    np.testing.assert_allclose(stored.boxes * [180, 120, 180, 120], EdgeBoxes(FEW)(photo), rtol=1e-5, atol=1e-4)


def test_the_second_time_it_comes_from_disk(store, path, opened):
    first, second = store.get(path), store.get(path)
    assert equal(first, second) and len(opened) == 1 and len(files(store.folder)) == 1
    other = FeatureStore(32, FEW, store.folder.parent)  # another process, say
    assert equal(other.get(path), first) and len(opened) == 1


@pytest.mark.parametrize("damage", [b"", b"not an archive", "half", "one array"])
def test_a_damaged_file_is_made_again(store, path, opened, damage):
    first = store.get(path)
    (file,) = files(store.folder)
    whole = file.read_bytes()
    if damage == "one array":
        with file.open("wb") as out:
            np.savez(out, squeezed=first.squeezed)
    else:
        file.write_bytes(whole[: len(whole) // 2] if damage == "half" else damage)
    assert equal(store.get(path), first) and len(opened) == 2
    assert equal(store.get(path), first) and len(opened) == 2 and files(store.folder) == [file]


def test_another_setting_or_version_never_reads_this_ones_files(store, path, opened, monkeypatch):
    store.get(path)
    folder = store.folder.parent
    others = [
        FeatureStore(48, FEW, folder),
        FeatureStore(32, replace(FEW, count=20), folder),
        FeatureStore(32, replace(FEW, alpha=0.6), folder),
    ]
    monkeypatch.setattr(feature_store, "VERSION", -1)
    others.append(FeatureStore(32, FEW, folder))
    monkeypatch.undo()
    monkeypatch.setattr(feature_store.cv2, "__version__", "3.9.9")
    others.append(FeatureStore(32, FEW, folder))
    assert len({s.folder for s in [store, *others]}) == 6
    assert others[0].get(path).squeezed.shape == (48, 48, 3) and len(others[1].get(path).boxes) == 20


class Found:
    """Stands in for the detector: the same two things in every photo, in its pixels."""

    settings = DetectorSettings(boxes=1)

    def __init__(self, name: str = "first"):
        self.name, self.seen = name, 0

    def key(self) -> str:
        return self.name

    def detect(self, photo: np.ndarray) -> Detections:
        self.seen += 1
        height, width = photo.shape[:2]
        boxes = np.array([[0, 0, width / 2, height], [width / 4, 0, width, height / 2]], np.float32)
        scores = np.array([[0.5, 0.25], [0.125, 0.75]], np.float32)
        return Detections(boxes, scores, scores.max(axis=0) + np.float32(0.1))


def test_what_the_detector_found_is_kept_beside_edge_boxes(path, opened, tmp_path):
    detector = Found()
    for _ in range(2):  # made, then read
        store = FeatureStore(32, FEW, tmp_path / "cache", detector)
        stored = store.get(path)
        np.testing.assert_allclose(stored.detections.boxes, [[0, 0, 0.5, 1], [0.25, 0, 1, 0.5]])
        assert stored.detections.scores.tolist() == [[0.5, 0.25], [0.125, 0.75]]
        np.testing.assert_allclose(stored.boxes[:2], [[0, 0, 1, 1], [0, 0, 0.5, 1]])
        alone = store.proposals(path)
        assert np.array_equal(alone.boxes, stored.boxes)
        assert np.array_equal(alone.detections.boxes, stored.detections.boxes)
    assert detector.seen == len(opened) == 1


def test_with_another_detector_or_none_it_is_another_file(path, tmp_path):
    folder = tmp_path / "cache"
    plain, first, second = (FeatureStore(32, FEW, folder, d) for d in (None, Found(), Found("second")))
    assert len({store.folder for store in (plain, first, second)}) == 3
    assert second.get(path).detections is not None and plain.get(path).detections is None
    with np.load(*files(plain.folder)) as arrays:
        assert sorted(arrays) == ["boxes", "squeezed"]
    # The name that such files always had: nobody's proposals are to be made again.
    version = feature_store.cv2.__version__.split(".")[0]
    assert plain.folder.name == settings_key(feature_store.VERSION, 32, FEW.as_dict(), version)


def test_detections_of_many_photos_are_made_at_once(tmp_path):
    paths = [draw(tmp_path / f"{i}.png", seed=i) for i in range(5)]
    detector = Found()
    store = FeatureStore(32, FEW, tmp_path / "cache", detector)
    store.prepare(paths)
    assert detector.seen == 5 and all(len(store.proposals(path).detections.boxes) == 2 for path in paths)
    assert detector.seen == 5


def test_a_replaced_photo_is_read_anew(store, path, opened):
    before = store.get(path)
    times = path.stat()
    draw(path, seed=1)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = store.get(path)
    assert not equal(before, after) and len(opened) == 2
    assert np.array_equal(after.squeezed, squeeze(open_photo(path), 32))


def test_photos_of_one_name_in_two_folders_are_two(store, path, tmp_path):
    (tmp_path / "other").mkdir()
    other = draw(tmp_path / "other" / "a.png", seed=1)
    assert not equal(store.get(path), store.get(other)) and len(files(store.folder)) == 2


def test_a_copied_or_touched_photo_is_made_once(store, path, tmp_path, opened):
    before = store.get(path)
    copy = tmp_path / "copy.png"
    copy.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    assert equal(before, store.get(copy)) and equal(before, store.get(path))
    assert len(opened) == len(files(store.folder)) == 1


def test_missing_and_broken_photos_are_named(store, tmp_path):
    for call in (store.get, lambda missing: store.prepare([missing])):
        with pytest.raises(PhotoError, match=r"The photo .*none\.png cannot be found"):
            call(tmp_path / "none.png")
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(PhotoError, match=r"b\.png is not a picture"):
        store.get(tmp_path / "b.png")
    assert files(store.folder) == []


def test_by_default_it_lies_in_the_cache_folder(path, monkeypatch, tmp_path):
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "own"))
    FeatureStore(32, FEW).get(path)
    assert len(files(tmp_path / "own" / "photos")) == 1


def test_prepare_makes_what_is_missing(store, path, tmp_path, opened):
    second, third = draw(tmp_path / "b.png", 1), draw(tmp_path / "c.png", 2)
    store.get(path)
    told = []

    def progress(work, total):
        told.append(total)
        return work

    store.prepare([path, second, third], progress)
    assert told == [2] and len(files(store.folder)) == 3
    opened.clear()
    stored = store.get(third)
    assert opened == [] and np.array_equal(stored.squeezed, squeeze(open_photo(third), 32))
    store.prepare([path, second, third], progress)
    assert told == [2]  # nothing was missing


def test_a_photo_that_cannot_be_prepared_is_named(store, tmp_path):
    (tmp_path / "b.png").write_text("no picture")
    with pytest.raises(PhotoError, match=r"b\.png is not a picture"):
        store.prepare([tmp_path / "b.png"])


def test_proposals_can_be_prepared_by_a_script(path, tmp_path):
    """A script that calls on import, without `if __name__ == "__main__"`, as a notebook's or a snippet's lines do."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom sspe.data.caches import FeatureStore\n"
        "from sspe.settings import EdgeBoxesSettings\n"
        "store = FeatureStore(32, EdgeBoxesSettings(count=5), Path(sys.argv[1]))\nstore.prepare([Path(sys.argv[2])])\n"
    )
    subprocess.run([sys.executable, script, tmp_path / "made", path], check=True, timeout=60)
    assert len(files(tmp_path / "made")) == 1


# Frozen features


class Counting:
    """Stands in for a region encoder: an appearance is the box in pixels; counts its calls."""

    def __init__(self, key="weights", **changes):
        import torch

        self.settings, self.calls, self.key = RegionSettings(**changes), 0, key
        self.mean = torch.zeros(3)

    def weights_key(self):
        return self.key

    def appearance(self, photo, boxes):
        import torch

        self.calls += 1
        assert photo.shape == (120, 180, 3)
        return torch.from_numpy(boxes)

    def with_geometry(self, appearance, relative):
        import torch

        return torch.cat([appearance, relative], dim=1) if self.settings.geometry else appearance


BOXES = np.array([[0, 0, 1, 1], [0.5, 0.25, 1, 0.75]], np.float32)


def test_frozen_features_are_computed_once_for_the_same_boxes(path, tmp_path):
    encoder = Counting()
    frozen = FrozenFeatures(encoder, "float32", tmp_path / "cache")
    for _ in range(2):
        features = frozen.get(path, BOXES)
        assert features.dtype == np.float32
        np.testing.assert_array_equal(features[:, :4], [[0, 0, 180, 120], [90, 30, 180, 90]])  # boxes came in pixels
        np.testing.assert_array_equal(features[:, 4:], BOXES)
    assert encoder.calls == 1
    (file,) = files(frozen.folder)
    assert np.load(file).dtype == np.float16 and np.load(file).shape == (2, 4)
    np.testing.assert_array_equal(frozen.get(path, BOXES, np.array([1, 0, 1])), features[[1, 0, 1]])
    assert frozen.get(path, BOXES, np.zeros(0, int)).shape == (0, 8)
    bare = FrozenFeatures(Counting(geometry=False), "float32", tmp_path / "cache")
    np.testing.assert_array_equal(bare.get(path, BOXES), features[:, :4])  # of the same file
    assert bare.encoder.calls == 0 and encoder.calls == 1
    np.testing.assert_array_equal(frozen.get(path, BOXES[::-1]), features[::-1])  # other boxes, also in another order
    np.testing.assert_array_equal(frozen.get(path, BOXES.astype(np.float64)), features)
    assert encoder.calls == 2
    FrozenFeatures(Counting(), "float32", tmp_path / "cache").get(path, BOXES)
    assert len(files(tmp_path / "cache")) == 2


def test_other_region_settings_have_other_features(path, tmp_path):
    encoders = Counting(), Counting(window=5), Counting(key="other weights")
    for encoder in encoders:
        for _ in range(2):
            FrozenFeatures(encoder, "float32", tmp_path / "cache").prepare(path, BOXES)
    assert [encoder.calls for encoder in encoders] == [1, 1, 1]


@pytest.mark.parametrize("damage", [b"", b"no array", "half"])
def test_damaged_features_are_made_again(path, tmp_path, damage):
    encoder = Counting()
    frozen = FrozenFeatures(encoder, "float32", tmp_path / "cache")
    first = frozen.get(path, BOXES)
    (file,) = files(tmp_path / "cache")
    whole = file.read_bytes()
    file.write_bytes(whole[:-4] if damage == "half" else damage)
    np.testing.assert_array_equal(frozen.get(path, BOXES), first)
    assert encoder.calls == 2 and file.read_bytes() == whole


def test_features_of_a_missing_photo(tmp_path):
    with pytest.raises(PhotoError, match="cannot be found"):
        FrozenFeatures(Counting(), "float32", tmp_path).get(tmp_path / "none.png", BOXES)


def test_a_real_encoder_gives_its_own_features_in_half_precision(path, tmp_path):
    from sspe.vision.region_encoder import RegionEncoder

    encoder = RegionEncoder(RegionSettings(side=64)).eval()
    frozen = FrozenFeatures(encoder, "float32", tmp_path / "cache")
    expected = encoder.encode(open_photo(path), BOXES * np.array([180, 120, 180, 120], np.float32))
    np.testing.assert_allclose(frozen.get(path, BOXES), expected, atol=1e-3)
    other = RegionEncoder(RegionSettings(side=64)).eval()
    assert encoder.weights_key() == encoder.weights_key() != other.weights_key()
    other.load_state_dict(encoder.state_dict())
    assert encoder.weights_key() == other.weights_key()


def test_features_of_another_precision_have_files_of_their_own(path, tmp_path):
    """A run in bfloat16 must not be measured on features of float32, whatever surrounds the call."""
    import torch

    from sspe.vision.region_encoder import RegionEncoder

    torch.manual_seed(0)
    encoder = RegionEncoder(RegionSettings(side=64)).eval()
    with torch.no_grad():
        pixels = BOXES * np.array([180, 120, 180, 120], np.float32)
        exact = encoder.encode(open_photo(path), pixels).float().numpy()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = encoder.encode(open_photo(path), pixels).float().numpy()
    assert np.abs(exact - rounded).max() > 1e-3
    for surroundings in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=surroundings):
            folder = tmp_path / str(surroundings)
            for precision, expected in (("float32", exact), ("bfloat16", rounded), ("float32", exact)):
                found = FrozenFeatures(encoder, precision, folder).get(path, BOXES)
                np.testing.assert_allclose(found, expected, atol=2e-4)
