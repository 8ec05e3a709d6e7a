"""Whole-photo features: views, their mean, gradients, and what is kept on disk of them."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from sspe.data.caches import FrozenPhotoFeatures
from sspe.errors import PhotoError
from sspe.settings import PhotoSettings
from sspe.vision.photo import open_photo, squeeze
from sspe.vision.photo_encoder import PhotoEncoder, ten_crops


def encoder(**settings) -> PhotoEncoder:
    torch.manual_seed(0)
    return PhotoEncoder(PhotoSettings(**{"backbone": "efficientnet_lite0", "side": 64, **settings})).eval()


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_views(photo):
    one = squeeze(photo, 64)
    np.testing.assert_array_equal(encoder(views="one").views(photo), one[None])
    np.testing.assert_array_equal(encoder(views="mirror").views(photo), [one, one[:, ::-1]])
    np.testing.assert_array_equal(encoder(views="crops", side=224).views(photo), ten_crops(photo))  # the paper's
    assert encoder(views="crops").views(photo).shape == (10, 64, 64, 3)
    with pytest.raises(ValueError, match="'two'"):
        encoder(views="two")


@pytest.mark.parametrize("views", ["one", "mirror", "crops"])
def test_a_feature_is_the_mean_over_the_views(photo, views):
    made = encoder(views=views)
    other = photo[:, ::-1, ::-1].copy()
    found = made.encode([photo, other])
    assert found.shape == (2, 1280) and found.dtype == torch.float32
    for feature, pixels in zip(found, (photo, other), strict=True):
        each = torch.cat([made(torch.from_numpy(view[None].copy())) for view in made.views(pixels)])
        torch.testing.assert_close(each.norm(dim=1), torch.ones(len(each)))
        torch.testing.assert_close(feature, functional.normalize(each.mean(dim=0), dim=0), rtol=1e-3, atol=1e-5)


def test_a_mirrored_photo_has_the_same_feature(photo):
    made = encoder(views="mirror")
    torch.testing.assert_close(*made.encode([photo, photo[:, ::-1].copy()]), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("backbone", "size"), [("efficientnet_lite2", 1280), ("resnet50", 2048), ("vgg16", 4096)])
def test_backbones_run_at_any_side(photo, backbone, size):
    made = encoder(backbone=backbone, side=72, views="one")
    assert made.encode([photo]).shape == (1, size) and made.feature_size == size


def test_gradients_reach_the_first_layer(photo):
    made = encoder()
    made(torch.from_numpy(made.views(photo))).square().sum(dim=0)[:100].sum().backward()
    assert made.map[0].weight.grad.abs().sum() > 0


def test_the_head_and_map_are_the_published_network():
    """Features before pooling and L2 are those of the ImageNet classifier; its pooling is the mean."""
    made = encoder(views="one")
    pictures = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    normalised = (pictures.permute(0, 3, 1, 2).float() - 127) / 128
    expected = functional.normalize(made.head(made.map(normalised)), dim=1)
    torch.testing.assert_close(made(pictures), expected)


# On disk


def test_features_come_back_from_disk(photos, tmp_path, monkeypatch):
    made = encoder()
    monkeypatch.setattr(FrozenPhotoFeatures, "together", 3)
    store = FrozenPhotoFeatures(made, "float32", tmp_path)
    first = store.get(photos[:7])
    with torch.inference_mode():
        expected = torch.cat([made.encode([open_photo(path)]) for path in photos[:7]])
    torch.testing.assert_close(first, expected, rtol=1e-2, atol=1e-3)  # float16
    monkeypatch.setattr(made, "encode", lambda _: pytest.fail("computed again"))
    assert torch.equal(store.get(photos[:7]), first)
    assert torch.equal(store.get(photos[2:4]), first[2:4])


def test_other_weights_and_settings_have_other_files(photos, tmp_path):
    made = encoder()
    folders = {FrozenPhotoFeatures(e, "float32", tmp_path).folder for e in (made, encoder(), encoder(views="one"))}
    assert len(folders) == 2
    with torch.no_grad():
        made.map[0].weight.add_(1)
    assert FrozenPhotoFeatures(made, "float32", tmp_path).folder not in folders


def test_features_of_another_precision_have_files_of_their_own(photos, tmp_path):
    made = encoder()
    found = {p: FrozenPhotoFeatures(made, p, tmp_path).get(photos[:2]) for p in ("float32", "bfloat16")}
    with torch.inference_mode():
        exact = torch.cat([made.encode([open_photo(path)]) for path in photos[:2]])
    errors = {precision: (features - exact).abs().max() for precision, features in found.items()}
    assert errors["float32"] < 2e-4 < errors["bfloat16"]


def test_a_damaged_file_is_made_again(photos, tmp_path):
    store = FrozenPhotoFeatures(encoder(), "float32", tmp_path)
    first = store.get(photos[:2])
    next(store.folder.glob("*.npy")).write_bytes(b"half")
    torch.testing.assert_close(store.get(photos[:2]), first)
    assert torch.equal(store.get(photos[:2]), first)


def test_a_photo_that_cannot_be_opened(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    for name in ("bad.jpg", "absent.jpg"):
        with pytest.raises(PhotoError, match=name):
            FrozenPhotoFeatures(encoder(), "float32", tmp_path).get([tmp_path / name])


def ramp(height: int, width: int) -> np.ndarray:
    """A photo whose first channel tells the column and whose second tells the row, in shares of 200."""
    y, x = np.mgrid[:height, :width]
    return np.stack([200 * x / width, 200 * y / height, 0 * x], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(256, 512), (512, 256), (128, 128), (1000, 700), (230, 300)])
def test_corners_centre_and_mirror_images(height, width):
    crops = ten_crops(ramp(height, width))
    assert crops.shape == (10, 224, 224, 3) and crops.dtype == np.uint8
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])
    middle = crops[:5, 112, 112, :2].astype(int)  # column and row that the middle of each crop shows
    left, right = middle[[0, 2], 0], middle[[1, 3], 0]
    assert (left == left[0]).all() and (right == right[0]).all()
    assert abs(left[0] + right[0] - 200) <= 4 and abs(middle[4, 0] - 100) <= 2 and abs(middle[4, 1] - 100) <= 2
    half = 200 * 112 / max(256, 256 * width / height)  # half a crop, in the ramp's numbers
    assert left[0] == pytest.approx(half, abs=2)


def test_an_exact_case():
    photo = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    crops = ten_crops(photo)
    np.testing.assert_array_equal(crops[3], photo[32:, 76:])
    np.testing.assert_array_equal(crops[4], photo[16:240, 38:262])
    with pytest.raises(ValueError, match="a shorter side of as many, got 100"):
        ten_crops(photo, shorter=100)
