"""What a query looks for, and what is not to be there."""

import pytest

from sspe.errors import SspeError
from sspe.searching.query import asked_in


def read(*arguments):
    return [("-" if asked.without else "+") + asked.text for asked in asked_in(*arguments)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a red umbrella", ["+a red umbrella"]),
        ("the man on the left", ["+the man on the left"]),
        ("find the red umbrella", ["+the red umbrella"]),
        ("a dog without a leash", ["+a dog", "-a leash"]),
        ("a dog and a cat", ["+a dog", "+a cat"]),
        ("A man in a red hat holds a guitar.", ["+A man", "+a red hat", "+a guitar"]),
        (["a dog and a cat", "no leash"], ["+a dog and a cat", "-leash"]),
    ],
)
def test_phrases_of_a_query(query, found):
    assert read(query) == found


def test_what_is_excluded_beside_comes_last():
    assert read(["a dog", "a ball"], "a leash") == ["+a dog", "+a ball", "-a leash"]
    assert read("a dog without a leash", ["a cat"]) == ["+a dog", "-a leash", "-a cat"]


def test_phrases_of_a_sentence_are_read_in_it():
    dog, _ = asked_in("a dog without a leash")
    assert dog.context.after and not asked_in("a dog")[0].context.after


@pytest.mark.parametrize("query", ["", "  ", ["a dog", ""], "no hat", [], ["no hat", "without shoes"]])
def test_there_must_be_something_to_find(query):
    with pytest.raises(SspeError, match="such as “a red umbrella”"):
        asked_in(query)
