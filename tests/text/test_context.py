"""What stands around a phrase, cut from its sentence."""

import pytest

from sspe.text.context import ALONE, Context

SENTENCE = "Two dogs, a BIG one & a small one, chase THE red ball."


def test_the_text_on_both_sides_as_it_stands():
    start = SENTENCE.index("a small one")
    context = Context.of(SENTENCE, start, start + len("a small one"))
    assert context == Context("Two dogs, a BIG one & ", ", chase THE red ball.")
    assert context.before + "a small one" + context.after == SENTENCE


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        (0, [], []),
        (1, ["one"], ["chase"]),
        (3, ["a", "big", "one"], ["chase", "the", "red"]),
        (5, ["two", "dogs", "a", "big", "one"], ["chase", "the", "red", "ball"]),
        (100, ["two", "dogs", "a", "big", "one"], ["chase", "the", "red", "ball"]),
    ],
)
def test_the_nearest_words_on_both_sides_in_order_and_lower_case(words, before, after):
    start = SENTENCE.index("a small one")
    assert Context.of(SENTENCE, start, start + len("a small one")).nearest(words) == (before, after)


def test_at_an_end_of_the_sentence_one_side_is_empty():
    assert Context.of("a man waves", 0, 5).nearest(5) == ([], ["waves"])
    assert Context.of("he greets a man", 10, 15).nearest(5) == (["he", "greets"], [])
    assert Context.of("“ a man !”", 2, 7).nearest(5) == ([], [])  # punctuation is no word


def test_a_phrase_that_is_its_sentence_stands_alone():
    assert Context.of("a man", 0, 5) == ALONE == Context() and ALONE.nearest(5) == ([], [])
    assert len({ALONE, Context(), Context("a"), Context("", "a"), Context("a")}) == 3  # goes into a dictionary
