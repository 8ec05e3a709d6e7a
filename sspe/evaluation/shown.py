"""Which photos show a phrase, as far as their captions say: yes, no, or nobody said."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sspe.data.records import AnnotatedPhoto
from sspe.evaluation.absent import singular, synonyms
from sspe.phrases.head import head_of
from sspe.text.words import words_of

COLOURS = frozenset(
    "black white gray grey red green blue yellow orange purple pink brown tan gold silver beige".split()
)
_NO_PROPERTY = frozenset(
    """
    a an the this that these those his her their its my our your some another other each one two three four several
    many few of in on with and at by for to from
    """.split()
)


class Captions:
    """What the captions of N photos speak of."""

    def __init__(self, photos: Sequence[AnnotatedPhoto]):
        self.mentioned = [{singular(word) for s in photo.sentences for word in words_of(s.text)} for photo in photos]
        self._phrases = [
            [(_noun(p.text), {singular(word) for word in words_of(p.text)}) for s in photo.sentences for p in s.phrases]
            for photo in photos
        ]

    def show(self, phrase: str) -> np.ndarray:
        """Whether each photo shows what a phrase says: (N,) float, 1 or 0, NaN where nobody said.

        1: some caption has a phrase with its noun and all of its properties. 0: no caption has the noun or a close
        synonym, or has it in another colour alone.
        """
        noun = _noun(phrase)
        alike = synonyms(noun) if noun else frozenset()
        wanted = {singular(word) for word in words_of(phrase)} - _NO_PROPERTY - {noun}
        found = np.full(len(self.mentioned), np.nan)
        for i, (mentioned, phrases) in enumerate(zip(self.mentioned, self._phrases, strict=True)):
            same = [words for head, words in phrases if head == noun]
            if any(wanted <= words for words in same):
                found[i] = 1
            elif not alike & mentioned or _other_colour(wanted & COLOURS, same):
                found[i] = 0
        return found


def _noun(phrase: str) -> str:
    """The noun of a phrase, singular; empty where it has no word."""
    words = words_of(head_of(phrase))
    return singular(words[-1]) if words else ""


def _other_colour(wanted: set[str], phrases: Sequence[set[str]]) -> bool:
    """Whether the phrases give the thing colours, and none of those wanted."""
    given = set().union(*phrases) & COLOURS
    return bool(wanted and given) and not wanted & given
