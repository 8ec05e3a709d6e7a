"""Sentence -> tokens as character spans: NLTK's word tokenizer, tied back to the original string.

NLTK's tokenizer expects one sentence, rewrites quotation marks and returns words without their places. Here the text is
cut into sentences first, and every token is found again in the original, so that `sentence[start:end]` is the token
verbatim whatever the input holds.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

Span = tuple[int, int]  # start, end: offsets in characters, `end` exclusive

# NLTK gets a longer sentence in pieces of so many words, so that the time stays proportional to the length of the text.
MAX_WORDS = 200

_WORD = re.compile(r"\S*?[a-z]{2}[.!?](?=[A-Z])|\S+")  # "dog.A" are two, the end of a sentence and the next one
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"')\]}\u2019\u201d]*$")
# "Mr.", "U.S." and a single initial end in a full stop that does not end the sentence.
_ABBREVIATION = re.compile(
    r"(?:mr|mrs|ms|dr|st|jr|sr|vs|no|nr|prof|approx|e\.g|i\.e|(?:[a-z]\.)*[a-z])\.$", re.IGNORECASE
)
# What a token is where NLTK's answer cannot be found again in the text: a run of letters and digits, or one sign.
_PLAIN_TOKEN = re.compile(r"\w+|[^\w\s]")
# A word that NLTK leaves as it is, and those of them that it takes apart ("gon", "na"). A sentence of such words alone,
# as most phrases are, takes a tenth of NLTK's time without it.
_SIMPLE_WORD = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_CONTRACTIONS = frozenset(["cannot", "gimme", "gonna", "gotta", "lemme", "wanna"])
# Typographic apostrophes inside or after a word. One character each, so that no offset moves.
_APOSTROPHE = re.compile(r"(?<=\w)[\u2019\u02bc\uff07]")


class Token(NamedTuple):
    """A token of a sentence: word, `start` and `end` in characters, and its tag of `sspe.phrases.tagger`."""

    word: str
    start: int
    end: int
    tag: str


def plain_apostrophes(text: str) -> str:
    """The text with the typographic apostrophe of "man’s" as the "'" the tokenizer knows; every offset stays."""
    return _APOSTROPHE.sub("'", text)


def tokenize(text: str) -> list[list[Span]]:
    """Token spans, one list per sentence: "A man's hat." -> [[(0, 1), (2, 5), (5, 7), (8, 11), (11, 12)]].

    Never fails; text without a word gives []. Spans ascend, do not overlap, and hold no whitespace at their ends.
    """
    plain = plain_apostrophes(text)
    return [
        [span for i in range(0, len(words), MAX_WORDS) for span in _tokens(plain, words[i : i + MAX_WORDS])]
        for words in _sentences(plain)
    ]


def _sentences(text: str) -> list[list[Span]]:
    """Spans of the words between blanks, grouped into sentences."""
    sentences: list[list[Span]] = []
    current: list[Span] = []
    for word in _WORD.finditer(text):
        gap = text[current[-1][1] : word.start()] if current else ""
        if _PARAGRAPH.search(gap):
            sentences.append(current)
            current = []
        current.append(word.span())
        if _SENTENCE_END.search(word[0][-10:]) and not _ABBREVIATION.fullmatch(word[0][-10:]):
            sentences.append(current)
            current = []
    return [*sentences, current] if current else sentences


def _tokens(text: str, words: list[Span]) -> list[Span]:
    """Token spans of successive words of one sentence."""
    if all(_is_simple(text[start:end]) for start, end in words):
        return words
    tokens = _word_tokenizer().tokenize(" ".join(text[start:end] for start, end in words))
    spans = []
    position, last = words[0][0], words[-1][1]
    for token in tokens:
        while position < last and text[position].isspace():
            position += 1
        if text.startswith(token, position):
            end = position + len(token)
        elif token in ("``", "''") and text.startswith('"', position):
            end = position + 1  # how NLTK writes an opening and a closing "
        else:
            return [
                (start + t.start(), start + t.end()) for start, e in words for t in _PLAIN_TOKEN.finditer(text[start:e])
            ]
        spans.append((position, end))
        position = end
    return spans


def _is_simple(word: str) -> bool:
    return _SIMPLE_WORD.fullmatch(word) is not None and _CONTRACTIONS.isdisjoint(word.lower().split("-"))


@lru_cache(maxsize=1)
def _word_tokenizer():
    from nltk import NLTKWordTokenizer  # a third of a second; only when the first sentence comes

    return NLTKWordTokenizer()
