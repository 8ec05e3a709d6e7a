"""From a photo to what is kept of it, and whether an index and a checkpoint belong together."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from sspe.errors import CollectionError, SspeError
from sspe.indexing.coding import Coding
from sspe.indexing.manifest import CODING, Manifest
from sspe.indexing.records import CodedPhoto, PhotoRecord
from sspe.models.localization import LocalizationModel, Regions
from sspe.searching.ranking import hubness
from sspe.vision.boxes import scale
from sspe.vision.proposals import Proposals

PROPOSALS = 100  # regions of a photo: with 150 0.8 more of 100 right photos are among the first ten


def code(
    model: LocalizationModel,
    coding: Coding,
    phrases: np.ndarray,
    record: PhotoRecord,
    pixels: np.ndarray,
    proposals: Proposals,
) -> CodedPhoto:
    """Embed the first proposals of a photo and put them into the form that is kept."""
    boxes = proposals.boxes[:PROPOSALS]
    return kept_of(model, coding, phrases, record, model.embed_regions(pixels, boxes, proposals.detections))


def kept_of(
    model: LocalizationModel, coding: Coding, phrases: np.ndarray, record: PhotoRecord, regions: Regions
) -> CodedPhoto:
    """The form that is kept of a photo whose regions are embedded."""
    size = model.settings.network.embedding
    embeddings = regions.embeddings.float().cpu().numpy()
    described = None if regions.described is None else regions.described.float().cpu().numpy()
    relative = scale(regions.boxes, 1 / record.width, 1 / record.height)
    codes, rows = coding.encode(embeddings[:, :size], described, relative)
    things = np.round(embeddings[:, size:].clip(0, 1) * 255).astype(np.uint8)
    hub = hubness(coding.numbers(codes, rows), things.astype(np.float32) / 255, phrases)
    seen = np.zeros(0) if regions.seen is None else regions.seen
    return CodedPhoto(record, codes, rows, things, hub, seen.astype(np.float16))


def check_checkpoint(index: Path, manifest: Manifest, checkpoint: str) -> None:
    """Raise CollectionError where an index was made by other weights: their vectors are in another space."""
    if manifest.checkpoint != checkpoint:
        raise CollectionError(
            f"The index {index} was made with the checkpoint {manifest.checkpoint}, and this is {checkpoint}; give "
            "that checkpoint, or delete the index and run `sspe index` again."
        )


def open_coding(index: Path, manifest: Manifest) -> Coding:
    """The coding of an index. Raises CollectionError where its file is damaged or gone."""
    file = index / CODING
    if not file.is_file() or digest_of(file) != manifest.coding:
        raise CollectionError(
            f"The index file {file} is damaged or gone, and without it the vectors cannot be read; delete the folder "
            f"{index} and run `sspe index` again."
        )
    return Coding.load(file)


def check_searchable(model: LocalizationModel) -> None:
    """Raise SspeError where scores are no dot products, which is what a search computes."""
    if model.settings.network.kind == "similarity":
        raise SspeError(
            "A collection needs a checkpoint whose score is a dot product, and this one has a similarity network; give "
            "one of kind embedding or cca."
        )


def digest_of(path: Path) -> str:
    """Digest of a file's bytes, 32 hexadecimal digits."""
    found = hashlib.blake2b(digest_size=16)
    with path.open("rb") as opened:
        while part := opened.read(1 << 20):
            found.update(part)
    return found.hexdigest()
