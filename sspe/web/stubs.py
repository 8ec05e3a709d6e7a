"""Gradio's components without stubs, the `.pyi` files that tell editors of their events.

Gradio parses a component's module and its stub, renders the stub anew and compares the two whenever the class is made:
for its own components at every import, which is a quarter of the time that the page takes to start.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_stubs() -> Iterator[None]:
    """Within it Gradio finds no file of a component's class, as of one that was typed in, and leaves the stub out."""
    file_of = inspect.getfile

    def file_but_of_components(thing: object) -> str:
        if sys._getframe(1).f_globals.get("__name__") == "gradio.component_meta":
            raise OSError("No stub is wanted.")
        return file_of(thing)

    inspect.getfile = file_but_of_components
    try:
        yield
    finally:
        inspect.getfile = file_of
