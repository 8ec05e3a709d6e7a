"""Which photos lie in a folder: every picture file below it but for what is hidden or not the user's own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from sspe.indexing.manifest import FOLDER
from sspe.vision.photo import PHOTO_SUFFIXES

# Folders that systems and servers make for themselves; hidden ones, whose name begins with a dot, are left out as well.
LEFT_OUT = frozenset(["@eadir", "#recycle", "$recycle.bin", "system volume information"])


@dataclass(frozen=True)
class FoundFile:
    """A picture file.

    Attributes:
        path: relative to the folder that was walked, with forward slashes.
        size: bytes.
        modified: nanoseconds since 1970.
    """

    path: str
    size: int
    modified: int


@dataclass
class Walk:
    """What a walk found.

    Attributes:
        files: sorted by path.
        unreadable: folders and files that could not be looked at, each with the reason; relative paths.
        passed_over: how many files are no pictures, and how many files and folders hidden or a system's.
    """

    files: list[FoundFile] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    passed_over: int = 0

    def hides(self, path: str) -> bool:
        """Whether a file of this path may be there all the same: it lies in a folder that could not be read."""
        return any(path == folder or path.startswith(f"{folder}/") or folder == "." for folder in self.unreadable)


def walk(folder: str | Path) -> Walk:
    """Look for photos below a folder. A link to a folder is followed unless that was entered already.

    A folder that may not be read is left out and named in ``unreadable``; the rest goes on.
    """
    found = Walk()
    entered: set[tuple[int, int]] = set()
    waiting = [(Path(folder), "")]
    while waiting:
        directory, prefix = waiting.pop()
        try:
            status = directory.stat()
            if (status.st_dev, status.st_ino) in entered:
                continue
            entered.add((status.st_dev, status.st_ino))
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            found.unreadable[prefix.rstrip("/") or "."] = f"the folder cannot be read ({error.strerror})"
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower() in LEFT_OUT:
                found.passed_over += entry.name != FOLDER  # the index is no oversight
                continue
            path = prefix + entry.name
            try:
                if entry.is_dir():
                    waiting.append((directory / entry.name, f"{path}/"))
                elif Path(entry.name).suffix.lower() in PHOTO_SUFFIXES:
                    status = entry.stat()
                    if entry.is_file():
                        found.files.append(FoundFile(path, status.st_size, status.st_mtime_ns))
                else:
                    found.passed_over += 1
            except OSError as error:
                found.unreadable[path] = f"the file cannot be read ({error.strerror})"
    found.files.sort(key=lambda file: file.path)
    return found
