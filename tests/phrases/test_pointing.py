import pytest

from sspe.phrases.chunker import extract_phrases


def texts(sentence, **options):
    return [phrase.text for phrase in extract_phrases(sentence, **options)]


@pytest.mark.parametrize(
    ("sentence", "place"),
    [
        ("a man on the left", "the left"),
        ("a man in the background", "the background"),
        ("a dog on the right hand side", "the right hand side"),
        ("a dog in front", "front"),
        ("a dog at the bottom of the picture", "the bottom of the picture"),
        ("is a dog in this photo", "this photo"),
        ('a sign that says "no parking"', "parking"),
    ],
)
def test_captions_bracket_places_and_quoted_words_which_no_box_shows(sentence, place):
    assert place in texts(sentence)
    assert place not in texts(sentence, pronouns=False)


@pytest.mark.parametrize(
    ("sentence", "thing"),
    [
        ("the left shoe", "the left shoe"),
        ("the bottom of the stairs", "the bottom of the stairs"),
        ("the front of the bus", "the front of the bus"),
        ("a woman wearing a top", "a top"),
        ("her top", "her top"),
        ("the picture on the wall", "the picture"),
        ("a man takes a photo", "a photo"),
        ('a "keep out" sign', 'a "keep out" sign'),
        ("a man reads a book", "a book"),
        ("a man holds a ball in his right hand", "his right hand"),
    ],
)
def test_things_that_look_like_places_or_words_stay(sentence, thing):
    assert thing in texts(sentence, pronouns=False)
