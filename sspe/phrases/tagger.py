"""Part-of-speech tags for captions: NLTK's perceptron tagger with weights of our own, shipped as `tagger.json.gz`.

    tag(["A", "man", "in", "an", "orange", "hat"])   # [("A", "DT"), ("man", "NN"), ...], Penn Treebank tags

Nothing is downloaded and nothing is unpickled. `tools/train_tagger.py` made the weights.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.errors import DataError
from sspe.phrases.spelling import QUESTION_SLIPS
from sspe.phrases.tokens import Token, plain_apostrophes, tokenize

if TYPE_CHECKING:
    from nltk.tag.perceptron import PerceptronTagger

WEIGHTS = Path(__file__).with_name("tagger.json.gz")
FORMAT = 1
Tagged = list[tuple[str, str]]  # the tokens of one sentence, each with its tag

# The words that `tagged_tokens` singles out.
_COLORS = frozenset(
    """
    beige black blond blonde blue brown burgundy camo camouflage cream denim gold gray green grey khaki lavender
    maroon navy olive orange pink plaid purple red silver tan teal turquoise violet white yellow
""".split()
)
_QUESTIONS = frozenset(["how", "when", "where", "why"])
_SUBJECTS = frozenset(["he", "it", "she", "that", "they", "which", "who"])
_WEAR = frozenset(["wear", "wears", "wearing", "wore"])
# Determiners that also stand alone: "another watches", "both smile".
_STANDALONE = frozenset(
    """
    all another both each some that these this those
""".split()
)
_SIGNS = {"&": "CC", **dict.fromkeys('"\u201c\u201d\u2018\u2019', "QUOTE")}
_SMALL_WORDS = frozenset("a an and at by for from in is no not of on or the to under with without".split())
_SOME = frozenset("anybody anyone anything everyone everything somebody someone something".split())
_NOBODY = frozenset("nobody none noone nothing".split())
_SIDES = frozenset(["left", "right"])
_WITH = frozenset(["w", "w/", "w/o", "with", "without"])
_BE = frozenset(["are", "is", "was", "were"])
_DO = frozenset(["did", "do", "does", "has"])
_THE = frozenset("her his its my our the their these those your".split())
# Participles of what one does without an object, so that the noun after one does it: barking dog, but eating pizza.
_INTRANSITIVE = frozenset(
    """
    barking blooming burning crawling crouching crying dancing falling floating galloping glowing grinning hopping
    jogging jumping kneeling laughing leaping lying napping resting roaring running screaming shining sitting sleeping
    smiling snoring squatting standing swimming walking yawning
""".split()
)
_GROUNDS = frozenset(["ice", "mountain", "rock"])
_GO = _BE | {"go", "goes", "going"}
# Participles that make one description with the noun before them: a snow covered bench.
_COMPOUNDING = frozenset(
    """
    coated colored coloured covered dotted draped encrusted filled infested laden littered lit shaped sized soaked
    spattered splattered stained strewn themed topped wrapped
""".split()
)


def tagged_tokens(text: str) -> list[list[Token]]:
    """The tokens of every sentence of a text, with the tags that the grammar reads.

    Beside the Penn Treebank's (https://www.nltk.org/book/ch05.html) there are tags by word: OF, COLOR, WEAR, ALONE (a
    determiner that may stand alone), NO and ANY (determiners that are no part of the thing's name), NNT ("something"),
    COVERED (of "snow covered trees"), NUM (the 5 of "player 5"), QUOTE and SIGN.
    """
    plain = plain_apostrophes(text)
    sentences = []
    for spans in tokenize(text):
        words = [plain[start:end] for start, end in spans]
        words[:1] = [QUESTION_SLIPS.get(word.lower(), word) for word in words[:1]]  # the span stays the slip's
        tags = _refine(tag(words))
        sentences.append([Token(word, *span, tag) for word, span, tag in zip(words, spans, tags, strict=True)])
    return sentences


def tag(words: Sequence[str]) -> Tagged:
    """Tag the tokens of one sentence; Where Titles Or CAPITALS Are All There Is, capitals mean nothing."""
    seen = [word.lower() for word in words] if _capitals_mean_nothing(words) else words
    return [(word, tag) for word, (_, tag) in zip(words, load_tagger().tag(seen), strict=True)]


@lru_cache(maxsize=2)
def load_tagger(path: Path = WEIGHTS) -> PerceptronTagger:
    """The tagger stored in `path`; DataError if the file is missing or none of ours."""
    # Late: importing NLTK costs more than reading the weights. From the package, as all that is NLTK's: of two threads
    # that import it at once, one that begins with a part of it finds half of the other's.
    from nltk import PerceptronTagger

    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            stored = json.load(file)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"Cannot read the tagger's weights from {path} ({error}); install sspe again.") from error
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise DataError(f"{path} does not hold tagger weights of format {FORMAT}; install sspe again.")
    tags = stored["tags"]
    tagger = PerceptronTagger(load=False)
    tagger.tagdict = {word: tags[i] for i, words in enumerate(stored["words"]) for word in words}
    tagger.model.weights = _Weights(stored["weights"], tags)
    tagger.classes = tagger.model.classes = set(tags)
    return tagger


class _Weights(dict[str, dict[str, float]]):
    """What each feature adds to each tag. A feature is read when it is first asked for: most never are."""

    def __init__(self, stored: dict[str, list[int]], tags: Sequence[str]):
        """``stored`` has a tag's number and a hundred times its weight in turn."""
        super().__init__(stored)
        self._tags = tags

    def __getitem__(self, feature: str) -> dict[str, float]:
        found = super().__getitem__(feature)
        if isinstance(found, list):
            pairs = zip(found[::2], found[1::2], strict=True)
            found = self[feature] = {self._tags[number]: weight / 100 for number, weight in pairs}
        return found


def _capitals_mean_nothing(words: Sequence[str]) -> bool:
    if all(word.upper() == word for word in words):
        return True
    if not all(word[:1].upper() == word[:1] for word in words):
        return False
    return len(words) == 1 or any(word.lower() in _SMALL_WORDS for word in words[1:])  # else "Mr. Brown"


def _refine(tagged: Sequence[tuple[str, str]]) -> list[str]:
    """The tags of a sentence, with names of their own for the words the grammar singles out."""
    words = [word.lower() for word, _ in tagged]
    tags = [tag for _, tag in tagged]
    quotes = _single_quotes(words, tags)
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        tag_before = tags[i - 1] if i else ""
        noun_follows = i + 1 < len(tags) and tags[i + 1][:2] in ("NN", "JJ")
        if not any(char.isalnum() for char in word):
            # Of signs only these can stand inside a phrase: tall, thin; black & white; the boys' dog; a "stop" sign.
            if i in quotes:
                tags[i] = "QUOTE"
            elif word == "#" and tag_before.startswith("NN") and after.isdigit():
                tags[i] = "NUM"  # car #3
            elif word != "," and (word != "'" or tags[i] != "POS"):
                tags[i] = _SIGNS.get(word, "SIGN")
        elif word == "of":
            tags[i] = "IN" if before == "which" else "NO" if before in ("neither", "none") else "OF"
        elif word in _SIDES and before == "the" and after == "of" and words[i - 2 : i - 1] in (["to"], ["on"]):
            tags[i - 1], tags[i] = "RP", "RP"  # "to the left of" is one long preposition
        elif word in ("front", "top") and after == "of" and tag_before == "IN":
            tags[i] = "RP"  # "in front of" is one long preposition
        elif word == "side" and "by" in (before, after) and "side" in words[max(0, i - 2) : i] + words[i + 1 : i + 3]:
            tags[i] = "RB"  # side by side
        elif word == "to":
            tags[i] = "TO"  # also where the query ends: the cup next to
        elif word in ("and", "or"):
            tags[i] = "CC"  # dog OR cat
        elif word == "zero" and noun_follows:
            tags[i] = "NO"
        elif (before, word) in (("each", "other"), ("one", "another")):
            tags[i] = "NN"
        elif before == "no" and word == "one":
            tags[i - 1], tags[i] = "PRP", "PRP"
        elif before in ("where", "what", "who") and i == 1 and word == "r":
            tags[i] = "VBP"  # where r my keys
        elif word == "thing" or (word == "things" and tags[i] != "NNS"):
            tags[i] = "NN" if word == "thing" else "NNS"
        elif word == "that" and after == "thing":
            tags[i] = "ALONE"
        elif not i and word in _INTRANSITIVE and tags[i + 1 : i + 2] and tags[i + 1].startswith("NN"):
            tags[i] = "JJ"  # barking dog
        elif before == "which" and word in ("one", "ones"):
            tags[i] = "PRP"
        elif word in ("one", "ones") and tag_before in ("DT", "JJ", "JJR", "JJS", "COLOR") and not noun_follows:
            tags[i] = "NN"  # the red one
        elif (before, word) == ("ice", "cream"):
            tags[i] = "NN"
        elif word in _COLORS:
            tags[i] = "NNP" if i and tags[i] == "NNP" and tagged[i][0].istitle() else "COLOR"  # Mr. Brown
        elif word in _QUESTIONS:
            tags[i] = "WRB"
        elif word in ("w/", "w/o") or (word == "w" and before and after):
            tags[i] = "IN"
        elif not i and tags[i] == "JJ" and after in _WITH:
            tags[i] = "NN"  # cyclist w/o helmet
        elif word in _WEAR:
            tags[i] = "WEAR"
        elif word in _STANDALONE and tags[i] == "DT":
            tags[i] = "ALONE"
        elif word in _SOME and (before in ("", "are", "is", "there") or (i == 1 and before in _DO)):
            tags[i] = "NNT"
        elif word in _NOBODY:
            tags[i] = "NO" if after == "of" else "PRP"  # none of the cats
        elif word == "no" and tags[i] == "DT":
            tags[i] = "NO"
        elif word == "any" and noun_follows:
            tags[i] = "ANY"
        elif word in _SIDES and tag_before in ("DT", "PRP$") and not noun_follows:
            tags[i] = "NN"  # on my left
        elif word in _SIDES and tag_before.startswith("NN") and not noun_follows:
            tags[i] = "RB"  # the man right of the tree
        elif word in _COMPOUNDING and tag_before == "NN" and noun_follows:
            tags[i] = "COVERED"  # snow covered trees
        elif word == "which" and not i:
            tags[i] = "WDT"
        elif before == "which" and i == 1 and tags[i].startswith("NN"):
            pass  # which cup is red
        elif word in ("my", "your"):
            tags[i] = "PRP$"
        elif word in ("was", "were"):
            tags[i] = "VBD"
        elif word == "say":
            tags[i] = "VB"
        elif word in ("versus", "vs"):
            tags[i] = "CC"
        elif word == "us" and tagged[i][0] == "US" and noun_follows:
            tags[i] = "NNP"
        elif word == "can" and not after and tag_before[:2] in ("NN", "DT", "JJ", "CO"):
            tags[i] = "NN"  # a soda can
        elif word == "underwater" and not noun_follows:
            tags[i] = "RB"
        elif word == "all" and before in _BE and tags[i + 1 : i + 2] and tags[i + 1][:2] in ("VB", "IN", "JJ"):
            tags[i] = "RB"  # they are all wearing hats
        elif word.endswith("ing") and before in _GROUNDS and i > 1 and words[i - 2] in _GO:
            tags[i - 1], tags[i] = "RB", "VBG"  # is rock climbing
        elif tags[i] == "NNS" and before in _SIDES and i > 3 and words[i - 3] in ("on", "from") and tags[i - 4] == "NN":
            tags[i] = "VBZ"  # the man on the left waves
        elif before in _SUBJECTS and tag_before in ("PRP", "WP", "WDT") and tags[i] in ("NN", "NNS"):
            tags[i] = "VBZ"  # a boy who waves
        elif tags[i] == "VBD" and noun_follows and tag_before in ("DT", "JJ", "COLOR", "CD", "PRP$"):
            tags[i] = "VBN"  # a blue striped cup
        elif tag_before == "POS" and tags[i][:2] in ("RB", "VB") and not noun_follows:
            tags[i] = "NN"  # the man's back
        elif (
            tags[i] == "CD"
            and (before == "number" or (word.isdigit() and (tag_before.startswith("NN") or tag_before == "NUM")))
            and not noun_follows
        ):
            tags[i] = "NUM"
    for i, word in enumerate(words):
        if word in ("sign", "signs"):
            named = next((n for n in (3, 2) if i >= n and _is_prohibition(words[i - n : i])), 0)
            tags[i - named : i] = ["JJ"] * named
    _tell_what_is_asked(words, tags)
    return tags


def _tell_what_is_asked(words: Sequence[str], tags: list[str]) -> None:
    """Tag what a question asks of a thing as no name of one, in place: isn't the dog cute? which dog is the biggest?"""
    last = len(words) - (2 if words[-1] == "?" else 1)
    subject = 2 if words[1:2] == ["n't"] else 1
    inside = tags[subject + 1 : last]
    if words[0] in _BE and inside and words[subject] in _THE:
        named = inside[-1].startswith("NN") and all(tag[:2] in ("NN", "JJ", "CO") for tag in inside)
        if named and tags[last].startswith("NN") and not words[last].endswith("s"):
            tags[last] = "RB"
    elif words[0] == "which" and last > 3 and words[last - 1] == "the" and words[last - 2] in _BE:
        tags[last] = "JJS" if words[last].endswith("est") else tags[last]


def _is_prohibition(words: Sequence[str]) -> bool:
    """Whether words before "sign" are what it says: "no smoking", "do not enter"; "no stop sign" denies one."""
    match words:
        case ["no", name]:
            return name.endswith("ing") or name in ("entry", "exit")
        case ["do", "not" | "n't", _]:
            return True
    return False


def _single_quotes(words: Sequence[str], tags: Sequence[str]) -> set[int]:
    """Which tokens are single quotation marks, not apostrophes: an opening one and the one that closes it."""
    found = set()
    opened = None
    for i, word in enumerate(words):
        if word in ("'", "\u2018") and opened is None and tags[i] != "POS":
            opened = i
        elif word == "'" and opened is not None and i > opened + 1:
            found |= {opened, i}
            opened = None
    return found
