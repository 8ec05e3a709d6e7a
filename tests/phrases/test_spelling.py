"""Slips of the finger in the words with which people ask."""

from sspe.phrases.chunker import extract_phrases
from sspe.phrases.spelling import QUESTION_SLIPS, slips


def test_slips_are_one_letter_away_and_no_other_word():
    assert {"shwo", "shw", "shoow"} <= slips("show") and not {"show", "sow", "sho", "how"} & slips("show")
    assert {QUESTION_SLIPS[slip] for slip in ("wher", "whre", "whree")} == {"where"}
    assert "were" not in QUESTION_SLIPS and "what" not in QUESTION_SLIPS


def test_a_slip_is_read_as_the_word_it_was_to_be_only_where_one_asks():
    assert [phrase.text for phrase in extract_phrases("Wher is the cat?", pronouns=False)] == ["the cat"]
    assert next(phrase.text for phrase in extract_phrases("the Wat in Bangkok")) == "the Wat"
