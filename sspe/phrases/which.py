"""Which one of several things of a kind a sentence means: the left one, the biggest, the one next to the bench.

which_of("the left lion", 0, 13)                # Which("left", ("left",)), and the thing is "the lion"
which_of("The dog on the left.", 0, 7)          # Which("on the left", ("left",))
which_of("the dog next to the bench", 0, 7)     # Which("next to the bench", ("near",), other="the bench")

The words stand in the phrase, after it, or before it where a sentence begins ("On the left, a dog"). What says nothing
of the thing's own place chooses nothing: "his left hand" is a side of a body, "on the left side of the road" a place
of the road, and "the woman left" tells what she did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from sspe.phrases.chunker import Phrase, extract_phrases
from sspe.phrases.head import head_span
from sspe.phrases.tagger import tagged_tokens
from sspe.phrases.tokens import Span, Token

SIDES = ("left", "right", "top", "bottom", "middle")
SIZES = ("biggest", "smallest", "tallest", "shortest")
NEIGHBOURS = ("near", "above", "below")
RELATIONS = (*NEIGHBOURS, "left of", "right of")


@dataclass(frozen=True)
class Which:
    """How one of several things of a kind is told from the others.

    Attributes:
        words: as the sentence has them: "on the left", "second ... from the left".
        by: of SIDES one, or two for a corner; or one of SIZES; or one of RELATIONS.
        rank: 2 for the second from there.
        other: with one of RELATIONS, what the thing lies near, above and so on: "the bench".
        end: where the name of the thing ends in the sentence, characters.
        single: they mean one alone, whatever the name says: "the biggest of the dogs".
        spans: where the words stand that are no part of the thing's name or its surroundings, characters.
    """

    words: str
    by: tuple[str, ...]
    rank: int = 1
    other: str = ""
    end: int = 0
    single: bool = False
    spans: tuple[Span, ...] = ()

    def without(self, sentence: str) -> str:
        """The sentence with spaces in place of the words that choose, so that the thing is read by itself."""
        for start, end in self.spans:
            sentence = sentence[:start] + " " * (end - start) + sentence[end:]
        return sentence


_PICTURE = r"(?:photo(?:graph)?|picture|pic|image|frame|scene|shot|screen|group|row|line|bunch)"
_OF_PICTURE = rf"(?:\s+(?:of|in)\s+(?:the|this|that|my|our)\s+{_PICTURE}\b)?"
_VERTICAL = r"(?:top|upper|bottom|lower|uppermost|lowermost|topmost)"
_MIDDLE = r"(?:middle|center|centre)"
_HORIZONTAL = r"(?:left|right)(?:most)?"
_SIDE = rf"(?:{_VERTICAL}[- ](?:{_HORIZONTAL})|(?:{_HORIZONTAL})|{_MIDDLE}|{_VERTICAL})(?:[- ]hand)?"
_PART = r"(?:\s+(?:side|corner|edge|part|half|third|end))?"
_FAR = r"(?:(?:very|far|furthest|farthest|extreme|immediate)[- ]+)?"
_PLACE = (
    rf"(?:(?:on|at|in|to|towards?)\s+(?:(?:the|our|your)\s+)?{_FAR}(?P<side>{_SIDE}){_PART}"
    r"|(?:far|furthest|farthest|extreme|upper|lower|top|bottom)[- ]+(?:to\s+the\s+)?(?:left|right))"
    rf"{_OF_PICTURE}(?![\w'-])"
)
_ORDINALS = {
    word: rank
    for rank, words in enumerate(("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th"), 1)
    for word in words.split()
}
_ORDINAL = rf"(?:{'|'.join(_ORDINALS)})"
_ORDER = rf"(?:(?P<ordinal>{_ORDINAL})\s+(?:one\s+)?)?from\s+(?:the\s+)?(?P<from>left|right|top|bottom)(?![\w'-])"
_PREPOSITIONS = {
    "near": r"next to|beside|nearest(?: to)?|near(?: to)?|close(?:st)? to|alongside|adjacent to|in front of|by",
    "left of": r"(?:(?:to|on|at) the )?left(?: side)? of",
    "right of": r"(?:(?:to|on|at) the )?right(?: side)? of",
    "above": r"above",
    "below": r"below|underneath|beneath|under",
}
_RELATION = (
    "(?:"
    + "|".join(f"(?P<{name.replace(' ', '_')}>{words})" for name, words in _PREPOSITIONS.items())
    + rf")\s+(?=(?:the|a|an|this|that|his|her|its|their|my|your)\b)(?!(?:the|this)\s+{_PICTURE}\b)"
)
# What may stand between a thing and its place: "the dog that is standing on the left".
# So many blanks at most, because a pattern that takes any number tries all of them at each of a thousand blanks.
_BLANKS = r"\s{1,9}"
_BEING = (
    rf"(?:,?{_BLANKS}(?:that|who|which))?(?:\s{{0,9}}'s|{_BLANKS}(?:is|are|was|were))?"
    rf"(?:{_BLANKS}(?:stand|sitt?|lying|seated|located|shown)(?:s|ing)?)?,?{_BLANKS}"
)
_AFTER = re.compile(rf"(?P<gap>{_BEING})(?:(?P<order>{_ORDER})|(?P<relation>{_RELATION})|(?P<place>{_PLACE}))", re.I)
_BEFORE = re.compile(
    rf"(?:^|[.;!?])[\s,]*(?P<place>(?:on|at|in|to)\s+the\s+{_FAR}(?P<side>{_SIDE}){_PART}{_OF_PICTURE})"
    r"\s*(?:,|(?:\s(?:there\s+)?(?:is|are|stands?|sits?)))\s*$",
    re.I,
)
_SHORT = re.compile(r"\s*(?!(?:an?|the|his|her)\s)\w+(?:\s\w+)?\s+(?P<side>left|right)\W*$", re.I)  # lion left
_INSIDE = re.compile(
    rf"^\s*(?P<article>the\s+)?(?:(?:one|two|three|four|five)\s+)?(?P<words>{_FAR}(?P<side>{_SIDE}))\s+(?!of\b)", re.I
)
_ORDINAL_INSIDE = re.compile(rf"^\s*(?:the\s+)?(?P<ordinal>{_ORDINAL})\s", re.I)
_SUPERLATIVE = (
    "biggest|largest|smallest|littlest|tiniest|tallest|shortest|highest|lowest|closest|nearest|furthest|farthest"
)
_OF_THEM = re.compile(
    rf"^\s*(?:the\s+)?(?P<words>{_SUPERLATIVE}|leftmost|rightmost|bigger|larger|smaller|taller|shorter)\s+of\s+"
    r"(?=(?:all\s+)?(?:the|these|those|my|your|our|his|her|their)\s)",
    re.I,
)
_SIZE = re.compile(
    rf"^\s*(?:the\s+)?(?:(?:one|two|three|four|five)\s+)?(?P<words>{_SUPERLATIVE}"
    r"|(?:(?<=the )|(?<=the two ))(?:bigger|larger|smaller|taller|shorter))\s+(?!of\b)",
    re.I,
)
_VIEWERS = frozenset("camera lens viewer photographer me us".split())  # "the car closest to the camera"
_NEW = re.compile(r"\s*(?:an?|another|some|one)\s", re.I)  # "a man next to a car" tells of him, and chooses nobody
_MEANS = {
    "bigger": "biggest",
    "largest": "biggest",
    "larger": "biggest",
    "smaller": "smallest",
    "littlest": "smallest",
    "tiniest": "smallest",
    "taller": "tallest",
    "shorter": "shortest",
    "highest": "top",
    "lowest": "bottom",
    # What is nearer to the camera is mostly larger in the photo.
    "closest": "biggest",
    "nearest": "biggest",
    "furthest": "smallest",
    "farthest": "smallest",
    "leftmost": "left",
    "rightmost": "right",
}
# Of these a side is a part: of a body, of a way, of the photo.
_OWN_SIDES = frozenset(
    """
    ankle arm breast calf cheek corner direction ear edge elbow end eye eyebrow fielder fist finger foot hand half hip
    knee lane leg lip page palm part paw side shin shoulder sleeve temple thigh thumb toe turn way wing wrist
    angle answer field guard moment one ones place spot time aged age east eastern school class deck floor ground air
""".split()
)
_COMPOUNDS = frozenset("hat hats tank tanks school schools aged eastern east age class finger field piece".split())


def which_of(sentence: str, start: int, end: int) -> Which | None:
    """What tells the thing of the phrase ``sentence[start:end]`` from others of its kind; None where nothing does.

    Never fails. Takes some hundredths of a millisecond where no such word stands near.
    """
    text = sentence[start:end]
    if of_them := _OF_THEM.match(text):
        span = (start + of_them.start("words"), start + of_them.end())
        return Which(of_them["words"], _meant(of_them["words"]), end=end, single=True, spans=(span,))
    after = _tail(sentence, start, end)
    named_end = after.start() if after and after.start() < end else end
    named = sentence[start:named_end]
    if after and after["order"]:
        return _in_order(sentence, start, named_end, after)
    if inner := _inside(named, start):
        return inner
    if after and after["place"]:
        by = _by(after["side"] or after["place"])
        return Which(after["place"], by, end=named_end, spans=(after.span(),))
    if after and after["relation"] and not _NEW.match(text):
        return _relation(sentence, start, end, after)
    if short := _SHORT.match(sentence) if not sentence[:start].strip() else None:
        side = short.span("side")
        return Which(short["side"], (short["side"].lower(),), end=min(end, side[0]), spans=(side,))
    if (before := _BEFORE.search(sentence[:start])) and text.strip():
        return Which(before["place"], _by(before["side"]), end=end, spans=(before.span("place"),))
    return None


def _tail(sentence: str, start: int, end: int) -> re.Match | None:
    """The words of place after the thing's name: in the phrase, where it is a whole query, or right behind it."""
    found = None
    for match in _AFTER.finditer(sentence, start, end):
        if sentence[start : match.start()].strip() and _is_over(sentence, match):
            found = match
            break
    if found is None and (match := _AFTER.match(sentence, end)) and _is_over(sentence, match):
        found = match
    return found


def _is_over(sentence: str, match: re.Match) -> bool:
    """Whether words of place name no thing themselves: "on the left", but not "on the left foot" or "left of it"."""
    if match["place"] is None:
        return True
    rest = sentence[match.end() :]
    if re.match(r"\s+of\b", rest) or (not match["side"] and match["place"].lower().split()[0] in ("in", "on", "at")):
        return False
    side = (match["side"] or "").lower()
    article = re.search(r"\s(?:the|our|your)\s", match["place"], re.I)
    if side and not article and re.match(r"\s+\w", rest):
        return False
    if side in ("upper", "lower"):
        return False
    following = next((t for t in _tokens(sentence) if t.start >= match.end()), None)
    return following is None or following.tag[:2] not in ("NN", "JJ", "CO")


def _in_order(sentence: str, start: int, end: int, after: re.Match) -> Which | None:
    """The second man from the left; the man second from left."""
    inside = _ORDINAL_INSIDE.match(sentence[start:end])
    ordinal = after["ordinal"] or (inside and inside["ordinal"])
    if not ordinal:
        return None
    spans, words = [after.span()], after["order"]
    if inside and not after["ordinal"]:
        spans.append((start + inside.start("ordinal"), start + inside.end("ordinal")))
        words = f"{inside['ordinal']} … {words}"
    return Which(words, (after["from"].lower(),), _ORDINALS[ordinal.lower()], end=end, spans=tuple(spans))


def _inside(named: str, start: int) -> Which | None:
    """The left lion, the biggest dog; ``named`` is the phrase up to where its place begins."""
    head_start, head_end = head_span(named)
    before = named[:head_start]
    if size := _SIZE.match(before):
        return _chosen(size, _meant(size["words"]), start, named)
    side = _INSIDE.match(before)
    if not side:
        return None
    following = named[side.end() :].lower().split()
    if not following or following[0] in _COMPOUNDS or named[head_start:head_end].lower().rstrip("s") in _OWN_SIDES:
        return None
    if following[0].rstrip("s") in _OWN_SIDES or named[head_start:head_end].lower() in ("feet", "teeth", "knees"):
        return None
    if not side["article"] and side["side"].lower() in (
        "middle",
        "center",
        "centre",
        "top",
        "bottom",
        "upper",
        "lower",
    ):
        return None  # a compound, as far as one can tell: center stage, top model
    return _chosen(side, _by(side["side"]), start, named)


def _chosen(match: re.Match, by: tuple[str, ...], start: int, named: str) -> Which:
    span = (start + match.start("words"), start + match.end("words"))
    return Which(match["words"], by, end=start + len(named), spans=(span,))


def _relation(sentence: str, start: int, end: int, after: re.Match) -> Which | None:
    others = [p for p in _phrases(sentence) if p.start >= after.end()]
    if not others or sentence[after.end() : others[0].start].strip():
        return None
    by = next(name for name in RELATIONS if after[name.replace(" ", "_")])
    inside = after.start() < end
    spans = ((after.start(), others[0].end),) if inside else ()  # outside the phrase it is read as its surroundings
    words = sentence[after.start("relation") : others[0].end]
    if by == "near" and others[0].head.lower() in _VIEWERS:
        return Which(words, ("biggest",), end=after.start() if inside else end, spans=spans)
    return Which(words, (by,), other=others[0].text, end=after.start() if inside else end, spans=spans)


def _meant(words: str) -> tuple[str, ...]:
    """Of SIZES, or of SIDES, what one word means: ("biggest",) of "larger"."""
    return (_MEANS.get(words.lower(), words.lower()),)


# Each phrase of a sentence asks for them, and the same sentence is asked about phrase after phrase.
@lru_cache(maxsize=4)
def _phrases(sentence: str) -> tuple[Phrase, ...]:
    return tuple(extract_phrases(sentence, pronouns=False))


@lru_cache(maxsize=4)
def _tokens(sentence: str) -> tuple[Token, ...]:
    return tuple(token for tokens in tagged_tokens(sentence) for token in tokens)


def _by(words: str) -> tuple[str, ...]:
    """SIDES that words speak of: ("top", "left") of "upper left"."""
    found = []
    for word in re.findall(r"[a-z]+", words.lower()):
        word = word.removesuffix("most")
        side = {"upper": "top", "lower": "bottom", "center": "middle", "centre": "middle"}.get(word, word)
        if side in SIDES:
            found.append(side)
    return tuple(found) if len(found) < 2 or "middle" not in found else tuple(s for s in found if s != "middle")
