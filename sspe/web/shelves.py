"""The collections that the page searches: the one it was started with, and those of photos that visitors drop."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sspe.collection import Collection
from sspe.errors import SspeError
from sspe.vision.photo import PHOTO_SUFFIXES
from sspe.web.examples import examples

if TYPE_CHECKING:
    from sspe.indexing.records import PhotoRecord
    from sspe.localizer import Localizer

SHARED = ""  # the key of the collection that every visitor sees
MAX_DROPPED = 200  # photos of one visitor
MAX_BYTES = 500 * 2**20  # of their files together
MAX_VISITORS = 20  # whose photos are held at a time; the oldest make room
KEPT = 3600  # seconds that a visitor's photos are held

Build = Callable[..., Collection]
_WARM_UP = "a person"


class Shelf:
    """One collection, perhaps still being embedded.

    Attributes:
        own: of photos that one visitor dropped.
        collection: None until it is embedded.
        done, total: photos embedded so far, and in all.
        problem: a sentence, where it could not be embedded.
        skipped: files left out, name -> reason.
        pictures: what was shown of the photos, kept for the next time; see SearchService.picture.
    """

    def __init__(self, collection: Collection | None = None, own: bool = False) -> None:
        self.own = own
        self.collection: Collection | None = None
        self.done = self.total = 0
        self.problem = ""
        self.skipped: dict[str, str] = {}
        self.pictures: OrderedDict[tuple, str] = OrderedDict()
        self.names: set[str] = set()
        self.size = 0  # bytes
        self._numbers: dict[Path, int] = {}
        self._home: TemporaryDirectory | None = None
        self.writing = threading.Lock()
        if collection is not None:
            self.hold(collection)

    @property
    def folder(self) -> Path:
        """A temporary folder for its photos, removed by :meth:`remove` or when the program ends."""
        if self._home is None:
            self._home = TemporaryDirectory(prefix="sspe-photos-", ignore_cleanup_errors=True)
        return Path(self._home.name)

    def hold(self, collection: Collection) -> None:
        """Take the collection in; what it skipped is named without the folders of the server."""
        files = [(collection.path_of(record), record.path) for record in collection.photos]
        self._numbers = {file: i for i, (file, _) in enumerate(files)}
        folders = {str(file)[: -len(path)] for file, path in files}
        if self._home is not None:
            folders |= {f"{folder}{os.sep}" for folder in (self.folder, self.folder.resolve())}
        for name, reason in collection.skipped.items():
            for folder in folders:
                reason = reason.replace(folder, "")
            self.skipped[name] = reason
        self.collection = collection

    def number_of(self, file: Path) -> int:
        """The place of a file among the collection's photos."""
        return self._numbers[file]

    def photo(self, number: int) -> tuple[PhotoRecord, Path]:
        """Record and file of a photo by its place. Raises SspeError where there is none."""
        photos = self.collection.photos if self.collection else ()
        if type(number) is not int or not 0 <= number < len(photos):
            raise SspeError(f"There is no photo {number} among {len(photos)}; search again.")
        return photos[number], self.collection.path_of(photos[number])

    def remove(self) -> None:
        """Forget the photos, in memory and on the disk."""
        self.collection = None
        self.pictures.clear()
        if self._home is not None:
            self._home.cleanup()


class Shelves:
    """The shelves of a page. Without a collection of its own the example photos are embedded, in the background.

    Safe to call from several threads. A visitor's shelf is known by a key that only that visitor's page has.
    """

    def __init__(self, localizer: Localizer, collection: Collection | None = None, build: Build = Collection.build):
        self._localizer, self._build = localizer, build
        self._shared = Shelf(collection)
        self.examples = collection is None  # the shared photos are the examples
        self._visitors: dict[str, Shelf] = {}  # oldest first
        self._lock = threading.Lock()
        self._work: threading.Thread | None = None

    def begin(self) -> None:
        """Start to embed the example photos, unless that is done or under way."""
        with self._lock:
            if self._shared.collection is None and (self._work is None or not self._work.is_alive()):
                self._shared.problem = ""
                self._work = threading.Thread(target=self._embed_examples, daemon=True)
                self._work.start()

    def shelf(self, key: str = SHARED) -> Shelf:
        """The shelf of a key. Raises SspeError where a visitor's photos are gone, or the key is wrong."""
        if key == SHARED:
            if self._shared.collection is None:
                self.begin()
            return self._shared
        with self._lock:
            if key in self._visitors:
                return self._visitors[key]
        raise SspeError("Your photos are no longer here: they are deleted after an hour. Drop them once more.")

    def wait(self) -> None:
        """Wait until the example photos are embedded, or cannot be."""
        self.begin()
        if self._work is not None:
            self._work.join()

    def drop(
        self, key: str, files: Sequence[Path], report: Callable[[int, int], object] = lambda done, all: None
    ) -> str:
        """Embed photos of a visitor, beside those that the key has already; files left out are in ``shelf.skipped``.

        Returns:
            The key of the visitor's shelf.

        Raises:
            SspeError: there are too many, they are too large together, or none of them is a photo.
        """
        with self._lock:
            shelf = self._visitors.get(key)
        if shelf is None:
            key, shelf = secrets.token_urlsafe(16), Shelf(own=True)
        held = len(shelf.names)
        if held + len(files) > MAX_DROPPED:
            already = f", and {held} are here already" if held else ""
            raise SspeError(
                f"{len(files)} photos were dropped{already}, and the limit is {MAX_DROPPED}; drop fewer, or start "
                "the page with --collection on an index of your own."
            )
        size = shelf.size + sum(file.stat().st_size for file in files)
        if size > MAX_BYTES:
            raise SspeError(
                f"The photos have {size / 2**20:,.0f} MB together, and the limit is {MAX_BYTES // 2**20} MB; drop "
                "fewer, or smaller ones."
            )
        shelf.size = size
        with shelf.writing:
            for file in files:
                _take_in(shelf, file)

            def count(done: int, total: int, path: str) -> None:
                shelf.done, shelf.total = done, total
                report(done, total)

            shelf.hold(self._build(shelf.folder, localizer=self._localizer, report=count))
        if not shelf.collection.photos:
            problem = next((f"{name}: {reason}" for name, reason in shelf.skipped.items()), "there was no file")
            shelf.remove()
            raise SspeError(f"None of the files is a photo that can be opened ({problem.rstrip('.')}); drop others.")
        self._keep(key, shelf)
        return key

    def forget(self, key: str) -> None:
        """Delete a visitor's photos; nothing happens where they are gone."""
        with self._lock:
            shelf = self._visitors.pop(key, None)
        if shelf is not None:
            shelf.remove()

    def _keep(self, key: str, shelf: Shelf) -> None:
        with self._lock:
            new = key not in self._visitors
            self._visitors[key] = shelf
            oldest = next(iter(self._visitors)) if len(self._visitors) > MAX_VISITORS else None
        if new:
            timer = threading.Timer(KEPT, self.forget, [key])
            timer.daemon = True
            timer.start()
        if oldest is not None:
            self.forget(oldest)

    def _embed_examples(self) -> None:
        shelf = self._shared
        try:
            for example in examples():
                shutil.copyfile(example.photo, shelf.folder / example.photo.name)

            def count(done: int, total: int, path: str) -> None:
                shelf.done, shelf.total = done, total

            collection = self._build(shelf.folder, localizer=self._localizer, report=count)
            if collection.photos:
                collection.search(_WARM_UP)  # the first search of a process is slower than any other
            shelf.hold(collection)
        except SspeError as error:
            shelf.problem = str(error)
        except Exception:  # the tab says so, and the rest of the page goes on
            logging.getLogger(__name__).exception("the example photos could not be embedded")
            shelf.problem = "The example photos could not be embedded; the log of the page says why."


def _take_in(shelf: Shelf, file: Path) -> None:
    """Put a file into the shelf's folder, under a name of its own; what is no photo by its name is left out."""
    name = file.name
    if file.suffix.lower() not in PHOTO_SUFFIXES:
        shelf.skipped[name] = "not a photo by its name; drop JPEG, PNG, WebP, AVIF, GIF, BMP, TIFF or HEIC files"
        return
    copies = 2
    while name.lower() in shelf.names:
        name = f"{file.stem} ({copies}){file.suffix}"
        copies += 1
    shelf.names.add(name.lower())
    target = shelf.folder / name.lstrip(".")
    try:
        os.link(file, target)
    except OSError:  # the folders are on two disks
        shutil.copyfile(file, target)
