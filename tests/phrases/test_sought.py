"""What one query looks for, where one thing is asked for."""

import pytest

from sspe.phrases.sought import sought_in


@pytest.mark.parametrize(
    "phrase",
    [
        "the man on the left",
        "a red hat",
        "something red",
        "the man’s hat on the table?",
        "kid w/ red hat",
        "a dog and a cat",
        "man without a hat",
        "AT&T store",
        "riding a bike",
        "quickly",
        "the left",
        " two dogs ",
        "find",
        "😀",
    ],
)
def test_a_plain_phrase_stays_whole_and_as_it_is(phrase):
    found = sought_in(phrase)
    assert (found.text, found.start, found.end, found.negated) == (phrase, 0, len(phrase), False)


@pytest.mark.parametrize(
    ("query", "text", "head"),
    [
        ("find the dog", "the dog", "dog"),
        ("a photo of a dog", "a dog", "dog"),
        ("Find the man on the left, please!", "the man on the left", "man"),
        ("show me something red", "something red", "something"),
        ("where is my bag?", "my bag", "bag"),
        ("wher is the cat", "the cat", "cat"),
        ("is the cup on the table?", "the cup", "cup"),
        ("there is a dog on the sofa", "a dog", "dog"),
        ("1. cat 2. dog", "cat", "cat"),
        ("cat/dog", "cat", "cat"),
    ],
)
def test_of_a_query_what_it_looks_for(query, text, head):
    found = sought_in(query)
    assert (found.text, found.head, found.negated) == (text, head, False)
    assert query[found.start : found.end] == text


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("no hat", "hat"),
        ("there is no fork", "fork"),
        ("without a helmet", "a helmet"),
        ("find no dogs or cats", "dogs"),
    ],
)
def test_what_is_denied_is_looked_for_and_negated(query, text):
    found = sought_in(query)
    assert (found.text, found.negated) == (text, True)
    assert query[found.start : found.end] == text
