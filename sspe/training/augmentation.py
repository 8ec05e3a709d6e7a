"""A training photo changed at random, so that the network sees it anew every epoch. Pure arrays, relative boxes."""

import cv2
import numpy as np

from sspe.vision.boxes import area, clip
from sspe.vision.detections import Detections
from sspe.vision.proposals import Proposals

LEAST_SHARE = 0.6  # of a box that must lie inside the window cut from a photo; what is cut more is gone


def random_window(width: int, height: int, least: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A window x, y, w, h, pixels, of a picture: at least the share ``least`` of its width and of its height."""
    full = np.array([width, height])
    size = np.maximum(np.round(rng.uniform(least, 1, 2) * full), 1)
    corner = np.floor(rng.uniform(0, 1, 2) * (full - size + 1))
    x, y, w, h = (int(value) for value in (*corner, *size))
    return x, y, w, h


def zoomed(
    squeezed: np.ndarray, proposals: Proposals, right: np.ndarray, least: float, rng: np.random.Generator
) -> tuple[np.ndarray, Proposals, np.ndarray, np.ndarray]:
    """A window of the picture, at least the share ``least`` of its width and height, brought to the picture's size.

    Returns the picture, the proposals (detections among them) and the phrases' boxes (P', 4) in the window's frame, of
    those that lie in it for the most part, and which phrases (P,) bool these are. Where there would be none, nothing is
    cut.
    """
    side = len(squeezed)
    x, y, w, h = random_window(side, side, least, rng)

    def seen(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = ((boxes * side - [x, y, x, y]) / [w, h, w, h]).astype(np.float32)
        inside = clip(moved, 1, 1)
        return inside, area(inside) >= LEAST_SHARE * np.maximum(area(moved), 1e-6)

    (cut_right, kept), (cut_boxes, whole) = seen(right), seen(proposals.boxes)
    if not kept.any():
        return squeezed, proposals, right, np.ones(len(right), bool)
    whole[:1] = True  # the whole photo is now the whole window
    found = proposals.detections
    if found is not None:
        cut_found, shown = seen(found.boxes)
        found = Detections(cut_found[shown], found.scores[shown], found.anywhere)
    picture = cv2.resize(squeezed[y : y + h, x : x + w], (side, side), interpolation=cv2.INTER_LINEAR)
    return picture, Proposals(cut_boxes[whole], found), cut_right[kept], kept


def recoloured(squeezed: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3) uint8 with contrast times, and brightness plus, a random amount of at most ``strength``."""
    contrast, brightness = rng.uniform(1 - strength, 1 + strength), rng.uniform(-strength, strength) * 128
    levels = (np.arange(256) - 128) * contrast + 128 + brightness
    return np.clip(levels, 0, 255).astype(np.uint8)[squeezed]
