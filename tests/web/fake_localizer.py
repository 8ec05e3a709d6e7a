"""A stand-in for the Localizer that needs no checkpoint: phrases by a regular expression, boxes by phrase order."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sspe.errors import SspeError
from sspe.phrases.chunker import Phrase
from sspe.results import Candidate, Localization, LocalizedPhrase
from sspe.vision.photo import open_photo

_PHRASE = re.compile(
    r"\b(?:an?|the|his|her)\s+\w+(?:\s+(?!(?:in|on|and|with|of|beside|under|is|sits|stands|holds|wears)\b)\w+){0,2}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FakeRegions:
    boxes: np.ndarray  # (R, 4): boxes alone are enough here


@dataclass(frozen=True)
class FakeView:
    photo: np.ndarray  # (H, W, 3)
    regions: FakeRegions

    @property
    def nbytes(self) -> int:
        return self.photo.nbytes + self.regions.boxes.nbytes


class FakeLocalizer:
    """Follows the interface of sspe.localizer.Localizer; ``seen`` counts the photos that took the costly half,
    ``grounded`` the sentences.

    Calibrated, it finds the first phrases of a sentence likely, the fourth and all later ones doubtful. It does not
    know the word "zorblax". ``delay`` seconds pass for each stage of the costly half.
    """

    identity = "fake"

    def __init__(self, calibrated: bool = True, delay: float = 0.0) -> None:
        self.calibrated = calibrated
        self.delay = delay
        self.seen = 0
        self.grounded = 0

    def see(self, photo, report=lambda stage: None) -> FakeView:
        report("Opening the photo")
        pixels = open_photo(photo)
        for stage in ("Edge Boxes", "Embedding 9 regions"):
            report(stage)
            time.sleep(self.delay)
        self.seen += 1
        height, width = pixels.shape[:2]
        corners = np.array([(i % 3, i // 3 % 3) for i in range(9)], np.float32) / 3.2
        boxes = np.concatenate([corners, corners + 0.35], axis=1) * np.array([width, height, width, height], np.float32)
        return FakeView(pixels, FakeRegions(boxes.astype(np.float32)))

    def ground(self, view: FakeView, sentence: str, phrases: Sequence | None = None, top_k: int = 1) -> Localization:
        if not sentence.strip():
            raise SspeError("The sentence is empty.")
        self.grounded += 1
        height, width = view.photo.shape[:2]
        if phrases is None:
            spans = [match.span() for match in _PHRASE.finditer(sentence)]
            phrases = [Phrase(sentence[a:b], a, b, sentence[a:b].split()[-1]) for a, b in spans]
        found = []
        for index, phrase in enumerate(phrases):
            count = len(view.regions.boxes)
            candidates = tuple(
                Candidate(
                    tuple(float(value) for value in view.regions.boxes[(index + k) % count]),
                    0.61 - 0.08 * index - 0.1 * k,
                )
                for k in range(min(top_k, count))
            )
            known = phrase.head != "zorblax"
            sure = (max(0.2, 0.81 - 0.1 * index), max(0.004, 0.96 - 0.25 * index)) if self.calibrated else (None, None)
            sure = sure if known else (None, None)
            span = (phrase.text, phrase.start, phrase.end, phrase.head)
            best = candidates[0]
            several = phrase.head.endswith("s") and phrase.text.startswith(("the two", "The two"))
            boxes = tuple(tuple(map(float, box)) for box in view.regions.boxes[[0, 4]]) if several else (best.box,)
            found.append(LocalizedPhrase(*span, best.box, best.score, candidates, *sure, known=known, boxes=boxes))
        return Localization(sentence, width, height, tuple(found), view.photo)

    def similarities(self, view: FakeView, sentence: str, phrases: Sequence) -> np.ndarray:
        """The region at the phrase's end in the sentence is its best, the others follow in their order."""
        count = len(view.regions.boxes)
        return np.array(
            [[0.9 - 0.1 * ((r - phrase.end) % count) for r in range(count)] for phrase in phrases], np.float32
        )

    def edges(self, view: FakeView) -> np.ndarray:
        return np.eye(16, dtype=np.float32)

    def __call__(self, photo, sentence: str, phrases: Sequence | None = None, top_k: int = 1) -> Localization:
        return self.ground(self.see(photo), sentence, phrases, top_k)
