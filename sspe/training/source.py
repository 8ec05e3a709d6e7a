"""Which photos a run reads, and how it knows them again."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sspe.data.captions import CaptionedPhoto
from sspe.data.records import AnnotatedPhoto
from sspe.errors import PhotoError
from sspe.settings import INCOMPLETE


@dataclass(frozen=True)
class Source:
    """The data a run reads, in the words of ``sspe train``.

    Attributes:
        data: "synthetic", a folder or a file, as :func:`sspe.data.open_dataset` or, for retrieval,
            :func:`sspe.data.captions.open_captions` takes it.
        photos: folder of the photo files, where they are not beside the annotations.
        train_split, val_split: splits to train on, and to choose the best epoch on.
        limit, val_limit: take only the first so many photos of each; None takes all.
        incomplete: for retrieval, what to do about incomplete photos, one of :data:`sspe.settings.INCOMPLETE`.
    """

    data: str | Path
    photos: str | Path | None = None
    train_split: str = "train"
    val_split: str = "val"
    limit: int | None = None
    val_limit: int | None = None
    incomplete: str = INCOMPLETE[0]

    @property
    def name(self) -> str:
        """Name of the data without the folders above it, for checkpoints to carry."""
        return Path(self.data).name


def fingerprint(*splits: Iterable[AnnotatedPhoto] | Iterable[CaptionedPhoto]) -> str:
    """16 hexadecimal digits that name the photos of some splits with all their sentences, phrases and boxes.

    They stay the same where a folder is moved, and change with the size of a photo file. Raises PhotoError for a photo
    that is missing.
    """
    digest = hashlib.sha256()
    for split in splits:
        for photo in split:
            digest.update(repr((photo.id, _bytes(photo.path), _words(photo.sentences))).encode())
        digest.update(b"end of split")
    return digest.hexdigest()[:16]


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise PhotoError(f"The photo {path} cannot be found ({error.strerror}); check the path.") from None


def _words(sentences: Sequence[Any]) -> list:
    """Plain sentences as they are; annotated ones with the place and the boxes of every phrase."""
    if not sentences or isinstance(sentences[0], str):
        return list(sentences)
    return [(s.text, [(p.start, p.end, p.boxes.tolist()) for p in s.phrases]) for s in sentences]
