"""A stand-in for the Collection that needs no checkpoint: a photo shows the words of its file's name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sspe.collection import FoundPhrase, Hit, SearchResult, SoughtPhrase
from sspe.errors import PhotoError, SspeError
from sspe.indexing.records import PhotoRecord
from sspe.vision.photo import open_photo

THRESHOLD = 0.4
SMALL_WORDS = {"a", "an", "the", "two"}


class FakeCollection:
    """Follows the interface of sspe.collection.Collection.

    "a dog" is found in "dog and ball.png" and "big dog.png": the shorter the name, the more probable, .99 less a
    hundredth for each letter; what is not shown has .05. It does not know the word "zorblax". Two photos look alike
    where their names begin with the same word. A number at the end of a name is the year of its date.
    """

    def __init__(self, folder: Path, threshold: float | None = THRESHOLD) -> None:
        self.threshold = threshold
        self.skipped: dict[str, str] = {}
        self.asked: list[tuple] = []
        records = []
        for path in sorted(Path(folder).glob("*.*")):
            try:
                height, width = open_photo(path).shape[:2]
            except PhotoError as error:
                self.skipped[path.name] = str(error)
                continue
            year = re.search(r"\d{4}", path.stem)
            date = f"{year.group()}-05-01T12:00:00" if year else None
            records.append(PhotoRecord(path.name, 0, 1, 1, f"{path.stat().st_size}{path}", width, height, date, 1))
        self.folder, self.photos = Path(folder), tuple(records)

    @classmethod
    def build(cls, folder, localizer=None, report=None) -> FakeCollection:
        made = cls(folder)
        for done, record in enumerate(made.photos, start=1):
            report(done, len(made.photos), record.path)
        return made

    def path_of(self, record: PhotoRecord) -> Path:
        return self.folder / record.path

    def search(self, phrases, *, without=(), top=50, at_least=None) -> SearchResult:
        self.asked.append((phrases, tuple(without), top, at_least))
        wanted = re.split(r"\s+and\s+|\s+without\s+", phrases) if isinstance(phrases, str) else list(phrases)
        if isinstance(phrases, str) and " without " in phrases:
            without = [*without, wanted.pop()]
        if not all(phrase.strip() for phrase in wanted):
            raise SspeError("A phrase of the search is empty; name something to look for.")
        least = self.threshold if at_least is None else at_least
        hits, excluded = [], 0
        for record in self.photos:
            sure = [self._probability(record, phrase) for phrase in wanted]
            if min(sure) < (least or 0) or any("zorblax" in phrase for phrase in wanted):
                continue
            if any(self._probability(record, phrase) >= 0.4 for phrase in without):
                excluded += 1
                continue
            hits.append(self._hit(record, wanted, sure if self.threshold else [None] * len(sure)))
        hits.sort(key=lambda hit: -(hit.probability or 0))
        sought = [SoughtPhrase(phrase, False, "zorblax" not in phrase) for phrase in wanted]
        sought += [SoughtPhrase(phrase, True) for phrase in without]
        count = len(self.photos)
        return SearchResult(tuple(hits[:top]), tuple(sought), count, count, 1.2, True, least, self.skipped, excluded)

    def like(self, photo, box, *, top=50, less_like: Sequence = ()) -> SearchResult:
        name = Path(photo).name
        others = [Path(other).name for other, _ in less_like]
        hits = []
        for record in self.photos:
            score = 1.0 if record.path == name else 0.9 if record.path.split()[0] == name.split()[0] else 0.3
            score -= 0.5 * any(record.path.split()[0] == other.split()[0] for other in others)
            found = FoundPhrase("like this", self._box(record, 0), score, None)
            hits.append(
                Hit(record.path, self.path_of(record), record.width, record.height, None, score, None, (found,))
            )
        hits.sort(key=lambda hit: -hit.score)
        count = len(self.photos)
        return SearchResult(tuple(hits[:top]), (SoughtPhrase("like this"),), count, count, 1.0)

    def _probability(self, record: PhotoRecord, phrase: str) -> float:
        words = set(phrase.lower().split()) - SMALL_WORDS
        shown = set(re.findall(r"[a-z]+", Path(record.path).stem.lower()))
        return 0.99 - 0.01 * len(record.path) if words and words <= shown else 0.05

    def _hit(self, record: PhotoRecord, phrases: Sequence[str], sure: Sequence[float | None]) -> Hit:
        found = tuple(
            FoundPhrase(phrase, self._box(record, i), 0.6, probability)
            for i, (phrase, probability) in enumerate(zip(phrases, sure, strict=True))
        )
        least = None if None in sure else min(sure)
        size = record.width, record.height
        return Hit(record.path, self.path_of(record), *size, record.date, 0.6, least, found)

    def _box(self, record: PhotoRecord, index: int) -> tuple[float, float, float, float]:
        left = record.width * (0.1 + 0.4 * (index % 2))
        return left, 0.25 * record.height, left + 0.4 * record.width, 0.75 * record.height
