"""The head noun: what the answer shows and what the network reads are one word."""

import numpy as np
import pytest
import torch

from sspe.phrases.chunker import extract_phrases, phrases_at
from sspe.phrases.head import head_of
from sspe.text.mean import MeanEncoder
from sspe.text.words import WordVectors


@pytest.mark.parametrize(
    ("phrase", "head"),
    [
        ("a man", "man"),
        ("the woman's red shirt", "shirt"),
        ("the woman's old kitchen table", "table"),
        ("a rainbow colored hat", "hat"),
        ("a black and tan dog", "dog"),
        ("Average , everyday people", "people"),
        ("chocolate ice cream", "cream"),
        ("an off-road vehicle", "vehicle"),
        ("someone", "someone"),
        # after the noun comes what is said of the thing
        ("the man on the left", "man"),
        ("Two young boys in blue", "boys"),
        ("a man riding a bike", "man"),
        ("a dog catching a frisbee", "dog"),
        ("a girl who holds a cup", "girl"),
        ("a bench covered in snow", "bench"),
        ("a snow covered bench", "bench"),
        ("his mouth wide open", "mouth"),
        ("the raft full of people", "raft"),
        # "of": a mere quantity gives way to what it measures out
        ("a group of young people", "people"),
        ("a pair of jeans", "jeans"),
        ("a large body of water", "water"),
        ("a group of people riding bikes", "people"),
        ("two of the children", "children"),
        ("the edge of a lake", "edge"),
        ("the inside of a car", "inside"),
        ("a cup of coffee", "cup"),
        ("of the people", "people"),
        # several things
        ("boys and girls", "girls"),
        ("a man and a dog", "man"),
        # no noun
        ("the other", "other"),
        ("the", "the"),
        ("one brown", "brown"),
    ],
)
def test_head_noun(phrase, head):
    assert head_of(phrase) == head


@pytest.mark.parametrize("phrase", ["", " ", "...", "😀", "--", "\0", '"'])
def test_a_text_without_a_word_is_its_own_head(phrase):
    assert head_of(phrase) == phrase


def test_the_head_is_verbatim():
    assert head_of("THE RED HAT") == "HAT"
    assert head_of("a man’s T-Shirt!") == "T-Shirt"
    assert head_of("No. The red hat.") == "hat"  # the first sentence that names anything


def test_phrases_found_marked_and_read_by_the_network_have_one_head():
    sentence = "A group of people and a pair of jeans."
    found = extract_phrases(sentence)
    assert [phrase.head for phrase in found] == ["people", "jeans"]
    assert phrases_at(sentence, [(phrase.start, phrase.end) for phrase in found]) == found
    words = ("group", "people", "pair", "jeans", "man", "bike")
    encoder = MeanEncoder([WordVectors(words, np.eye(6, dtype=np.float32))], head=True)
    read = encoder.encode([*(phrase.text for phrase in found), "a man riding a bike"])[:, 6:]
    assert torch.equal(read.argmax(dim=1), torch.tensor([words.index(word) for word in ("people", "jeans", "man")]))


def test_a_text_of_ten_thousand_quantities():
    assert head_of("a group of " * 5_000 + "dogs in a park") == "dogs"
