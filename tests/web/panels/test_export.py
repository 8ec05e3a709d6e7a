"""Photos of a search to take away: paths, COCO, ZIP."""

import json
import zipfile

import pytest
from album import NAMES
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer

from sspe.errors import SspeError
from sspe.web.panels import export as module
from sspe.web.panels.export import export
from sspe.web.search_service import SearchService
from sspe.web.shelves import Shelves


@pytest.fixture
def shelves(album):
    return Shelves(FakeLocalizer(), FakeCollection(album))


@pytest.fixture
def tiles(shelves):
    """Both photos of a dog without a leash, as the browser sends them."""
    wall = SearchService(shelves).answer({"wanted": ["a dog"], "unwanted": ["a leash"]})
    return [{"photo": tile["photo"], "found": tile["found"]} for tile in wall["hits"]]


def test_paths_are_relative_to_the_collection(shelves, tiles, tmp_path):
    saved = export(shelves, tmp_path, {"kind": "paths", "tiles": tiles})
    assert saved == {"name": "photos.txt", "text": "dog 2019.png\ndog and ball 2021.png\n"}


def test_coco_has_the_boxes_as_found(shelves, tiles, tmp_path):
    saved = export(shelves, tmp_path, {"kind": "coco", "tiles": tiles})
    data = json.loads(saved["text"])
    assert [image["file_name"] for image in data["images"]] == ["dog 2019.png", "dog and ball 2021.png"]
    assert data["categories"] == [{"id": 1, "name": "a dog", "supercategory": "dog"}]
    x1, y1, x2, y2 = tiles[0]["found"][0]["box"]
    assert data["annotations"][0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    assert data["annotations"][0]["score"] == tiles[0]["found"][0]["probability"]


def test_zip_has_the_photos_byte_for_byte(shelves, tiles, album, tmp_path):
    saved = export(shelves, tmp_path / "served", {"kind": "zip", "tiles": tiles})
    assert saved["name"] == "photos.zip"
    with zipfile.ZipFile(saved["file"]) as packed:
        assert packed.namelist() == ["dog 2019.png", "dog and ball 2021.png"]
        assert packed.read("dog 2019.png") == (album / "dog 2019.png").read_bytes()
    again = export(shelves, tmp_path / "served", {"kind": "zip", "tiles": tiles})
    assert again["file"] != saved["file"]  # each in a folder that nobody can guess


def test_photos_without_a_phrase_can_be_taken_as_well(shelves, tmp_path):
    tiles = [{"photo": number, "found": []} for number in range(6)]
    assert export(shelves, tmp_path, {"kind": "paths", "tiles": tiles})["text"].splitlines() == sorted(NAMES)
    assert json.loads(export(shelves, tmp_path, {"kind": "coco", "tiles": tiles})["text"])["annotations"] == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"kind": "paths", "tiles": []}, "nothing to export"),
        ({"kind": "tar", "tiles": [{"photo": 0}]}, "not understood"),
        ({"kind": "zip", "tiles": [{"photo": 17}]}, "There is no photo 17"),
        ({"kind": "paths", "tiles": [{"photo": 0}], "key": "guessed"}, "no longer here"),
    ],
)
def test_bad_exports_are_one_sentence(shelves, tmp_path, asked, sentence):
    with pytest.raises(SspeError, match=sentence):
        export(shelves, tmp_path, asked)


def test_photos_gone_or_too_large_together_are_one_sentence(shelves, tiles, album, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ZIP", 100)
    with pytest.raises(SspeError, match="select fewer, or take the list of paths"):
        export(shelves, tmp_path, {"kind": "zip", "tiles": tiles})
    monkeypatch.undo()
    (album / "dog 2019.png").unlink()
    with pytest.raises(SspeError, match=r"dog 2019.png could not be read"):
        export(shelves, tmp_path, {"kind": "zip", "tiles": tiles})
