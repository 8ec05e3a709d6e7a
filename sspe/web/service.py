"""What the page and its endpoint do with one request: check it, see the photo once, localize. No Gradio in here."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sspe.errors import PhotoError, SspeError
from sspe.localization import Localization, shorten
from sspe.photo import open_photo

if TYPE_CHECKING:
    from sspe.localizer import Localizer, PhotoView

MAX_CHARACTERS = 1000  # of a sentence
MAX_PHRASES = 50  # in a sentence; more boxes than that on one photo help nobody
MAX_PREVIEW = 1280  # long side in pixels of the picture that the browser is sent
MAX_MEMORY = 512 * 2**20  # bytes of photos and embeddings kept for the next sentence

Report = Callable[[float, str], object]  # share of the work done, 0 to 1, and the name of the stage that begins


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
        self._localizer = localizer
        self._max_memory = max_memory  # bytes
        self._seen: OrderedDict[str, SeenPhoto] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    def __call__(
        self, photo: Path | None, sentence: str | None, report: Report | None = None
    ) -> tuple[Localization, SeenPhoto]:
        """Localize every phrase of the sentence in the photo file. Raises SspeError, one sentence, on bad input."""
        sentence = _checked_sentence(sentence)
        if photo is None:
            raise SspeError("There is no photo yet: upload or paste one, or pick an example.")
        report = report or (lambda share, stage: None)
        seen = self.see(photo, report)
        report(0.9, "Matching phrases with regions")
        localization = self._localizer.ground(seen.view, sentence)
        if len(localization.phrases) > MAX_PHRASES:
            raise SspeError(
                f"The sentence has {len(localization.phrases)} noun phrases and the limit is {MAX_PHRASES}; shorten it."
            )
        return localization, seen

    def see(self, photo: Path, report: Report) -> SeenPhoto:
        """The costly half, or its remembered result. Raises PhotoError."""
        try:
            key = hashlib.blake2b(photo.read_bytes(), digest_size=16).hexdigest()
        except OSError as error:
            raise PhotoError(f"{photo.name} could not be read ({error.strerror}); upload it again.") from None
        with self._lock:
            if key in self._seen:
                self._seen.move_to_end(key)
                return self._seen[key]
        report(0.0, "Opening the photo")
        try:
            pixels = open_photo(photo)
        except PhotoError as error:
            # The visitor knows the photo by its name, and the folders of the server are nobody's business.
            raise PhotoError(str(error).replace(str(photo), photo.name)) from None
        report(0.2, "Proposing and embedding regions")
        seen = SeenPhoto(self._localizer.see(pixels), preview_uri(pixels))
        with self._lock:
            self._seen[key] = seen
            while len(self._seen) > 1 and sum(s.nbytes for s in self._seen.values()) > self._max_memory:
                self._seen.popitem(last=False)
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


def _checked_sentence(sentence: str | None) -> str:
    if sentence is None or not sentence.strip():
        raise SspeError("The sentence is empty: describe something in the photo, as in “a man in a red hat”.")
    if len(sentence) > MAX_CHARACTERS:
        raise SspeError(
            f"The sentence has {len(sentence):,} characters and the limit is {MAX_CHARACTERS:,}; shorten it."
        )
    return sentence
