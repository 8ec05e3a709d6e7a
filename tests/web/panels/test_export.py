"""Photos of a search to take away: paths, COCO, ZIP."""

import json
import zipfile
from pathlib import Path

import pytest
from album import NAMES
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer

from sspe.errors import SspeError
from sspe.web.panels import export as module
from sspe.web.panels.export import Packer, export
from sspe.web.search_service import SearchService
from sspe.web.shelves import Shelves


@pytest.fixture
def shelves(album):
    return Shelves(FakeLocalizer(), FakeCollection(album))


@pytest.fixture
def packer(tmp_path):
    return Packer(tmp_path / "served")


@pytest.fixture
def tiles(shelves):
    """Both photos of a dog without a leash, as the browser sends them."""
    wall = SearchService(shelves).answer({"wanted": ["a dog"], "unwanted": ["a leash"]})
    return [{"photo": tile["photo"], "found": tile["found"]} for tile in wall["hits"]]


def test_paths_are_relative_to_the_collection(shelves, tiles, packer):
    saved = export(shelves, packer, {"kind": "paths", "tiles": tiles})
    assert saved == {"name": "photos.txt", "text": "dog 2019.png\ndog and ball 2021.png\n"}


def test_coco_has_the_boxes_as_found(shelves, tiles, packer):
    saved = export(shelves, packer, {"kind": "coco", "tiles": tiles})
    data = json.loads(saved["text"])
    assert [image["file_name"] for image in data["images"]] == ["dog 2019.png", "dog and ball 2021.png"]
    assert data["categories"] == [{"id": 1, "name": "a dog", "supercategory": "dog"}]
    x1, y1, x2, y2 = tiles[0]["found"][0]["box"]
    assert data["annotations"][0]["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    assert data["annotations"][0]["score"] == tiles[0]["found"][0]["probability"]


def test_zip_has_the_photos_byte_for_byte(shelves, tiles, album, packer):
    saved = export(shelves, packer, {"kind": "zip", "tiles": tiles})
    assert saved["name"] == "photos.zip"
    with zipfile.ZipFile(saved["file"]) as packed:
        assert packed.namelist() == ["dog 2019.png", "dog and ball 2021.png"]
        assert packed.read("dog 2019.png") == (album / "dog 2019.png").read_bytes()
    again = export(shelves, packer, {"kind": "zip", "tiles": tiles})
    assert again["file"] != saved["file"]  # each in a folder that nobody can guess


def test_photos_without_a_phrase_can_be_taken_as_well(shelves, packer):
    tiles = [{"photo": number, "found": []} for number in range(6)]
    assert export(shelves, packer, {"kind": "paths", "tiles": tiles})["text"].splitlines() == sorted(NAMES)
    assert json.loads(export(shelves, packer, {"kind": "coco", "tiles": tiles})["text"])["annotations"] == []


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"kind": "paths", "tiles": []}, "nothing to export"),
        ({"kind": "tar", "tiles": [{"photo": 0}]}, "not understood"),
        ({"kind": "zip", "tiles": [{"photo": 17}]}, "There is no photo 17"),
        ({"kind": "paths", "tiles": [{"photo": 0}], "key": "guessed"}, "no longer here"),
    ],
)
def test_bad_exports_are_one_sentence(shelves, packer, asked, sentence):
    with pytest.raises(SspeError, match=sentence):
        export(shelves, packer, asked)


def test_photos_gone_or_too_large_together_are_one_sentence(shelves, tiles, album, packer, monkeypatch):
    monkeypatch.setattr(module, "MAX_ZIP", 100)
    with pytest.raises(SspeError, match="select fewer, or take the list of paths"):
        export(shelves, packer, {"kind": "zip", "tiles": tiles})
    monkeypatch.undo()
    (album / "dog 2019.png").unlink()
    with pytest.raises(SspeError, match=r"dog 2019.png could not be read"):
        export(shelves, packer, {"kind": "zip", "tiles": tiles})


def test_a_photo_asked_for_many_times_is_packed_once(shelves, packer):
    saved = export(shelves, packer, {"kind": "zip", "tiles": [{"photo": 0}] * 1000})
    with zipfile.ZipFile(saved["file"]) as packed:
        assert len(packed.namelist()) == 1


def test_old_zips_make_room(shelves, packer, album, monkeypatch):
    sizes = [path.stat().st_size for path in sorted(album.iterdir())]
    monkeypatch.setattr(module, "MAX_HELD", sum(sizes[:3]))
    for number in range(40):
        saved = export(shelves, packer, {"kind": "zip", "tiles": [{"photo": number % 3}]})
        assert Path(saved["file"]).is_file()
        left = list(packer.folder.rglob("*.zip"))
        assert len(left) <= 3 and Path(saved["file"]) in left
    assert len(left) > 1 and len(list(packer.folder.iterdir())) == len(left)  # their folders go with them


def test_more_at_once_are_told_to_wait(shelves, packer, monkeypatch):
    """The third comes while two are being written."""
    asked = {"kind": "zip", "tiles": [{"photo": 0}]}
    working = []

    def write(packed, file, name):
        working.append(name)
        if len(working) < 3:
            export(shelves, packer, asked)

    monkeypatch.setattr(zipfile.ZipFile, "write", write)
    with pytest.raises(SspeError, match="being packed; try again in a moment"):
        export(shelves, packer, asked)
    assert len(working) == 2
    monkeypatch.undo()
    assert Path(export(shelves, packer, asked)["file"]).is_file()
