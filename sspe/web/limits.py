"""What one request may weigh, and what all uploads together may take on the disk: refused before it is read."""

from __future__ import annotations

import os
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

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Limits:
    """ASGI middleware that answers 413 to a request that is too large, and 507 to an upload that there is no room for.

    A length that a request declares is believed where it is too large; what is sent is counted all the same.
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

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
        if uploads and await run_in_threadpool(_held) + declared > MAX_HELD:
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


def _held() -> int:
    """Bytes in the folder of uploads."""
    found = 0
    for folder, _, files in os.walk(get_upload_folder()):
        for file in files:
            try:
                found += Path(folder, file).stat().st_size
            except OSError:  # deleted meanwhile
                continue
    return found
