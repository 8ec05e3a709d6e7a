"""The panel "What it sees", as plain data: proposals by score, edge map, heat map and best crops of one phrase.

The R proposals are those that Edge Boxes gave, before any is refined.
"""

from __future__ import annotations

import base64
import io
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sspe.drawing import ink_on, phrase_color
from sspe.errors import SspeError
from sspe.phrases.chunker import Phrase
from sspe.results import Localization
from sspe.vision.boxes import nms
from sspe.web.panels.boxes import Place, format_score
from sspe.web.service import LocalizeService, Question, SeenPhoto, preview_uri

NOTHING = "There is no phrase to look at: localize a sentence first."
MAX_PROPOSALS = 100  # sent to the browser, which shows as many of them as the visitor likes
CROPS = 8
CROP_OVERLAP = 0.7  # a crop that overlaps a better one by more (intersection over union) shows nothing new
CROP_SIDE = 160  # pixels of a crop's long side
HEAT_SIDE = 160  # cells of the heat map along the photo's long side
HEAT_TEMPERATURE = 0.05  # of the weights below; a proposal 0.05 below the best weighs 0.37 of it


@dataclass(frozen=True)
class Proposal:
    """One proposal as the browser draws it: its place, its score as text, and its opacity, 0 to 1."""

    place: Place
    score: str
    opacity: float


@dataclass(frozen=True)
class Crop:
    """One proposal cut out: a JPEG data URI, its score as text, its rank among all proposals (1 is the best)."""

    src: str
    score: str
    rank: int


def see_phrase(service: LocalizeService, question: Question | None, index: int = 0) -> dict[str, Any]:
    """The figures of the phrase at ``index`` of the question's answer; a sentence where there is none.

    The photo's regions are remembered, so this takes milliseconds; where they were forgotten they are made again.
    """
    if question is None:
        return {"message": NOTHING}
    try:
        localization, seen = service(question.photo, question.sentence, spans=question.spans)
    except SspeError as error:
        return {"message": str(error)}
    if not 0 <= index < len(localization.phrases):
        return {"message": NOTHING}
    chosen = localization.phrases[index]
    phrase = Phrase(chosen.text, chosen.start, chosen.end, chosen.head)
    scores = service.localizer.similarities(seen.view, localization.sentence, [phrase])[0]
    return seeing_data(localization, seen, index, scores, service.localizer.edges(seen.view))


def seeing_data(
    localization: Localization, seen: SeenPhoto, index: int, scores: np.ndarray, edges: np.ndarray
) -> dict[str, Any]:
    """All figures of the phrase at ``index`` of the localization.

    Args:
        scores: (R,) scores of this phrase with the photo's proposals.
        edges: (S, S) edge map, 0 to 1.
    """
    width, height = localization.width, localization.height
    boxes = seen.view.regions.boxes
    phrases = [
        {"key": str(i + 1), "text": phrase.text, "color": phrase_color(i), "ink": ink_on(phrase_color(i))}
        for i, phrase in enumerate(localization.phrases)
    ]
    return {
        "width": width,
        "height": height,
        "src": seen.preview,
        "phrases": phrases,
        "chosen": str(index + 1),
        "regions": len(boxes),
        "proposals": [asdict(proposal) for proposal in proposals_by_score(boxes, scores, width, height)],
        "answer": asdict(Place.of(localization.phrases[index].box, width, height)),
        "edges": edge_picture(edges),
        "edge_side": len(edges),
        "heat": heat_picture(heat_map(boxes, scores, width, height)),
        "ramp": ["#{:02X}{:02X}{:02X}".format(*color) for color in _ramp()[::51]],
        "crops": [asdict(crop) for crop in best_crops(seen.view.photo, boxes, scores)],
        "message": "",
    }


def proposals_by_score(
    boxes: np.ndarray, scores: np.ndarray, width: int, height: int, count: int = MAX_PROPOSALS
) -> list[Proposal]:
    """The ``count`` best of the proposals (R, 4), pixels, by score (R,), best first.

    Opacity falls linearly with the score, from 1 for the best to 0.05 for the last one of those returned.
    """
    order = np.argsort(-scores, kind="stable")[:count]
    if len(order) == 0:
        return []
    best, last = float(scores[order[0]]), float(scores[order[-1]])
    reach = max(best - last, 1e-6)
    return [
        Proposal(
            Place.of(boxes[i], width, height),
            format_score(scores[i]),
            round(1 - 0.95 * (best - float(scores[i])) / reach, 3),
        )
        for i in order
    ]


def heat_map(
    boxes: np.ndarray, scores: np.ndarray, width: int, height: int, temperature: float = HEAT_TEMPERATURE
) -> np.ndarray:
    """How much of the phrase's weight lies on each cell: (h, w) float32 in 0..1, the long side HEAT_SIDE cells.

    The weights of the R proposals sum to 1: w = softmax(scores / temperature). A cell's value is the sum of the weights
    of the proposals that cover its middle, divided by the largest such sum of the photo. So 1 is where the weights of
    the proposals that fit the phrase best lie over each other, and 0.5 a place that half as much weight covers. It is
    made of whole boxes: it tells of regions, not of single pixels.

    Args:
        boxes: (R, 4) proposals in pixels of a photo of ``width`` x ``height``.
        scores: (R,) scores of the phrase with them.
    """
    scale = HEAT_SIDE / max(width, height)
    columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
    heat = np.zeros((rows, columns), np.float32)
    weights = np.exp((scores - scores.max(initial=-1.0)) / temperature)
    # A cell's middle is covered where x1 <= middle < x2.
    edges = np.round(boxes * np.array([columns / width, rows / height] * 2)).astype(int)
    for (x1, y1, x2, y2), weight in zip(edges, weights, strict=True):
        heat[y1:y2, x1:x2] += weight
    return heat / max(float(heat.max(initial=0.0)), 1e-12)


def heat_picture(heat: np.ndarray) -> str:
    """A heat map (h, w) in 0..1 as a PNG data URI: dark blue is 0, yellow is 1."""
    image = Image.fromarray(np.round(255 * np.clip(heat, 0, 1)).astype(np.uint8), "P")
    image.putpalette(_ramp().tobytes())
    return _png_uri(image)


def edge_picture(edges: np.ndarray) -> str:
    """An edge map (S, S) in 0..1 as a PNG data URI: black where an edge is strongest, white where there is none."""
    return _png_uri(Image.fromarray(np.round(255 * (1 - np.clip(edges, 0, 1))).astype(np.uint8)))


def best_crops(photo: np.ndarray, boxes: np.ndarray, scores: np.ndarray, count: int = CROPS) -> list[Crop]:
    """The best scored of the proposals (R, 4), pixels, cut out of the photo (H, W, 3), near repetitions left out."""
    rank = np.empty(len(scores), int)
    rank[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    crops = []
    for i in nms(boxes, scores, CROP_OVERLAP)[:count]:
        (x1, y1), (x2, y2) = np.floor(boxes[i, :2]).astype(int), np.ceil(boxes[i, 2:]).astype(int)
        cut = np.ascontiguousarray(photo[max(y1, 0) : max(y2, y1 + 1), max(x1, 0) : max(x2, x1 + 1)])
        crops.append(Crop(preview_uri(cut, CROP_SIDE), format_score(scores[i]), int(rank[i])))
    return crops


@cache
def _ramp() -> np.ndarray:
    """(256, 3) uint8 RGB, from dark blue to yellow, ever lighter: viridis, which colour-blind eyes read as well."""
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1])


def _png_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
