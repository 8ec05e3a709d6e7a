"""Sentences of any signs and any length: phrases cut from them, in a second, or one sentence that says why not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import ODD, outcome

from sspe.errors import SspeError
from sspe.phrases.asked import ask
from sspe.phrases.chunker import MAX_CHARACTERS, extract_phrases, phrases_at
from sspe.phrases.number import number_of
from sspe.phrases.queries import description_in
from sspe.phrases.sought import sought_in

WORDS = """a the two man men dog 's of on in with no not without left second biggest next to between and or , . ? !
    " ' ( ) which where is there find photo 3 3rd 1. - … ’ red very his her other one ones all each""".split()
SENTENCES = st.one_of(st.text(ODD, max_size=60), st.lists(st.sampled_from([*WORDS, *ODD]), max_size=25).map(" ".join))


def read(sentence: str) -> list[tuple[int, int]]:
    """Everything that is read of a sentence; its phrases are cut from it."""
    assert len(description_in(sentence)) == len(sentence)
    number_of(sentence)
    if sentence.strip():
        sought = sought_in(sentence)
        assert sentence[sought.start : sought.end] == sought.text
    spans = [(0, 0)]
    for phrase in extract_phrases(sentence):
        assert sentence[phrase.start : phrase.end] == phrase.text and phrase.start >= spans[-1][1]
        assert phrase.head in phrase.text
        spans.append((phrase.start, phrase.end))
        asked = ask(sentence, phrase.start, phrase.end)
        assert isinstance(asked.text, str)
    return spans[1:]


@given(SENTENCES)
def test_sentences_of_any_signs(sentence):
    outcome(lambda: read(sentence))


@given(SENTENCES, st.lists(st.lists(st.integers(-5, 70), max_size=3) | st.text(max_size=2, alphabet="a1"), max_size=3))
def test_spans_of_any_kind(sentence, spans):
    found = outcome(lambda: phrases_at(sentence, spans))
    if not isinstance(found, str):
        assert len(found) == len(spans) and all(sentence[p.start : p.end] == p.text for p in found)


UNITS = {
    "one word after another": "a man ",
    "one word": "x",
    "blanks": " ",
    "lines": "\n",
    "paragraphs": "a man\n\n",
    "sentences without a blank": "man.A",
    "full stops": ".",
    "quotation marks": '"',
    "words in quotation marks": '"a" ',
    "apostrophes": "’",
    "possessors": "man's ",
    "sides of sides": "a side of ",
    "denials": "no hat and ",
    "places": "the man on the left of ",
    "neighbours": "the dog next to ",
    "orders": "the second man from the left ",
    "numbers": "two hundred thousand ",
    "requests": "can you find ",
    "right to left": "رجل يرتدي قبعة ",
    "turned round": "\u202ea man\u202c ",
    "nothing to see": "\u200b",
    "emoji": "👩‍👩‍👧‍👦🇩🇪👍🏽 ",
    "accents on one letter": "\u0301",
    "controls": "".join(map(chr, range(1, 32))),
    "null": "\0",
    "half characters": "\ud800",
    "HTML": "<script>alert(1)</script> ",
    "templates": "${7*7} {{7*7}} <%= 7 %> ",
    "Chinese": "一个男人",
    "brackets": "((a)) ",
    "slashes": "a/b ",
    "questions": "what? ",
    "list marks": "1. a 2) ",
}


@pytest.mark.parametrize("unit", UNITS)
def test_long_sentences(unit):
    """As long as the page takes them; a fifth of what a program may give."""
    sentence = "a" + (UNITS[unit] * 1000)[: MAX_CHARACTERS // 5]
    outcome(lambda: read(sentence))


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_the_longest_sentences(unit):
    outcome(lambda: extract_phrases("a" + (UNITS[unit] * MAX_CHARACTERS)[:MAX_CHARACTERS]))


@pytest.fixture(scope="module")
def view(tiny_localizer):
    return tiny_localizer.see(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    "unit", ["one word after another", "half characters", "HTML", "turned round", "nothing to see"]
)
def test_a_hundred_thousand_characters_are_refused_at_once(tiny_localizer, view, unit):
    sentence = "a" + UNITS[unit] * 100_000
    for ask_for in (lambda: tiny_localizer.ground(view, sentence), lambda: view.find(sentence)):
        with pytest.raises(SspeError, match=r"characters and the limit is 5,000; give it in parts"):
            ask_for()


def test_odd_sentences_are_localized_and_written_as_json(tiny_localizer, view):
    for unit in UNITS.values():
        found = tiny_localizer.ground(view, f"a man {unit} and the dog")
        assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
        found.draw().tobytes()
