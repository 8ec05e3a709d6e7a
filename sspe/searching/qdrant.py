"""Past one machine: the regions of a collection in a Qdrant cluster, and a search that asks it for the best photos.

A point is a region: its numbers in the basis, then what the detector sees, so that a dot product is the score. Points
are grouped by their photo. Qdrant keeps signed bytes in memory and scores the best once more in full. Its index is
approximate; what it proposes is scored again here from the collection's own files.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from sspe.errors import CollectionError
from sspe.extras import import_extra
from sspe.indexing.records import PhotoRecord

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

BATCH = 256  # points sent at once
OVERSAMPLING = 2.0  # so many times as many as asked for are scored once more in full


def export(
    client: QdrantClient, name: str, size: int, photos: Iterable[tuple[str, PhotoRecord, np.ndarray, np.ndarray]]
) -> int:
    """Make a Qdrant collection of photos; returns the number of points.

    Args:
        size: of a vector.
        photos: for each its key, its record, the vectors (R, size) of its regions, and their boxes (R, 4), pixels.

    Raises:
        CollectionError: Qdrant has a collection of this name already.
    """
    models = import_extra("qdrant_client.models", "qdrant", "Exporting to Qdrant")
    if client.collection_exists(name):
        raise CollectionError(f"Qdrant has a collection {name!r} already; delete it there, or give another name.")
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=size, distance=models.Distance.DOT, on_disk=True),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        ),
    )
    client.create_payload_index(name, "photo", models.PayloadSchemaType.KEYWORD)
    count = 0
    for batch in _batches(_points(photos), BATCH):
        client.upsert(
            name, [models.PointStruct(id=point, vector=vector, payload=payload) for point, vector, payload in batch]
        )
        count += len(batch)
    return count


def ask(client: QdrantClient, name: str, vectors: np.ndarray, best: int) -> list[str]:
    """Keys of the photos with the best region for any of the vectors (P, size): at most ``best`` for each."""
    models = import_extra("qdrant_client.models", "qdrant", "A search through Qdrant")
    if not client.collection_exists(name):
        raise CollectionError(f"Qdrant has no collection {name!r}; make it with Collection.to_qdrant.")
    rescored = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    found: dict[str, None] = {}
    for vector in vectors:
        groups = client.query_points_groups(
            name,
            group_by="photo",
            query=vector.tolist(),
            limit=best,
            group_size=1,
            with_payload=False,
            search_params=models.SearchParams(quantization=rescored),
        ).groups
        found |= dict.fromkeys(str(group.id) for group in groups)
    return list(found)


def _points(photos: Iterable[tuple[str, PhotoRecord, np.ndarray, np.ndarray]]) -> Iterator[tuple[str, list, dict]]:
    for key, record, vectors, boxes in photos:
        for region, (vector, box) in enumerate(zip(vectors, boxes, strict=True)):
            payload = {
                "photo": key,
                "path": record.path,
                "width": record.width,
                "height": record.height,
                "date": record.date,
                "region": region,
                "box": [round(float(edge), 1) for edge in box],
            }
            yield str(uuid.uuid5(uuid.NAMESPACE_URL, f"{key}#{region}")), vector.tolist(), payload


def _batches(points: Iterator[tuple], size: int) -> Iterator[list[tuple]]:
    batch = []
    for point in points:
        batch.append(point)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
