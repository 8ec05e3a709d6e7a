"""What a phrase asks for: what is read of it, how many things, and which one of several."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sspe.phrases.chunker import extract_phrases
from sspe.phrases.number import Number, number_of
from sspe.phrases.which import Which, which_of
from sspe.text.context import ALONE, Context

_ONE = re.compile(r"(the\s(?:.*\s)?)one", re.I)


@dataclass(frozen=True)
class Asked:
    """One phrase, taken apart.

    Attributes:
        text: what is looked for: the phrase without the words that choose, "the lion" of "the left lion".
        context: what stands around it.
        number: how many, where it speaks of several; None of one thing.
        which: how one of several is told from the others; None where no words do that.
    """

    text: str
    context: Context = ALONE
    number: Number | None = None
    which: Which | None = None


def ask(sentence: str, start: int, end: int) -> Asked:
    """What the phrase ``sentence[start:end]`` asks for. Never fails.

    "One of the dogs" is one thing and read as "dog". After "three dogs" is "the middle one" read as "the middle dog".
    """
    named, named_end = _named(sentence, start, end)
    if which := which_of(named, start, named_end):
        sentence, end = named, named_end
        rest = which.without(sentence)
        text, context = " ".join(rest[start : which.end].split()), Context(rest[:start], rest[which.end :])
        number = number_of(text)
        if text and not (number and which.other):  # "the dogs next to the bench" are all of them
            number = Number(1, number.one) if number and which.single else number
            return _of(text, context, number, which)
    text = sentence[start:end]
    return _of(text, Context.of(sentence, start, end), number_of(text), None)


def _named(sentence: str, start: int, end: int) -> tuple[str, int]:
    """The sentence with what "one" stands for in the phrase's place of it, and where the phrase then ends.

    It stands for one of the things that the nearest phrase before it names, of those that name several. Unchanged where
    there is none.
    """
    match = _ONE.fullmatch(sentence[start:end])
    if match:
        for earlier in reversed(extract_phrases(sentence[:start], pronouns=False)):
            if number := number_of(earlier.text):
                return f"{sentence[:start]}{match[1]}{number.one}{sentence[end:]}", start + len(match[1] + number.one)
    return sentence, end


def _of(text: str, context: Context, number: Number | None, which: Which | None) -> Asked:
    if number and number.count == 1:
        text, number = number.one, None
    return Asked(text, context, number, which)
