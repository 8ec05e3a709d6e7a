"""The regions of a collection in Qdrant (its local mode), and a search that asks it."""

import shutil

import pytest

from sspe import Collection
from sspe.errors import CollectionError

qdrant_client = pytest.importorskip("qdrant_client")


@pytest.fixture(scope="module")
def collection(photos, tiny_localizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("qdrant")
    for number in range(5):
        shutil.copy(photos[number], folder / f"{number}.jpg")
    return Collection.build(folder, localizer=tiny_localizer)


@pytest.fixture(scope="module")
def client(collection):
    client = qdrant_client.QdrantClient(":memory:")
    with pytest.warns(UserWarning, match="Payload indexes have no effect"):
        points = collection.to_qdrant(client, "photos")
    assert points == client.count("photos").count > 100
    return client


def test_a_point_says_which_photo_and_where(client, collection):
    (point,), _ = client.scroll("photos", limit=1, with_vectors=True)
    record = next(record for record in collection.photos if record.path == point.payload["path"])
    assert point.payload["photo"] == str(collection.path_of(record))
    assert (point.payload["width"], point.payload["height"]) == (record.width, record.height)
    x1, y1, x2, y2 = point.payload["box"]
    assert 0 <= x1 < x2 <= record.width + 0.1 and 0 <= y1 < y2 <= record.height + 0.1
    assert len(point.vector) == 24


@pytest.mark.parametrize("query", ["a red hat", ["a dog", "a man"]])
def test_a_search_through_qdrant_finds_the_same(client, collection, query):
    here, there = collection.search(query), collection.search(query, qdrant=(client, "photos"))
    assert here.exact and not there.exact
    assert there.hits == here.hits and len(there.hits) == 5


def test_names_must_be_right(client, collection):
    with pytest.raises(CollectionError, match="has a collection 'photos' already"):
        collection.to_qdrant(client, "photos")
    with pytest.raises(CollectionError, match="has no collection 'others'"):
        collection.search("a dog", qdrant=(client, "others"))
