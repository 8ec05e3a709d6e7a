"""How many things a phrase names, and what one of them is called."""

import pytest

from sspe.phrases.number import Number, number_of, singular_of

STATED = {
    "three black dogs": Number(3, "black dog"),
    "Two cups": Number(2, "cup"),
    "both dogs": Number(2, "dog"),
    "the 3 dogs": Number(3, "dog"),
    "a pair of shoes": Number(2, "shoe"),
    "a couple of men": Number(2, "man"),
    "a couple dogs": Number(2, "dog"),
    "three of the men": Number(3, "man"),
    "one of the dogs": Number(1, "dog"),
    "a group of eight people": Number(8, "person"),
    "6 other people": Number(6, "other person"),
    "twelve members of a baseball team": Number(12, "member of a baseball team"),
    "a dozen eggs": Number(12, "egg"),
    "two dozen people": Number(24, "person"),
    "two woman": Number(2, "woman"),
    "two sheep": Number(2, "sheep"),
    "two others": Number(2, "person"),
    "two jeans": Number(2, "jeans"),
    "two pairs of jeans": Number(2, "jeans"),
    "a couple": Number(2, "person"),
}
MANY = {
    "people": "person",
    "dogs": "dog",
    "a group of people": "person",
    "two groups of people": "person",
    "dozens of people": "person",
    "five hundred people": "person",
    "1000 people": "person",
    "a lot of people": "person",
    "all the cups": "cup",
    "every cup": "cup",
    "each of the cups": "cup",
    "some of the dogs": "dog",
    "several young men in hats": "young man",
    "quite a few hikers": "hiker",
    "black and white dogs": "black and white dog",
    "his hands": "his hand",
    "the sheep": "sheep",
    "a flock of sheep": "sheep",
    "the mice": "mouse",
    "the wine glasses": "wine glass",
    "others": "person",
    "a crowd": "person",
    "a young family": "person",
}
ONE = """
a red hat|a sheep|blue jeans|a pair of jeans|glasses|his sunglasses|the scissors|the stairs|denim shorts|
a two story building|a 3 person tent|boys and girls|cups and plates|two|the grass|a dress|this|☂|
the couple's car|another dog
"""


@pytest.mark.parametrize("phrase", STATED)
def test_a_number_that_is_stated(phrase):
    assert number_of(phrase) == STATED[phrase]


@pytest.mark.parametrize("phrase", MANY)
def test_as_many_as_there_are(phrase):
    assert number_of(phrase) == Number(None, MANY[phrase])


@pytest.mark.parametrize("phrase", ONE.replace("\n", "").split("|"))
def test_one_thing(phrase):
    assert number_of(phrase) is None


def test_a_phrase_too_long_to_be_remembered_is_read_all_the_same():
    assert number_of("three very " + "very " * 60 + "old dogs").count == 3


def test_what_one_of_several_is_called():
    pairs = """
    dogs dog, women woman, children child, feet foot, buses bus, horses horse, benches bench, glasses glass, boxes box,
    knives knife, gloves glove, leaves leaf, puppies puppy, cookies cookie, potatoes potato, shoes shoe, geese goose,
    Skis ski, dress dress, bus bus, tennis tennis, axes axe, specimen specimen, policemen policeman, ladies lady
    """
    for pair in pairs.split(","):
        plural, singular = pair.split()
        assert singular_of(plural) == singular
