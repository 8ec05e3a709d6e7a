"""Which of the detector's things a phrase names, and that the list names nothing else."""

from pathlib import Path

import numpy as np
import pytest

import sspe.phrases
from sspe.phrases.naming import bare_names, things_named
from sspe.vision.detections import THINGS

LIST = Path(sspe.phrases.__file__).parent / "things.tsv"


def named(phrase: str) -> list[str]:
    return [THINGS[i] for i in np.flatnonzero(things_named([phrase])[0])]


@pytest.mark.parametrize(
    ("phrase", "things"),
    [
        ("a cup", ["cup"]),
        ("My Old Mugs", ["cup"]),
        ("the lady with a purse", ["person"]),
        ("a group of people", ["person"]),
        ("three wine glasses", ["wine glass"]),
        ("a glass", ["wine glass", "cup"]),
        ("knives", ["knife"]),
        ("puppies", ["dog"]),
        ("benches", ["bench"]),
        ("policemen", ["person"]),
        ("two geese", ["bird"]),
        ("magpies", ["bird"]),
        ("metal poles", []),  # no politicians ("pols")
        ("cloudy skies", []),  # no skis
        ("a hot dog", ["hot dog"]),
        ("a dog", ["dog"]),
        ("a dog's head", []),
        ("a teddy bear", ["teddy bear"]),
        ("the bike", ["bicycle", "motorcycle"]),
        ("a lake", []),
        ("a saucer", []),
        ("a tiger", []),
        ("", []),
        ("!!", []),
        ("a dog " * 100, []),
    ],
)
def test_a_phrase_names_what_its_head_noun_names(phrase, things):
    assert named(phrase) == things


def test_every_thing_is_named_by_its_own_name():
    assert [named(thing) for thing in THINGS] == [[thing] for thing in THINGS]
    assert things_named([]).shape == (0, len(THINGS))


def test_the_list_is_sorted_and_names_things_alone():
    lines = [line.split("\t") for line in LIST.read_text("utf-8").splitlines()]
    nouns = [noun for noun, _ in lines]
    assert nouns == sorted(set(nouns)) and len(nouns) > 10_000
    assert {thing for _, things in lines for thing in things.split(",")} == set(THINGS)


def test_bare_names():
    bare = ["a cup", "cup", "The Mug", "my sofa", "person", "people", "a teddy bear"]
    others = ["a red cup", "cups", "two dogs", "a man", "the bike", "a lake", "", "the", "a cup of coffee"]
    assert bare_names([*bare, *others]).tolist() == [True] * len(bare) + [False] * len(others)
