"""Sentence -> noun phrases with their places: tokenise, tag, chunk, all with NLTK.

    extract_phrases("A man in an orange hat.")
    # [Phrase("A man", 0, 5, head="man"), Phrase("an orange hat", 9, 22, head="hat")]

A phrase is what the captions of Flickr30K Entities put in brackets: a noun with everything before it, a possessor
("a man's hat") and what follows with "of" ("a group of people", "the side of the road"), but not "in", "with" or a
relative clause. Captions' brackets also hold what no box can show: pronouns, "there", places without a thing ("the
left", "the background"), the photo itself ("in this picture"), what a sign says. `pronouns=False` leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sspe.errors import SspeError
from sspe.phrases.head import head_of
from sspe.phrases.negation import denied
from sspe.phrases.pointing import pointing
from sspe.phrases.queries import description_in
from sspe.phrases.tagger import tagged_tokens
from sspe.phrases.tokens import Token


@dataclass(frozen=True)
class Phrase:
    """A noun phrase of a sentence.

    text: the words, verbatim: `sentence[start:end]`.
    start, end: offsets into the sentence, in characters, `end` exclusive.
    head: its head noun, verbatim ("hat" of "an orange hat").
    negated: the sentence denies it: "no hat", "without a helmet". The text is the thing alone, "hat", "a helmet".
    """

    text: str
    start: int
    end: int
    head: str
    negated: bool = False


MAX_CHARACTERS = 5_000  # of a sentence, for those who check: a second's work where it is the worst that one can write
MAX_TOKENS = 100  # chunked at once; longer sentences are cut where no phrase can run across

_NO_THINGS = frozenset("am are be do does go has have help is open see show start stop try".split())

# The tags are those of `sspe.phrases.tagger.tagged_tokens`.
_DETERMINER = r"<DT|ALONE|PRP\$>"
_ADJECTIVE = r"<RB.*>*<JJ.*|VBN|COLOR>"  # very tall, snow-covered, striped, red
_ATTRIBUTE = r"<RB.*>*<JJ.*|VBN|VBG|COLOR>"  # the same or "smiling", where a determiner shows that it is no verb
_ADJECTIVES = rf"{_ADJECTIVE}(<,>?<CC>?{_ADJECTIVE})*"  # black and white; tall, thin
_ATTRIBUTES = rf"{_ATTRIBUTE}(<,>?<CC>?{_ATTRIBUTE})*"
_NOUNS = rf"<NN.*>+(({_ADJECTIVES}|<COVERED>)<NN.*>+)*<NUM>*"  # dog; tennis ball; rainbow colored hat; player 5
_QUOTED = r"<QUOTE><[^QS,].*>{1,5}<QUOTE>"  # up to five words in quotation marks

GRAMMAR = rf"""
  NP:
    {{<PDT>?{_DETERMINER}<CD>*({_ATTRIBUTES})?<CD>*<RB>?{_NOUNS}}}   # the two very tall men
    {{{_DETERMINER}({_ATTRIBUTES})?{_QUOTED}{_NOUNS}}}               # a red "keep out" sign
    {{<NNT>{_ADJECTIVES}}}                                           # something red
    {{<CD>+({_ATTRIBUTES})?{_NOUNS}}}                                # two smiling girls
    {{{_ADJECTIVES}{_NOUNS}}}                                        # blue jeans
    {{{_NOUNS}}}                                                     # water
    {{{_DETERMINER}<CD|COLOR|JJ.*>+}}                                # the other two; the blond
    {{<ALONE|PRP\$>}}                                                # another (smiles)
    {{<EX|PRP|WP|WDT>}}                                              # there; him; who; which
    <WEAR|IN>{{<COLOR>(<,>?<CC>?<COLOR>)*}}                          # (in) black and white
    {{<CD>}}                                                         # two (of them)
  NP:
    {{<NP>(<POS><NP>){{1,4}}}}                                             # a man's hat; my friend's dog's collar
  NP:
    {{<NP>(<OF><NP>)+}}                                              # the side of a body of water
"""


def extract_phrases(sentence: str, pronouns: bool = True) -> list[Phrase]:
    """The noun phrases of a sentence, or of several, in their order; they do not overlap.

    What is no part of a description, such as "Can you find ...?" or "a photo of", gives none (`sspe.phrases.queries`).

    pronouns: keep phrases that only point ("him", "there", "who", "this", "the left") and quoted words.

    Never fails; a text without a noun phrase gives []. Takes about 0.5 ms for a sentence of 12 words.
    """
    phrases = []
    for tokens in tagged_tokens(description_in(sentence)):
        found = find_phrases(tokens)
        for (first, end), negated, points in zip(found, denied(tokens, found), pointing(tokens, found), strict=True):
            if points and not pronouns:
                continue
            start, stop = tokens[first].start, tokens[end - 1].end
            text = sentence[start:stop]
            phrases.append(Phrase(text, start, stop, head_of(text), negated))
    return phrases


def check_length(sentence: str) -> None:
    """Raise SspeError for a sentence of more than MAX_CHARACTERS, which would keep a program busy for minutes."""
    if len(sentence) > MAX_CHARACTERS:
        raise SspeError(
            f"The sentence has {len(sentence):,} characters and the limit is {MAX_CHARACTERS:,}; give it in parts."
        )


def phrases_at(sentence: str, spans: Sequence[Sequence[int]]) -> list[Phrase]:
    """The phrases that someone marked in a sentence, in the order given; white space at their ends is left out.

    Args:
        spans: (start, end) of each in characters of the sentence, `end` exclusive.

    Raises:
        SspeError: a span is no pair of whole numbers, leaves the sentence, or holds no word.
    """
    phrases = []
    found = extract_phrases(sentence)  # they know what the sentence denies
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
        end = start + len(text)
        negated = any(phrase.negated and phrase.start < end and start < phrase.end for phrase in found)
        phrases.append(Phrase(text, start, end, head_of(text), negated))
    return phrases


def find_phrases(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """Noun phrases among the tokens of one sentence, as ranges of tokens (first, last + 1)."""
    from nltk import Tree

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
    # And a bare "watch" is a thing, not what one does.
    verb = len(tokens) == 1 and tokens[0].tag in ("VB", "VBP", "VBZ") and tokens[0].word.lower() not in _NO_THINGS
    if not found and (verb or (named and not tokens[0].word.lower().endswith("ing"))):
        found.append((0, len(tokens)))
    return found


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
