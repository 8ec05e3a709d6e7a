import pytest

from sspe.phrases.chunker import extract_phrases, phrases_at


def denied(sentence):
    return [phrase.text for phrase in extract_phrases(sentence, pronouns=False) if phrase.negated]


def affirmed(sentence):
    return [phrase.text for phrase in extract_phrases(sentence, pronouns=False) if not phrase.negated]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("A man with no hat.", ["hat"]),
        ("A man without a red hat rides a horse.", ["a red hat"]),
        ("There isn’t a dog.", ["a dog"]),  # a typographic apostrophe
        ("The boy is not wearing a helmet or gloves.", ["a helmet", "gloves"]),
        ("no dogs, cats or birds", ["dogs", "cats", "birds"]),
        ("a boy without shoes and socks", ["shoes", "socks"]),
        ("neither a dog nor a cat", ["a dog", "a cat"]),
        ("none of the cats", ["the cats"]),
    ],
)
def test_what_a_sentence_denies_is_named_without_the_denial(sentence, expected):
    assert denied(sentence) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "a cup that is not on the table",  # there is a table
        "not only a dog",
        "no, the dog",
        "Isn't the dog in the street?",
        "a no smoking sign",
        "a man without doubt in the street",
        "not a cat but a dog",
        "a man with no hat and a red shirt",
    ],
)
def test_what_a_sentence_does_not_deny(sentence):
    nouns = [text.split()[-1] for text in affirmed(sentence)]
    assert set(nouns) & {"table", "dog", "sign", "street", "shirt"}


def test_a_denial_ends_with_its_sentence():
    assert denied("He has no hat. A dog barks.") == ["hat"]


def test_phrases_that_someone_marked_are_denied_as_the_sentence_denies_them():
    man, hat = phrases_at("a man without a hat", [(0, 5), (14, 19)])
    assert (man.text, man.negated, hat.text, hat.negated) == ("a man", False, "a hat", True)


def test_endless_denials_take_no_longer():
    assert len(denied("no dog, " * 3000)) == 3000
