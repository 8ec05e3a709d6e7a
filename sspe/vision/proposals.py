"""Proposals of a photo: the boxes of Edge Boxes and, where a model has a detector, what it finds by name.

A detection is used twice. The best ones are proposals themselves, for the detector frames things more tightly than
contours do; and all of them tell the network what is in each region, see :mod:`sspe.vision.detections`. Without a
detector there are Edge Boxes alone, as in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sspe.vision.boxes import flip, scale

if TYPE_CHECKING:
    from sspe.vision.detections import Detections
    from sspe.vision.detector import Detector
    from sspe.vision.edge_boxes import EdgeBoxes


@dataclass(frozen=True)
class Proposals:
    """The boxes of one photo that may answer a phrase, and what is known about them.

    Attributes:
        boxes: (R, 4) float32, pixels of the photo or relative to it (0..1 of width and height); the whole photo first.
        detections: everything the detector found, in the same frame, whether it became a proposal or not; None without
            a detector.
    """

    boxes: np.ndarray
    detections: Detections | None = None

    def first(self, count: int) -> Proposals:
        """The first so many boxes, with all detections."""
        return Proposals(self.boxes[:count], self.detections)

    def scaled(self, sx: float, sy: float) -> Proposals:
        """In a frame that is ``sx`` times as wide and ``sy`` times as high."""
        return self._moved(lambda boxes: scale(boxes, sx, sy))

    def flipped(self, width: float) -> Proposals:
        """In the mirror image of a photo that is ``width`` wide."""
        return self._moved(lambda boxes: flip(boxes, width))

    def _moved(self, move) -> Proposals:
        found = self.detections
        return Proposals(move(self.boxes), found and replace(found, boxes=move(found.boxes)))


def propose(
    photo: np.ndarray, edge_boxes: EdgeBoxes, detector: Detector | None = None, side_by_side: bool = False
) -> Proposals:
    """Proposals of a photo (H, W, 3) uint8 RGB, in pixels; at most as many as Edge Boxes' settings say.

    The whole photo, then the best boxes of the detector, then Edge Boxes by falling score. ``side_by_side`` gives Edge
    Boxes a core of their own beside the detector: for one photo, where no other photo keeps the cores busy.
    """
    if detector is None:
        return Proposals(edge_boxes(photo))
    if side_by_side:
        boxes, found = _side_by_side(photo, edge_boxes, detector)
    else:
        boxes, found = edge_boxes(photo), detector.detect(photo)
    named = found.boxes[: detector.settings.boxes]
    return Proposals(np.concatenate([boxes[:1], named, boxes[1:]])[: edge_boxes.settings.count], found)


def _side_by_side(photo: np.ndarray, edge_boxes: EdgeBoxes, detector: Detector) -> tuple[np.ndarray, Detections]:
    """Boxes of both: Edge Boxes, which use one core, in another thread, the detector on the other cores."""
    import torch

    threads = torch.get_num_threads()
    if threads == 1:
        return edge_boxes(photo), detector.detect(photo)

    def propose_boxes() -> np.ndarray:
        # A number of threads holds for the thread that sets it, and for those that use torch for the first time after
        # it: set back here, the smaller one of the detector's thread reaches no other.
        torch.set_num_threads(threads)
        return edge_boxes(photo)

    torch.set_num_threads(threads - 1)  # more would wait for each other on the core that Edge Boxes use
    try:
        with ThreadPoolExecutor(1) as pool:
            boxes = pool.submit(propose_boxes)
            found = detector.detect(photo)
            return boxes.result(), found
    finally:
        torch.set_num_threads(threads)


@contextmanager
def one_thread(detector: Detector | None = None) -> Iterator[None]:
    """Within the block proposals are made in one thread: OpenCV's and, where there is a detector, torch's."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    if detector is not None:
        import torch

        of_torch = torch.get_num_threads()
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        if detector is not None:
            torch.set_num_threads(of_torch)
