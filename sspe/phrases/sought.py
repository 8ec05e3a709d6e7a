"""The one thing that a query looks for, where a program asks for one.

sought_in("where is my bag?")       # Phrase("my bag", 9, 15, head="bag")
sought_in("no hat")                 # Phrase("hat", 3, 6, head="hat", negated=True)
sought_in("the man on the left")    # Phrase("the man on the left", 0, 19, head="man")
"""

from __future__ import annotations

import re

from sspe.phrases.chunker import Phrase, extract_phrases
from sspe.phrases.head import head_of
from sspe.phrases.queries import asks, description_in

_WORD_OR_COMMA = re.compile(r"\w+|,")
_ENDS = " \t\n.,;:!?"  # what may stand around a phrase in a request, and is no part of it


def sought_in(query: str) -> Phrase:
    """The thing that a query looks for.

    A plain phrase is taken whole, exactly as it is given, whatever it holds ("the man on the left", "a dog and a cat",
    "quickly"). Of a request or a picture of something, what is left without the asking is taken whole as well: "find
    the man on the left" looks for "the man on the left". Of what names things otherwise, a question ("is the cup on
    the table?"), a list ("1. cup 2. spoon"), or what begins with a denial ("no hat"), the first thing is taken.
    """
    description = description_in(query)
    start = len(description) - len(description.lstrip(_ENDS))
    end = len(description.rstrip(_ENDS))
    found = extract_phrases(query, pronouns=False)
    listed = _words(description[start:end]) != _words(query[start:end])
    if found and (found[0].negated or listed or asks(description)):
        return found[0]
    if start >= end or listed or _words(description) == _words(query):
        return Phrase(query, 0, len(query), head_of(query))
    return Phrase(query[start:end], start, end, head_of(query[start:end]))


def _words(text: str) -> list[str]:
    return _WORD_OR_COMMA.findall(text)
