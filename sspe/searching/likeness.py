"""What a region looks like: its embedding, as it is kept or made anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sspe.errors import SspeError
from sspe.models.localization import LocalizationModel
from sspe.searching.searcher import Searcher
from sspe.vision.boxes import iou
from sspe.vision.photo import PhotoSource, open_photo

_SAME = 0.7  # intersection over union from which a box given is taken to be a region that is kept


def kept_embedding(searcher: Searcher, place: tuple[int, int, int], file: Path, box: Sequence[float]) -> np.ndarray:
    """Unit embedding (E,) of a box, pixels, of a photo of the collection.

    That of a region which is nearly the same, or of the nearest where the photo's file is not there; else it is made.
    Raises SspeError, PhotoError.
    """
    record, regions = searcher.photo(place)
    _check(box, record.width, record.height)
    near = iou(np.array(box, np.float32), regions.boxes)[0]
    if near.max() < _SAME and file.is_file():
        return made_embedding(searcher.model, file, box)
    size = searcher.model.settings.network.embedding
    x = regions.embeddings[int(near.argmax()), :size].float().cpu().numpy()
    return x / (np.linalg.norm(x) + 1e-9)


def made_embedding(model: LocalizationModel, photo: PhotoSource, box: Sequence[float]) -> np.ndarray:
    """Unit embedding (E,) of a box, pixels, of any photo. Raises SspeError, PhotoError."""
    pixels = open_photo(photo)
    _check(box, pixels.shape[1], pixels.shape[0])
    regions = model.embed_regions(pixels, np.array(box, np.float32)[None])
    return regions.embeddings[0, : model.settings.network.embedding].float().cpu().numpy()


def _check(box: Sequence[float], width: int, height: int) -> None:
    x1, y1, x2, y2 = box
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise SspeError(
            f"The box {[round(float(edge), 1) for edge in box]} is empty or leaves the photo of {width} x {height} "
            "pixels; give x1 y1 x2 y2 in pixels."
        )
