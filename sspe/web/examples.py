"""The example photos and their sentences; where each photo comes from is in assets/LICENSES.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Example:
    """A photo file and a sentence about it; ``badge`` and ``note`` say in short and in full what is odd about it."""

    photo: Path
    sentence: str
    badge: str = ""
    note: str = ""


_EXAMPLES = (
    ("photographer.jpg", "A man in a black coat looks through a camera on a tripod in front of tall buildings."),
    ("coffee.jpg", "A white cup of coffee on a red plate."),
    ("cat.jpg", "A ginger cat with large green eyes and white whiskers."),
    ("officer.jpg", "A woman with glasses wears a black hat and a dark uniform."),
    ("astronaut.jpg", "An astronaut in an orange suit smiles in front of a rocket."),
    ("flower.jpg", "An orange flower blooms before green leaves."),
    ("stairs.jpg", "A man with a backpack climbs metal stairs."),
    (
        "temple.jpg",
        "A temple with green roofs stands beside a lake while a man rides a bicycle.",
        "Not there",
        "The photo shows neither a man nor a bicycle: both get a box, as every phrase does, and both turn grey.",
    ),
    (
        "raccoon.jpg",
        "A raccoon turns its left ear, its right ear and its black nose towards us.",
        "Fails",
        "It fails here: both ears are found at the nose; body parts are its weakest type of phrase.",
    ),
    (
        "launchpad.jpg",
        "A tall rocket stands between two towers under a dark sky.",
        "Fails",
        "It fails here: the box of the rocket takes in the towers on both sides.",
    ),
)


def examples() -> list[Example]:
    """The examples whose photo is there; a copy installed without the repository's assets has none."""
    return [Example(ASSETS / name, *texts) for name, *texts in _EXAMPLES if (ASSETS / name).is_file()]
