"""Edge maps, their orientation, and the boxes that come of them."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from sspe.errors import SspeError
from sspe.settings import EdgeBoxesSettings
from sspe.vision import edge_boxes as proposals
from sspe.vision.boxes import iou
from sspe.vision.edge_boxes import EdgeBoxes, edge_orientation, gradient_edges, thin

SETTINGS = EdgeBoxesSettings()


@pytest.fixture(scope="module")
def textured() -> np.ndarray:
    """A photo of 320 x 240 pixels full of contours."""
    patches = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(patches, (320, 240), interpolation=cv2.INTER_NEAREST)


def with_rectangle(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    photo = np.full((height, width, 3), (90, 120, 60), np.uint8)
    x1, y1, x2, y2 = box
    photo[y1:y2, x1:x2] = (200, 60, 50)
    return photo


# Boxes


@pytest.mark.parametrize("count", [1, 2, 17, 200])
def test_the_whole_photo_comes_first_and_the_count_holds(textured, count):
    boxes = EdgeBoxes(replace(SETTINGS, count=count))(textured)
    assert boxes.shape == (count, 4) and boxes.dtype == np.float32
    np.testing.assert_array_equal(boxes[0], [0, 0, 320, 240])


def test_boxes_lie_inside_the_photo_and_fall_in_score(textured):
    boxes, scores = EdgeBoxes(replace(SETTINGS, count=1000)).scored(textured)
    assert len(boxes) == len(scores) > 500
    assert (boxes >= 0).all() and (boxes[:, 2] <= 320).all() and (boxes[:, 3] <= 240).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert scores[0] == 1 and scores.dtype == np.float32
    assert (np.diff(scores) <= 0).all() and scores[-1] > 0 and scores[1] < 1


def test_the_same_photo_gives_the_same_boxes_and_fewer_are_the_first_of_more(textured):
    many = EdgeBoxes(replace(SETTINGS, count=1000))(textured)
    twice = EdgeBoxes(SETTINGS)
    np.testing.assert_array_equal(twice(textured), twice(textured))
    for count in (50, 200, 500):
        np.testing.assert_array_equal(EdgeBoxes(replace(SETTINGS, count=count))(textured), many[:count])


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (192, 192, (40, 50, 120, 150)),
        (600, 200, (100, 40, 350, 150)),
        (200, 600, (30, 200, 150, 420)),
        (90, 60, (20, 15, 60, 45)),
        (1500, 900, (300, 200, 900, 600)),
    ],
)
def test_a_drawn_rectangle_is_found_in_photos_of_any_shape(width, height, box):
    boxes = EdgeBoxes()(with_rectangle(width, height, box))
    overlap = iou(np.array([box]), boxes)[0]
    assert overlap[1:6].max() > 0.8  # among the first five, not by luck among two hundred


def test_many_drawn_rectangles_are_recalled():
    rng = np.random.default_rng(0)
    edge_boxes, found = EdgeBoxes(), []
    for _ in range(20):
        x1, y1 = rng.integers(10, 150, 2)
        box = (x1, y1, x1 + rng.integers(60, 200), y1 + rng.integers(50, 130))
        found.append(iou(np.array([box]), edge_boxes(with_rectangle(400, 300, box))).max())
    assert min(found) > 0.55 and np.mean(found) > 0.75


def test_places_are_not_one_pixel_off(monkeypatch):
    """OpenCV counts x and y from 1, and w and h to the last pixel: a box over all 192 is 1, 1, 191, 191."""
    stub_detector(monkeypatch, np.array([[1, 1, 191, 191], [49, 97, 47, 23]], np.int32), np.ones(2))
    boxes = EdgeBoxes()(np.zeros((100, 400, 3), np.uint8))
    np.testing.assert_allclose(boxes[1:], [[0, 0, 400, 100], [100, 50, 200, 62.5]], rtol=1e-6)


def test_drawn_rectangles_are_found_where_they_are_on_average():
    """Edge Boxes leaves some room around a contour; it must leave as much on the right as on the left."""
    rng = np.random.default_rng(0)
    edge_boxes, room = EdgeBoxes(), []
    for _ in range(40):
        x1, y1 = rng.integers(30, 80, 2)
        box = np.array([x1, y1, x1 + rng.integers(40, 80), y1 + rng.integers(40, 80)])
        boxes = edge_boxes(with_rectangle(192, 192, tuple(box)))
        room.append((boxes[iou(box, boxes)[0].argmax()] - box) * [-1, -1, 1, 1])
    left, top, right, bottom = np.mean(room, axis=0)
    assert abs(left - right) < 0.7 and abs(top - bottom) < 0.7


@pytest.mark.parametrize("shape", [(300, 400), (1, 1), (2, 3), (1, 5000), (5000, 1)])
def test_a_photo_of_one_colour_has_the_whole_photo_alone(shape):
    boxes, scores = EdgeBoxes().scored(np.full((*shape, 3), 77, np.uint8))
    np.testing.assert_array_equal(boxes, [[0, 0, shape[1], shape[0]]])
    np.testing.assert_array_equal(scores, [1])


@pytest.mark.parametrize("shape", [(2, 40_000), (40_000, 2), (3, 1000)])
def test_extreme_shapes(shape):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    boxes = EdgeBoxes(replace(SETTINGS, count=30))(noise)
    np.testing.assert_array_equal(boxes[0], [0, 0, shape[1], shape[0]])
    assert np.isfinite(boxes).all() and (boxes[:, 2] <= shape[1]).all() and (boxes[:, 3] <= shape[0]).all()


def test_a_mirrored_view_of_an_array_is_read_in_its_own_order(textured):
    np.testing.assert_array_equal(EdgeBoxes()(textured[:, ::-1]), EdgeBoxes()(textured[:, ::-1].copy()))


# What OpenCV returns and lacks


def stub_detector(monkeypatch, boxes, scores) -> dict:
    """Let OpenCV return these; the options it is called with land in the dictionary given back."""
    asked = {}

    class Detector:
        def __init__(self, **options):
            asked.update(options)

        def getBoundingBoxes(self, edges, orientation):
            assert edges.dtype == orientation.dtype == np.float32 and edges.shape == orientation.shape
            return boxes, scores

    monkeypatch.setattr(cv2.ximgproc, "createEdgeBoxes", Detector)
    return asked


@pytest.mark.parametrize("scores", [np.array([[0.4], [0.2]]), np.array([0.4, 0.2], np.float32)])
def test_scores_of_opencv_4_and_5(monkeypatch, scores):
    stub_detector(monkeypatch, np.array([[5, 9, 29, 19], [1, 1, 49, 39]], np.int32), scores)
    boxes, found = EdgeBoxes().scored(np.zeros((192, 192, 3), np.uint8))
    np.testing.assert_array_equal(boxes, [[0, 0, 192, 192], [4, 8, 34, 28], [0, 0, 50, 40]])
    np.testing.assert_allclose(found, [1, 0.4, 0.2])


@pytest.mark.parametrize("empty", [((), None), (np.zeros((0, 4), np.int32), np.zeros((0, 1))), ((), np.zeros(0))])
def test_empty_results_of_opencv(monkeypatch, empty):
    stub_detector(monkeypatch, *empty)
    boxes, scores = EdgeBoxes().scored(np.zeros((20, 30, 3), np.uint8))
    assert boxes.shape == (1, 4) and scores.shape == (1,)


def test_boxes_that_reach_past_the_map_are_cut(monkeypatch):
    stub_detector(monkeypatch, np.array([[0, 0, 300, 300]], np.int32), np.ones(1))
    np.testing.assert_array_equal(EdgeBoxes()(np.zeros((20, 30, 3), np.uint8))[1], [0, 0, 30, 20])


def test_every_setting_reaches_opencv(monkeypatch):
    asked = stub_detector(monkeypatch, (), None)
    settings = EdgeBoxesSettings(
        count=9, alpha=0.1, beta=0.2, eta=0.3, min_score=0.4, edge_min_mag=0.5, edge_merge_threshold=0.6,
        cluster_min_mag=0.7, max_aspect_ratio=8, min_box_area=9, gamma=10, kappa=11,
    )  # fmt: skip
    EdgeBoxes(settings)(np.zeros((20, 30, 3), np.uint8))
    assert asked == {
        "alpha": 0.1, "beta": 0.2, "eta": 0.3, "minScore": 0.4, "maxBoxes": 8, "edgeMinMag": 0.5, "edgeMergeThr": 0.6,
        "clusterMinMag": 0.7, "maxAspectRatio": 8, "minBoxArea": 9, "gamma": 10, "kappa": 11,
    }  # fmt: skip
    assert settings == EdgeBoxesSettings(**settings.as_dict())


def test_opencv_without_ximgproc_is_named(monkeypatch):
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(SspeError, match=r"no ximgproc module; .*pip install opencv-contrib-python-headless"):
        EdgeBoxes()


def test_a_forest_file_that_is_missing_or_something_else(tmp_path):
    missing, folder = tmp_path / "model.yml.gz", tmp_path
    for path in (missing, folder):
        with pytest.raises(SspeError, match=f"There is no structured forest file {re.escape(str(path))}"):
            EdgeBoxes(EdgeBoxesSettings(forest=str(path)))
    # OpenCV itself would end the process on the last two.
    for number, text in enumerate(("hello", "", "%YAML:1.0\n---\na: 1\n", "%YAML:1.0\n---\noptions:\n   stride: 2\n")):
        path = tmp_path / f"{number}.yml"
        path.write_text(text)
        with pytest.raises(SspeError, match="is not a structured forest"):
            EdgeBoxes(EdgeBoxesSettings(forest=str(path)))


def test_a_forest_file_takes_the_place_of_the_gradient_map(tmp_path, textured):
    """The smallest forest there is: one tree of one leaf, which draws one edge pixel into every patch."""
    options = {
        "stride": 2, "shrinkNumber": 2, "patchSize": 32, "patchInnerSize": 16, "numberOfGradientOrientations": 4,
        "gradientSmoothingRadius": 0, "regFeatureSmoothingRadius": 2, "ssFeatureSmoothingRadius": 8,
        "gradientNormalizationRadius": 4, "selfsimilarityGridSize": 5, "numberOfTrees": 1, "numberOfTreesToEvaluate": 1,
    }  # fmt: skip
    lists = {"childs": [0], "featureIds": [0], "thresholds": [0.0], "edgeBoundaries": [0, 1], "edgeBins": [0]}
    text = "options:\n" + "".join(f"   {name}: {value}\n" for name, value in options.items())
    text += "".join(f"{name}:\n   - {values}\n" for name, values in lists.items())
    (tmp_path / "model.yml").write_text("%YAML:1.0\n---\n" + text)
    edge_boxes = EdgeBoxes(EdgeBoxesSettings(size=96, forest=str(tmp_path / "model.yml")))
    edges, orientation = edge_boxes.edges(textured)
    assert edges.shape == orientation.shape == (96, 96) and edges.dtype == orientation.dtype == np.float32
    assert np.isfinite(edges).all() and edges.min() >= 0 and 0 < edges.max() <= 1
    assert not np.allclose(edges, EdgeBoxes(EdgeBoxesSettings(size=96)).edges(textured)[0])
    np.testing.assert_array_equal(edge_boxes(textured)[0], [0, 0, 320, 240])


# Edge map, orientation, thinning


@pytest.mark.parametrize("kind", ["textured", "noise", "flat", "black and white"])
def test_edges_lie_in_0_to_1_and_orientations_in_0_to_pi(textured, kind):
    rng = np.random.default_rng(1)
    photo = {
        "textured": textured,
        "noise": rng.integers(0, 256, (50, 70, 3), dtype=np.uint8),
        "flat": np.full((50, 70, 3), 200, np.uint8),
        "black and white": 255 * rng.integers(0, 2, (300, 300, 1), dtype=np.uint8).repeat(3, axis=2),
    }[kind]
    edges, orientation = EdgeBoxes(replace(SETTINGS, size=128)).edges(photo)
    for array in (edges, orientation):
        assert array.shape == (128, 128) and array.dtype == np.float32 and np.isfinite(array).all()
    assert edges.min() >= 0 and edges.max() <= 1 and (edges.max() > 0) == (kind != "flat")
    assert orientation.min() >= 0 and orientation.max() <= np.float32(np.pi)


def test_the_edge_map_is_the_same_wherever_it_lies_in_memory(textured):
    """cv2.magnitude, which once was used, rounds differently with the place of a buffer."""
    rng, held, found = np.random.default_rng(0), [], set()
    small = cv2.resize(textured, (192, 192))
    for _ in range(30):
        held.append([np.empty(size, np.uint8) for size in rng.integers(1, 200_000, 20)])  # so that places differ
        found.add(gradient_edges(small).tobytes())
    assert len(found) == 1


def test_the_strongest_channel_counts():
    """Red beside green of one lightness: grey sees no edge there."""
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:, :32], photo[:, 32:] = (214, 0, 0), (0, 127, 0)
    lightness = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)[..., 0].astype(int)
    assert np.ptp(lightness) < 5
    edges = gradient_edges(photo)
    assert edges[:, 30:34].max(axis=1).min() > 0.9 and edges[:, :24].max() < 0.05 and edges[:, 40:].max() < 0.05


def test_an_edge_of_one_channel_counts_as_much_as_one_of_all_three():
    lab = np.full((64, 192, 3), 128, np.uint8)
    lab[:, 64:128, 1] += 30
    lab[:, 128:] = (158, 128, 98)  # from there, all three change by 30
    edges = gradient_edges(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))
    one, three = edges[32, 54:74].max(), edges[32, 118:138].max()
    assert one > 0.75 * three


def test_soft_contours_count_beside_hard_ones():
    photo = np.full((192, 192, 3), 100, np.uint8)
    photo[20:60, 20:60] = 250
    photo[130:170, 130:170] = 130
    edges = gradient_edges(photo)
    hard, soft = edges[40, 15:25].max(), edges[150, 125:135].max()
    assert hard > 0.9 and soft > 2 * hard * 30 / 150  # more than in proportion to its contrast


def ridge(angle: float, size: int = 65) -> np.ndarray:
    """A soft line through the middle whose normal points along ``angle``, degrees from x towards y (downwards)."""
    y, x = np.mgrid[:size, :size] - size // 2
    distance = x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))
    return np.exp(-(distance**2) / (2 * 1.5**2)).astype(np.float32)


@pytest.mark.parametrize("normal", [0, 45, 90, 135])
def test_orientation_of_known_edges(normal):
    edges = ridge(normal)
    middle = np.zeros_like(edges, bool)
    middle[16:49, 16:49] = True
    found = np.rad2deg(edge_orientation(edges)[middle & (edges > 0.9)])
    apart = np.abs((found - normal + 90) % 180 - 90)  # 179 degrees are 1 from 0
    assert len(found) >= 33 and apart.max() < 1


@pytest.mark.parametrize("normal", [20, 30, 60, 70, 110, 120, 150, 160])
def test_orientation_between_leans_to_the_right_side(normal):
    edges = ridge(normal)
    found = np.rad2deg(edge_orientation(edges)[30:35, 30:35][edges[30:35, 30:35] > 0.9])
    assert np.abs(found - normal).max() < 20 and ((found > 90) == (normal > 90)).all()


@pytest.mark.parametrize("normal", [0, 45, 90, 135])
def test_thinning_keeps_the_ridge_and_clears_its_flanks(normal):
    edges = ridge(normal)
    thinned = thin(edges, np.full_like(edges, np.deg2rad(normal)))
    kept = thinned > 0
    np.testing.assert_array_equal(thinned[kept], edges[kept])  # what stays is not changed
    middle = (slice(8, 57),) * 2
    assert kept[middle][edges[middle] > 0.99].all()
    assert not kept[middle][(edges[middle] > 0.05) & (edges[middle] < 0.7)].any()


def test_thinning_along_the_edge_instead_of_across_keeps_it_thick():
    edges = ridge(0)
    assert (thin(edges, np.full_like(edges, np.pi / 2))[32] > 0.3).sum() == (edges[32] > 0.3).sum() > 1


def test_contours_of_a_drawn_rectangle_are_thin_on_every_side():
    edges, _ = EdgeBoxes().edges(with_rectangle(192, 192, (50, 60, 140, 130)))
    for line in (edges[95, 40:60], edges[95, 130:150], edges[50:70, 95], edges[120:140, 95]):
        strong = np.flatnonzero(line > 0.3)
        assert 1 <= len(strong) <= 2


def test_thinning_leaves_a_flat_map_alone():
    flat = np.full((20, 30), 0.5, np.float32)
    np.testing.assert_array_equal(thin(flat, np.zeros_like(flat)), flat)
    assert not thin(np.zeros_like(flat), flat).any()


def test_the_settings_of_the_paper_are_accepted(textured):
    published = EdgeBoxesSettings(
        size=320, alpha=0.65, beta=0.75, min_score=0.01, max_aspect_ratio=3, min_box_area=1000
    )
    assert len(proposals.EdgeBoxes(published)(textured)) > 20
