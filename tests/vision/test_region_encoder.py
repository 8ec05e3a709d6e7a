"""Region features on random weights and small photos."""

import cv2
import numpy as np
import pytest
import torch

from sspe.errors import CheckpointError
from sspe.settings import RegionSettings
from sspe.vision.boxes import flip
from sspe.vision.photo import squeeze
from sspe.vision.region_encoder import RegionEncoder

SIDE = 64
BOXES = np.array([[0, 0, 120, 80], [10, 20, 70, 60], [60, 0, 120, 40], [100, 70, 120, 80]], np.float32)


def encoder(**changes) -> RegionEncoder:
    """A small encoder; the same settings give the same random weights."""
    torch.manual_seed(0)
    made = RegionEncoder(RegionSettings(**{"side": SIDE, "crop": 32} | changes)).eval()
    with torch.no_grad():  # fresh weights fade out layer by layer; stronger ones keep regions apart
        for module in made.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.mul_(1.6)
    return made


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    patches = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    return cv2.resize(patches, (120, 80), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def roi() -> RegionEncoder:
    return encoder()


@pytest.fixture(scope="module")
def crops() -> RegionEncoder:
    return encoder(mode="crops", surroundings=0)


@pytest.fixture(params=["roi", "crops"])
def either(request) -> RegionEncoder:
    return request.getfixturevalue(request.param)


def parts(encoder: RegionEncoder, features: torch.Tensor) -> list[torch.Tensor]:
    """The box's own features, those of its surroundings where the encoder has them, and the geometry."""
    return [part for part in features.split([1280, encoder.settings.surroundings, 5], dim=1) if part.shape[1]]


def test_shapes_and_unit_length_of_each_part_before_geometry(either, photo):
    features = either.encode(photo, BOXES)
    assert features.shape == (4, either.feature_size) and features.dtype == torch.float32
    assert either.feature_size == 1280 + either.settings.surroundings + 5
    assert features.isfinite().all()
    for part in parts(either, features)[:-1]:
        torch.testing.assert_close(part.norm(dim=1), torch.ones(4))
        assert torch.pdist(part).min() > 1e-3  # regions differ
    assert len(parts(either, features)) == (3 if either.settings.mode == "roi" else 2)


def test_geometry_is_place_and_area_in_shares_of_the_photo(either, photo):
    expected = [
        [0, 0, 1, 1, 1],
        [10 / 120, 20 / 80, 70 / 120, 60 / 80, 60 * 40 / 9600],
        [0.5, 0, 1, 0.5, 0.25],
        [100 / 120, 70 / 80, 1, 1, 20 * 10 / 9600],
    ]
    np.testing.assert_allclose(either.encode(photo, BOXES)[:, -5:], expected, rtol=1e-5)


def test_without_geometry_the_rest_is_the_same(roi, photo):
    bare = encoder(geometry=False)
    assert bare.feature_size == 1280 + 256
    torch.testing.assert_close(bare.encode(photo, BOXES), roi.encode(photo, BOXES)[:, :-5])


def test_without_surroundings_the_rest_is_the_same(roi, photo):
    bare = encoder(surroundings=0)
    assert bare.around is None and bare.feature_size == 1280 + 5
    assert not any("around" in name for name in bare.state_dict())
    bare.load_state_dict({name: t for name, t in roi.state_dict().items() if not name.startswith("around.")})
    box, _, geometry = parts(roi, roi.encode(photo, BOXES))
    torch.testing.assert_close(bare.encode(photo, BOXES), torch.cat([box, geometry], dim=1))


def test_surroundings_are_a_wider_window_through_two_layers(roi, photo):
    """By hand, from the map on: a quarter farther on every side, past the photo's border as well."""
    relative = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    x1, y1, x2, y2 = relative.unbind(1)
    width, height = x2 - x1, y2 - y1
    wide = torch.stack([x1 - width / 4, y1 - height / 4, x2 + width / 4, y2 + height / 4], dim=1)
    squeezed = torch.from_numpy(squeeze(photo, SIDE))[None]
    with torch.no_grad():
        windows = roi._windows(roi.map(roi.normalised(squeezed)), [wide])
        around = roi.around
        narrow = torch.einsum("rchw,kc->rkhw", windows, around.squeeze.weight[:, :, 0, 0])
        narrow = (narrow + around.squeeze.bias[:, None, None]).clamp(min=0)
        expected = (narrow.flatten(1) @ around.describe.weight.T + around.describe.bias).clamp(min=0)
        found = parts(roi, roi.encode(photo, BOXES))[1]
    assert narrow.shape == (4, 32, 7, 7)
    torch.testing.assert_close(found, expected / expected.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-4)


def test_the_margin_is_the_settings(roi, photo):
    wider = encoder(margin=1.0)
    wider.load_state_dict(roi.state_dict())
    before, after = (parts(e, e.encode(photo, BOXES)) for e in (roi, wider))
    torch.testing.assert_close(after[0], before[0])
    assert (after[1] - before[1]).norm(dim=1).min() > 1e-3


def test_surroundings_keep_what_lies_where(roi):
    """The head takes the mean over its window and cannot tell left from right; the surroundings can."""
    windows = torch.rand(1, roi.around.channels, 7, 7)
    with torch.no_grad():
        here, mirrored = roi.around(windows), roi.around(windows.flip(3))
    assert (here - mirrored).norm() > 1e-3 * here.norm()


def test_crops_have_no_surroundings():
    with pytest.raises(ValueError, match=r'surroundings are read off the map, which mode "crops" lacks; set .* to 0'):
        RegionEncoder(RegionSettings(mode="crops"))


def test_an_unknown_mode_or_backbone_is_refused():
    with pytest.raises(ValueError, match="region mode is 'grid'"):
        RegionEncoder(RegionSettings(mode="grid"))
    with pytest.raises(CheckpointError, match="no backbone 'vgg'"):
        RegionEncoder(RegionSettings(backbone="vgg"))


def test_forward_equals_encode_for_one_photo(roi, photo):
    relative = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    squeezed = torch.from_numpy(squeeze(photo, SIDE))[None]
    torch.testing.assert_close(roi(squeezed, [relative]), roi.encode(photo, BOXES), rtol=1e-4, atol=1e-5)


def test_a_batch_of_photos_comes_photo_after_photo(roi, photo):
    other = photo[::-1, ::-1].copy()
    relative = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    squeezed = torch.stack([torch.from_numpy(squeeze(p, SIDE)) for p in (photo, other)])
    together = roi(squeezed, [relative[:3], relative[1:]])
    expected = torch.cat([roi.encode(photo, BOXES[:3]), roi.encode(other, BOXES[1:])])
    torch.testing.assert_close(together, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_the_size_of_a_chunk_does_not_change_the_result(either, photo, monkeypatch, chunk):
    expected = either.encode(photo, BOXES)
    monkeypatch.setattr(either, "batch", chunk)
    torch.testing.assert_close(either.encode(photo, BOXES), expected, rtol=1e-4, atol=1e-5)


def test_a_region_does_not_depend_on_the_others(either, photo):
    alone = torch.cat([either.encode(photo, BOXES[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(either.encode(photo, BOXES), alone, rtol=1e-4, atol=1e-5)


def test_training_mode_changes_nothing_and_encode_keeps_no_gradient(either, photo):
    expected = either.encode(photo, BOXES)
    assert not expected.requires_grad
    try:
        torch.testing.assert_close(either.train().encode(photo, BOXES), expected)
    finally:
        either.eval()


def test_no_boxes_give_no_features(either, photo):
    assert either.encode(photo, np.zeros((0, 4), np.float32)).shape == (0, either.feature_size)


@pytest.mark.parametrize(
    "box", [[120, 80, 120, 80], [119.6, 79.7, 120, 80], [30, 30, 30, 30], [-4, -9, 5, 6], [50, 10, 300, 200]]
)
def test_boxes_of_no_size_or_beyond_the_border_have_features(either, photo, box):
    features = either.encode(photo, np.array([box], np.float32))
    assert features.isfinite().all()
    for part in parts(either, features)[:-1]:
        torch.testing.assert_close(part.norm(dim=1), torch.ones(1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_photos_of_any_shape(either, shape):
    whole = np.array([[0, 0, shape[1], shape[0]]], np.float32)
    features = either.encode(np.full((*shape, 3), 90, np.uint8), whole)
    assert features.isfinite().all()
    np.testing.assert_allclose(features[0, -5:], [0, 0, 1, 1, 1])


def test_crops_see_their_box_alone(crops, photo):
    changed = photo.copy()
    changed[:, 70:] = 0
    changed[:20] = 0
    before, after = crops.encode(photo, BOXES), crops.encode(changed, BOXES)
    torch.testing.assert_close(after[1], before[1])  # 10, 20, 70, 60: all that changed lies outside
    assert (after[0, :-5] - before[0, :-5]).norm() > 1e-3


def test_crops_resize_exactly_the_pixels_of_the_box(crops, photo):
    cut = crops._crops(photo, np.array([[10.4, 20.2, 41.7, 51.9], [32, 8, 64, 40]], np.float32))
    assert cut.shape == (2, 3, 32, 32)
    np.testing.assert_allclose(cut[0].permute(1, 2, 0), (photo[20:52, 10:42].astype(np.float32) - 127) / 128, atol=1e-6)
    np.testing.assert_allclose(cut[1].permute(1, 2, 0), (photo[8:40, 32:64].astype(np.float32) - 127) / 128, atol=1e-6)


def test_windows_look_where_the_box_is(roi):
    """RoIAlign on a map that holds each cell's own place: the mean over a window is the box's centre."""
    cells = SIDE // roi.stride
    x = (torch.arange(cells) + 0.5) * roi.stride / SIDE
    maps = torch.stack([x[None].expand(cells, cells), x[:, None].expand(cells, cells)])[None]
    boxes = torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.2, 0.3, 0.5, 0.7], [0.5, 0.125, 0.875, 0.625]])
    windows = roi._windows(maps, [boxes])
    assert windows.shape == (3, 2, 7, 7)
    torch.testing.assert_close(windows.mean(dim=(2, 3)), (boxes[:, :2] + boxes[:, 2:]) / 2)
    assert (windows[:, 0].diff(dim=2) > 0).all() and (windows[:, 1].diff(dim=1) > 0).all()


def test_a_mirrored_photo_with_mirrored_boxes_has_mirrored_windows(roi, photo):
    squeezed = torch.from_numpy(squeeze(photo, SIDE))
    maps = torch.rand(1, 6, 4, 4)
    boxes = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    mirrored = torch.from_numpy(flip(boxes.numpy(), 1.0))
    torch.testing.assert_close(roi._windows(maps.flip(3), [mirrored]), roi._windows(maps, [boxes]).flip(3))
    geometry = roi(squeezed.flip(1)[None], [mirrored])[:, -5:]
    torch.testing.assert_close(geometry[:, 4], roi(squeezed[None], [boxes])[:, -1])
    torch.testing.assert_close(geometry[:, 0], 1 - boxes[:, 2])


def test_corners_keep_their_place_under_autocast(roi):
    """bfloat16 has eight bits: at 200 pixels it would move a corner by up to half a pixel."""
    wide = encoder(side=320)
    maps = torch.rand(1, 4, 20, 20)
    boxes = torch.tensor([[0.6051, 0.7033, 0.9171, 0.9677]])
    exact = wide._windows(maps, [boxes])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = wide._windows(maps.bfloat16(), [boxes])
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).abs().max() < 0.01


def test_forward_passes_gradients_to_the_map_and_the_head(roi, photo):
    relative = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    roi.zero_grad()
    box, around, _ = parts(roi, roi(torch.from_numpy(squeeze(photo, SIDE))[None], [relative]))
    (box[:, :20].sum() + around[:, :20].sum()).backward()
    for part in (roi.map[0], roi.map[-1], roi.head, roi.around):
        grads = [p.grad for p in part.parameters()]
        assert grads and all(g is not None and g.isfinite().all() for g in grads)
        assert any(g.any() for g in grads)
    roi.zero_grad()


def test_the_map_learns_from_the_surroundings_as_well(roi, photo):
    relative = torch.from_numpy(BOXES / [120, 80, 120, 80]).float()
    roi.zero_grad()
    parts(roi, roi(torch.from_numpy(squeeze(photo, SIDE))[None], [relative]))[1][:, :20].sum().backward()
    assert roi.map[0].weight.grad.any() and all(p.grad.any() for p in roi.around.parameters())
    assert all(p.grad is None or not p.grad.any() for p in roi.head.parameters())
    roi.zero_grad()


@pytest.mark.parametrize("mode", ["roi", "crops"])
def test_bfloat16_is_close_to_float32_with_trained_weights(photo, mode):
    surroundings = 0 if mode == "crops" else 16
    torch.manual_seed(0)
    settings = RegionSettings(side=SIDE, crop=32, mode=mode, surroundings=surroundings)
    trained = RegionEncoder(settings, pretrained=True).eval()
    exact = trained.encode(photo, BOXES)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = trained.encode(photo, BOXES)
    assert rounded.dtype == torch.float32
    for a, b in zip(parts(trained, exact)[:-1], parts(trained, rounded)[:-1], strict=True):
        assert (a * b).sum(dim=1).min() > 0.98
    torch.testing.assert_close(rounded[:, -5:], exact[:, -5:])
