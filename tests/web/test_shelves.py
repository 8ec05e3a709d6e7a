"""The collections of the page: the examples, and photos that visitors drop."""

import shutil

import pytest
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer

from sspe.errors import CollectionError, SspeError
from sspe.web import shelves as module
from sspe.web.examples import examples
from sspe.web.shelves import Shelves


@pytest.fixture
def shelves():
    return Shelves(FakeLocalizer(), build=FakeCollection.build)


@pytest.fixture
def dropped(album):
    return sorted(album.iterdir())


def test_the_examples_are_embedded_in_the_background(shelves):
    assert shelves.examples
    shelves.wait()
    shelf = shelves.shelf()
    assert {record.path for record in shelf.collection.photos} == {example.photo.name for example in examples()}
    assert (shelf.done, shelf.total, shelf.problem, shelf.own) == (len(examples()), len(examples()), "", False)


def test_a_collection_that_is_given_is_there_at_once(album):
    shelves = Shelves(FakeLocalizer(), FakeCollection(album))
    assert not shelves.examples
    assert len(shelves.shelf().collection.photos) == 6


def test_examples_that_cannot_be_embedded_are_a_sentence_and_are_tried_again():
    tries = []

    def build(folder, localizer, report):
        tries.append(folder)
        if len(tries) == 1:
            raise CollectionError("The index could not be written; make room.")
        if len(tries) == 2:
            raise RuntimeError
        return FakeCollection.build(folder, localizer, report)

    shelves = Shelves(FakeLocalizer(), build=build)
    for problem in ("The index could not be written; make room.", "the log of the page says why", ""):
        shelves.wait()
        assert problem in shelves._shared.problem
    assert shelves.shelf().collection is not None


def test_dropped_photos_are_a_collection_of_their_own(shelves, dropped):
    counted = []
    key = shelves.drop("", dropped[:3], lambda done, total: counted.append((done, total)))
    assert counted == [(1, 3), (2, 3), (3, 3)]
    assert len(key) > 16 and shelves.shelf(key).own
    assert [record.path for record in shelves.shelf(key).collection.photos] == [path.name for path in dropped[:3]]
    assert shelves.drop(key, dropped[3:]) == key  # more beside them
    assert len(shelves.shelf(key).collection.photos) == 6
    assert shelves.drop("", dropped[:1]) != key


def test_photos_of_one_name_are_both_kept(shelves, dropped, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(dropped[1], tmp_path / "other" / dropped[0].name)
    key = shelves.drop("", [dropped[0], tmp_path / "other" / dropped[0].name])
    assert [record.path for record in shelves.shelf(key).collection.photos] == [
        dropped[0].name.replace(".png", " (2).png"),
        dropped[0].name,
    ]


def test_files_left_out_are_named_without_the_servers_folders(shelves, dropped, tmp_path):
    words, damaged = tmp_path / "words.txt", tmp_path / "damaged.png"
    words.write_text("no photo")
    damaged.write_bytes(dropped[0].read_bytes()[:-40])
    shelf = shelves.shelf(shelves.drop("", [dropped[0], words, damaged]))
    assert len(shelf.collection.photos) == 1
    assert "not a photo by its name" in shelf.skipped["words.txt"]
    assert shelf.skipped["damaged.png"].startswith("damaged.png is a damaged or truncated picture")


def test_nothing_but_bad_files_is_one_sentence(shelves, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("no photo")
    with pytest.raises(SspeError, match=r"None of the files is a photo that can be opened \(words.txt: not a photo"):
        shelves.drop("", [words])


def test_too_many_photos_are_one_sentence(shelves, dropped, monkeypatch):
    monkeypatch.setattr(module, "MAX_DROPPED", 4)
    with pytest.raises(SspeError, match="6 photos were dropped, and the limit is 4"):
        shelves.drop("", dropped)
    key = shelves.drop("", dropped[:3])
    with pytest.raises(SspeError, match="2 photos were dropped, and 3 are here already, and the limit is 4"):
        shelves.drop(key, dropped[3:5])


def test_photos_too_large_together_are_one_sentence(shelves, dropped, monkeypatch):
    key = shelves.drop("", dropped[:2])
    monkeypatch.setattr(module, "MAX_BYTES", shelves.shelf(key).size + 1)
    with pytest.raises(SspeError, match="MB together, and the limit is 0 MB; drop fewer"):
        shelves.drop(key, dropped[2:])


def test_a_visitors_photos_are_deleted_after_a_while(shelves, dropped, monkeypatch):
    started = []

    class Timer:
        def __init__(self, seconds, function, arguments):
            started.append((seconds, lambda: function(*arguments)))

        def start(self):
            pass

    monkeypatch.setattr(module.threading, "Timer", Timer)
    key = shelves.drop("", dropped[:2])
    folder = shelves.shelf(key).folder
    ((seconds, over),) = started
    assert seconds == 3600 and folder.is_dir()
    over()
    assert not folder.exists() and all(path.exists() for path in dropped)
    with pytest.raises(SspeError, match="deleted after an hour"):
        shelves.shelf(key)


def test_the_oldest_visitor_makes_room(shelves, dropped, monkeypatch):
    monkeypatch.setattr(module, "MAX_VISITORS", 2)
    first, second, third = (shelves.drop("", dropped[:1]) for _ in range(3))
    with pytest.raises(SspeError):
        shelves.shelf(first)
    assert shelves.shelf(second).own and shelves.shelf(third).own
