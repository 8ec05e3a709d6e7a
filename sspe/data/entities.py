"""Flickr30K Entities (Plummer et al., 2015) as published, or any data laid out like it.

ROOT/Annotations/<id>.xml       boxes, 1-based and inclusive, in the frame of the annotation's <size>
ROOT/Sentences/<id>.txt         captions, one per line: [/EN#7/people A cook] stirs [/EN#0/notvisual it] .
ROOT/<split>.txt                photo ids, one per line
ROOT/flickr30k-images/<id>.jpg  photos (or flickr30k_images/, or the folder given as `photos`), or in folders below
ROOT/UNRELATED_CAPTIONS         "<id> <caption number from 1>": captions that do not describe their photo (optional)
"""

from __future__ import annotations

import math
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from sspe.data.records import (
    NOT_VISUAL,
    AnnotatedPhoto,
    AnnotatedPhrase,
    AnnotatedSentence,
    LazyPhotos,
    read_ids,
    read_lines,
    short,
)
from sspe.errors import DataError
from sspe.vision import boxes as box_arithmetic
from sspe.vision.photo import photo_size

PHOTO_FOLDERS = ("flickr30k-images", "flickr30k_images")
PHOTO_ENDINGS = (".jpg", ".jpeg", ".png")
UNRELATED_FILE = "UNRELATED_CAPTIONS"
_SAME_RATIO = 0.03  # logarithm of what rounding to whole pixels, of 224 and less on a side, may do to a ratio
MOST_PIXELS = 1e9  # a larger number is no place in a photo

_BRACKET = re.compile(r"/EN#([^/\s]+)((?:/[^/\s]+)*) (.*\S.*)")  # what stands between "[" and "]": chain, types, words


class Flickr30kEntities(LazyPhotos):
    """The photos of one split, each read when first asked for, then kept.

    root: the folder described above.
    split: name of a list of ids in root, without ".txt".
    ids: take these photos instead of a split's, in this order.
    photos: folder of the photo files, where they do not lie in root.
    unrelated: keep the captions that UNRELATED_CAPTIONS lists (left out otherwise).
    limit: take only the first so many photos, in the order of the split's file.

    Boxes come out in pixels of the photo *file*, which may be larger or smaller than the annotated frame, clipped to
    the photo. Raises DataError at once if the folder, the split or any file of a photo is missing, and on access if a
    photo's files cannot be understood; PhotoError on access if its photo cannot be opened.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "val",
        ids: Sequence[str] | None = None,
        photos: str | Path | None = None,
        unrelated: bool = False,
        limit: int | None = None,
    ) -> None:
        self.root = Path(root)
        self.split = split
        for folder in (self.root, self.root / "Annotations", self.root / "Sentences"):
            if not folder.is_dir():
                raise DataError(
                    f"No folder {folder}: Flickr30K Entities data has the folders Annotations and Sentences, "
                    "give the folder that holds both."
                )
        self.photos = photo_folder(self.root, photos)
        if limit is not None and limit < 1:
            raise DataError(f"The limit is {limit}, but at least 1 photo is needed; leave it out to take all.")

        annotated = {path.stem for path in (self.root / "Annotations").glob("*.xml")}
        chosen = split_ids(self.root, split, annotated) if ids is None else [str(id) for id in ids]
        super().__init__(tuple(dict.fromkeys(chosen))[:limit])
        if not self.ids:
            raise DataError(f"No photo to read from {self.root}: the list of ids is empty; give one id per line.")
        self._photo_names = self._check_files(annotated)
        self._unrelated = {} if unrelated else read_unrelated(self.root / UNRELATED_FILE)

    def _check_files(self, annotated: set[str]) -> dict[str, str]:
        """File name of the photo of every id; DataError names the first missing file and counts the photos in want."""
        captioned = {path.stem for path in (self.root / "Sentences").glob("*.txt")}
        names = photo_names(self.photos)
        for folder, present, suffix in (
            (self.root / "Annotations", annotated, ".xml"),
            (self.root / "Sentences", captioned, ".txt"),
            (self.photos, names, PHOTO_ENDINGS[0]),
        ):
            missing = [id for id in self.ids if id not in present]
            if missing:
                raise DataError(
                    f"No file {folder / (missing[0] + suffix)}, one of {len(missing)} missing there for "
                    f"{len(self.ids)} photos; add them, or choose photos that are there."
                )
        return names

    def _read_photo(self, id: str) -> AnnotatedPhoto:
        path = self.photos / self._photo_names[id]
        width, height = photo_size(path)
        boxes = read_annotation(self.root / "Annotations" / f"{id}.xml", width, height)
        unrelated = self._unrelated.get(id, ())
        file = self.root / "Sentences" / f"{id}.txt"
        sentences = tuple(
            parse_sentence(line, boxes, index, f"{file}, line {index + 1}")
            for index, line in enumerate(read_lines(file))
            if line and index not in unrelated
        )
        return AnnotatedPhoto(id, path, width, height, sentences)


def read_annotation(path: Path, width: int, height: int) -> dict[str, np.ndarray]:
    """Boxes of every chain of a photo, (B, 4) each, scaled per axis from the annotated frame to `width` x `height`.

    Chains marked as scenes or as having no box are absent; so is a box that lies wholly outside the photo.
    """
    try:
        annotation = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, LookupError, ValueError, OSError) as error:  # also an encoding that nobody knows
        raise DataError(f"{path} is not readable XML ({error}); fetch it again.") from error
    frame = annotation.find("size")
    if frame is None:
        raise DataError(f"{path} has no <size>, so its boxes have no frame; fetch it again.")
    frame_width, frame_height = (_number(frame, side, path) for side in ("width", "height"))
    if frame_width < 1 or frame_height < 1:
        raise DataError(f"{path} has a <size> of {frame_width:g} x {frame_height:g}, expected at least 1 x 1 pixel.")
    if _is_turned(frame_width / frame_height, width / height):
        raise DataError(
            f"{path} has boxes in a frame of {frame_width:g} x {frame_height:g}, and its photo has {width} x {height} "
            "pixels, so one of them is turned by 90 degrees; turn the photo, or take its EXIF orientation away."
        )

    chains: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for thing in annotation.findall("object"):  # not iter(): a hostile file nests a hundred thousand of them
        found = [_read_box(corner, path) for corner in thing.findall("bndbox")]
        # One box may belong to several chains: that of a man, and that of the two people he is one of.
        for name in thing.findall("name"):
            chains[(name.text or "").strip()] += found
    scaled = {}
    for chain, found in chains.items():
        boxes = np.array(found, dtype=np.float32).reshape(-1, 4)
        boxes = box_arithmetic.scale(boxes, width / frame_width, height / frame_height)
        boxes = box_arithmetic.clip(boxes, width, height)
        boxes = boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        if len(boxes):
            scaled[chain] = boxes
    return scaled


def _is_turned(frame: float, photo: float) -> bool:
    """Whether a photo lies on its side against its frame, by their ratios of width to height."""
    apart = abs(math.log(frame / photo))
    return abs(math.log(frame * photo)) < _SAME_RATIO < apart


def parse_sentence(line: str, boxes: dict[str, np.ndarray], index: int, where: str) -> AnnotatedSentence:
    """Cut the brackets out of a caption: "[/EN#7/people A man] sits ." becomes "A man sits ." and the phrase (0, 5).

    boxes: chain -> (B, 4); where: file and line for the text of a DataError.
    """
    text, spans = "", []
    position = 0
    while position < len(line):
        opening = line.find("[", position)
        plain = line[position:] if opening < 0 else line[position:opening]
        if "]" in plain:
            raise DataError(f'{where} has a "]" without its "[": {short(line)}; correct the brackets.')
        text += plain
        if opening < 0:
            break
        closing = line.find("]", opening)
        if closing < 0 or "[" in line[opening + 1 : closing]:
            raise DataError(f'{where} has a "[" without its "]": {short(line)}; correct the brackets.')
        parts = _BRACKET.fullmatch(line[opening + 1 : closing])
        if parts is None:
            bracket = line[opening : closing + 1]
            raise DataError(f'{where} has the bracket {short(bracket)}, expected the form "[/EN#chain/type words]".')
        chain, types, words = parts.groups()
        # Blanks at the ends of a bracket stay in the text, but outside the phrase.
        start = len(text) + len(words) - len(words.lstrip())
        text += words
        spans.append((start, len(text.rstrip()), chain, types))
        position = closing + 1
    phrases = []
    for start, end, chain, types in spans:
        visual = chain != NOT_VISUAL
        found = boxes.get(chain) if visual else None
        phrases.append(
            AnnotatedPhrase(
                text=text[start:end],
                start=start,
                end=end,
                boxes=np.zeros((0, 4), np.float32) if found is None else found,
                types=tuple(type for type in types.split("/") if type and type != "notvisual"),
                chain=chain,
            )
        )
    return AnnotatedSentence(text, tuple(phrases), index)


def _read_box(corner: ElementTree.Element, path: Path) -> tuple[float, float, float, float]:
    """A <bndbox> as x1, y1, x2, y2, half-open; the last pixel, inclusive in the file, stays inside."""
    xmin, ymin, xmax, ymax = (_number(corner, name, path) for name in ("xmin", "ymin", "xmax", "ymax"))
    if xmax < xmin or ymax < ymin:
        raise DataError(
            f"{path} has a box from ({xmin:g}, {ymin:g}) to ({xmax:g}, {ymax:g}), which ends before it starts."
        )
    return xmin - 1, ymin - 1, xmax, ymax


def _number(element: ElementTree.Element, name: str, path: Path) -> float:
    text = element.findtext(name)
    try:
        number = float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) < MOST_PIXELS:
        found = "no" if text is None else f"the text {short(text)} as"
        raise DataError(f"{path} has {found} <{name}> in a <{element.tag}>, expected a number of pixels.")
    return number


def photo_folder(root: Path, photos: str | Path | None) -> Path:
    """The folder given, or the one of PHOTO_FOLDERS that root has; DataError where there is none."""
    candidates = [root / name for name in PHOTO_FOLDERS] if photos is None else [Path(photos)]
    for folder in candidates:
        if folder.is_dir():
            return folder
    looked = " or ".join(str(folder) for folder in candidates)
    raise DataError(f"No folder of photos at {looked}; name the folder that holds <id>{PHOTO_ENDINGS[0]} (--photos).")


def photo_names(folder: Path) -> dict[str, str]:
    """Photo id -> its file, relative to the folder; of several files of one id the one that is nested least counts.

    Of files side by side the first ending of PHOTO_ENDINGS wins.
    """
    names: dict[str, tuple[int, int, str]] = {}
    for parent, _, files in os.walk(folder):
        below = Path(parent).relative_to(folder)
        for file in files:
            stem, ending = os.path.splitext(file)
            if ending.lower() in PHOTO_ENDINGS and not stem.startswith("."):
                name = (len(below.parts), PHOTO_ENDINGS.index(ending.lower()), str(below / file))
                names[stem] = min(name, names.get(stem, name))
    return {id: name for id, (_, _, name) in names.items()}


def split_ids(root: Path, split: str, annotated: set[str]) -> list[str]:
    """Ids of root/<split>.txt, as listed; `annotated`, ids of the data, tell such lists from other files of text."""
    file = root / f"{split}.txt"
    if not file.is_file():
        splits = [path.stem for path in sorted(root.glob("*.txt")) if annotated.intersection(read_lines(path)[:1])]
        there = "the splits there are " + ", ".join(splits) if splits else "there is no list of ids there at all"
        raise DataError(f"{root} has no split {split!r} (no file {file.name}); {there}.")
    return read_ids(file)


def read_unrelated(file: Path) -> dict[str, set[int]]:
    """Photo id -> indices, from 0, of its captions that belong to another photo; the file counts them from 1."""
    unrelated: dict[str, set[int]] = defaultdict(set)
    for number, line in enumerate(read_lines(file) if file.is_file() else [], start=1):
        if not line or line.startswith("#"):
            continue
        words = line.split()
        if len(words) != 2 or not words[1].isdecimal():
            raise DataError(f'{file}, line {number} is {short(line)}, expected "<photo id> <caption number>".')
        unrelated[words[0]].add(int(words[1]) - 1)
    return unrelated
