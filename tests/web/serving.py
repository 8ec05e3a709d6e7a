"""Serve a page for the length of a test session, on a free port of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from sspe.web.page import launch_settings


@contextmanager
def served(app: gr.Blocks) -> Iterator[str]:
    """The address of ``app``, launched as app.py launches it."""
    _, url, _ = app.launch(**launch_settings(), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        yield url
    finally:
        app.close()
