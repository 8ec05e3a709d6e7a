"""Slips of the finger in the few words with which people ask: "wher is the cat", "shwo me the dog"."""

from __future__ import annotations

_WORDS = frozenset("fin place sow were wheres wht".split())  # a slip of another word, and a word by itself


def slips(word: str) -> frozenset[str]:
    """The word with two neighbouring letters swapped, one left out but the first, or one doubled; no other word.

    Of a word of four letters the last is not left out: that gives too many words.
    """
    last = len(word) if len(word) > 4 else len(word) - 1
    swapped = {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    short = {word[:i] + word[i + 1 :] for i in range(1, last)}
    doubled = {word[:i] + word[i] + word[i:] for i in range(len(word))}
    return frozenset((swapped | short | doubled) - _WORDS - {word})


QUESTION_SLIPS = {slip: word for word in ("what", "where", "which") for slip in slips(word)}
