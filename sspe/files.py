"""Files on disk: atomic writing, locks, what ships, and the folder for what can be made again."""

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sspe.errors import SspeError

_INSTALLED = Path(__file__).resolve().parent / "checkpoints"  # where a wheel has them; a clone's are beside the package
SHIPPED = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parent.with_name("checkpoints")
DETECTOR_FILE = "nanodet-g.safetensors"  # lies there too, and is no checkpoint: see sspe.vision.detector


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well, remove it when it raises.

    A reader therefore sees the old file or the whole new one, never half of one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; give the result the permissions any other new file would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written(path: str | Path, *kinds: type[Exception]) -> Iterator[Path]:
    """:func:`atomic_write` for what people wait for: SspeError where the disk does not take it.

    ``kinds`` are what the writer raises then, beside OSError.
    """
    try:
        with atomic_write(path) as temporary:
            yield temporary
    except (OSError, *kinds) as error:  # type: ignore[misc]
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0][:120]
        raise SspeError(
            f"{path} could not be written ({reason}); make room on the disk and try again: what stood there before is "
            "whole."
        ) from error


def remove_unfinished(path: str | Path) -> None:
    """Remove what :func:`atomic_write` of this path left beside it when it was killed; nobody may be writing it now."""
    path = Path(path)
    for file in path.parent.glob(f".{glob.escape(path.stem)}-????????{glob.escape(path.suffix)}"):
        file.unlink(missing_ok=True)


def locked(path: str | Path) -> IO | None:
    """The file, made where it is missing and locked for this process; None where another process has it.

    The lock dies with its process or when the file is closed, so none is ever left behind. Raises OSError.
    """
    file = Path(path).open("a+b")  # noqa: SIM115 (the caller closes it)
    try:
        _lock(file.fileno())
    except OSError:
        file.close()
        return None
    return file


if os.name == "nt":
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def make_folder(path: str | Path) -> Path:
    """Make the folder and those above it where they are not there yet; return it. Raises SspeError if it cannot be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SspeError(f"The folder {path} cannot be made ({error.strerror}); name another one.") from None
    return Path(path)


def check_writable(path: str | Path) -> None:
    """Raise SspeError where ``path`` cannot become a file: found out before long work, not after it."""
    if os.path.isdir(path):
        raise SspeError(f"{path} is a folder, and a file is to be written there; name a file.")
    make_folder(Path(path).parent)


def cache_dir() -> Path:
    """Folder for what can be made again: ``$SSPE_CACHE``, else ``~/.cache/sspe``. Safe to delete."""
    given = os.environ.get("SSPE_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "sspe"


def settings_key(*settings: object) -> str:
    """Short hash of JSON-like settings: the same settings always give the same 16 hexadecimal digits."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
