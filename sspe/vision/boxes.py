"""Pure box arithmetic.

A box is ``x1, y1, x2, y2`` in pixels of the original photo, float32, continuous and half-open: a box over the pixel
columns 0 to 9 has x1 = 0 and x2 = 10. A 1-based inclusive annotation ``xmin, xmax`` becomes ``xmin - 1, xmax``, so
the plain intersection over union below equals the one over inclusive pixels that Flickr30K Entities is scored with.
"""

import numpy as np

Box = tuple[float, float, float, float]  # a single box: x1, y1, x2, y2


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of ``a`` (N, 4) with every box of ``b`` (M, 4): (N, M) float32 in 0..1."""
    a = np.asarray(a, np.float32).reshape(-1, 4)
    b = np.asarray(b, np.float32).reshape(-1, 4)
    overlap = _overlap(a, b)
    together = area(a)[:, None] + area(b)[None, :] - overlap
    return np.divide(overlap, together, out=np.zeros_like(overlap), where=together > 0)


def shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How much of every box of ``a`` (N, 4) lies in every box of ``b`` (M, 4): (N, M), 0..1; 0 of one without area."""
    overlap = _overlap(a, b)
    whole = area(a)[:, None]
    return np.divide(overlap, whole, out=np.zeros_like(overlap), where=whole > 0)


def _overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas (N, M) of what boxes (N, 4) and (M, 4) share; side by side, for numpy is slow over an axis of two."""
    width = np.minimum(a[:, None, 2], b[:, 2]) - np.maximum(a[:, None, 0], b[:, 0])
    height = np.minimum(a[:, None, 3], b[:, 3]) - np.maximum(a[:, None, 1], b[:, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas (N,) in square pixels of boxes (N, 4); an inverted box has area 0."""
    return np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1)


def union(boxes: np.ndarray) -> np.ndarray:
    """The smallest box (4,) around boxes (N, 4), N at least 1: the "merged box" of a phrase with several boxes."""
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    if len(boxes) == 0:
        raise ValueError("union of no boxes is undefined; give at least one box")
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def clip(boxes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Boxes (N, 4) moved inside a photo of width x height pixels."""
    limit = np.array([width, height, width, height], np.float32)
    return np.clip(np.asarray(boxes, np.float32), 0, limit)


def scale(boxes: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """Boxes (N, 4) of a frame carried into one that is ``sx`` times as wide and ``sy`` times as high."""
    return np.asarray(boxes, np.float32) * np.array([sx, sy, sx, sy], np.float32)


def flip(boxes: np.ndarray, width: float) -> np.ndarray:
    """Boxes (N, 4) in the mirror image of a photo ``width`` pixels wide."""
    boxes = np.asarray(boxes, np.float32)
    return np.stack([width - boxes[..., 2], boxes[..., 1], width - boxes[..., 0], boxes[..., 3]], axis=-1)


def nms(boxes: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Greedy non-maximum suppression: indices (K,) of the boxes kept, best score first.

    A box goes when a better one overlaps it by more than ``threshold`` (intersection over union).
    """
    import torch

    from sspe.vision.compiled_ops import nms

    kept = nms(torch.as_tensor(boxes, dtype=torch.float32), torch.as_tensor(scores, dtype=torch.float32), threshold)
    return kept.numpy()


def consensus(
    boxes: np.ndarray, scores: np.ndarray, temperature: float = 0.04, top: int = 50, near: float = 0.5
) -> tuple[int, np.ndarray, float]:
    """The box on which the best scored boxes agree most; a single best score is often one lucky box beside a crowd.

    Of the ``top`` best, each votes for every other one with its weight, exp(score / temperature), times their squared
    intersection over union. The winner's box is the weighted mean of those that overlap it by ``near`` or more.

    Args:
        boxes: (N, 4), N at least 1.
        scores: (N,).

    Returns:
        The winner's index, its mean box (4,) float32, and its share of all weights, 0..1: how far the others agree.
    """
    best = np.argsort(-scores, kind="stable")[:top]
    weights = np.exp((scores[best] - scores[best[0]]) / temperature)  # (K,)
    overlap = iou(boxes[best], boxes[best])  # (K, K)
    votes = overlap**2 @ weights
    winner = int(votes.argmax())
    voters = weights * (overlap[winner] >= near)
    voters[winner] = max(voters[winner], 1e-6)  # a box without area overlaps nothing, not even itself
    mean = (voters @ boxes[best] / voters.sum()).astype(np.float32)
    mean = np.clip(mean, boxes[best].min(axis=0), boxes[best].max(axis=0))  # rounding must not leave the photo
    return int(best[winner]), mean, float(votes[winner] / weights.sum())
