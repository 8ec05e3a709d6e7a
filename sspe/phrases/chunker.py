"""Sentence -> noun phrases with their places: tokenise, tag, chunk, all with NLTK.

    extract_phrases("A man in an orange hat.")
    # [Phrase("A man", 0, 5, head="man"), Phrase("an orange hat", 9, 22, head="hat")]

A phrase is what the captions of Flickr30K Entities put in brackets: a noun with everything before it, a possessor
("a man's hat") and what follows with "of" ("a group of people", "the side of the road"), but not "in", "with" or a
relative clause; also pronouns, "there" and relative pronouns, which no box can show (`pronouns=False` leaves them out).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sspe.errors import SspeError
from sspe.phrases.head import head_index
from sspe.phrases.tagger import tag
from sspe.phrases.tokens import Token, plain_apostrophes, tokenize


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a sentence.

    text: the words, verbatim: `sentence[start:end]`.
    start, end: offsets into the sentence, in characters, `end` exclusive.
    head: its head noun, verbatim ("hat" of "an orange hat").
    """

    text: str
    start: int
    end: int
    head: str


COLORS = frozenset(
    """
    beige black blond blonde blue brown burgundy camo camouflage cream denim gold gray green grey khaki lavender
    maroon navy olive orange pink plaid purple red silver tan teal turquoise violet white yellow
""".split()
)
QUESTIONS = frozenset(["how", "when", "where", "why"])
SUBJECTS = frozenset(["he", "it", "she", "that", "they", "which", "who"])
WEAR = frozenset(["wear", "wears", "wearing", "wore"])
# Determiners that also stand alone: "another watches", "both smile".
STANDALONE = frozenset(
    """
    all another both each some that these this those
""".split()
)
# Tags of phrases that name nothing one could draw a box around: it, there, who, this.
PRONOUNS = frozenset(("EX", "PRP", "PRP$", "WP", "WDT", "ALONE"))

MAX_TOKENS = 100  # chunked at once; longer sentences are cut where no phrase can run across

# Beside the Penn Treebank's tags (https://www.nltk.org/book/ch05.html) the grammar knows those that `_refine` gives by
# word: OF, COLOR, WEAR, ALONE (a determiner that may stand alone), NUM (the 5 of "player 5"), QUOTE and SIGN.
_SIGNS = {"&": "CC", '"': "QUOTE", "\u201c": "QUOTE", "\u201d": "QUOTE"}
_DETERMINER = r"<DT|ALONE|PRP\$>"
_ADJECTIVE = r"<RB.*>*<JJ.*|VBN|COLOR>"  # very tall, snow-covered, striped, red
_ATTRIBUTE = r"<RB.*>*<JJ.*|VBN|VBG|COLOR>"  # the same or "smiling", where a determiner shows that it is no verb
_ADJECTIVES = rf"{_ADJECTIVE}(<,>?<CC>?{_ADJECTIVE})*"  # black and white; tall, thin
_ATTRIBUTES = rf"{_ATTRIBUTE}(<,>?<CC>?{_ATTRIBUTE})*"
_NOUNS = rf"<NN.*>+({_ADJECTIVES}<NN.*>+)*<NUM>?"  # dog; tennis ball; rainbow colored hat; player 5
_QUOTED = r"<QUOTE><[^QS,].*>{1,5}<QUOTE>"  # up to five words in quotation marks

GRAMMAR = rf"""
  NP:
    {{<PDT>?{_DETERMINER}<CD>*({_ATTRIBUTES})?<CD>*<RB>?{_NOUNS}}}   # the two very tall men
    {{{_DETERMINER}({_ATTRIBUTES})?{_QUOTED}{_NOUNS}}}               # a red "keep out" sign
    {{<CD>+({_ATTRIBUTES})?{_NOUNS}}}                                # two smiling girls
    {{{_ADJECTIVES}{_NOUNS}}}                                        # blue jeans
    {{{_NOUNS}}}                                                     # water
    {{{_DETERMINER}<CD|COLOR|JJ.*>+}}                                # the other two; the blond
    {{<ALONE|PRP\$>}}                                                # another (smiles)
    {{<EX|PRP|WP|WDT>}}                                              # there; him; who; which
    <WEAR|IN>{{<COLOR>(<,>?<CC>?<COLOR>)*}}                          # (in) black and white
    {{<CD>}}                                                         # two (of them)
  NP:
    {{<NP><POS><NP>}}                                                # a man's hat
  NP:
    {{<NP>(<OF><NP>)+}}                                              # the side of a body of water
"""


def extract_phrases(sentence: str, pronouns: bool = True) -> list[Phrase]:
    """The noun phrases of a sentence, or of several, in their order; they do not overlap.

    pronouns: keep phrases that only point ("him", "there", "who", "this").

    Never fails; a text without a noun phrase gives []. Takes about 0.4 ms for a sentence of 12 words.
    """
    phrases = []
    for tokens in tagged_tokens(sentence):
        for first, end in find_phrases(tokens):
            inside = tokens[first:end]
            if not pronouns and all(token.tag in PRONOUNS for token in inside):
                continue
            start, stop = inside[0].start, inside[-1].end
            head = inside[head_index(inside)]
            phrases.append(Phrase(sentence[start:stop], start, stop, sentence[head.start : head.end]))
    return phrases


def phrases_at(sentence: str, spans: Sequence[Sequence[int]]) -> list[Phrase]:
    """The phrases that someone marked in a sentence, in the order given; white space at their ends is left out.

    Args:
        spans: (start, end) of each in characters of the sentence, `end` exclusive.

    Raises:
        SspeError: a span is no pair of whole numbers, leaves the sentence, or holds no word.
    """
    phrases = []
    for span in spans:
        pair = list(span) if isinstance(span, list | tuple) else []
        if len(pair) != 2 or not all(type(edge) is int for edge in pair):
            raise SspeError(f"A phrase was given as {span!r}; give [start, end], two whole numbers of characters.")
        start, end = pair
        text = sentence[start:end] if 0 <= start < end <= len(sentence) else ""
        if not any(char.isalnum() for char in text):
            raise SspeError(
                f"No word stands at {start} to {end} of the sentence, which has {len(sentence)} characters; "
                "give spans of its words."
            )
        start += len(text) - len(text.lstrip())
        text = text.strip()
        phrases.append(Phrase(text, start, start + len(text), head_of(text)))
    return phrases


def head_of(phrase: str) -> str:
    """The head noun of a text that is one phrase, verbatim; where no noun phrase is found in it, the whole text."""
    found = extract_phrases(phrase)
    return found[0].head if found else phrase


def tagged_tokens(text: str) -> list[list[Token]]:
    """The tokens of every sentence of a text, with the tags that the grammar reads."""
    plain = plain_apostrophes(text)
    sentences = []
    for spans in tokenize(text):
        words = [plain[start:end] for start, end in spans]
        tags = _refine(tag(words))
        sentences.append([Token(word, *span, tag) for word, span, tag in zip(words, spans, tags, strict=True)])
    return sentences


def find_phrases(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Noun phrases among the tokens of one sentence, as ranges of tokens (first, last + 1)."""
    from nltk.tree import Tree

    found = []
    for begin, window in _windows(tokens):
        position = begin
        for node in _parser().parse([(token.word, token.tag) for token in window]):
            length = len(node.leaves()) if isinstance(node, Tree) else 1
            if isinstance(node, Tree):
                found.append((position, position + length))
            position += length
    # What people type into a search box may be a bare "red" or "the tallest": then all of it is the phrase.
    # (Not of "running fast", whose first word looks like the adjective of "running water".)
    bare = all(token.tag in ("DT", "CC", "COLOR") or token.tag[:2] in ("JJ", "RB") for token in tokens)
    named = bare and tokens and (tokens[-1].tag == "COLOR" or tokens[-1].tag.startswith("JJ"))
    if not found and named and not tokens[0].word.lower().endswith("ing"):
        found.append((0, len(tokens)))
    return found


def _refine(tagged: Sequence[tuple[str, str]]) -> list[str]:
    """The tags of a sentence, with names of their own for the words the grammar singles out."""
    words = [word.lower() for word, _ in tagged]
    tags = [tag for _, tag in tagged]
    for i, word in enumerate(words):
        before = words[i - 1] if i else ""
        after = words[i + 1] if i + 1 < len(words) else ""
        tag_before = tags[i - 1] if i else ""
        noun_follows = i + 1 < len(tags) and tags[i + 1][:2] in ("NN", "JJ")
        if not any(char.isalnum() for char in word):
            # Of signs only these can stand inside a phrase: tall, thin; black & white; the boys' dog; a "stop" sign.
            if tags[i] not in (",", "POS"):
                tags[i] = _SIGNS.get(word, "SIGN")
        elif word == "of":
            tags[i] = "OF"
        elif word in ("front", "top") and after == "of" and tag_before in ("", "IN"):
            tags[i] = "RP"  # "in front of" is one long preposition
        elif word == "side" and "by" in (before, after) and "side" in words[max(0, i - 2) : i] + words[i + 1 : i + 3]:
            tags[i] = "RB"  # side by side
        elif (before, word) in (("each", "other"), ("one", "another")):
            tags[i] = "NN"
        elif word in ("one", "ones") and tag_before in ("DT", "JJ", "JJR", "JJS", "COLOR") and not noun_follows:
            tags[i] = "NN"  # the red one
        elif word in COLORS:
            tags[i] = "NNP" if i and tags[i] == "NNP" else "COLOR"  # Mr. Brown
        elif word in QUESTIONS:
            tags[i] = "WRB"
        elif word in ("w/", "w/o"):
            tags[i] = "IN"
        elif word in WEAR:
            tags[i] = "WEAR"
        elif word in STANDALONE and tags[i] == "DT":
            tags[i] = "ALONE"
        elif before in SUBJECTS and tag_before in ("PRP", "WP", "WDT") and tags[i] in ("NN", "NNS"):
            tags[i] = "VBZ"  # a boy who waves
        elif tags[i] == "VBD" and noun_follows and tag_before in ("DT", "JJ", "COLOR", "CD", "PRP$"):
            tags[i] = "VBN"  # a blue striped cup
        elif tag_before == "POS" and tags[i][:2] in ("RB", "VB") and not noun_follows:
            tags[i] = "NN"  # the man's back
        elif (
            tags[i] == "CD"
            and (before == "number" or (word.isdigit() and tag_before.startswith("NN")))
            and not noun_follows
        ):
            tags[i] = "NUM"
    return tags


def _windows(tokens: Sequence[Token]) -> Iterator[tuple[int, Sequence[Token]]]:
    """Pieces of at most MAX_TOKENS with the position each begins at, cut before a verb, preposition or sign."""
    begin = 0
    while begin < len(tokens):
        end = min(begin + MAX_TOKENS, len(tokens))
        if end < len(tokens):
            cuts = (
                i for i in range(end, begin, -1) if tokens[i].tag in ("IN", "SIGN", "TO", "MD", "VBZ", "VBP", "WEAR")
            )
            end = next(cuts, end)
        yield begin, tokens[begin:end]
        begin = end


@lru_cache(maxsize=1)
def _parser():
    from nltk import RegexpParser  # late: importing NLTK takes a third of a second

    return RegexpParser(GRAMMAR)
