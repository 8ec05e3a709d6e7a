"""Which of a detector's things a phrase names: "the lady with a purse" a person, "my old mug" a cup, "a lake" none.

The list ``things.tsv`` was made of WordNet's nouns by ``tools/list_names.py``: per line a noun, a tab, and the things
it may name, commas between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from sspe.phrases.head import REMEMBERED_CHARACTERS, head_span
from sspe.phrases.number import singular_of
from sspe.vision.detections import THINGS

_DETERMINERS = frozenset("a an the some any my your his her our their this that".split())
_LIST = Path(__file__).parent / "things.tsv"


def things_named(phrases: Sequence[str]) -> np.ndarray:
    """Which of :data:`~sspe.vision.detections.THINGS` each of P phrases may name: (P, 80) float32, 0 or 1.

    What counts is the head noun, or it and the word before: a "wine glass" is one thing, a "glass" may be that or a
    cup. A plural names what its singular names.
    """
    named = np.zeros((len(phrases), len(THINGS)), np.float32)
    for i, phrase in enumerate(phrases):
        named[i, _places(phrase.lower()) if len(phrase) <= REMEMBERED_CHARACTERS else ()] = 1
    return named


def bare_names(phrases: Sequence[str]) -> np.ndarray:
    """Which of P phrases are the bare name of one thing, as a search has it: "cup", "the mug", not "a red cup".

    Returns (P,) bool.

    Names of some persons, such as "the bride", are not, for a detector knows persons alone; nor are plurals.
    """
    return np.array([_is_bare(phrase) for phrase in phrases], bool)


def _is_bare(phrase: str) -> bool:
    words = phrase.lower().split()
    noun = " ".join(words[1:] if words and words[0] in _DETERMINERS else words)
    places = _names().get(noun, ())
    return len(places) == 1 and (THINGS[places[0]] != "person" or noun in ("person", "people"))


@lru_cache(maxsize=65_536)
def _places(phrase: str) -> tuple[int, ...]:
    start, end = head_span(phrase)
    head, before = phrase[start:end], phrase[:start].split()[-1:]
    nouns = [" ".join([*before, head])] if before else []
    for noun in (*nouns, head):
        for form in (noun, singular_of(noun), noun.removesuffix("s")):  # "magpies" is spelt as "ladies" is
            if form in _names():
                return _names()[form]
    return ()


@cache
def _names() -> dict[str, tuple[int, ...]]:
    """The list: places among the things by noun."""
    place = {thing: (number,) for number, thing in enumerate(THINGS)}
    found = {}
    for line in _LIST.read_text("utf-8").splitlines():
        noun, _, things = line.partition("\t")
        # Nearly every noun names one thing.
        found[noun] = place.get(things) or tuple(place[thing][0] for thing in things.split(","))
    return found
