"""What an index says of one photo, and what it keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PhotoRecord:
    """One photo of a collection.

    Attributes:
        path: relative to its root, with forward slashes.
        root: which of the index's roots, from 0.
        size, modified: of the file, bytes and nanoseconds since 1970; where both are as they were, so is the photo.
        digest: of the file's bytes, 32 hexadecimal digits: a photo that moved is known by it.
        width, height: pixels, upright.
        date: when it was taken, by its EXIF data, "2016-05-01T12:30:00"; None where it does not say.
        orientation: of the file by its EXIF data, 1 (upright) to 8.
    """

    path: str
    root: int
    size: int
    modified: int
    digest: str
    width: int
    height: int
    date: str | None
    orientation: int


@dataclass(frozen=True)
class CodedPhoto:
    """A photo as it is kept: R regions, the whole photo first; see :mod:`sspe.indexing.coding`.

    Attributes:
        codes: (R, C) int8.
        rows: (R, W) uint8.
        things: (R, T) uint8, 255 where the detector is sure to see the thing; T is 0 without a detector.
        hubness: how near it lies to phrases in general: a score, taken off those of a search in part.
        seen: (T,) float16, 0..1, the best the detector sees of each thing anywhere in the photo.
    """

    record: PhotoRecord
    codes: np.ndarray
    rows: np.ndarray
    things: np.ndarray
    hubness: float
    seen: np.ndarray
