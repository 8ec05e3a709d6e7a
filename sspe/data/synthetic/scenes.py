"""Made data: drawn scenes with captions and boxes, on disk in the format of Flickr30K Entities.

Training, evaluation and tests run on it anywhere, without a download. A caption names a thing so that only one thing of
its scene fits ("a red striped ball"), or several together ("two green fish"). The odd corners of the real data are
there too: phrases with several boxes, boxes of several phrases, scenes without a box, phrases that are not visual,
captions of another photo, and photos whose file has another size than the annotation's frame.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sspe.data.entities import PHOTO_FOLDERS, UNRELATED_FILE
from sspe.data.synthetic import drawing
from sspe.data.synthetic.drawing import COLOURS, GLYPHS, GROUNDS, HEIGHT, SKIES, TEXTURES, WIDTH
from sspe.errors import DataError
from sspe.files import cache_dir as default_cache_dir

logger = logging.getLogger(__name__)

VERSION = 1  # raise it when scenes or captions change, so that a cache folder of old ones is not taken
CAPTIONS = 5
RESIZED = 0.25  # share of photos stored at another size than the annotation's frame
UNRELATED = 0.02  # share of photos whose last caption describes another scene
CONTRAST = 95.0  # least distance of a thing's colour from ground and sky, RGB 0..255

TYPES = {
    **dict.fromkeys(("ball", "box", "triangle", "star", "ring"), "other"),
    **dict.fromkeys(("dog", "bird", "fish"), "animals"),
    **dict.fromkeys(("car", "bus", "boat"), "vehicles"),
    **dict.fromkeys(("drum", "guitar"), "instruments"),
    **dict.fromkeys(("man", "woman"), "people"),
}
PLURALS = {"box": "boxes", "bus": "buses", "fish": "fish"}  # others take an s
# What a person wears and has: words, type, box in units of the person's box (as drawn in GLYPHS).
WORN = {"man": ("shirt", (0, 0.25, 1, 0.62)), "woman": ("dress", (0, 0.27, 1, 0.76))}
HEADS = {"man": ("his head", (0.24, 0, 0.76, 0.23)), "woman": ("her head", (0.16, 0, 0.84, 0.34))}
PEOPLE = ("a couple", "two people")

TEMPLATES = (
    "{a} beside {b} on {ground} .",
    "{a} , {b} and {c} .",
    "{a} near {b} under {sky} .",
    "{b} and {a} on {ground} .",
    "{a} and {b} , with {c} not far from {it} .",
    "Here {it} is : {a} on {ground} .",
    "{a} next to {b} on {day} .",
    "{a} and {c} .",
    "{ground} with {a} and {b} on {it} .",
    "{people} on {ground} , {a} nearby .",
    "{a} , {head} up high , and {b} .",
)


@dataclass
class Thing:
    """One thing of a scene, or a row of equal things; boxes are x1, y1, x2, y2, whole pixels, half-open."""

    noun: str
    colour: str
    texture: str
    size: str  # "large", "small" or ""
    boxes: list[tuple[int, int, int, int]]
    chain: int = 0


@dataclass
class Scene:
    ground: str
    sky: str
    horizon: int
    things: list[Thing]
    chains: dict[int, list[tuple[int, int, int, int]]] = field(default_factory=dict)  # chain -> boxes, [] = scene
    captions: list[str] = field(default_factory=list)


def write_synthetic(root: str | Path, train: int = 600, val: int = 120, seed: int = 0) -> Path:
    """Draw so many scenes of each split into the folder `root`; returns it.

    The same numbers give the same bytes, and a scene does not depend on how many others are drawn. Takes about a
    fiftieth of a second a scene.
    """
    root = Path(root)
    if train < 0 or val < 0 or train + val == 0:
        raise DataError(f"Cannot draw {train} training and {val} validation scenes; give at least 0 of each, 1 in all.")
    for folder in ("Annotations", "Sentences", PHOTO_FOLDERS[0]):
        (root / folder).mkdir(parents=True, exist_ok=True)
    unrelated = ["# format: <imageID> <sentence number>"]
    for split, count, first in (("train", train, 1_000_000), ("val", val, 2_000_000)):
        ids = [str(first + i) for i in range(count)]
        for id in ids:
            if _write_scene(root, id, np.random.default_rng([seed, int(id)])):
                unrelated.append(f"{id} {CAPTIONS}")
        _write(root / f"{split}.txt", ids)
    _write(root / UNRELATED_FILE, unrelated)
    return root


def synthetic_root(cache_dir: str | Path | None = None, train: int = 600, val: int = 120, seed: int = 0) -> Path:
    """Folder with these scenes, drawn at the first call (about 15 seconds) and kept below `cache_dir`."""
    cache = default_cache_dir() if cache_dir is None else Path(cache_dir)
    root = cache / f"synthetic-v{VERSION}-{train}-{val}-{seed}"
    if root.is_dir():
        return root
    logger.info("drawing %d synthetic scenes into %s", train + val, root)
    cache.mkdir(parents=True, exist_ok=True)
    drawn = Path(tempfile.mkdtemp(dir=cache, prefix=".synthetic-"))
    try:
        write_synthetic(drawn, train, val, seed)
        drawn.chmod(0o755)  # mkdtemp makes private folders
        try:
            os.rename(drawn, root)
        except OSError:
            if not root.is_dir():  # otherwise another process was faster, and its scenes are the same
                raise
    finally:
        shutil.rmtree(drawn, ignore_errors=True)
    return root


def make_scene(rng: np.random.Generator) -> Scene:
    """Choose what is where, and five captions for it."""
    ground, sky = str(rng.choice(list(GROUNDS))), str(rng.choice(list(SKIES)))
    scene = Scene(ground, sky, horizon=int(rng.integers(58, 88)), things=[])
    backgrounds = np.array([GROUNDS[ground], SKIES[sky]], np.float32)
    colours = [c for c, rgb in COLOURS.items() if np.linalg.norm(backgrounds - rgb, axis=1).min() > CONTRAST]
    for _ in range(int(rng.integers(3, 6))):
        thing = _place_thing(scene, colours, rng)
        if thing is not None:
            scene.things.append(thing)
    scene.things.sort(key=lambda thing: max(box[3] for box in thing.boxes))  # nearer things are drawn over farther ones
    _caption(scene, rng)
    return scene


def draw_scene(scene: Scene, rng: np.random.Generator):
    """The scene as a PIL image of WIDTH x HEIGHT."""
    picture = drawing.draw_background(scene.ground, scene.sky, scene.horizon, rng)
    for thing in scene.things:
        for x1, y1, x2, y2 in thing.boxes:
            glyph = drawing.draw_glyph(thing.noun, thing.colour, thing.texture, x2 - x1, y2 - y1)
            drawing.paste(picture, glyph, x1, y1)
    return drawing.develop(picture, rng)


def _place_thing(scene: Scene, colours: list[str], rng: np.random.Generator) -> Thing | None:
    """Something new, clear of the things already there; None if no free place was found."""
    taken = {(thing.noun, thing.colour) for thing in scene.things}
    nouns = {thing.noun for thing in scene.things}
    others = [noun for noun in GLYPHS if noun not in nouns]
    # A second ball of another colour, now and then, so that the colour is needed; people are one each.
    again = [noun for noun in nouns if TYPES[noun] != "people"]
    noun = str(rng.choice(sorted(again) if again and rng.random() < 0.3 else others))
    free = [colour for colour in colours if (noun, colour) not in taken]
    colour, texture = str(rng.choice(free)), str(rng.choice(TEXTURES, p=(0.5, 0.25, 0.25)))
    person = TYPES[noun] == "people"
    count = 1 if person or rng.random() > 0.2 else int(rng.integers(2, 4))
    for _ in range(40):
        large = rng.random() < 0.5 and count == 1
        height = rng.uniform(92, 124) if person else rng.uniform(68, 94) if large else rng.uniform(40, 56)
        height /= np.sqrt(max(1.0, GLYPHS[noun].aspect))  # a car is as large as a ball, only longer
        if noun == "guitar":
            height *= 1.35
        h, w = round(height), round(height * GLYPHS[noun].aspect)
        step = w + int(rng.integers(3, 7))
        across = step * (count - 1) + w
        if across > WIDTH - 8:
            continue
        x = int(rng.integers(4, WIDTH - across - 3))
        bottom = int(rng.integers(max(h + 4, scene.horizon + 24), HEIGHT - 4))
        boxes = [(x + i * step, bottom - h, x + i * step + w, bottom) for i in range(count)]
        around = (boxes[0][0], boxes[0][1], boxes[-1][2], boxes[-1][3])
        if all(_clear(around, box) for thing in scene.things for box in thing.boxes):
            size = "" if person or count > 1 else "large" if large else "small"
            return Thing(noun, colour, texture, size, boxes)
    return None


def _clear(a: tuple[int, int, int, int], b: tuple[int, int, int, int], gap: int = 7) -> bool:
    return a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]


def _caption(scene: Scene, rng: np.random.Generator) -> None:
    """Number the things, then write five captions that name them; fills `chains` and `captions`."""
    for chain, thing in enumerate(scene.things, start=1):
        thing.chain = chain
        scene.chains[chain] = thing.boxes
    ground, sky, day, people = (len(scene.things) + i for i in range(1, 5))
    scene.chains[ground] = [(0, scene.horizon, WIDTH, HEIGHT)]
    scene.chains[sky] = [(0, 0, WIDTH, scene.horizon)]
    scene.chains[day] = []
    persons = [thing for thing in scene.things if TYPES[thing.noun] == "people"]
    if len(persons) == 2:
        scene.chains[people] = [thing.boxes[0] for thing in persons]
    words = {
        "ground": _bracket(ground, "scene", f"the {scene.ground}"),
        "sky": _bracket(sky, "scene", f"the {scene.sky} sky"),
        "day": _bracket(day, "scene", "a quiet day"),
        "it": _bracket(0, "notvisual", "it"),
    }
    number = people
    details = {}  # noun of a person -> chains of clothing and head
    for person in persons:
        details[person.noun] = (number + 1, number + 2)
        for chain, (_, part) in zip(details[person.noun], (WORN[person.noun], HEADS[person.noun]), strict=True):
            scene.chains[chain] = [_part(person.boxes[0], part)]
        number += 2

    fitting = [t for t in TEMPLATES if len(scene.things) > 2 or "{c}" not in t]
    fitting = [t for t in fitting if (len(persons) == 2 or "{people}" not in t) and (persons or "{head}" not in t)]
    for template in rng.choice(fitting, size=CAPTIONS, replace=False):
        things = [scene.things[i] for i in rng.permutation(len(scene.things))]
        if "{head}" in template:  # its head: the person must be the one just named
            person = persons[int(rng.integers(len(persons)))]
            things.remove(person)
            things.insert(0, person)
            words["head"] = _bracket(details[person.noun][1], "bodyparts/people", HEADS[person.noun][0])
        if "{people}" in template:
            things = [thing for thing in things if thing not in persons] or things
            words["people"] = _bracket(people, "people", str(rng.choice(PEOPLE)))
        named = {slot: _name(thing, scene, details, rng) for slot, thing in zip("abc", things, strict=False)}
        caption = template.format(**words, **named)
        scene.captions.append(_capital(caption))


def _name(thing: Thing, scene: Scene, details: dict[str, tuple[int, int]], rng: np.random.Generator) -> str:
    """Words, in brackets, that fit this thing alone; a person is told apart by what they wear."""
    texture = thing.texture if thing.texture != "plain" and rng.random() < 0.7 else ""
    if thing.noun in details:
        who = _bracket(thing.chain, "people", f"a {thing.noun}")
        if rng.random() < 0.25:
            return who
        worn = _phrase(thing.colour, texture, WORN[thing.noun][0])
        return f"{who} in {_bracket(details[thing.noun][0], 'clothing', worn)}"
    alone = sum(other.noun == thing.noun for other in scene.things) == 1
    colour = "" if alone and rng.random() < 0.2 else thing.colour
    if len(thing.boxes) > 1:
        count = {2: "two", 3: "three"}[len(thing.boxes)]
        plural = PLURALS.get(thing.noun, thing.noun + "s")
        words = " ".join(word for word in (count, colour, texture, plural) if word)
    else:
        words = _phrase(thing.size if rng.random() < 0.3 else "", colour, texture, thing.noun)
    return _bracket(thing.chain, TYPES[thing.noun], words)


def _phrase(*words: str) -> str:
    phrase = " ".join(word for word in words if word)
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _bracket(chain: int, types: str, words: str) -> str:
    return f"[/EN#{chain}/{types} {words}]"


def _capital(caption: str) -> str:
    """Capital letter for the first word, which may stand inside a bracket."""
    start = caption.index(" ") + 1 if caption.startswith("[") else 0
    return caption[:start] + caption[start].upper() + caption[start + 1 :]


def _part(box: tuple[int, int, int, int], part: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """The box of a part, given in units of its owner's box, in whole pixels."""
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    return round(x1 + part[0] * w), round(y1 + part[1] * h), round(x1 + part[2] * w), round(y1 + part[3] * h)


def _write_scene(root: Path, id: str, rng: np.random.Generator) -> bool:
    """Write photo, annotation and captions of one scene; True if the last caption belongs to another scene."""
    scene = make_scene(rng)
    photo = draw_scene(scene, rng)
    if rng.random() < RESIZED:  # each axis by its own factor, as photos that were squashed and set back
        photo = photo.resize((round(WIDTH * rng.uniform(0.9, 1.3)), round(HEIGHT * rng.uniform(0.9, 1.3))))
    photo.save(root / PHOTO_FOLDERS[0] / f"{id}.jpg", quality=90)
    first = int(id) * 100  # chains are numbered through the whole data set, as in the real one
    captions = [_numbered(caption, first) for caption in scene.captions]
    foreign = rng.random() < UNRELATED
    if foreign:
        captions[-1] = _numbered(make_scene(rng).captions[-1], first + 50)  # chains without a box here
    _write(root / "Sentences" / f"{id}.txt", captions)
    _write(root / "Annotations" / f"{id}.xml", _annotation(id, first, scene))
    return foreign


def _numbered(caption: str, first: int) -> str:
    """Chains of a scene, counted from 1, become `first` + chain; chain 0, not visual, stays."""
    return re.sub(r"/EN#([1-9]\d*)", lambda match: f"/EN#{first + int(match[1])}", caption)


def _annotation(id: str, first: int, scene: Scene) -> list[str]:
    """The XML, one line a string: an object a box, with the names of all chains that box belongs to."""
    owners: dict[tuple[int, int, int, int], list[int]] = {}
    for chain, boxes in scene.chains.items():
        for box in boxes:
            owners.setdefault(box, []).append(chain)
    lines = ["<annotation>", f"\t<filename>{id}.jpg</filename>", "\t<size>"]
    lines += [f"\t\t<width>{WIDTH}</width>", f"\t\t<height>{HEIGHT}</height>", "\t\t<depth>3</depth>", "\t</size>"]
    for (x1, y1, x2, y2), chains in owners.items():
        lines += ["\t<object>", *(f"\t\t<name>{first + chain}</name>" for chain in chains), "\t\t<bndbox>"]
        corners = (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2))  # 1-based, inclusive
        lines += [f"\t\t\t<{name}>{value}</{name}>" for name, value in corners]
        lines += ["\t\t</bndbox>", "\t</object>"]
    for chain in (chain for chain, boxes in scene.chains.items() if not boxes):
        lines += ["\t<object>", f"\t\t<name>{first + chain}</name>", "\t\t<scene>1</scene>"]
        lines += ["\t\t<nobndbox>1</nobndbox>", "\t</object>"]
    return [*lines, "</annotation>"]


def _write(file: Path, lines: list[str]) -> None:
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
