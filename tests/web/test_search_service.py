"""Searches of the page without a browser: questions good and bad, tiles, pictures."""

import base64
import io

import pytest
from album import NAMES
from fake_collection import FakeCollection
from fake_localizer import FakeLocalizer
from PIL import Image

from sspe.errors import SspeError
from sspe.web.panels.wall import crop_around
from sspe.web.search_service import SearchService
from sspe.web.shelves import Shelves


@pytest.fixture
def collection(album):
    return FakeCollection(album)


@pytest.fixture
def service(collection):
    return SearchService(Shelves(FakeLocalizer(), collection, FakeCollection.build))


def names(wall):
    return [tile["name"] for tile in wall["hits"]]


def region(wall, name):
    tile = next(tile for tile in wall["hits"] if tile["name"] == name)
    return {"photo": tile["photo"], "box": tile["found"][0]["box"]}


def test_without_a_question_every_photo_is_shown(service):
    wall = service.answer({})
    assert (wall["kind"], wall["photos"], wall["message"]) == ("all", 6, "")
    assert names(wall) == sorted(NAMES)
    assert all(tile["crop"] == [0, 0, tile["width"], tile["height"]] for tile in wall["hits"])
    assert service.answer({"top": 4})["more"] and not wall["more"]


def test_what_is_typed_alone_is_a_sentence_and_beside_chips_a_phrase(service, collection):
    assert names(service.answer({"text": "a dog and a ball"})) == ["dog and ball 2021.png"]
    service.answer({"text": "a ball", "wanted": ["a dog"], "unwanted": ["a leash"], "at_least": 0.3, "top": 9})
    assert collection.asked == [
        ("a dog and a ball", (), 60, None),
        (["a dog", "a ball"], ("a leash",), 9, 0.3),
    ]


def test_tiles_say_what_was_found_how_sure_and_where(service):
    wall = service.answer({"wanted": ["a dog"], "unwanted": ["a leash"]})
    assert names(wall) == ["dog 2019.png", "dog and ball 2021.png"]
    assert (wall["searched"], wall["photos"], wall["excluded"], wall["exact"]) == (6, 6, 1, True)
    assert [(p["text"], p["without"]) for p in wall["phrases"]] == [("a dog", False), ("a leash", True)]
    tile = wall["hits"][0]
    assert (tile["figure"], tile["probability"], tile["date"]) == ("87 %", 0.87, "2019-05-01T12:00:00")
    left, top, right, bottom = tile["crop"]
    x1, y1, x2, y2 = tile["found"][0]["box"]
    assert left < x1 and top < y1 and right > x2 and bottom > y2
    inside = tile["boxes"][0]["inside"]
    assert inside["left"] == pytest.approx(100 * (x1 - left) / (right - left), abs=0.01)
    assert inside["width"] == pytest.approx(100 * (x2 - x1) / (right - left), abs=0.01)


@pytest.mark.parametrize(
    ("box", "size", "crop"),
    [
        ((40, 40, 60, 60), (200, 200), (26, 26, 74, 74)),  # a small box: at least 48 pixels
        ((50, 60, 150, 110), (400, 300), (20, 5, 180, 165)),  # square, .3 of the longer side around it
        ((0, 0, 100, 50), (400, 300), (0, 0, 160, 160)),  # moved into the photo
        ((0, 10, 400, 50), (400, 60), (0, 0, 400, 60)),  # all the photo has
    ],
)
def test_a_crop_is_square_where_the_photo_has_room(box, size, crop):
    assert crop_around([box], *size) == crop


def test_without_probabilities_scores_are_shown_and_no_threshold(album):
    service = SearchService(Shelves(FakeLocalizer(), FakeCollection(album, threshold=None)))
    wall = service.answer({"text": "a dog"})
    assert wall["threshold"] is None
    assert {tile["figure"] for tile in wall["hits"]} == {"0.60"}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"text": "a zorblax"}, "“a zorblax” is not a word it knows"),
        ({"text": "a horse"}, "no photo shows “a horse” with a probability of 40 % or more; ask for less"),
        ({"wanted": ["a cat", "a dog"]}, "“a cat” and “a dog” together, each in a place of its own"),
        ({"text": "red ball", "unwanted": ["red"]}, "Nothing is left: 1 photo was left out"),
    ],
)
def test_nothing_found_says_what_to_do(service, asked, sentence):
    wall = service.answer(asked)
    assert not wall["hits"] and not wall["failed"]
    assert sentence in wall["message"] and wall["message"].endswith(".")


def test_more_like_this_and_not_like_this(service):
    wall = service.answer({})
    dogs = service.answer({"text": "a dog"})
    like = service.answer({"like": region(dogs, "dog 2019.png")})
    assert (like["kind"], like["hits"][0]["name"], like["hits"][0]["figure"]) == ("like", "dog 2019.png", "1.00")
    assert set(names(like)[:3]) == {name for name in NAMES if name.startswith("dog")}
    cat = next(tile["photo"] for tile in wall["hits"] if tile["name"].startswith("cat"))
    less = service.answer({"like": {"photo": cat, "box": [0, 0, 9, 9]}, "unlike": [region(dogs, "dog 2019.png")]})
    assert names(less)[0].startswith("cat") and names(less)[-1].startswith("dog")
    # Beside phrases: hits whose box looks like the region go, and are counted.
    balls = service.answer({"text": "a ball"})
    left = service.answer({"text": "a ball", "unlike": [region(balls, "dog and ball 2021.png")]})
    assert names(left) == [name for name in names(balls) if not name.startswith("dog")]
    assert left["excluded"] == 1


def test_pictures_are_the_part_that_was_asked_for(service):
    wall = service.answer({"text": "red ball"})
    tile = wall["hits"][0]
    left, top, right, bottom = tile["crop"]
    for crop, size in ((tile["crop"], (right - left, bottom - top)), (None, (tile["width"], tile["height"]))):
        uri = service.picture({"key": "", "photo": tile["photo"], "crop": crop, "side": 320})
        header, _, content = uri.partition(",")
        assert header == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(content))).size == size
    small = service.picture({"photo": tile["photo"], "side": 40})
    assert max(Image.open(io.BytesIO(base64.b64decode(small.partition(",")[2]))).size) == 40


def test_a_photo_that_is_gone_or_changed_is_a_sentence(service, album):
    Image.new("RGB", (9, 9)).save(album / "cat on sofa.png")
    (album / "dog 2019.png").unlink()
    for number in (0, 1):
        assert service.picture({"photo": number}) == "This photo is gone, or has changed since it was indexed."


def test_pictures_are_kept_within_a_memory_and_with_their_photos(service, collection, album):
    first = service.picture({"photo": 0})
    Image.new("RGB", (160, 120)).save(album / collection.photos[0].path)
    assert service.picture({"photo": 0}) == first  # not made again
    small = SearchService(Shelves(FakeLocalizer(), collection), max_memory=1)
    assert small.picture({"photo": 1}).startswith("data:") and not small.shelves.shelf().pictures
    own = service.shelves.drop("", [album / NAMES[1]])
    shelf = service.shelves.shelf(own)
    assert service.picture({"key": own, "photo": 0}).startswith("data:") and shelf.pictures
    service.shelves.forget(own)
    assert not shelf.pictures
    assert "no longer here" in service.picture({"key": own, "photo": 0})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (None, "not understood"),
        ({"text": "x" * 301}, "301 characters and the limit is 300"),
        ({"wanted": ["a dog"] * 11}, "11 phrases and the limit is 10"),
        ({"wanted": [1]}, "give a list of texts"),
        ({"text": "a dog", "at_least": 2}, "give a number from 0 to 1"),
        ({"text": "a dog", "top": 0}, "whole number from 1 to 1200"),
        ({"like": {"photo": 99, "box": [0, 0, 5, 5]}}, "There is no photo 99 among 6"),
        ({"like": {"photo": 0, "box": [5, 0, 0, 5]}}, "give x1 y1 x2 y2 in pixels"),
        ({"unwanted": ["a dog"]}, "names only what is not to be there"),
        ({"key": "guessed"}, "no longer here"),
    ],
)
def test_bad_questions_are_one_sentence(service, asked, sentence):
    wall = service.answer(asked)
    assert wall["failed"] and sentence in wall["message"] and wall["hits"] == []


@pytest.mark.parametrize("asked", [None, {"photo": "x"}, {"photo": 99}, {"photo": 0, "crop": [900, 900, 950, 950]}])
def test_bad_pictures_are_one_sentence(service, asked):
    told = service.picture(asked)
    assert not told.startswith("data:") and told.endswith(".")


def test_the_endpoints_search_names_no_folder_of_the_server(service, album):
    found = service.search(["a dog"], without=["a leash"], top=1)
    assert [hit["photo"] for hit in found["hits"]] == ["dog 2019.png"]
    assert str(album) not in str(found)
    for bad in ({"phrases": 3}, {"phrases": "a dog", "top": 0}, {"phrases": ["a dog"], "without": "a leash"}):
        with pytest.raises(SspeError, match="give"):
            service.search(**bad)
