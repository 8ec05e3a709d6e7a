"""How a region is kept in few bytes: turned into a basis, then each number a signed byte with a scale per dimension.

The first numbers hold nearly all of the energy; they are the code that every search scans. What rounding took off them,
the other numbers, what box refinement reads, and the box are the row, read of the best photos alone.

    code  C signed bytes: x in the basis, the first C of K numbers
    row   C signed bytes: what rounding took off each number of the code, in steps 254 times finer; K - C signed bytes:
          the other numbers; J signed bytes: what box refinement reads; 8 bytes: the box, four unsigned 16-bit numbers,
          little-endian, 65535 being the photo's width or height

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
_FINER = 254  # rounding takes off half a step at most, 127 of these
_FIELDS = ("basis", "reading", "scale", "described_mean", "described_basis", "described_scale")


@dataclass(frozen=True)
class Coding:
    """Bases and scales as in :class:`sspe.models.search_fit.SearchFit`, as float32 arrays; kept beside an index."""

    basis: np.ndarray
    reading: np.ndarray
    scale: np.ndarray
    described_mean: np.ndarray
    described_basis: np.ndarray
    described_scale: np.ndarray

    @classmethod
    def of(cls, fit: SearchFit) -> Coding:
        """The coding of a fitted checkpoint."""
        found = {name: getattr(fit, name) for name in _FIELDS}
        if fit.reading is None:
            found["reading"] = fit.basis
        return cls(**{name: tensor.float().cpu().numpy() for name, tensor in found.items()})

    @property
    def code_size(self) -> int:
        """C, bytes of a region's code."""
        return min(CODE, len(self.scale))

    @property
    def row_size(self) -> int:
        """Bytes of a region's row."""
        return len(self.scale) + len(self.described_scale) + 8

    @property
    def steps(self) -> np.ndarray:
        """What 1 of each signed byte stands for (C + K,) float32: of a code, then of the numbers of a row."""
        size = self.code_size
        return np.concatenate([self.scale[:size], self.scale[:size] / _FINER, self.scale[size:]])

    def encode(self, x: np.ndarray, described: np.ndarray | None, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes (R, C) int8 and rows (R, W) uint8 of embeddings x (R, E), what refinement reads (R, H), relative boxes.

        Boxes (R, 4) are x1 y1 x2 y2, 0..1 of the photo's width and height.
        """
        exact, size = x @ self.basis / self.scale, self.code_size
        numbers = _signed_bytes(exact)
        finer = _signed_bytes((exact[:, :size] - numbers[:, :size]) * _FINER)
        parts = [finer.view(np.uint8), numbers[:, size:].view(np.uint8)]
        if described is not None:
            turned = (described - self.described_mean) @ self.described_basis / self.described_scale
            parts.append(_signed_bytes(turned).view(np.uint8))
        edges = np.round(np.clip(boxes, 0, 1) * _EDGE).astype("<u2")
        return numbers[:, :size].copy(), np.concatenate([*parts, edges.view(np.uint8)], axis=1)

    def numbers(self, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Embeddings (R, K) float32 in the basis, of codes and rows."""
        found = self.signed_bytes(codes, rows) * self.steps
        size = self.code_size
        found[:, size : 2 * size] += found[:, :size]
        return found[:, size:]

    def signed_bytes(self, codes: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The bytes (R, C + K) int8 that numbers are made of, each a step of :attr:`steps`."""
        return np.concatenate([codes, rows[:, : len(self.scale)].view(np.int8)], axis=1)

    def weighed(self, numbers: np.ndarray) -> np.ndarray:
        """What the signed bytes are multiplied with (P, C + K) for the scores of phrases (P, K) turned by reading."""
        return np.concatenate([numbers[:, : self.code_size], numbers], axis=1) * self.steps

    def described(self, rows: np.ndarray) -> np.ndarray | None:
        """What box refinement reads (R, H) float32; None of a model without one."""
        if not len(self.described_scale):
            return None
        start = len(self.scale)
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
