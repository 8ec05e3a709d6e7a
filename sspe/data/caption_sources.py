"""Where captions come from: what every format gives, Flickr30K Entities, and the formats in JSON.

`sspe.data.captions` tells the formats apart; `sspe.data.caption_lines` reads those with a sentence per line.

An id is the name of the photo's file without its ending: "123456789_0a1b2c3d4e", "COCO_val2014_000000391895".
"""

from __future__ import annotations

import json
import logging
import os
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

from sspe.data.entities import (
    PHOTO_ENDINGS,
    PHOTO_FOLDERS,
    UNRELATED_FILE,
    parse_sentence,
    photo_folder,
    photo_names,
    read_unrelated,
    split_ids,
)
from sspe.data.records import read_ids, read_lines, short
from sspe.errors import DataError

log = logging.getLogger(__name__)

# Where photos may lie below the folder of the caption file. "Flicker8k" is how the published archive spells it, imgs
# how neuraltalk does.
FOLDERS = ("", "images", "Images", "imgs", *PHOTO_FOLDERS, "Flicker8k_Dataset", "Flickr8k_Dataset")
SPLIT_LISTS = ("train", "val", "test")  # <split>.txt beside a file without splits of its own: a photo per line

_SPLIT_FILE = re.compile(r"Flickr_8k\.(\w+)Images\.txt")


class CaptionSource(ABC):
    """Sentences by photo id, before any photo is looked for.

    name: the file or folder, for messages.
    repeats: photo id -> what the files say twice of it, as "the photo 7 a second time"; the second is passed over.
    strays: sentences of photos that the files do not list, as "a sentence of the image 7, which it does not list".
    looked_in: where the photos are looked for, for messages.
    """

    name: str
    repeats: dict[str, list[str]]
    strays: list[str]
    looked_in: str

    @abstractmethod
    def ids(self, split: str) -> list[str]:
        """Photo ids of a split, in its order, as listed. Raises DataError, naming the splits there are."""

    def id_of(self, name: str) -> str:
        """The id that a line of a list means: an id, or the name of a photo file."""
        return photo_id(name)

    @abstractmethod
    def sentences(self, id: str) -> list[tuple[int, str]]:
        """(number from 0, sentence) of a photo, in order; a blank one may be among them. Empty for an unknown id."""

    @abstractmethod
    def unrelated(self, id: str) -> Collection[int]:
        """Numbers of the photo's sentences that are known to describe another photo."""

    @abstractmethod
    def photo(self, id: str) -> Path | None:
        """The photo's file; None where there is no such file."""


class EntitiesSource(CaptionSource):
    """Sentences/<id>.txt of Flickr30K Entities, without brackets; needs no Annotations. See `sspe.data.entities`.

    Flickr8K's photos are among them under shorter names, so its lists choose photos here too: the photo
    123456789_0a1b2c3d4e.jpg has the id 123456789.
    """

    def __init__(self, root: Path, photos: Path | None) -> None:
        self.root, self.name = root, str(root / "Sentences")
        self.repeats, self.strays = {}, []
        self._folder = photo_folder(root, photos)
        self.looked_in = str(self._folder)
        self._names = photo_names(self._folder)
        self._captioned = {file.stem for file in (root / "Sentences").glob("*.txt")}
        self._unrelated = read_unrelated(root / UNRELATED_FILE)

    def ids(self, split: str) -> list[str]:
        lists = flickr8k_lists(self.root)
        if split in lists and not (self.root / f"{split}.txt").is_file():
            return [self.id_of(name) for name in lists[split]]
        return split_ids(self.root, split, self._captioned)

    def id_of(self, name: str) -> str:
        id = photo_id(name)
        short_id = id.partition("_")[0]
        return short_id if id not in self._captioned and short_id in self._captioned else id

    def sentences(self, id: str) -> list[tuple[int, str]]:
        if id not in self._captioned:
            return []
        file = self.root / "Sentences" / f"{id}.txt"
        lines = enumerate(read_lines(file))
        return [(i, parse_sentence(line, {}, i, f"{file}, line {i + 1}").text) for i, line in lines]

    def unrelated(self, id: str) -> Collection[int]:
        return self._unrelated.get(id, ())

    def photo(self, id: str) -> Path | None:
        return self._folder / self._names[id] if id in self._names else None


class CaptionTable(CaptionSource):
    """All sentences of one file, read at once.

    folders: where the photos may lie; file: a photo's name relative to one of them, more than one where layouts differ.
    """

    def __init__(self, name: Path, folder: Path, photos: Path | None, above: bool = False) -> None:
        self.name = str(name)
        self.repeats, self.strays = defaultdict(list), []
        self._splits: dict[str, list[str]] = {}
        self._sentences: dict[str, list[str]] = {}
        self._files: dict[str, tuple[str, ...]] = {}
        if photos is not None and not photos.is_dir():
            raise DataError(f"No folder of photos at {photos}; name the folder that holds them.")
        folders = [folder, folder.parent] if above else [folder]
        usual = [base / below for base in folders for below in FOLDERS]
        self._folders = [photos] if photos is not None else [path for path in usual if path.is_dir()]
        self._nested: dict[str, Path] | None = None  # what lies below them, once it is asked for
        # Not below the caption file's own folder, or that above: these may hold anything.
        self._searched = [path for path in self._folders if path not in folders or path == photos]
        self._unsplit = False
        self.looked_in = " or ".join(map(str, self._folders))

    def add(self, sentences: list[str], *files: str, splits: Collection[str] = ()) -> None:
        """One photo with its sentences; the last of `files` is its bare name."""
        id = photo_id(files[-1])
        if id in self._sentences:
            self.repeats[id].append(f"the photo {files[-1]} a second time")
            return
        self._sentences[id], self._files[id] = sentences, files
        for split in splits:
            self._splits.setdefault(split, []).append(id)

    def list_split(self, split: str, names: list[str]) -> None:
        """A split that stands in a file of its own, by names of photo files."""
        self._splits[split] = [photo_id(name) for name in names]

    @property
    def has_splits(self) -> bool:
        """Whether there are splits to choose from."""
        return bool(self._splits)

    def list_splits_beside(self, folder: Path) -> None:
        """The splits that have a list of ids or names of photo files, <split>.txt, in this folder."""
        for split in SPLIT_LISTS:
            file = folder / f"{split}.txt"
            names = read_ids(file) if file.is_file() and file.name != Path(self.name).name else []
            if names and photo_id(names[0]) in self._sentences:
                self.list_split(split, names)
        self._unsplit = not self._splits

    def ids(self, split: str) -> list[str]:
        if not self._splits:
            if self._unsplit:
                log.warning(
                    "%s has no splits: all its photos are taken for %r. Lists of photos beside it, %s, are obeyed.",
                    *(self.name, split, ", ".join(f"{name}.txt" for name in SPLIT_LISTS)),
                )
            return list(self._sentences)
        chosen: list[str] = []
        for part in split.split("+"):  # "train+restval", as is usual for MSCOCO
            if part not in self._splits:
                there = ", ".join(sorted(self._splits))
                raise DataError(f"{self.name} has no split {part!r}; the splits there are {there}.")
            chosen += self._splits[part]
        return chosen

    def sentences(self, id: str) -> list[tuple[int, str]]:
        return list(enumerate(self._sentences.get(id, ())))

    def unrelated(self, id: str) -> Collection[int]:
        return ()

    def photo(self, id: str) -> Path | None:
        for folder in self._folders:
            for name in self._files.get(id, ()):
                if os.path.isfile(folder / name):
                    return folder / name
        if id not in self._files:
            return None
        if self._nested is None:
            self._nested = {}
            for folder in self._searched:
                for parent, below, files in os.walk(folder):
                    below.sort()
                    for name in files:
                        self._nested.setdefault(name, Path(parent, name))
        return self._nested.get(self._files[id][-1])


def photo_id(name: str) -> str:
    """The name of a photo file without folder and ending; what has no such ending is an id already."""
    path = PurePosixPath(name.strip())
    return path.stem if path.suffix.lower() in PHOTO_ENDINGS else path.name


def flickr8k_lists(folder: Path) -> dict[str, list[str]]:
    """Split -> names of photo files, from Flickr_8k.<split>Images.txt; what is "dev" there is "val" here."""
    found = {match[1]: path for path in folder.iterdir() if (match := _SPLIT_FILE.fullmatch(path.name))}
    return {"val" if split == "dev" else split: read_ids(path) for split, path in found.items()}


def read_json(file: Path, photos: Path | None) -> CaptionTable:
    """Karpathy's dataset_*.json or MSCOCO's captions_*.json, told apart by what is in it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON ({error}); fetch it again.") from error
    images = content.get("images") if isinstance(content, dict) else None
    if isinstance(images, list):
        if isinstance(content.get("annotations"), list):
            return _read_coco(file, images, content["annotations"], photos)
        if images and isinstance(images[0], dict) and "sentences" in images[0]:
            return _read_karpathy(file, images, photos)
    found = f"the keys {short(list(content))}" if isinstance(content, dict) else short(content)
    raise DataError(
        f'{file} is another kind of JSON (found {found}): expected "images" with "sentences", as in '
        'dataset_flickr8k.json, or "images" and "annotations", as in captions_val2014.json.'
    )


def _read_karpathy(file: Path, images: list, photos: Path | None) -> CaptionTable:
    """{"images": [{"filename", "filepath" (MSCOCO), "split", "sentences": [{"raw", "sentid"}, ...]}, ...]}"""
    table = CaptionTable(file, file.parent, photos)
    seen: set[int | str] = set()
    for i, image in enumerate(images):
        where = f"{file}, images[{i}]"
        name, split = _field(image, "filename", str, where), _field(image, "split", str, where)
        sentences = []
        for k, sentence in enumerate(_field(image, "sentences", list, where)):
            raw = _field(sentence, "raw", str, f"{where}.sentences[{k}]")
            sentid = _field(sentence, "sentid", int | str, f"{where}.sentences[{k}]") if "sentid" in sentence else None
            if sentid is not None and sentid in seen:
                table.repeats[photo_id(name)].append(f"the sentid {sentid} a second time")
            else:
                sentences.append(raw)
            seen.add(sentid)
        below = image.get("filepath")
        files = (f"{below}/{name}", name) if isinstance(below, str) else (name,)
        table.add(sentences, *files, splits=[split])
    return table


def _read_coco(file: Path, images: list, annotations: list, photos: Path | None) -> CaptionTable:
    """One split: {"images": [{"id", "file_name"}, ...], "annotations": [{"id", "image_id", "caption"}, ...]}"""
    table = CaptionTable(file, file.parent, photos, above=True)
    names: dict[int | str, str] = {}
    for i, image in enumerate(images):
        where = f"{file}, images[{i}]"
        number, name = _field(image, "id", int | str, where), _field(image, "file_name", str, where)
        if number in names:
            table.repeats[photo_id(names[number])].append(f"the image id {number} a second time")
        else:
            names[number] = name
    sentences: dict[int | str, list[str]] = {number: [] for number in names}
    seen: set[int | str] = set()
    for i, annotation in enumerate(annotations):
        where = f"{file}, annotations[{i}]"
        number, image = _field(annotation, "id", int | str, where), _field(annotation, "image_id", int | str, where)
        sentence = _field(annotation, "caption", str, where)
        if image not in names:
            table.strays.append(f"a sentence of the image {image}, which it does not list")
        elif number in seen:
            table.repeats[photo_id(names[image])].append(f"the annotation id {number} a second time")
        else:
            sentences[image].append(sentence)
        seen.add(number)
    below = file.stem.removeprefix("captions_")  # the photos of captions_val2014.json lie in val2014
    for number, name in names.items():
        table.add(sentences[number], f"{below}/{name}", name)
    return table


def _field(record: object, name: str, kind: Any, where: str) -> Any:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, kind):
        found = f"{short(value)} as {name!r}" if isinstance(record, dict) else short(record)
        expected = {str: "a text", list: "a list"}.get(kind, "a number")
        raise DataError(f"{where} has {found}, expected {expected}; give a file as published, fetched whole.")
    return value
