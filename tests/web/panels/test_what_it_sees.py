"""The panel "What it sees" as data: proposals, heat map, edge map and crops."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sspe.web.panels.boxes import Place
from sspe.web.panels.what_it_sees import (
    CROPS,
    HEAT_SIDE,
    NOTHING,
    best_crops,
    edge_picture,
    heat_map,
    heat_picture,
    proposals_by_score,
    see_phrase,
    seeing_data,
)
from sspe.web.service import LocalizeService, Question

WHOLE, LEFT = [0.0, 0.0, 320.0, 160.0], [0.0, 0.0, 160.0, 160.0]


def opened(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"))


def boxes_of(*boxes) -> np.ndarray:
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_proposals_come_best_first_and_fade_with_the_score():
    boxes = boxes_of(WHOLE, LEFT, LEFT, WHOLE)
    scores = np.array([0.1, 0.5, 0.3, -0.2], np.float32)
    found = proposals_by_score(boxes, scores, 320, 160, count=3)
    assert [p.score for p in found] == ["0.50", "0.30", "0.10"]
    assert [p.opacity for p in found] == pytest.approx([1, 0.525, 0.05])
    assert found[0].place == Place(0, 0, 50, 100)
    assert proposals_by_score(boxes_of(), np.zeros(0, np.float32), 320, 160) == []
    assert [p.opacity for p in proposals_by_score(boxes[:2], np.zeros(2, np.float32), 320, 160)] == [1, 1]


def test_a_cell_of_the_heat_map_is_the_share_of_the_weights_that_cover_it():
    scores = np.array([0.4, 0.5], np.float32)
    heat = heat_map(boxes_of(WHOLE, LEFT), scores, 320, 160, temperature=0.1)
    assert heat.shape == (HEAT_SIDE // 2, HEAT_SIDE)
    weights = np.exp(scores / 0.1)
    assert heat[:, : HEAT_SIDE // 2] == pytest.approx(1)  # under both
    assert heat[:, HEAT_SIDE // 2 :] == pytest.approx(weights[0] / weights.sum())  # under the whole photo alone


def test_the_heat_map_agrees_with_its_definition_on_many_boxes():
    """Against the sum over boxes, cell by cell, as the docstring words it."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, [200, 300], (40, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], 1).astype(np.float32)
    scores = rng.uniform(-1, 1, 40).astype(np.float32)
    heat = heat_map(boxes, scores, 200, 300)
    rows, columns = heat.shape
    assert (rows, columns) == (HEAT_SIDE, round(200 * HEAT_SIDE / 300))
    x = (np.arange(columns) + 0.5) * 200 / columns
    y = (np.arange(rows) + 0.5) * 300 / rows
    inside = (
        (boxes[:, 0, None, None] <= x) & (x < boxes[:, 2, None, None])
        & (boxes[:, 1, None, None] <= y[:, None]) & (y[:, None] < boxes[:, 3, None, None])
    )  # fmt: skip
    expected = np.einsum("r,ryx->yx", np.exp((scores - 1) / 0.05), inside)
    assert heat == pytest.approx(expected / expected.max(), abs=1e-4)


def test_heat_without_any_box_on_the_photo_is_nowhere():
    assert not heat_map(boxes_of([5, 5, 5, 5]), np.ones(1, np.float32), 64, 64).any()
    assert not heat_map(boxes_of(), np.zeros(0, np.float32), 64, 1).any()


def test_heat_picture_runs_from_dark_to_light():
    picture = opened(heat_picture(np.array([[0.0, 0.5, 1.0]], np.float32))).astype(int)
    assert picture.shape == (1, 3, 3)
    lightness = picture.sum(2)[0]
    assert lightness[0] < lightness[1] < lightness[2]


def test_edge_picture_is_dark_where_edges_are():
    picture = opened(edge_picture(np.array([[0.0, 1.0], [0.5, 2.0]], np.float32)))
    assert picture[:, :, 0].tolist() == [[255, 0], [128, 0]]


def test_crops_are_cut_where_the_boxes_are_and_never_repeat_a_region():
    photo = np.zeros((100, 100, 3), np.uint8)
    photo[:, 50:] = 255
    boxes = boxes_of([50, 0, 100, 100], [51, 0, 100, 100], [0, 0, 50, 100], [0, 0, 0.2, 0.2])
    scores = np.array([0.9, 0.8, 0.7, 0.1], np.float32)
    crops = best_crops(photo, boxes, scores)
    assert [(crop.score, crop.rank) for crop in crops] == [("0.90", 1), ("0.70", 3), ("0.10", 4)]
    white, black, corner = (opened(crop.src) for crop in crops)
    assert white.shape == (100, 50, 3) and white.min() > 250
    assert black.shape == (100, 50, 3) and black.max() < 5
    assert corner.shape == (1, 1, 3)  # the smallest box still has a pixel
    many = boxes_of(*([10 * i, 0, 10 * i + 9, 9] for i in range(10)))
    assert len(best_crops(photo, many, np.arange(10, dtype=np.float32))) == CROPS


def test_figures_of_a_phrase(localizer, picture):
    service = LocalizeService(localizer)
    found, seen = service(picture, "A man in a red hat.")
    scores = localizer.similarities(seen.view, found.sentence, found.phrases)
    data = seeing_data(found, seen, 1, scores[1], localizer.edges(seen.view))
    assert data["chosen"] == "2" and [p["text"] for p in data["phrases"]] == ["A man", "a red hat"]
    assert (data["width"], data["height"], data["regions"], data["edge_side"]) == (64, 48, 9, 16)
    assert len(data["proposals"]) == 9 and data["proposals"][0]["score"] == "0.90"
    assert len(data["ramp"]) == 6 and data["ramp"][0].startswith("#")


def test_the_panel_asks_the_network_for_no_photo_it_knows(localizer, picture):
    service = LocalizeService(localizer)
    service(picture, "A man in a red hat.")
    shown = see_phrase(service, Question(picture, "A man in a red hat."), 1)
    assert shown["chosen"] == "2" and shown["message"] == "" and localizer.seen == 1
    corrected = see_phrase(service, Question(picture, "A man in a red hat.", ((2, 5),)))
    assert [phrase["text"] for phrase in corrected["phrases"]] == ["man"]


def test_the_panel_without_a_phrase_says_so(localizer, picture, tmp_path):
    service = LocalizeService(localizer)
    assert see_phrase(service, None) == {"message": NOTHING}
    assert see_phrase(service, Question(picture, "Wow!")) == {"message": NOTHING}
    assert see_phrase(service, Question(picture, "A man."), 5) == {"message": NOTHING}
    assert "could not be read" in see_phrase(service, Question(tmp_path / "gone.png", "A man."))["message"]


def test_a_real_network_gives_the_same_figures(tiny_localizer, photos):
    service = LocalizeService(tiny_localizer)
    data = see_phrase(service, Question(photos[0], "A red ball and a blue box."))
    found, seen = service(photos[0], "A red ball and a blue box.")
    assert data["regions"] == len(seen.view.regions.boxes) == 40
    assert data["edge_side"] == tiny_localizer.model.edge_boxes.settings.size
    scores = tiny_localizer.similarities(seen.view, found.sentence, found.phrases)
    assert data["proposals"][0]["score"] == f"{scores[0].max():.2f}".replace("-", "\N{MINUS SIGN}")
