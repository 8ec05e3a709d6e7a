"""Your own annotated photos as JSON Lines: one sentence per line, UTF-8.

    {"photo": "photos/1.jpg", "sentence": "A man in an orange hat.",
     "phrases": [{"start": 0, "end": 5, "boxes": [[32, 10, 180, 300]]},
                 [9, 22, [[60, 8, 130, 52]]]]}

`photo` is a path, relative to the file's folder or absolute; lines with the same photo are captions of one photo.
`start` and `end` are offsets in characters, `end` exclusive. A box is x1, y1, x2, y2 in pixels of the photo, upright,
half-open: the whole of a 640 x 480 photo is [0, 0, 640, 480]. `boxes` may be empty, and the short form of a phrase is
[start, end, boxes]. A phrase may also have "types" (a list of names), "chain" (phrases of one photo that name the same
thing share it; "0" means not visual) and "text" (checked against the sentence).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sspe.data.records import AnnotatedPhoto, AnnotatedPhrase, AnnotatedSentence, LazyPhotos, read_lines, short
from sspe.errors import DataError
from sspe.vision import boxes as box_arithmetic
from sspe.vision.photo import photo_size


class JsonLines(LazyPhotos):
    """The photos of a .jsonl file in the order of their first lines; a photo's id is its "photo" as written.

    file: the .jsonl file.
    ids: take only these photos, in this order.
    photos: folder that relative photo paths start from, instead of the file's own.
    limit: take only the first so many photos.

    All lines are read and checked at once, photo files are measured when first asked for. Raises DataError, with file
    and line, for a line that cannot be understood, a missing photo, or (on access) a box outside its photo.
    """

    def __init__(
        self,
        file: str | Path,
        ids: Sequence[str] | None = None,
        photos: str | Path | None = None,
        limit: int | None = None,
    ) -> None:
        self.file = Path(file)
        folder = self.file.parent if photos is None else Path(photos)
        if limit is not None and limit < 1:
            raise DataError(f"The limit is {limit}, but at least 1 photo is needed; leave it out to take all.")
        lines: dict[str, list[tuple[int, AnnotatedSentence]]] = {}
        for number, line in enumerate(read_lines(self.file), start=1):
            if line.strip():
                photo, sentence = _parse_line(line, number, f"{self.file}, line {number}")
                lines.setdefault(photo, []).append((number, sentence))
        if ids is not None:
            missing = [id for id in ids if id not in lines]
            if missing:
                raise DataError(
                    f"{self.file} has no photo {missing[0]!r}, one of {len(missing)} ids it lacks; an id is the "
                    '"photo" of a line, as written there.'
                )
            lines = {id: lines[id] for id in ids}
        self._lines = dict(list(lines.items())[:limit])
        if not self._lines:
            raise DataError(f"{self.file} names no photo to read; give a file with one sentence per line.")
        super().__init__(tuple(self._lines))
        self._paths = {id: folder / id for id in self.ids}
        for id, path in self._paths.items():
            if not path.is_file():
                first = self._lines[id][0][0]
                raise DataError(f"{self.file}, line {first} names the photo {path}, and no file is there.")

    def _read_photo(self, id: str) -> AnnotatedPhoto:
        path = self._paths[id]
        width, height = photo_size(path)
        sentences = tuple(
            AnnotatedSentence(
                sentence.text,
                tuple(_inside(phrase, width, height, f"{self.file}, line {number}") for phrase in sentence.phrases),
                sentence.index,
            )
            for number, sentence in self._lines[id]
        )
        return AnnotatedPhoto(id, path, width, height, sentences)


def _parse_line(line: str, number: int, where: str) -> tuple[str, AnnotatedSentence]:
    """("photo" as written, sentence) of one line; the boxes are not yet held against the photo's size."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}).") from error
    if not isinstance(entry, dict):
        raise DataError(f'{where} is {short(entry)}, expected an object with "photo", "sentence" and "phrases".')
    for name in ("photo", "sentence"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise DataError(f'{where} has {short(entry.get(name))} as "{name}", expected a text that is not empty.')
    phrases = entry.get("phrases")
    if not isinstance(phrases, list):
        raise DataError(f'{where} has {short(phrases)} as "phrases", expected a list, which may be empty.')
    sentence = entry["sentence"]
    parsed = tuple(_parse_phrase(phrase, sentence, f"{number}.{i}", where) for i, phrase in enumerate(phrases))
    return entry["photo"], AnnotatedSentence(sentence, parsed, number - 1)


def _parse_phrase(phrase: object, sentence: str, chain: str, where: str) -> AnnotatedPhrase:
    """`chain` is the phrase's own, for a phrase that names none."""
    if isinstance(phrase, list) and len(phrase) == 3:
        phrase = dict(zip(("start", "end", "boxes"), phrase, strict=True))
    if not isinstance(phrase, dict) or not {"start", "end", "boxes"} <= phrase.keys():
        raise DataError(
            f'{where} has the phrase {short(phrase)}, expected {{"start", "end", "boxes"}} or [start, end, boxes].'
        )
    start, end = phrase["start"], phrase["end"]
    whole = all(isinstance(offset, int) and not isinstance(offset, bool) for offset in (start, end))
    if not whole or not 0 <= start < end <= len(sentence):
        raise DataError(
            f"{where} has a phrase from {short(start)} to {short(end)}, but its sentence has the characters 0 to "
            f"{len(sentence)}."
        )
    text = sentence[start:end]
    if phrase.get("text", text) != text:
        raise DataError(
            f"{where} has a phrase {short(phrase['text'])} whose offsets {start} to {end} cut {short(text)}."
        )
    boxes = phrase["boxes"]
    if not isinstance(boxes, list):
        raise DataError(f"{where} has {short(boxes)} as boxes of {short(text)}, expected a list of [x1, y1, x2, y2].")
    for box in boxes:
        _check_box(box, text, where)
    types = phrase.get("types", [])
    if not isinstance(types, list) or not all(isinstance(type, str) and type for type in types):
        raise DataError(f'{where} has {short(types)} as "types" of {short(text)}, expected a list of names.')
    return AnnotatedPhrase(
        text=text,
        start=start,
        end=end,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        types=tuple(types),
        chain=str(phrase.get("chain", chain)),
    )


def _check_box(box: object, text: str, where: str) -> None:
    numbers = isinstance(box, list) and len(box) == 4 and all(type(n) in (int, float) for n in box)
    if not numbers or not all(abs(n) < 1e9 for n in box):
        raise DataError(
            f"{where} has the box {short(box)} for {short(text)}, expected the four numbers [x1, y1, x2, y2]."
        )
    if box[2] <= box[0] or box[3] <= box[1]:
        raise DataError(f"{where} has the box {short(box)} for {short(text)}, whose x2, y2 must be above its x1, y1.")


def _inside(phrase: AnnotatedPhrase, width: int, height: int, where: str) -> AnnotatedPhrase:
    """The phrase with its boxes clipped to the photo; one wholly outside is a mistake, mostly another photo's size."""
    clipped = box_arithmetic.clip(phrase.boxes, width, height)
    for box, kept in zip(phrase.boxes, clipped, strict=True):
        if kept[2] <= kept[0] or kept[3] <= kept[1]:
            raise DataError(
                f"{where} has the box {box.tolist()} for {short(phrase.text)}, which lies outside its photo of "
                f"{width} x {height} pixels."
            )
    return AnnotatedPhrase(phrase.text, phrase.start, phrase.end, clipped, phrase.types, phrase.chain)
