"""How a region is kept in few bytes: turned into a basis, then each number a signed byte with a scale per dimension.

The first numbers hold nearly all of the energy; they are the code that every search scans. The others, what box
refinement reads, and the box are the row, read of the best photos alone.

    code  C signed bytes: x in the basis, the first C of K numbers
    row   K - C signed bytes: the other numbers; J signed bytes: what box refinement reads; 8 bytes: the box, four
          unsigned 16-bit numbers, little-endian, 65535 being the photo's width or height

and, apart from both, a byte for each thing that a detector names: 255 where it is sure to see it in the region.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sspe.errors import CollectionError

if TYPE_CHECKING:
    from sspe.models.search_fit import SearchFit

CODE = 64  # numbers of a region that every search scans
_EDGE = 65535  # 1.0 of a photo's width or height
_FIELDS = ("basis", "scale", "described_mean", "described_basis", "described_scale")


@dataclass(frozen=True)
class Coding:
    """Bases and scales as in :class:`sspe.models.search_fit.SearchFit`, as float32 arrays; kept beside an index."""

    basis: np.ndarray
    scale: np.ndarray
    described_mean: np.ndarray
    described_basis: np.ndarray
    described_scale: np.ndarray

    @classmethod
    def of(cls, fit: SearchFit) -> Coding:
        """The coding of a fitted checkpoint."""
        return cls(*(getattr(fit, name).float().cpu().numpy() for name in _FIELDS))

    @property
    def code_size(self) -> int:
        """C, bytes of a region's code."""
        return min(CODE, len(self.scale))

    @property
    def row_size(self) -> int:
        """Bytes of a region's row."""
        return len(self.scale) - self.code_size + len(self.described_scale) + 8

    def encode(self, x: np.ndarray, described: np.ndarray | None, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes (R, C) int8 and rows (R, W) uint8 of embeddings x (R, E), what refinement reads (R, H), relative boxes.

        Boxes (R, 4) are x1 y1 x2 y2, 0..1 of the photo's width and height.
        """
        numbers = _signed_bytes(x @ self.basis / self.scale)
        parts = [numbers[:, self.code_size :].view(np.uint8)]
        if described is not None:
            turned = (described - self.described_mean) @ self.described_basis / self.described_scale
            parts.append(_signed_bytes(turned).view(np.uint8))
        edges = np.round(np.clip(boxes, 0, 1) * _EDGE).astype("<u2")
        return numbers[:, : self.code_size].copy(), np.concatenate([*parts, edges.view(np.uint8)], axis=1)

    def numbers(self, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Embeddings (R, K) float32 in the basis, of codes and rows."""
        rest = rows[:, : len(self.scale) - self.code_size].view(np.int8)
        return np.concatenate([codes, rest], axis=1).astype(np.float32) * self.scale

    def described(self, rows: np.ndarray) -> np.ndarray | None:
        """What box refinement reads (R, H) float32; None of a model without one."""
        if not len(self.described_scale):
            return None
        start = len(self.scale) - self.code_size
        kept = rows[:, start : start + len(self.described_scale)].view(np.int8).astype(np.float32)
        return kept * self.described_scale @ self.described_basis.T + self.described_mean

    def boxes(self, rows: np.ndarray) -> np.ndarray:
        """Relative boxes (R, 4) float32, 0..1 of the photo's width and height."""
        return np.ascontiguousarray(rows[:, -8:]).view("<u2").astype(np.float32) / _EDGE

    def save(self, path: Path) -> None:
        """Write it as a .safetensors file."""
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in _FIELDS}, path)

    @classmethod
    def load(cls, path: Path) -> Coding:
        """Read it again. Raises CollectionError."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            tensors = load_file(path)
            return cls(*(tensors[name] for name in _FIELDS))
        except (OSError, SafetensorError, KeyError) as error:
            raise CollectionError(
                f"The index file {path} cannot be read ({error}); delete the index and run `sspe index` again."
            ) from None


def _signed_bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), -127, 127).astype(np.int8)
