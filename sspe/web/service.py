"""One request of the page or its endpoint: check it, see the photo once, localize."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sspe.drawing import shorten
from sspe.errors import PhotoError, SspeError
from sspe.phrases.chunker import phrases_at
from sspe.results import PRESENT_THRESHOLD, Localization

if TYPE_CHECKING:
    from sspe.localizer import Localizer, PhotoView

MAX_CHARACTERS = 1000  # of a sentence
MAX_PHRASES = 50  # in a sentence; more boxes than that on one photo help nobody
MAX_TOP_K = 20  # candidates per phrase
MAX_PREVIEW = 1280  # long side in pixels of the picture that the browser is sent
MAX_MEMORY = 512 * 2**20  # bytes of photos and embeddings kept for the next sentence

Report = Callable[[float, str], object]  # share of the work done, 0 to 1, and the name of the stage that begins


@dataclass(frozen=True)
class GivenPhoto:
    """A photo that was uploaded: its file here, and its name where it came from, which the file's may differ from."""

    file: Path
    name: str


@dataclass(frozen=True)
class Question:
    """What a visitor asked: all that it takes to answer once more. Small, so that a session can keep it.

    Attributes:
        photo: its file.
        spans: (start, end) of the phrases in characters of the sentence; None: its noun phrases.
        top_k: candidates per phrase.
        threshold: phrases whose ``present`` is below it are grey.
        name: of the photo, as the visitor calls it; None: its file's.
    """

    photo: Path | None
    sentence: str | None
    spans: Sequence[Sequence[int]] | None = None
    top_k: int = 1
    threshold: float = PRESENT_THRESHOLD
    name: str | None = None

    @classmethod
    def of(cls, photo: GivenPhoto | None, sentence: str | None) -> Question:
        """That of a visitor who uploaded a photo and typed a sentence, or not yet."""
        return cls(photo.file, sentence, name=photo.name) if photo else cls(None, sentence)

    @property
    def photo_name(self) -> str:
        """The name of the photo, without a folder; "" where there is none."""
        return self.name or (self.photo.name if self.photo else "")


@dataclass(frozen=True)
class SeenPhoto:
    """A photo after the costly half: its regions, and a JPEG data URI of it for the browser."""

    view: PhotoView
    preview: str

    @property
    def nbytes(self) -> int:
        """Memory it holds, in bytes."""
        return self.view.nbytes + len(self.preview)


class LocalizeService:
    """A Localizer that remembers the photos it saw last, so that another sentence on one of them is nearly free.

    Photos are told apart by the content of their files. Safe to call from several threads.
    """

    def __init__(self, localizer: Localizer, max_memory: int = MAX_MEMORY) -> None:
        self.localizer = localizer
        self._max_memory = max_memory  # bytes
        self._remembered: OrderedDict[str, SeenPhoto] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    def __call__(
        self,
        photo: Path | None,
        sentence: str | None,
        report: Report | None = None,
        spans: Sequence[Sequence[int]] | None = None,
        top_k: int = 1,
    ) -> tuple[Localization, SeenPhoto]:
        """Localize the phrases of the sentence in the photo file. Raises SspeError, one sentence, on bad input.

        Args:
            spans: (start, end) of the phrases in characters of the sentence; None takes its noun phrases.
            top_k: candidates per phrase, at most MAX_TOP_K.
        """
        sentence = _checked_sentence(sentence)
        if photo is None:
            raise SspeError("There is no photo yet: upload or paste one, or pick an example.")
        phrases = None if spans is None else phrases_at(sentence, _checked_spans(spans))
        if type(top_k) is not int or not 1 <= top_k <= MAX_TOP_K:
            raise SspeError(f"top_k is {shorten(repr(top_k))}; give a whole number from 1 to {MAX_TOP_K}.")
        report = report or (lambda share, stage: None)
        seen = self.see(photo, report)
        report(0.9, "Matching phrases with regions")
        localization = self.localizer.ground(seen.view, sentence, phrases, top_k)
        _check_count(len(localization.phrases))
        return localization, seen

    def see(self, photo: Path, report: Report = lambda share, stage: None) -> SeenPhoto:
        """The costly half, or its remembered result. Raises PhotoError."""
        try:
            key = hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
        except OSError as error:
            raise PhotoError(f"{photo.name} could not be read ({error.strerror}); upload it again.") from None
        with self._lock:
            if key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
        shares = iter((0.0, 0.1, 0.25))  # of the time, roughly, that is over when a stage begins
        try:
            view = self.localizer.see(photo, lambda stage: report(next(shares, 0.25), stage))
        except PhotoError as error:
            # The visitor knows the photo by its name, and the folders of the server are nobody's business.
            raise PhotoError(str(error).replace(str(photo), photo.name)) from None
        seen = SeenPhoto(view, preview_uri(view.photo))
        with self._lock:
            self._remembered[key] = seen
            while len(self._remembered) > 1 and sum(s.nbytes for s in self._remembered.values()) > self._max_memory:
                self._remembered.popitem(last=False)
        return seen


def no_phrase_message(sentence: str) -> str:
    """The sentence for a localization without phrases."""
    quoted = shorten(sentence, 60)
    return f"No noun phrase was found in “{quoted}”; name something to look for, as in “a man in a red hat”."


def preview_uri(photo: np.ndarray, long_side: int = MAX_PREVIEW) -> str:
    """The photo (H, W, 3) as a JPEG data URI of at most ``long_side`` pixels on its long side."""
    image = Image.fromarray(photo)
    image.thumbnail((long_side, long_side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def check_characters(text: str) -> None:
    """Raise SspeError for half a character, a lone surrogate: JSON can bring one here, but not back."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise SspeError("The text holds half a character, which cannot be written; type it anew.")


def _checked_sentence(sentence: str | None) -> str:
    if sentence is None or not sentence.strip():
        raise SspeError("The sentence is empty: describe something in the photo, as in “a man in a red hat”.")
    if len(sentence) > MAX_CHARACTERS:
        raise SspeError(
            f"The sentence has {len(sentence):,} characters and the limit is {MAX_CHARACTERS:,}; shorten it."
        )
    check_characters(sentence)
    return sentence


def _checked_spans(spans: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
    if not isinstance(spans, list | tuple):
        raise SspeError(f"The phrases were given as {shorten(repr(spans))}; give a list of [start, end].")
    _check_count(len(spans))
    return spans


def _check_count(phrases: int) -> None:
    if phrases > MAX_PHRASES:
        raise SspeError(f"The sentence has {phrases} noun phrases and the limit is {MAX_PHRASES}; shorten it.")
