"""What a detector found in a photo, and what that says of each region: names known beyond the training captions."""

from dataclasses import dataclass

import numpy as np

from sspe.vision.boxes import iou

_NAMES = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
    mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
    teddy bear, hair drier, toothbrush
"""
THINGS = tuple(name.strip() for name in _NAMES.split(","))  # in COCO's order, which is that of a detector's scores


@dataclass(frozen=True)
class Detections:
    """What the detector finds in one photo, best first.

    Attributes:
        boxes: (D, 4) float32, in the frame of the proposals beside them.
        scores: (D, T) float32, 0..1, of each of the T things the detector knows; they need not sum to 1.
        anywhere: (T,) float32, 0..1, the best score of each thing in the photo, too low for a detection or not.
    """

    boxes: np.ndarray
    scores: np.ndarray
    anywhere: np.ndarray


def things_in(boxes: np.ndarray, detections: Detections) -> np.ndarray:
    """How surely each of boxes (R, 4) frames each of T things: (R, T) float32, 0..1; 0 where nothing was detected.

    The largest, over the detections, of the thing's score times the squared intersection over union with the box.
    """
    found = np.zeros((len(boxes), detections.scores.shape[1]), np.float32)
    for near, scores in zip(iou(detections.boxes, boxes) ** 2, detections.scores, strict=True):
        np.maximum(found, near[:, None] * scores, out=found)  # one detection at a time: all at once fill 16 MB
    return found
