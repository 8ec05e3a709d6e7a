import random
import time

import pytest

from sspe.errors import SspeError
from sspe.phrases.chunker import GRAMMAR, Phrase, extract_phrases, phrases_at
from sspe.phrases.tokens import MAX_WORDS, tokenize


def texts(sentence, **options):
    return [phrase.text for phrase in extract_phrases(sentence, **options)]


def check_spans(sentence):
    """Every phrase is verbatim, ascending, free of blanks at its ends, and holds its head."""
    last = 0
    phrases = extract_phrases(sentence)
    for phrase in phrases:
        assert sentence[phrase.start : phrase.end] == phrase.text
        assert last <= phrase.start < phrase.end
        assert phrase.text == phrase.text.strip()
        assert phrase.head and phrase.head in phrase.text
        last = phrase.end
    return phrases


def test_a_phrase_has_text_place_and_head():
    assert extract_phrases("A man in an orange hat.") == [
        Phrase("A man", 0, 5, "man"),
        Phrase("an orange hat", 9, 22, "hat"),
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        # whole sentences, spaced as people write
        ("A cat leaps over the fence.", ["A cat", "the fence"]),
        ("Two cyclists race down a steep, muddy hill.", ["Two cyclists", "a steep, muddy hill"]),
        ("He wears a black and white shirt and blue jeans.", ["He", "a black and white shirt", "blue jeans"]),
        ("A teddy bear, a toy truck and three balloons.", ["A teddy bear", "a toy truck", "three balloons"]),
        ("The other two are watching while another is painting.", ["The other two", "another"]),
        ("A mother and her child look at each other.", ["A mother", "her child", "each other"]),
        ("A bird sits on Mr. Brown's roof. It sings.", ["A bird", "Mr. Brown's roof", "It"]),
        ("a girl smiling at the tall waiter", ["a girl", "the tall waiter"]),
        ("One white goat and one mostly black goat stand side by side.", ["One white goat", "one mostly black goat"]),
        ("A baker in white and a nurse in blue and green.", ["A baker", "white", "a nurse", "blue and green"]),
        ("a boy who waves and a blue striped cup", ["a boy", "who", "a blue striped cup"]),
        ("A snow covered bench stands in front of the shop.", ["A snow covered bench", "the shop"]),
        # "of" belongs to the phrase, other prepositions and clauses do not
        ("The side of the road is covered in snow.", ["The side of the road", "snow"]),
        ("a group of people next to a body of water", ["a group of people", "a body of water"]),
        ("There is a dog that sleeps on top of a car.", ["There", "a dog", "that", "a car"]),
        # possessors
        ("A man's hat lies on the old woman's kitchen table.", ["A man's hat", "the old woman's kitchen table"]),
        ("the boys' bicycles", ["the boys' bicycles"]),
        # spaced as in annotated captions
        ("a man 's hat , two dogs and the sea .", ["a man 's hat", "two dogs", "the sea"]),
        # what is typed into a search box
        ("orange hat", ["orange hat"]),
        ("the red car on the left", ["the red car", "the left"]),
        ("smiling girl", ["smiling girl"]),
        ("wearing glasses", ["glasses"]),
        ("dog", ["dog"]),
        ("red", ["red"]),
        ("the tallest", ["the tallest"]),
        ("Where is the blue umbrella?", ["the blue umbrella"]),
        ("Find a cup of coffee.", ["a cup of coffee"]),
        ("MAN IN A RED HAT", ["MAN", "A RED HAT"]),
        ("player number 5 kicks the ball", ["player number 5", "the ball"]),
    ],
)
def test_phrases_of(sentence, expected):
    check_spans(sentence)
    assert texts(sentence) == expected


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("", []),
        (" \t\n ", []),
        ("...", []),
        ("?!", []),
        ("🙂 👩‍👩‍👧 🐶", []),
        ("\x00\x1b\u200b\u202e", []),
        ("Running.", []),
        ("standing", []),
        ("running fast", []),
        ("A man’s hat", ["A man’s hat"]),
        ("A “keep out” sign on the gate", ["A “keep out” sign", "the gate"]),
        ('A "keep out" sign on the gate', ['A "keep out" sign', "the gate"]),
        ("``a dog'' and ''a cat``", ["a dog", "a cat"]),
        ("a\nred\t hat\r\nand  a\u00a0dog", ["a\nred\t hat", "a\u00a0dog"]),
        ("a dog 🐶 and a cat", ["a dog", "a cat"]),
        ("一只狗", ["一只狗"]),
        ("رجل", ["رجل"]),
    ],
)
def test_odd_input(sentence, expected):
    check_spans(sentence)
    assert texts(sentence) == expected


def test_lone_surrogates_do_not_fail():
    assert [phrase.text for phrase in check_spans("a dog \ud800 and \udfff a cat")] == ["a dog", "a cat"]


def test_a_blank_line_ends_a_sentence_and_a_line_break_does_not():
    assert texts("a stone\nwall") == ["a stone\nwall"]
    assert texts("a stone\n\nwall") == ["a stone", "wall"]


def test_spans_index_the_original_whatever_the_characters():
    rng = random.Random(0)
    pieces = [
        "a",
        "man",
        "the",
        "red",
        "hat",
        "of",
        "'s",
        ",",
        "and",
        "very",
        '"',
        "'",
        "``",
        "''",
        "(",
        ")",
        ".",
        "!",
        "...",
        "don't",
        "cannot",
        "gonna",
        "—",
        "“stop”",
        "‘x’",
        "’",
        "\u200d",
        "5",
        "3,4",
        "$",
        "\x00",
        "\x1c",
        "\x85",
        "\u2028",
        "é",
        "漢字",
        "مرحبا",
        "w/",
        "U.S.",
        "snow-covered",
        "'tis",
        "🐶",
        "more'n",
        "\ud800",
    ]
    gaps = ("", " ", " ", " ", "\n", "\t", "  ", "\n\n", "\u00a0")
    for _ in range(1000):
        check_spans("".join(rng.choice(pieces) + rng.choice(gaps) for _ in range(rng.randrange(25))))
    for _ in range(500):
        tops = (0x7F, 0x3000, 0x110000)
        check_spans("".join(chr(rng.randrange(rng.choice(tops))) for _ in range(rng.randrange(50))))


def test_tokens_keep_every_character_but_blanks():
    text = "She can't \"see\" the dogs' ``toys'' (3 of them)…\n“No,” he said.  A U.S. flag!"
    tokens = [text[start:end] for sentence in tokenize(text) for start, end in sentence]
    assert "".join(tokens) == "".join(text.split())
    assert {"ca", "n't", '"', "dogs", "'", "(", "U.S.", "!"} <= set(tokens)
    assert len(tokenize(text)) == 3


def test_long_sentences_stay_whole():
    assert [len(sentence) for sentence in tokenize("the dog, " * MAX_WORDS)] == [3 * MAX_WORDS]


@pytest.mark.parametrize(
    "text",
    [
        "A man in a red hat sits on a chair and " * 1000,
        "dog " * 10_000,
        "very tall , " * 3_300,
        "man 's " * 5_000,
        'a " ' * 5_000,
        "x" * 1_000_000,
        " " * 1_000_000 + "a dog",
        "(" * 10_000,
    ],
    ids=["sentence", "nouns", "adjectives", "possessives", "quotes", "one word", "blanks", "signs"],
)
def test_ten_thousand_words_take_a_second_or_two(text):
    extract_phrases("a dog")  # NLTK and the weights are loaded once
    began = time.process_time()  # of this process alone, however busy the machine
    phrases = check_spans(text)
    assert time.process_time() - began < 5  # 0.1 to 0.7 s on an idle core
    assert isinstance(phrases, list)


def test_a_long_sentence_gives_the_phrases_of_its_parts():
    part = "A man in a red hat sits on a chair and "
    found = extract_phrases(part * 300)
    assert [phrase.text for phrase in found] == ["A man", "a red hat", "a chair"] * 300
    assert found[-1].start == 299 * len(part) + part.index("a chair")


def test_phrases_that_only_point_can_be_left_out():
    sentence = "There is a boy who waves at us while another holds his kite."
    assert texts(sentence) == ["There", "a boy", "who", "us", "another", "his kite"]
    assert texts(sentence, pronouns=False) == ["a boy", "his kite"]


def test_the_grammar_is_nltk_s_and_works_on_tags_alone():
    from nltk import RegexpParser

    tree = RegexpParser(GRAMMAR).parse([("x", "DT"), ("y", "NN"), ("z", "OF"), ("v", "NNS"), ("w", "VBZ")])
    assert [len(node) if hasattr(node, "label") else None for node in tree] == [3, None]


def test_phrases_that_someone_marked():
    sentence = "A man 👒 in a  red hat."
    start = sentence.index("a  red")
    found = phrases_at(sentence, [[start - 1, start + 10], (0, 5)])  # any order; white space at the ends left out
    assert found == [Phrase("a  red hat", start, start + 10, "hat"), Phrase("A man", 0, 5, "man")]
    assert phrases_at(sentence, []) == []
    assert phrases_at("red", [(0, 3)]) == [Phrase("red", 0, 3, "red")]


@pytest.mark.parametrize(
    ("span", "message"),
    [
        ((0, 24), "No word stands at 0 to 24 of the sentence, which has 10 characters"),
        ((-3, 3), "No word stands at -3 to 3"),
        ((3, 3), "No word stands at 3 to 3"),
        ((5, 2), "No word stands at 5 to 2"),
        ((9, 10), "No word stands at 9 to 10"),
        ((0, 1.0), "two whole numbers"),
        ((True, 5), "two whole numbers"),
        ((0, 1, 2), "two whole numbers"),
        ("05", "two whole numbers"),
        (None, "two whole numbers"),
    ],
)
def test_spans_that_hold_no_phrase(span, message):
    with pytest.raises(SspeError, match=message):
        phrases_at("A red hat.", [span])
