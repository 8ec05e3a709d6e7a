"""Phrases that a photo does not show, to measure what the model makes of them.

For each annotated phrase of a photo one is drawn from the annotated phrases of other photos. It counts as absent when
neither the noun it names nor a close synonym stands in any of the photo's captions. Five people may still all have left
a thing unsaid, so a few of these phrases are in the photo after all: a perfect measure of presence cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sspe.data.records import AnnotatedPhoto
from sspe.phrases.head import head_of
from sspe.text.context import Context
from sspe.text.words import words_of
from sspe.vision.detections import THINGS

SURE, UNSEEN = 0.6, 0.15  # scores of the detector from which a thing is there, and below which it is not

_SINGULARS = {"men": "man", "women": "woman", "children": "child", "people": "person", "feet": "foot"}


def singular(word: str) -> str:
    """A word without its plural ending, roughly: both sides of a comparison lose the same letters."""
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word.endswith("men"):  # policemen
        return word[:-3] + "man"
    if word.endswith(("ie", "ies")) and len(word) > 4:  # a hoodie, hoodies and ladies alike
        return word.removesuffix("s")[:-2] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "buses")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        return word[:-1]
    return word


# Words of one line are taken for the same thing: what one annotator writes where another writes the first of them.
_SYNONYMS = [
    frozenset(map(singular, line.split()))
    for line in """
man guy male gentleman dude fellow husband father dad grandfather bride groom
woman lady female girl wife mother mom grandmother bride
boy guy male son brother teenager
girl daughter sister teenager
child kid toddler baby infant boy girl youth teenager youngster son daughter
dog puppy animal canine pup
cat kitten animal
horse pony animal
bird animal duck seagull pigeon
cow bull cattle animal
shirt tshirt tee top blouse jersey sweater sweatshirt jacket coat hoodie vest uniform outfit clothing clothes
pants trousers jeans slacks shorts clothing clothes uniform outfit
dress gown skirt outfit clothing clothes costume robe
suit tuxedo jacket outfit clothing clothes uniform costume
hat cap helmet beanie headwear hood bandanna bandana turban
shoe sneaker boot sandal footwear cleat
glass sunglasses eyeglasses goggles spectacles
bag backpack purse handbag sack luggage suitcase pack
street road sidewalk pavement path road city town highway intersection lane alley
sidewalk pavement walkway path street
path trail track road
grass field lawn park yard meadow pasture grassland
field pitch court stadium park
forest wood tree jungle park
tree branch bush plant forest
flower plant bouquet blossom
water lake river sea ocean pond pool wave stream surf
beach sand shore coast ocean sea
snow ice mountain slope hill
mountain hill cliff rock slope
rock stone boulder cliff
car automobile vehicle taxi van truck
truck vehicle van car
bus vehicle
bike bicycle cycle bmx
motorcycle motorbike bike dirtbike scooter vehicle
boat ship canoe kayak raft vessel sailboat
train subway railway
building house structure skyscraper store shop
store shop market
table desk counter
chair seat bench stool couch sofa
couch sofa
stairs stair step staircase
wall fence
ball football basketball soccer baseball volleyball
bat stick racket racquet
food meal dish snack
drink beverage beer glass cup bottle coffee
cup mug glass
picture photo photograph image painting poster
sign billboard banner poster
camera photo photograph
phone cellphone telephone
book newspaper magazine paper
guitar instrument
drum instrument
instrument guitar drum violin saxophone trumpet accordion piano keyboard
microphone mic
air sky midair
sky cloud
hair hairstyle mohawk ponytail beard
face head
hand arm finger
leg foot knee
rope cord leash string line
game match sport competition race
room indoor house
restaurant cafe bar diner
kitchen restaurant
performance stage show concert
""".strip().split("\n")
]
# A person named by what they do may be any man, woman or child, and the other way round.
_PEOPLE = frozenset(
    """
    person human individual adult player worker performer musician singer dancer athlete rider skateboarder
    skater biker cyclist bicyclist surfer swimmer climber hiker runner jogger racer driver soldier officer policeman
    policewoman fireman fisherman businessman businesswoman workman
    police cop fireman firefighter chef cook vendor student teacher artist painter band crowd group couple pair family
    team friend onlooker spectator bystander audience pedestrian skier snowboarder wrestler boxer golfer
    batter pitcher catcher quarterback goalie opponent teammate member passenger customer shopper tourist speaker
    drummer guitarist photographer actor clown model elder senior someone one other youth crew fan cheerleader referee
    """.split()
)
_KINDS_OF_PEOPLE = frozenset("man woman boy girl child kid lady guy male female gentleman toddler baby infant".split())


@dataclass(frozen=True)
class AbsentPhrase:
    """A phrase of another photo, in the sentence it comes from."""

    text: str
    context: Context


def choose_absent(photos: Sequence[AnnotatedPhoto], seed: int = 0) -> dict[str, list[AbsentPhrase]]:
    """For each photo as many absent phrases as it has phrases with boxes; photo id -> phrases.

    The draw depends on the photos and the seed alone. A photo for which none is found in a thousand draws has fewer.
    """
    rng = np.random.default_rng(seed)
    pool = [
        (photo.id, AbsentPhrase(p.text, Context.of(s.text, p.start, p.end)))
        for photo in photos
        for s in photo.sentences
        for p in s.phrases
        if len(p.boxes)
    ]
    named = [_named(phrase.text) for _, phrase in pool]
    chosen: dict[str, list[AbsentPhrase]] = {}
    for photo in photos:
        mentioned = {singular(word) for s in photo.sentences for word in words_of(s.text)}
        wanted = sum(len(p.boxes) > 0 for s in photo.sentences for p in s.phrases)
        found: list[AbsentPhrase] = []
        for _ in range(1000 * wanted):
            if len(found) == wanted:
                break
            i = int(rng.integers(len(pool)))
            if pool[i][0] != photo.id and named[i] and not (named[i] & mentioned):
                found.append(pool[i][1])
        chosen[photo.id] = found
    return chosen


def choose_nouns(
    photos: Sequence[AnnotatedPhoto], detected: Callable[[AnnotatedPhoto], np.ndarray] | None = None, seed: int = 0
) -> dict[str, dict[str, bool]]:
    """Bare nouns to ask each photo for, and whether it shows such a thing; photo id -> noun -> bool.

    Up to two are heads of its annotated phrases. With ``detected``, which gives the best score (T,) of each of the
    detector's things in a photo, up to two more are things of which the detector is sure, and one is a thing that it
    does not see and no caption mentions: all eighty are looked for in every photo, so here absence is known. With more
    of these whoever asks for a thing that is there would be told too often that it is not.
    """
    rng = np.random.default_rng([seed, 1])
    chosen: dict[str, dict[str, bool]] = {}
    for photo in photos:
        heads = {head_of(p.text).lower() for s in photo.sentences for p in s.phrases if len(p.boxes)}
        asked = dict.fromkeys(rng.permutation(sorted(heads))[:2].tolist(), True)
        if detected is not None:
            best = detected(photo)
            mentioned = {singular(word) for s in photo.sentences for word in words_of(s.text)}
            unmentioned = [not (synonyms(thing.split()[-1]) | {thing.split()[-1]}) & mentioned for thing in THINGS]
            there, missing = np.flatnonzero(best >= SURE), np.flatnonzero((best < UNSEEN) & unmentioned)
            asked |= {THINGS[t]: True for t in rng.permutation(there)[:2]}
            asked |= {THINGS[t]: False for t in rng.permutation(missing)[:1] if THINGS[t] not in asked}
        chosen[photo.id] = asked
    return chosen


def _named(phrase: str) -> frozenset[str]:
    """The noun a phrase names and its close synonyms, singular: of "a group of dogs" those of "dog"."""
    noun = words_of(head_of(phrase))[-1:]
    return synonyms(singular(noun[0])) if noun else frozenset()


def synonyms(noun: str) -> frozenset[str]:
    """A singular noun and what captions say for the same thing."""
    found = {noun}
    for alike in _SYNONYMS:
        if noun in alike:
            found |= alike
    if noun in _PEOPLE:
        found |= _PEOPLE | _KINDS_OF_PEOPLE
    elif noun in _KINDS_OF_PEOPLE:
        found |= _PEOPLE
    return frozenset(found)
