"""What one request may weigh, and what all uploads together may take on the disk: refused before it is read."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from sspe.web.shelves import MAX_BYTES

MAX_BODY = 48 * 2**20  # bytes: a photo of 25 MB as a data URI in JSON has 34 MB
MAX_UPLOAD = MAX_BYTES + MAX_BODY  # bytes of one upload: all that a visitor may drop, and what stands around it
MAX_HELD = 4 * 2**30  # bytes of uploads on the disk, which are deleted after an hour
COUNT_EVERY = 10  # seconds

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Limits:
    """ASGI middleware that answers 413 to a request that is too large, and 507 to an upload that there is no room for.

    A length that a request declares is believed where it is too large; what is sent is counted all the same.
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self._app = app
        self._held = _Held()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hand the request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        uploads = scope["path"].rstrip("/").endswith("/upload")
        limit = MAX_UPLOAD if uploads else MAX_BODY
        declared = _declared_length(scope)
        if declared > limit:
            await PlainTextResponse(_too_large(limit), 413)(scope, receive, send)
            return
        if uploads and await self._held.size() + declared > MAX_HELD:
            await PlainTextResponse(
                "The page holds as many photos as it may; they are deleted after an hour, so try again later.", 507
            )(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, _too_large(limit))
            if uploads:
                self._held.grow(len(message.get("body", b"")))
            return message

        await self._app(scope, counted, send)


def _too_large(limit: int) -> str:
    return f"The request has more than {limit // 2**20} MB; send fewer or smaller photos."


def _declared_length(scope: Message) -> int:
    """The length of the body as its header says; 0 where it says none."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


class _Held:
    """How many bytes all uploads take: as the disk says every few seconds, and what has come since."""

    def __init__(self) -> None:
        self._size, self._counted = 0, -math.inf

    async def size(self) -> int:
        """Bytes, counted anew where the last count is too long ago: each walks through the files of an hour."""
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._counted = time.monotonic()  # first, so that no other request counts as well
            self._size = await run_in_threadpool(_on_disk)
        return self._size

    def grow(self, size: int) -> None:
        """So many bytes have come."""
        self._size += size


def _on_disk() -> int:
    """Bytes in the folder of uploads."""
    found = 0
    for folder, _, files in os.walk(get_upload_folder()):
        for file in files:
            try:
                found += Path(folder, file).stat().st_size
            except OSError:  # deleted meanwhile
                continue
    return found
