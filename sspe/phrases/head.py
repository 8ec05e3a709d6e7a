"""The head noun of a noun phrase: the word that names the thing."""

from __future__ import annotations

from collections.abc import Sequence

from sspe.phrases.tokens import Token

# Nouns that only measure out what "of" names, so that the head of "a group of people" is "people".
QUANTITIES = frozenset(
    """
    array assortment body bunch collection couple crowd dozen dozens flock group groups handful herd hundreds
    kind line lot lots majority many number pack pair pairs piece pieces pile plenty rest row rows series set
    sets some sort stack thousands type variety
""".split()
)


def head_index(tokens: Sequence[Token]) -> int:
    """Which token of a noun phrase is its head: the last noun before "of"; after it if that noun is a mere quantity.

    "a man's orange hat" -> hat, "the side of the road" -> side, "a group of people" -> people. A phrase without a noun
    is headed by its last word ("the other").
    """
    end = len(tokens)
    for i in range(1, len(tokens)):
        if tokens[i].tag == "OF":
            names = any(token.tag.startswith("NN") for token in tokens[:i])
            if i + 1 < end and (not names or tokens[i - 1].word.lower() in QUANTITIES):
                return i + 1 + head_index(tokens[i + 1 :])
            end = i
            break
    for i in reversed(range(end)):
        if tokens[i].tag.startswith("NN"):
            return i
    return end - 1
