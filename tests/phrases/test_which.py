"""Which of several things of a kind the words around a phrase mean."""

import pytest

from sspe.phrases.asked import ask
from sspe.phrases.chunker import extract_phrases
from sspe.phrases.number import Number
from sspe.phrases.which import which_of

# What is typed as a whole; the words that choose, what they mean, the rank from there; what is left to be looked for.
CHOSEN = {
    "the left lion": ("left", "left", 1, "the lion"),
    "The left person": ("left", "left", 1, "The person"),
    "the lion on the left.": ("on the left", "left", 1, "the lion"),
    "lion left": ("left", "left", 1, "lion"),
    "the far left dog": ("far left", "left", 1, "the dog"),
    "woman far left": ("far left", "left", 1, "woman"),
    "the leftmost chair": ("leftmost", "left", 1, "the chair"),
    "leftmost chair": ("leftmost", "left", 1, "chair"),
    "the right hot dog": ("right", "right", 1, "the hot dog"),
    "a man at the far right": ("at the far right", "right", 1, "a man"),
    "the dog to the left": ("to the left", "left", 1, "the dog"),
    "the dog that is on the left": ("on the left", "left", 1, "the dog"),
    "a man in a hat on the left": ("on the left", "left", 1, "a man in a hat"),
    "kid in the middle": ("in the middle", "middle", 1, "kid"),
    "the middle dog": ("middle", "middle", 1, "the dog"),
    "the dog in the center": ("in the center", "middle", 1, "the dog"),
    "the bird at the top": ("at the top", "top", 1, "the bird"),
    "the top shelf": ("top", "top", 1, "the shelf"),
    "the bottom left cup": ("bottom left", "bottom left", 1, "the cup"),
    "upper right bird": ("upper right", "top right", 1, "bird"),
    "the man in the top left corner": ("in the top left corner", "top left", 1, "the man"),
    "a dog on the left side of the picture runs": ("on the left side of the picture", "left", 1, "a dog"),
    "the biggest dog": ("biggest", "biggest", 1, "the dog"),
    "the smaller dog": ("smaller", "smallest", 1, "the dog"),
    "the tallest man": ("tallest", "tallest", 1, "the man"),
    "the highest kite": ("highest", "top", 1, "the kite"),
    "the second man from the left": ("second … from the left", "left", 2, "the man"),
    "man third from right": ("third from right", "right", 3, "man"),
    "the two men on the left": ("on the left", "left", 1, "the two men"),
    "the dog next to the bench": ("next to the bench", "near", 1, "the dog"),
    "the man sitting beside the woman": ("beside the woman", "near", 1, "the man"),
    "the cup in front of the laptop": ("in front of the laptop", "near", 1, "the cup"),
    "the man left of the tree": ("left of the tree", "left of", 1, "the man"),
    "the person to the right of the dog": ("to the right of the dog", "right of", 1, "the person"),
    "the cat under the table": ("under the table", "below", 1, "the cat"),
    "the biggest of the dogs": ("biggest", "biggest", 1, "dog"),
    "the smaller of the two dogs": ("smaller", "smallest", 1, "dog"),
    "leftmost of the cups": ("leftmost", "left", 1, "cup"),
    "the person who is furthest left": ("furthest left", "left", 1, "the person"),
    "the person furthest to the left": ("furthest to the left", "left", 1, "the person"),
    "the nearest boat": ("nearest", "biggest", 1, "the boat"),
    "the woman closest to the camera": ("closest to the camera", "biggest", 1, "the woman"),
}
NOT_CHOSEN = """
his left hand|the left foot|the left side of the road|a right turn|the woman left|the man on his left|the right one|
a top hat|a middle aged man|the middle eastern woman|A man on the left side of the road|a man on the right foot|
A man in the middle of the road|a man next to a car|the right way|the left half|two smaller boys|a dog|the largest|
the man on the left bench|middle school kids|☂
"""


@pytest.mark.parametrize("query", CHOSEN)
def test_words_that_choose(query):
    words, by, rank, rest = CHOSEN[query]
    which = which_of(query, 0, len(query))
    assert (which.words, which.rank) == (words, rank)
    assert which.by == ((by,) if which.other else tuple(by.split()))
    assert ask(query, 0, len(query)).text == rest


@pytest.mark.parametrize("query", NOT_CHOSEN.replace("\n", "").split("|"))
def test_words_that_choose_nothing(query):
    assert which_of(query, 0, len(query)) is None
    assert ask(query, 0, len(query)).text == query


def asked_in(sentence):
    phrases = extract_phrases(sentence, pronouns=False)
    return {phrase.text: ask(sentence, phrase.start, phrase.end) for phrase in phrases}


def test_words_around_a_phrase_of_a_sentence():
    found = asked_in("The man on the right is wearing a hat, and the dog is on the left.")
    assert {text: asked.which and asked.which.by for text, asked in found.items()} == {
        "The man": ("right",),
        "a hat": None,
        "the dog": ("left",),
    }
    assert "right" not in found["The man"].context.after  # what chose is read by nobody else
    assert "wearing a hat" in found["The man"].context.after


def test_words_before_a_phrase():
    for sentence in ("On the left, a dog", "On the left side of the photo, a dog runs.", "On the left is a dog."):
        asked = asked_in(sentence)["a dog"]
        assert asked.which.by == ("left",) and not asked.context.before.strip(" ,is")


def test_what_the_other_thing_is_called():
    found = asked_in("The dog next to the old bench")
    assert found["The dog"].which.other == "the old bench" and found["The dog"].text == "The dog"
    assert "bench" in found["The dog"].context.after  # as before: it is said of the dog
    assert found["the old bench"].which is None
    assert ask("the dogs next to the bench", 0, 8).which is None  # all of them


def test_how_many_and_which_together():
    asked = ask("the two men on the left", 0, 23)
    assert (asked.text, asked.number, asked.which.by) == ("the two men", Number(2, "man"), ("left",))
    one = ask("one of the dogs", 0, 15)
    assert (one.text, one.number) == ("dog", None)


@pytest.mark.parametrize(
    ("sentence", "phrase", "by", "text"),
    [
        ("Three black dogs run; the middle one is wet.", "the middle one", ("middle",), "the black dog"),
        ("Two men sit, and the one on the left laughs.", "the one", ("left",), "the man"),
        ("A woman with two cups: the bigger one is red.", "the bigger one", ("biggest",), "the cup"),
        ("Two dogs and a cat; the right one sleeps.", "the right one", ("right",), "the dog"),
    ],
)
def test_one_is_one_of_the_things_named_before(sentence, phrase, by, text):
    start = sentence.index(phrase)
    found = ask(sentence, start, start + len(phrase))
    assert (found.which.by, found.text, found.number) == (by, text, None)
    assert phrase not in found.context.before + found.context.after


@pytest.mark.parametrize(
    ("sentence", "phrase"),
    [
        ("the right one", "the right one"),
        ("A dog chases the right one.", "the right one"),
        ("Two dogs; the wet one.", "the wet one"),
        ("Two dogs, one asleep.", "one"),
    ],
)
def test_one_that_stands_for_nothing_or_has_no_place_is_read_as_it_is(sentence, phrase):
    start = sentence.index(phrase)
    found = ask(sentence, start, start + len(phrase))
    assert found.which is None and found.text == phrase
