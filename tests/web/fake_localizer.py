"""A stand-in for the Localizer that needs no checkpoint: phrases by a regular expression, boxes by phrase order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sspe.errors import SspeError
from sspe.localization import Candidate, Localization, LocalizedPhrase
from sspe.photo import open_photo

_PHRASE = re.compile(
    r"\b(?:an?|the|his|her)\s+\w+(?:\s+(?!(?:in|on|and|with|of|beside|under|is|sits|stands|holds|wears)\b)\w+){0,2}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FakeView:
    photo: np.ndarray  # (H, W, 3)
    regions: np.ndarray  # (R, 4): boxes alone are enough here

    @property
    def nbytes(self) -> int:
        return self.photo.nbytes + self.regions.nbytes


class FakeLocalizer:
    """Follows the interface of sspe.localizer.Localizer; ``seen`` counts the photos that took the costly half.

    Calibrated, it finds the first phrases of a sentence likely, the fourth and all later ones doubtful.
    """

    identity = "fake"

    def __init__(self, calibrated: bool = True) -> None:
        self.calibrated = calibrated
        self.seen = 0

    def see(self, photo) -> FakeView:
        pixels = open_photo(photo)
        self.seen += 1
        height, width = pixels.shape[:2]
        corners = np.array([(i % 3, i // 3 % 3) for i in range(9)], np.float32) / 3.2
        boxes = np.concatenate([corners, corners + 0.35], axis=1) * np.array([width, height, width, height], np.float32)
        return FakeView(pixels, boxes.astype(np.float32))

    def ground(self, view: FakeView, sentence: str, phrases: Sequence | None = None, top_k: int = 1) -> Localization:
        if not sentence.strip():
            raise SspeError("The sentence is empty.")
        height, width = view.photo.shape[:2]
        found = []
        for index, match in enumerate(_PHRASE.finditer(sentence)):
            box = tuple(float(value) for value in view.regions[index % len(view.regions)])
            score = 0.61 - 0.08 * index
            text = match.group()
            sure = (max(0.2, 0.81 - 0.1 * index), max(0.004, 0.96 - 0.25 * index)) if self.calibrated else (None, None)
            found.append(
                LocalizedPhrase(
                    text, match.start(), match.end(), text.split()[-1], box, score, (Candidate(box, score),), *sure
                )
            )
        return Localization(sentence, width, height, tuple(found), view.photo)

    def __call__(self, photo, sentence: str, phrases: Sequence | None = None, top_k: int = 1) -> Localization:
        return self.ground(self.see(photo), sentence, phrases, top_k)
