"""What is computed once per photo and kept on disk: the squeezed picture, its proposals, features of a frozen backbone.

One small file per photo, named by the photo file's content and the settings, so that every subset, split, copy and
interrupted run shares them, and a changed setting or photo never reads a stale one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sspe.errors import PhotoError
from sspe.files import cache_dir, settings_key, written
from sspe.settings import EdgeBoxesSettings
from sspe.vision.boxes import scale
from sspe.vision.detections import Detections
from sspe.vision.edge_boxes import VERSION, EdgeBoxes
from sspe.vision.photo import open_photo, squeeze
from sspe.vision.proposals import Proposals, one_thread, propose

if TYPE_CHECKING:
    import torch

    from sspe.vision.detector import Detector
    from sspe.vision.photo_encoder import PhotoEncoder
    from sspe.vision.region_encoder import RegionEncoder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPhoto:
    """A photo ready for the region encoder.

    Attributes:
        squeezed: (side, side, 3) uint8 RGB.
        boxes: (R, 4) float32 proposals, relative: 0..1 of the photo's width and height; the whole photo first.
        detections: what the detector found, relative as well; None without a detector.
    """

    squeezed: np.ndarray
    boxes: np.ndarray
    detections: Detections | None = None

    @property
    def proposals(self) -> Proposals:
        """The boxes with the detections."""
        return Proposals(self.boxes, self.detections)


class FeatureStore:
    """Photo file -> :class:`StoredPhoto`, from disk where it has been made before."""

    def __init__(
        self,
        side: int,
        proposals: EdgeBoxesSettings,
        folder: Path | None = None,
        detector: Detector | None = None,
    ):
        """``side`` is the region encoder's, in pixels; ``folder`` defaults to the cache folder.

        ``detector`` finds things beside Edge Boxes; its settings and weights then are part of the files' names.
        """
        self.side = side
        self.settings = proposals
        self.detector = detector
        found_with = [] if detector is None else [detector.key(), *(field.name for field in fields(Detections))]
        key = settings_key(VERSION, side, proposals.as_dict(), cv2.__version__.split(".")[0], *found_with)
        self.folder = (folder or cache_dir() / "photos") / key
        self._edge_boxes: EdgeBoxes | None = None

    def get(self, path: Path) -> StoredPhoto:
        """The stored photo, made and kept if it is not there yet. Raises PhotoError."""
        file = self._file(path)
        try:
            with np.load(file) as arrays:
                return StoredPhoto(arrays["squeezed"], arrays["boxes"], self._detections(arrays))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # Absent, or damaged by a full disk: both are cured by making it again.
            stored = self._make(path)
            found = {} if stored.detections is None else vars(stored.detections)
            arrays = {"squeezed": stored.squeezed, "boxes": stored.boxes}
            arrays |= {f"detected_{name}": array for name, array in found.items()}
            with written(file) as temporary, temporary.open("wb") as out:
                np.savez(out, **arrays)
            return stored

    def proposals(self, path: Path) -> Proposals:
        """The stored photo's proposals alone, which are read in half the time."""
        try:
            with np.load(self._file(path)) as arrays:
                return Proposals(arrays["boxes"], self._detections(arrays))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return self.get(path).proposals

    def _detections(self, arrays: Mapping[str, np.ndarray]) -> Detections | None:
        """What a file holds of the detector's. Raises KeyError where it lacks an array."""
        if self.detector is None:
            return None
        return Detections(*(arrays[f"detected_{field.name}"] for field in fields(Detections)))

    def prepare(self, paths: Sequence[Path], progress: Callable[[Iterable, int], Iterable] | None = None) -> None:
        """Make what is missing of the given photos, on every core; ``progress`` wraps (iterable, total) like tqdm."""
        missing = [path for path in paths if not self._file(path).exists()]
        if not missing:
            return
        log.info("making proposals of %d photos", len(missing))
        # Threads, not processes: OpenCV computes outside Python's lock, and a fresh process would run the caller's
        # script again. Each has Edge Boxes of its own and one thread to compute in; more would only fight over the
        # cores.
        own = threading.local()

        def make(path: Path) -> None:
            if not hasattr(own, "store"):
                own.store = FeatureStore(self.side, self.settings, self.folder.parent, self.detector)
            own.store.get(path)

        with one_thread(self.detector), ThreadPoolExecutor(os.cpu_count()) as pool:
            work = pool.map(make, missing)
            for _ in progress(work, len(missing)) if progress else work:
                pass

    def _file(self, path: Path) -> Path:
        return self.folder / f"{photo_key(path)}.npz"

    def _make(self, path: Path) -> StoredPhoto:
        if self._edge_boxes is None:
            self._edge_boxes = EdgeBoxes(self.settings)
        photo = open_photo(path)
        height, width = photo.shape[:2]
        proposals = propose(photo, self._edge_boxes, self.detector).scaled(1 / width, 1 / height)
        return StoredPhoto(squeeze(photo, self.side), proposals.boxes, proposals.detections)


class FrozenFeatures:
    """Photo file and boxes -> region features (R, D) of a backbone that is not trained, from disk where known.

    What is kept is their appearance in float16, named by the region settings, the weights and the precision they were
    computed in; geometry is added when they are read, so that a network with it and one without share a file.
    """

    def __init__(self, encoder: RegionEncoder, precision: str, folder: Path | None = None):
        """``precision`` is "float32" or "bfloat16"; ``folder`` defaults to the cache folder."""
        self.encoder = encoder
        self.precision = precision
        settings = {**asdict(encoder.settings), "geometry": None, "weights": None}
        self.folder = (folder or cache_dir() / "features") / settings_key(settings, encoder.weights_key(), precision)

    def get(self, path: Path, boxes: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Features (N, D) float32 of the chosen rows of relative boxes (R, 4). Raises PhotoError.

        All the boxes are the key: features of R boxes are computed once, and then any rows are read without the others.
        """
        import torch

        boxes = np.ascontiguousarray(boxes, np.float32)
        file = self._file(path, boxes)
        try:
            appearance = np.load(file, mmap_mode="r")[rows]
        except (OSError, ValueError, EOFError):  # absent or damaged: make it again
            appearance = self._make(path, boxes, file)[rows]
        appearance = torch.from_numpy(appearance.astype(np.float32))
        return self.encoder.with_geometry(appearance, torch.from_numpy(boxes[rows])).numpy()

    def prepare(self, path: Path, boxes: np.ndarray) -> None:
        """Compute the features of relative boxes (R, 4), if they are not on disk yet. Raises PhotoError."""
        boxes = np.ascontiguousarray(boxes, np.float32)
        file = self._file(path, boxes)
        if not file.exists():
            self._make(path, boxes, file)

    def _file(self, path: Path, boxes: np.ndarray) -> Path:
        return self.folder / f"{photo_key(path)}-{settings_key(boxes.tobytes().hex())}.npy"

    def _make(self, path: Path, boxes: np.ndarray, file: Path) -> np.ndarray:
        photo = open_photo(path)
        height, width = photo.shape[:2]
        with _computing(self.encoder, self.precision):
            appearance = self.encoder.appearance(photo, scale(boxes, width, height)).half().cpu().numpy()
        with written(file) as temporary:
            np.save(temporary, appearance)
        return appearance


class FrozenPhotoFeatures:
    """Photo files -> whole-photo features (N, D) of a backbone that is not trained, from disk where known.

    Kept in float16, named by the settings of the encoder, its weights and the precision they were computed in.
    """

    together = 8  # photos per pass of the network

    def __init__(self, encoder: PhotoEncoder, precision: str, folder: Path | None = None):
        """``precision`` is "float32" or "bfloat16"; ``folder`` defaults to the cache folder."""
        self.encoder = encoder
        self.precision = precision
        settings = {**asdict(encoder.settings), "weights": None}
        key = settings_key("whole photos", settings, encoder.weights_key(), precision)
        self.folder = (folder or cache_dir() / "features") / key

    def get(self, paths: Sequence[Path], progress: Callable[[Iterable], Iterable] = iter) -> torch.Tensor:
        """Features (N, D) float32, of unit length up to rounding; ``progress`` wraps an iterable like tqdm.

        Raises PhotoError.
        """
        import torch

        rows = []
        for start in progress(range(0, len(paths), self.together)):
            part = paths[start : start + self.together]
            rows += self._read_or_make(part)
        return torch.from_numpy(np.stack(rows).astype(np.float32))

    def _read_or_make(self, paths: Sequence[Path]) -> list[np.ndarray]:
        files = [self.folder / f"{photo_key(path)}.npy" for path in paths]
        try:
            return [np.load(file) for file in files]
        except (OSError, ValueError, EOFError):  # one is absent or damaged: make them again
            with _computing(self.encoder, self.precision):
                found = self.encoder.encode([open_photo(path) for path in paths]).half().cpu().numpy()
        for file, feature in zip(files, found, strict=True):
            with written(file) as temporary:
                np.save(temporary, feature)
        return list(found)


def _computing(encoder: RegionEncoder | PhotoEncoder, precision: str) -> AbstractContextManager:
    """Compute in the precision that the files are named by, whatever the caller computes in."""
    import torch

    return torch.autocast(encoder.mean.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def photo_key(path: Path) -> str:
    """Names a photo file by its content: a copied, moved or touched photo keeps its name. Raises PhotoError."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise PhotoError(f"The photo {path} cannot be found ({error.strerror}); check the path.") from None
