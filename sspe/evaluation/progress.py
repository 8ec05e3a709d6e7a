"""Progress of long work: what wraps an iterable and passes its items on, as tqdm does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

Progress = Callable[..., Iterable]  # called with the work, and with its length where the work cannot tell


def without_progress(work: Iterable, total: int | None = None) -> Iterable:
    """Pass the items on, and show nothing."""
    return work


def progress_bar(name: str, quiet: bool = False) -> Progress:
    """A bar on standard error, called ``name``; work that is given with its length is the making of proposals."""

    def wrap(work: Iterable, total: int | None = None) -> Iterable:
        from tqdm import tqdm

        return tqdm(work, name if total is None else "proposals", total, disable=quiet, file=sys.stderr)

    return wrap
