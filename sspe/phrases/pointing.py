"""Phrases that name no thing one could draw a box around: pronouns, places, the photo itself, what a sign says."""

from __future__ import annotations

from collections.abc import Sequence

from sspe.phrases.tokens import Token

PRONOUNS = frozenset(("EX", "PRP", "PRP$", "WP", "WDT", "ALONE"))  # it, there, who, this

_ARTICLES = frozenset(["a", "an", "the"])
_OWN = frozenset(["her", "his", "its", "my", "our", "their", "your"])
# Of a phrase that is a place, each word is of one of these three kinds, and one at least is a side or a ground.
_SIDES = frozenset("bottom center centre left leftmost middle right rightmost top".split())
_GROUNDS = frozenset(["background", "distance", "foreground"])
_PARTS = frozenset(
    """
    corner edge extreme far farthest furthest half hand left-hand lower most of part right-hand side upper very
""".split()
)
_PICTURES = frozenset("frame image photo photograph pic picture screen shot".split())
_THIS = frozenset(["that", "the", "this", "your", "my"])
_NEAR = frozenset("above behind beside beneath hanging near next on over under".split())
_SAYING = frozenset(
    "labeled labelled letters read reading reads say saying says spelling spells text titled word words".split()
)
_TELLING = frozenset(["say", "saying", "says"])


def pointing(tokens: Sequence[Token], phrases: Sequence[tuple[int, int]]) -> list[bool]:
    """For each phrase of a sentence, a range of tokens (first, last + 1), whether it names no thing of its own.

    Such are "it" and "who"; "the left" and "the background"; "in this picture"; and what a sign says.
    """
    found = []
    position, opening = 0, None  # where a quotation that is still open began
    for first, end in phrases:
        for i in range(position, first):
            if tokens[i].tag == "QUOTE":
                opening = i if opening is None else None
        opening = None if any(token.tag == "QUOTE" for token in tokens[first:end]) else opening
        found.append(_only_points(tokens, first, end) or _is_said(tokens, first, opening))
        position = end
    return found


def _only_points(tokens: Sequence[Token], first: int, end: int) -> bool:
    inside = tokens[first:end]
    if all(token.tag in PRONOUNS for token in inside):
        return True
    before = tokens[first - 1] if first else None
    if [token.tag for token in inside] == ["DT", "JJS"] and before is not None and before.word.lower() in ("is", "are"):
        return True  # which dog is the biggest?
    after = tokens[end].word.lower() if end < len(tokens) else ""
    words = [token.word.lower() for token in inside]
    return _is_place(words, before) or _is_this_photo(words, before, after)


def _is_place(words: Sequence[str], before: Token | None) -> bool:
    if before is not None and before.word.lower() == "in" and [w for w in words if w != "the"] in (["front"], ["back"]):
        return True
    names = [word for word in words if word not in _ARTICLES and word not in _OWN and word not in _PICTURES]
    if not all(word in _SIDES or word in _GROUNDS or word in _PARTS for word in names):
        return False
    if not any(word in _SIDES or word in _GROUNDS for word in names):
        return False
    if names[-1] == "hand":
        return False  # "his right hand" is a thing, "the right hand side" is a place
    # A top may be clothing: "her top", "wearing a top".
    return names != ["top"] or (words[0] == "the" and (before is None or before.tag in ("IN", "TO")))


def _is_this_photo(words: Sequence[str], before: Token | None, after: str) -> bool:
    if words[-1] not in _PICTURES or len(words) > 2 or (len(words) == 2 and words[0] not in _THIS):
        return False
    within = before is not None and before.tag in ("IN", "OF", "RP")
    return after not in _NEAR and (
        within or (before is None and len(words) == 2)
    )  # "the picture on the wall" is a thing


def _is_said(tokens: Sequence[Token], first: int, opening: int | None) -> bool:
    """Whether the words at `first` are what a sign says: 'no parking' of "a sign that says 'no parking'"."""
    if opening is not None:
        return opening > 0 and tokens[opening - 1].word.lower() in _SAYING
    before = [token for token in tokens[max(0, first - 2) : first] if token.tag not in ("NO", "RB")]
    return bool(before) and before[-1].word.lower() in _TELLING
