"""The example photos and their sentences; where each photo comes from is in assets/LICENSES.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Example:
    """A photo file and a sentence about it."""

    photo: Path
    sentence: str


_SENTENCES = {
    "photographer.jpg": "A man in a black coat looks through a camera on a tripod in front of tall buildings.",
    "astronaut.jpg": "A smiling woman in an orange space suit sits behind a black helmet, beside an American flag.",
    "coffee.jpg": "A cup of coffee and a small spoon stand on a red saucer on a wooden table.",
    "raccoon.jpg": "A grey raccoon with a black nose climbs through green leaves.",
    "cat.jpg": "A ginger cat with green eyes, a pink nose and white whiskers.",
    "officer.jpg": "An old woman with glasses wears a black hat, a dark uniform and a tie beside a flag.",
    "temple.jpg": "A tall red temple with a green roof stands above trees and a lake under a blue sky.",
    "launchpad.jpg": "A white rocket stands between metal towers and bright lights under a dark sky.",
}


def examples() -> list[Example]:
    """The examples whose photo is there; a copy installed without the repository's assets has none."""
    return [Example(ASSETS / name, text) for name, text in _SENTENCES.items() if (ASSETS / name).is_file()]
