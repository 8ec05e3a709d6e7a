"""Opening an index for reading, while another process may be writing it."""

from __future__ import annotations

from pathlib import Path

from sspe.errors import CollectionError
from sspe.indexing.embedding import check_checkpoint
from sspe.indexing.manifest import FILE, Manifest, read_manifest
from sspe.indexing.segments import Segment

_TRIES = 3  # to open an index whose files a writer replaces meanwhile


def indexes_at(home: Path) -> list[Path]:
    """The index at a place and its parts: whichever are there."""
    places = [home, *sorted(home.glob("part-*-of-*"))]
    return [place for place in places if (place / FILE).is_file()]


def open_index(index: Path, checkpoint: str) -> tuple[Manifest, list[Segment]]:
    """The manifest and its segments; once more where a writer has replaced files between the two."""
    for last in reversed(range(_TRIES)):
        manifest = read_manifest(index)
        check_checkpoint(index, manifest, checkpoint)
        try:
            return manifest, [Segment(index, entry) for entry in manifest.segments]
        except FileNotFoundError as error:
            if not last:
                name = Path(error.filename).name
                raise CollectionError(
                    f"The index {index} lacks the file {name}; run `sspe index` on the folder again."
                ) from None
    raise AssertionError
