"""Absent phrases: never what a caption of the photo names, in whatever number or word, and the same at every draw."""

from pathlib import Path

import numpy as np
import pytest

from sspe.data import open_dataset
from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence
from sspe.evaluation import absent
from sspe.evaluation.absent import choose_absent, choose_nouns, singular, synonyms
from sspe.text.context import Context
from sspe.vision.detections import THINGS


def photo(id: str, *sentences: tuple[str, list[str]], boxes: bool = True) -> AnnotatedPhoto:
    """A photo with sentences given as (text, phrases)."""
    made = []
    for number, (text, phrases) in enumerate(sentences):
        places = [(p, text.index(p)) for p in phrases]
        box = [[0, 0, 5, 5]] if boxes else []
        said = tuple(AnnotatedPhrase(p, start, start + len(p), box) for p, start in places)
        made.append(AnnotatedSentence(text, said, number))
    return AnnotatedPhoto(id, Path(f"{id}.jpg"), 10, 10, tuple(made))


def drawn(phrase: str, caption: str) -> bool:
    """Whether ``phrase``, of another photo, is taken for absent from a photo of this caption."""
    other = photo("1", (f"Look : {phrase} .", [phrase]))
    asked = photo("2", (f"{caption} zyx", ["zyx"]))
    found = choose_absent([other, asked])["2"]
    assert found in ([], [absent.AbsentPhrase(phrase, Context("Look : ", " ."))])
    return bool(found)


@pytest.mark.parametrize(
    ("phrase", "caption"),
    [
        ("a dog", "A dog runs ."),
        ("A DOG", "the Dog's tail"),
        ("a dog", "Two dogs run ."),
        ("three dogs", "A dog runs ."),
        ("a big brown dog", "A small dog runs ."),
        ("the dog on the left", "A dog runs ."),
        ("a group of dogs", "A dog runs ."),
        ("a pair of glasses", "A glass stands there ."),
        ("a dog", "A puppy runs ."),
        ("a shirt", "He has a jersey ."),
        ("women", "A lady waits ."),
        ("ladies", "The woman waits ."),
        ("children", "A toddler waits ."),
        ("a man", "A person waits ."),
        ("people", "A man waits ."),
        ("a player", "Two boys run ."),
        ("a man", "The singer waits ."),
        ("the crowd", "A woman waits ."),
        ("benches", "A bench is there ."),
        ("a box", "Many boxes are there ."),
        ("the bus", "A bus comes ."),
    ],
)
def test_what_a_caption_names_is_not_absent(phrase, caption):
    assert not drawn(phrase, caption)


@pytest.mark.parametrize(
    ("phrase", "caption"),
    [
        ("a dog", "A cat sits ."),
        ("a group of dogs", "A cat sits ."),
        ("a man", "A woman waits ."),
        ("a girl", "A man waits ."),
        ("the man on the horse", "A horse stands there ."),  # it names the man
        ("a hat", "A man in shoes"),
        ("dogs", "A hotdog stand"),  # whole words
        ("zebra", "A man in shoes"),
    ],
)
def test_what_no_caption_names_is(phrase, caption):
    assert drawn(phrase, caption)


@pytest.mark.parametrize(
    ("phrase", "caption"),
    [
        ("two buses", "A bus comes ."),
        ("policemen", "A policeman waits ."),
        ("firemen", "A man waits ."),
        ("a hoodie", "Two hoodies hang there ."),
    ],
)
def test_other_plurals(phrase, caption):
    assert not drawn(phrase, caption)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dogs", "dog"), ("dog", "dog"), ("men", "man"), ("women", "woman"), ("children", "child"), ("feet", "foot"),
        ("ladies", "lady"), ("ties", "tie"), ("boxes", "box"), ("benches", "bench"), ("brushes", "brush"),
        ("glasses", "glass"), ("glass", "glass"), ("dress", "dress"), ("bus", "bus"), ("tennis", "tennis"),
        ("gas", "gas"), ("horses", "horse"),
    ],
)  # fmt: skip
def test_singular(word, expected):
    assert singular(word) == expected


def test_synonyms_hold_both_ways():
    words = {"dog", "man", "guy", "woman", "person", "player", "child", "boy", "shirt", "pant", "glass", "cup", "zebra"}
    words |= {word for first in words for word in synonyms(first)}
    for word in words:
        assert word in synonyms(word)
        assert all(word in synonyms(other) for other in synonyms(word)), word


def test_as_many_as_the_photo_has_phrases_with_boxes():
    things = "dog car tree hat ball kite drum boat lamp tent".split()
    photos = [
        photo(str(n), *[(f"A {a} and a {b} .", [f"A {a}", f"a {b}"])] * (n % 3))
        for n, (a, b) in enumerate(zip(things, things[1:] + things[:1], strict=True))
    ]
    photos.append(photo("unboxed", ("A house .", ["A house"]), boxes=False))
    chosen = choose_absent(photos)
    assert {id: len(phrases) for id, phrases in chosen.items()} == {str(n): 2 * (n % 3) for n in range(10)} | {
        "unboxed": 0
    }
    assert not any("house" in phrase.text for phrases in chosen.values() for phrase in phrases)  # it has no box
    assert len({phrase.text for phrases in chosen.values() for phrase in phrases}) > 3


def test_where_nothing_is_absent_there_are_fewer():
    same = [photo(str(n), ("A dog runs .", ["A dog"])) for n in range(3)]
    assert choose_absent(same) == {"0": [], "1": [], "2": []}
    assert choose_absent(same[:1]) == {"0": []}
    assert choose_absent([]) == {}


def test_a_phrase_that_names_nothing_is_never_drawn():
    photos = [photo("1", ("... and -- a dog", ["...", "--"])), photo("2", ("A cat", ["A cat"]))]
    assert choose_absent(photos)["2"] == []


def test_the_seed_decides_the_draw(scenes):
    photos = open_dataset(scenes, "val")
    assert choose_absent(photos) == choose_absent(photos, seed=0)
    assert choose_absent(photos) != choose_absent(photos, seed=1)


def test_on_drawn_scenes_against_their_nouns(scenes):
    """What is drawn for a photo comes whole from another photo's sentence, and its noun stands in no caption here."""
    from sspe.data.synthetic.scenes import PLURALS, TYPES

    forms = {noun: {noun, PLURALS.get(noun, f"{noun}s")} - {"buses"} for noun in TYPES}
    photos = open_dataset(scenes, "val")
    chosen = choose_absent(photos)
    checked = 0
    for shown in photos:
        own = {s.text for s in shown.sentences}
        others = {s.text for other in photos if other.id != shown.id for s in other.sentences}
        said = set(" ".join(own).lower().split())
        for phrase in chosen[shown.id]:
            sentence = phrase.context.before + phrase.text + phrase.context.after
            assert sentence in others and sentence not in own
            for words in forms.values():
                if words & set(phrase.text.lower().split()) - {"buses"}:
                    assert not words & said, (phrase.text, shown.id)
                    checked += 1
    wanted = sum(len(p.boxes) > 0 for shown in photos for s in shown.sentences for p in s.phrases)
    assert sum(map(len, chosen.values())) == wanted and checked > 50


def test_bare_nouns_to_ask_for():
    """Heads that the captions name, things that the detector is sure of, and things that it and the captions lack."""
    asked = photo("1", ("A puppy chews a red shoe by the couch .", ["A puppy", "a red shoe"]))
    best = np.full(len(THINGS), 0.1)
    best[THINGS.index("couch")], best[THINGS.index("cup")] = 0.9, 0.4
    nouns = choose_nouns([asked], lambda photo: best)["1"]
    assert {noun for noun, there in nouns.items() if there} == {"puppy", "shoe", "couch"}
    missing = {noun for noun, there in nouns.items() if not there}
    assert len(missing) == 1 and missing <= set(THINGS) - {"dog", "couch", "cup"}
    assert nouns == choose_nouns([asked], lambda photo: best)["1"]
    assert set(choose_nouns([asked])["1"]) == {"puppy", "shoe"}
