"""How well `sspe.phrases.chunker` finds the phrases people bracketed: precision, recall and F1 over all captions.

exact   a found phrase counts if its characters are those of a gold phrase
head    a found phrase counts if its head noun is the head noun of a gold phrase, so "a dog" found in "a dog outside"
        counts. The gold names no heads: `sspe.phrases.head.head_span` finds those of both.

Gold phrases of chain "0" name nothing one could see ("it", "a break"). All figures are given twice: against every gold
phrase, and under "visual" against those of the other chains. There a found phrase that matches one of chain 0 is set
aside, neither right nor wrong; every other found phrase that matches no visual one still counts as wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sspe.data.records import NOT_VISUAL, AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.phrases.chunker import Phrase, extract_phrases
from sspe.phrases.head import head_span
from sspe.phrases.tokens import Span

Spans = Counter  # of (start, end) in characters; a Counter, as data of one's own may annotate a span twice


@dataclass
class _Tally:
    """Phrases found, gold phrases, and how many are both."""

    found: int = 0
    gold: int = 0
    right: int = 0

    def rates(self, name: str) -> dict[str, float]:
        """Fractions in 0..1, each 0 where there is nothing to divide by."""
        return {
            f"{name}_precision": self.right / max(1, self.found),
            f"{name}_recall": self.right / max(1, self.gold),
            f"{name}_f1": 2 * self.right / max(1, self.found + self.gold),
        }


def evaluate_phrases(photos: Iterable[AnnotatedPhoto]) -> dict:
    """Compare `extract_phrases` with the annotated phrases of all sentences of the photos.

    `sspe evaluate phrases` from Python.

    Returns counts `photos`, `captions`, `found`, `gold`; fractions in 0..1 `exact_precision`, `exact_recall`,
    `exact_f1`, `head_precision`, `head_recall`, `head_f1`, summed over captions; and under `visual` the same fractions
    and its `gold` without chain 0. A span is matched at most once.
    """
    tallies = {(scope, rule): _Tally() for scope in ("all", "visual") for rule in ("exact", "head")}
    photo_count = caption_count = 0
    for photo in photos:
        photo_count += 1
        for sentence in photo.sentences:
            caption_count += 1
            for rule, (found, visual, unseen) in _spans(sentence).items():
                _count(tallies["all", rule], found, visual + unseen)
                aside = (found - visual) & unseen
                _count(tallies["visual", rule], found - aside, visual)
    every, visual = tallies["all", "exact"], tallies["visual", "exact"]
    return {
        "photos": photo_count,
        "captions": caption_count,
        "found": every.found,
        "gold": every.gold,
        **every.rates("exact"),
        **tallies["all", "head"].rates("head"),
        "visual": {"gold": visual.gold, **visual.rates("exact"), **tallies["visual", "head"].rates("head")},
    }


def table(measured: dict) -> str:
    """The result of `evaluate_phrases` as lines of text, rates in per cent."""
    lines = [
        f"{measured['found']} phrases found in {measured['captions']} captions of {measured['photos']} photos",
        f"{'':32}{'precision':>10}{'recall':>10}{'F1':>10}",
    ]
    scopes = (
        (f"all {measured['gold']} phrases", measured),
        (f"{measured['visual']['gold']} without chain 0", measured["visual"]),
    )
    for title, figures in scopes:
        for rule in ("exact", "head"):
            rates = "".join(f"{100 * figures[f'{rule}_{rate}']:10.2f}" for rate in ("precision", "recall", "f1"))
            lines.append(f"{title + ', ' + rule:<32}{rates}")
    return "\n".join(lines)


def _count(tally: _Tally, found: Spans, gold: Spans) -> None:
    tally.found += found.total()
    tally.gold += gold.total()
    tally.right += (found & gold).total()


def _spans(sentence: AnnotatedSentence) -> dict[str, tuple[Spans, Spans, Spans]]:
    """By rule, the spans to compare: of found phrases, of visual gold phrases, and of those of chain 0."""
    exact = Counter(), Counter(), Counter()
    head = Counter(), Counter(), Counter()
    for phrase in extract_phrases(sentence.text):
        exact[0][phrase.start, phrase.end] += 1
        head[0][_head_span(phrase)] += 1
    for phrase in sentence.phrases:
        side = 2 if phrase.chain == NOT_VISUAL else 1
        exact[side][phrase.start, phrase.end] += 1
        head[side][_head_span(phrase)] += 1
    return {"exact": exact, "head": head}


def _head_span(phrase: Phrase | AnnotatedPhrase) -> Span:
    start, end = head_span(phrase.text)
    return phrase.start + start, phrase.start + end
