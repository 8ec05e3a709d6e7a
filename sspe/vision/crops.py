"""A whole photo as the paper looks at it: in ten crops."""

import cv2
import numpy as np


def ten_crops(photo: np.ndarray, shorter: int = 256, side: int = 224) -> np.ndarray:
    """Four corners, the centre, and the mirror images of the five: (10, side, side, 3) uint8.

    The photo (H, W, 3) uint8 RGB is scaled so that its shorter side is ``shorter`` pixels, at least ``side``.
    """
    if shorter < side:
        raise ValueError(f"crops of {side} pixels need a shorter side of as many, got {shorter}")
    height, width = photo.shape[:2]
    factor = shorter / min(height, width)
    size = max(round(width * factor), side), max(round(height * factor), side)
    scaled = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    right, bottom = size[0] - side, size[1] - side
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    crops = np.stack([scaled[y : y + side, x : x + side] for x, y in corners])
    return np.concatenate([crops, crops[:, :, ::-1]])
