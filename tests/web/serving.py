"""Serve a page for the length of a test session, on a free port of this machine, and call it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import httpx

from sspe.web.page import launch_settings

PLAIN = {"timeout": 60, "verify": False}  # reading the machine's certificates would take longer than a call


@contextmanager
def served(app: gr.Blocks) -> Iterator[str]:
    """The address of ``app``, launched as app.py launches it."""
    _, url, _ = app.launch(**launch_settings(), server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        yield url
    finally:
        app.close()


def upload(url: str, name: str, content: bytes) -> dict:
    """A photo as `/localize` takes it, after it was uploaded as a browser does."""
    answer = httpx.post(f"{url}gradio_api/upload", files={"files": (name, content)}, **PLAIN).raise_for_status()
    return {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def call(url: str, endpoint: str, data: list) -> str:
    """The last event of a plain HTTP call, as curl would make it, or what refused the call."""
    address = f"{url}gradio_api/call/{endpoint}"
    body = json.dumps({"data": data})  # in ASCII: so half a character can be sent, too
    answer = httpx.post(address, content=body, headers={"Content-Type": "application/json"}, **PLAIN)
    if answer.is_error:
        return answer.text
    return httpx.get(f"{address}/{answer.json()['event_id']}", **PLAIN).text


def event_of(answer: str) -> tuple[str, Any]:
    """("complete", the values) or ("error", what was said) of a call's last event."""
    if not answer.startswith("event: "):
        return "error", answer
    kind, _, data = answer.rpartition("event: ")[2].partition("\ndata: ")
    return kind, json.loads(data)
