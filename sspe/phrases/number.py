"""How many things a phrase names, and what one of them is called.

number_of("three black dogs")       # Number(count=3, one="black dog")
number_of("a group of people")      # Number(count=None, one="person"), as many as there are
number_of("a red hat")              # None: one thing, called what it is called
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from sspe.phrases.head import REMEMBERED_CHARACTERS, head_span
from sspe.phrases.tagger import tagged_tokens
from sspe.phrases.tokens import Token


@dataclass(frozen=True)
class Number:
    """Of a phrase that speaks of several things of a kind.

    Attributes:
        count: how many it says there are, at least 1 ("one of the dogs"); None: as many as there are.
        one: what one of them is called, without article: "black dog" of "three black dogs".
    """

    count: int | None
    one: str


_COUNTS = {
    word: count
    for count, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty".split(),
        start=1,
    )
} | {"both": 2, "couple": 2, "pair": 2, "trio": 3, "dozen": 12}
_LARGE = frozenset(["hundred", "thousand"])
MOST = 100  # a larger number counts no boxes: "1000 people" are as many as there are
# Words before a plural that say how many and nothing else: they go.
_GONE = frozenset(
    "a all an any both couple dozen each every few half hundred many multiple numerous of pair quite several some the "
    "these those thousand trio various".split()
)

# Persons that a singular names together, and how many they are where it says so.
_GROUPS = dict.fromkeys("audience choir crew crowd family quartet team".split()) | {"couple": 2, "duo": 2, "trio": 3}

# Plural in grammar, one in fact, unless a number stands before: what is worn as one, used as one, climbed as one.
_ONE_IN_FACT = frozenset(
    """
    bangs binoculars bleachers boxers briefs capris clothes eyeglasses glasses goggles headphones jeans khakis leggings
    overalls pajamas panties pants pliers pyjamas scissors shades shears shorts slacks spectacles stairs steps
    sunglasses surroundings sweatpants sweats tights tongs trousers trunks tweezers underpants woods
""".split()
)
_DRINKING = frozenset("beer champagne cocktail drinking empty martini shot water wine".split())  # glasses that are many
# The same in both numbers: several, where no word says that it is one.
_UNCHANGING = frozenset("aircraft bison buffalo deer fish moose sheep shrimp trout salmon".split())
_SINGLE = frozenset("a an another one that this".split())
_EACH = frozenset(["each", "every"])

_IRREGULAR = {
    "bacteria": "bacterium",
    "cacti": "cactus",
    "calves": "calf",
    "cattle": "cow",
    "children": "child",
    "dice": "die",
    "elves": "elf",
    "feet": "foot",
    "folk": "person",
    "folks": "person",
    "geese": "goose",
    "grandchildren": "grandchild",
    "halves": "half",
    "hooves": "hoof",
    "knives": "knife",
    "leaves": "leaf",
    "lice": "louse",
    "lives": "life",
    "loaves": "loaf",
    "mice": "mouse",
    "others": "other",
    "oxen": "ox",
    "people": "person",
    "scarves": "scarf",
    "sheaves": "sheaf",
    "shelves": "shelf",
    "teeth": "tooth",
    "thieves": "thief",
    "wives": "wife",
    "wolves": "wolf",
}
_KEEP_IE = frozenset(
    "birdie brownie calorie collie cookie corgie doggie eyrie foodie genie goalie hippie hoodie horsie junkie kiddie "
    "lassie movie newbie pie pinkie pixie prairie rookie selfie smoothie sortie tie townie veggie yuppie zombie".split()
)
_KEEP_OE = frozenset("canoe doe foe hoe horseshoe oboe shoe snowshoe tiptoe toe".split())


def singular_of(noun: str) -> str:
    """What one of several is called: "dog" of "dogs", "woman" of "women"; a word that is no plural stays. Lower case.

    English spelling alone does not tell ("buses" and "horses", "gloves" and "knives"), so the commonest exceptions are
    listed here.
    """
    word = noun.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("men") and word not in ("abdomen", "omen", "specimen"):  # policemen
        return word[:-3] + "man"
    if word.endswith("ies") and len(word) > 4:
        stem = word[:-1]
        return stem if stem in _KEEP_IE else word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "buses", "lenses")):
        return word[:-1] if word in ("aches", "axes", "headaches", "mustaches", "moustaches") else word[:-2]
    if word.endswith("oes"):
        return word[:-1] if word[:-1] in _KEEP_OE else word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2:
        return word[:-1]
    return {"skis": "ski", "taxis": "taxi", "bikinis": "bikini", "menus": "menu", "emus": "emu"}.get(word, word)


def number_of(phrase: str) -> Number | None:
    """How many things of a kind a phrase names; None where it is one, or things of two kinds ("boys and girls").

    What is plural in grammar and one in fact is one: "jeans", "stairs", the "glasses" that someone wears. With a
    number before it is counted: "two jeans". Takes as long as :func:`sspe.phrases.head.head_of`, and next to nothing
    for a phrase it has seen before.
    """
    return _remembered(phrase) if len(phrase) <= REMEMBERED_CHARACTERS else _number(phrase)


@lru_cache(maxsize=65_536)
def _remembered(phrase: str) -> Number | None:
    return _number(phrase)


def _number(phrase: str) -> Number | None:
    start, end = head_span(phrase)
    tokens = [token for tokens in tagged_tokens(phrase) for token in tokens]
    place = next((i for i, token in enumerate(tokens) if token.start <= start < token.end), None)
    if place is None or not tokens[place].tag.startswith("NN"):
        return None
    head, before = tokens[place], tokens[:place]
    words = [token.word.lower() for token in before]
    first = len(words) - words[::-1].index("of") if "of" in words else 0  # "a group of" and the like come before it
    named = before[first:]
    if any(a.tag.startswith("NN") and b.tag in ("CC", ",") for a, b in pairwise(named)):
        return None  # boys and girls
    if not first and head.tag == "NN" and (group := head.word.lower()) in _GROUPS and place + 1 == len(tokens):
        return Number(_GROUPS[group], "person")
    count = _count(words[:first], named, head)
    if not _is_plural(head, words[:first], named, count):
        return None
    kept = [token for token in named if not _is_number(token) and token.word.lower() not in _GONE]
    word = head.word.lower()
    one = "person" if word == "others" else word if word in _ONE_IN_FACT - {"glasses"} else singular_of(word)
    describing = phrase[kept[0].start : kept[-1].end] if kept else ""
    after = phrase[end:] if tokens[place + 1 : place + 2] and tokens[place + 1].tag == "OF" else ""
    return Number(count if count is None or count <= MOST else None, f"{describing} {one}{after}".strip())


def _count(quantities: Sequence[str], named: Sequence[Token], head: Token) -> int | None:
    """The number that a phrase states, of the words up to "of" and of those between it and the head noun."""
    match list(quantities):
        case [*_, number, "pairs", "of"] if head.word.lower() in _ONE_IN_FACT:
            return _value(number)
        case [*_, "pair", "of"] if head.word.lower() in _ONE_IN_FACT:
            return None
        case [*_, number, "of"] if (value := _value(number)) is not None:
            return value
    words = [token.word.lower() for token in named]
    if not _LARGE.isdisjoint(words):
        return None
    stated = [value for word in words if (value := _value(word)) is not None]
    if "dozen" in words:
        return 12 * stated[0] if len(stated) > 1 else 12
    return max(stated, default=None)


def _value(word: str) -> int | None:
    if word.isascii() and word.isdigit():
        return int(word) if len(word) <= 4 else None
    return _COUNTS.get(word)


def _is_number(token: Token) -> bool:
    return token.tag == "CD" or _value(token.word.lower()) is not None


def _is_plural(head: Token, quantities: Sequence[str], named: Sequence[Token], count: int | None) -> bool:
    word, words = head.word.lower(), [token.word.lower() for token in named]
    counted = count is not None and count > 1
    if words and words[0] in _EACH:
        return True
    if word in _ONE_IN_FACT:
        return counted or (word == "glasses" and bool(words) and words[-1] in _DRINKING)
    if word in _UNCHANGING:
        return bool(quantities) or counted or _SINGLE.isdisjoint(words)
    if head.tag in ("NNS", "NNPS") or word in _IRREGULAR:
        return singular_of(word) != word
    # "two woman", but neither "a two story building" nor "a 3 person tent"
    number = next(
        (i for i, token in enumerate(named) if _is_number(token) and token.word.lower() not in ("a", "an")), None
    )
    return (
        counted and number is not None and "a" not in words and not any(t.tag.startswith("NN") for t in named[number:])
    )
