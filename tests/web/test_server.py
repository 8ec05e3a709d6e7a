"""The served page against those who mean it no good: other files, other servers, large bodies, slow clients."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fake_localizer import FakeLocalizer
from serving import call, served, upload

from sspe.web import limits
from sspe.web.page import build_app

SENTENCE = "A man with a secretmark hat."
SECRET = Path("/etc/passwd")


@pytest.fixture
def canary():
    """Address of another server of this machine, and the requests it got: there must be none."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"secret of another server")

        def log_message(self, *_):
            pass

    other = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{other.server_port}", asked
    other.shutdown()
    other.server_close()


def search_view(server: str) -> int:
    """The number of the component of a search, whose functions a browser calls."""
    parts = httpx.get(f"{server}config").json()["components"]
    return next(part["id"] for part in parts if part["props"].get("elem_id") == "search")


PATHS = [
    "gradio_api/file=/etc/passwd",
    "gradio_api/file=../../../../../../etc/passwd",
    "gradio_api/file=%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "gradio_api/file=file:///etc/passwd",
    "gradio_api/file=" + str(Path(__file__).resolve()),
    "gradio_api/file=" + str(Path(limits.__file__).resolve()),
    "gradio_api/file=ASSETS/../pyproject.toml",
    "gradio_api/file/etc/passwd",
    "file=/etc/passwd",
    "static/../../../../../etc/passwd",
    "static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "assets/..%2f..%2f..%2f..%2f..%2fetc/passwd",
    "theme.css/../../../../etc/passwd",
    "gradio_api/custom_component/1/server/..%2f..%2f..%2fetc%2fpasswd/style.css",
    "gradio_api/stream/a/b/1/..%2f..%2fetc%2fpasswd",
    "//etc/passwd",
]


def test_no_path_leads_to_other_files(server):
    from sspe.web.examples import ASSETS

    for path in PATHS:
        path = path.replace("ASSETS", str(ASSETS))
        parts = urlsplit(server)
        with socket.create_connection((parts.hostname, parts.port), 10) as raw:  # httpx would tidy the path up
            raw.sendall(f"GET /{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda raw=raw: raw.recv(65536), b"")).decode(errors="replace")
        assert int(answer.split()[1]) in (400, 403, 404, 405, 422), (path, answer[:200])
        assert "root:" not in answer and "[project]" not in answer and "gradio.utils" not in answer


def odd_files(address: str) -> list:
    """Photos that name a file or a server by every means the endpoints might take."""
    meta = {"meta": {"_type": "gradio.FileData"}}
    places = [str(SECRET), f"file://{SECRET}", f"http://{address}/p.png", f"http://localhost:{address[10:]}/p.png"]
    places += [
        f"http://[::1]:{address[10:]}/p.png",
        f"http://0x7f000001:{address[10:]}/p.png",
        f"ftp://{address}/p.png",
    ]
    places += ["../../../etc/passwd", "\0/etc/passwd", "data:image/png;base64,AAAA"]
    return [
        *[{"path": place, **meta} for place in places],
        *[{"path": "a.png", "url": place, **meta} for place in places[:3]],
        places[2],
    ]


def test_no_endpoint_opens_other_files_or_asks_other_servers(server, canary):
    address, asked = canary
    for photo in odd_files(address):
        answer = call(server, "localize", [photo, SENTENCE, None, 1])
        assert answer.startswith("event: error") and "root:" not in answer and "secret of another" not in answer
    for photo in odd_files(address)[:4]:
        answer = call(server, "search", [photo, [photo], 1, photo])
        assert answer.startswith("event: error") and "root:" not in answer and "secret of another" not in answer
    assert not asked


def test_the_browsers_functions_give_nothing_but_photos(server, canary):
    address, asked = canary
    view = search_view(server)
    for place in (str(SECRET), f"file://{SECRET}", f"http://{address}/p.png", "../../etc/passwd", -1, 10**9, None, {}):
        for name in ("draw", "take_away"):
            for data in (
                {"key": "", "photo": place, "kind": "zip", "tiles": [{"photo": place}]},
                {"key": place},
                place,
            ):
                answer = httpx.post(
                    f"{server}gradio_api/component_server",
                    json={"data": data, "fn_name": name, "session_hash": "x", "component_id": view},
                    timeout=30,
                )
                assert answer.status_code in (200, 422), answer.text
                assert (
                    "root:" not in answer.text and "data:image" not in answer.text and "photos.zip" not in answer.text
                )
    for name in ("__init__", "postprocess", "preprocess", "__class__", "draw.__globals__"):
        body = {"data": 1, "fn_name": name, "session_hash": "x", "component_id": view}
        assert httpx.post(f"{server}gradio_api/component_server", json=body).status_code in (404, 422)
    assert not asked


def test_a_body_that_is_too_large_is_refused_before_it_is_read(server, monkeypatch):
    parts = urlsplit(server)
    for path, length in (("call/localize", limits.MAX_BODY + 1), ("upload", limits.MAX_UPLOAD + 1)):
        with socket.create_connection((parts.hostname, parts.port), 10) as raw:
            head = f"POST /gradio_api/{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {length}\r\n\r\n"
            raw.sendall(head.encode())  # and none of the body
            answer = b""
            while not answer.endswith(b"send fewer or smaller photos.") and (part := raw.recv(4096)):
                answer += part
        assert answer.split()[1] == b"413" and part
    monkeypatch.setattr(limits, "MAX_BODY", 100_000)
    pieces = (b" " * 10_000 for _ in range(20))  # of no declared length
    assert httpx.post(f"{server}gradio_api/call/localize", content=pieces).status_code == 413
    assert call(server, "search", ["a cat"]).startswith("event: complete")


def test_a_file_that_is_too_large_and_a_disk_that_is_full(server, monkeypatch):
    answer = httpx.post(f"{server}gradio_api/upload", files={"files": ("a.png", bytes(26 * 2**20))}, timeout=60)
    assert answer.status_code == 413
    monkeypatch.setattr(limits, "MAX_HELD", 1000)
    answer = httpx.post(f"{server}gradio_api/upload", files={"files": ("a.png", bytes(2000))})
    assert answer.status_code == 507 and "try again later" in answer.text


def test_uploads_are_counted_on_the_disk_now_and_then_and_as_they_come(server, monkeypatch):
    counts = []

    def put() -> int:
        return httpx.post(f"{server}gradio_api/upload", files={"files": ("a.png", bytes(2000))}).status_code

    monkeypatch.setattr(limits, "_on_disk", lambda: counts.append(1) or 0)
    monkeypatch.setattr(limits, "MAX_HELD", 5000)
    monkeypatch.setattr(limits, "COUNT_EVERY", 0)
    assert put() == 200
    monkeypatch.setattr(limits, "COUNT_EVERY", 1000)
    assert (put(), put(), len(counts)) == (200, 507, 1)
    monkeypatch.setattr(limits, "COUNT_EVERY", 0)  # they were deleted meanwhile
    assert (put(), len(counts)) == (200, 2)


def test_slow_clients_keep_nobody_waiting(server, picture):
    parts = urlsplit(server)
    slow = [socket.create_connection((parts.hostname, parts.port), 10) for _ in range(50)]
    try:
        for i, raw in enumerate(slow):  # half a header, or a header and half a body
            rest = "Content-Length: 1000\r\n\r\n{" if i % 2 else "X-Half: "
            raw.sendall(f"POST /gradio_api/call/localize HTTP/1.1\r\nHost: {parts.netloc}\r\n{rest}".encode())
        began = time.monotonic()
        photo = upload(server, picture.name, picture.read_bytes())
        assert call(server, "localize", [photo, SENTENCE]).startswith("event: complete")
        assert time.monotonic() - began < 20
    finally:
        for raw in slow:
            raw.close()


def test_uploads_are_deleted(picture):
    """After a second here; the page itself looks every ten minutes for files that are an hour old."""
    app = build_app(FakeLocalizer())
    assert app.delete_cache == (600, 3600)
    app.delete_cache = (1, 1)
    with served(app) as url:
        photo = upload(url, picture.name, picture.read_bytes() + b"one of its own")
        call(url, "localize", [photo, SENTENCE])
        assert Path(photo["path"]).is_file()
        until = time.monotonic() + 20
        while Path(photo["path"]).exists() and time.monotonic() < until:
            time.sleep(0.2)
        assert not Path(photo["path"]).exists()


def test_nothing_of_a_visitor_is_logged(server, picture, capfd, caplog):
    """Neither of a good question nor of a bad one."""
    photo = upload(server, "secretmark.png", picture.read_bytes())
    bad = upload(server, "secretmark.jpg", b"secretmark")
    for data in (
        [photo, SENTENCE],
        [bad, SENTENCE],
        [photo, "secretmark " * 200],
        [photo, SENTENCE, "secretmark", 1],
        [],
    ):
        call(server, "localize", data)
    call(server, "search", ["a secretmark cat"])
    call(server, "search", [{"secretmark": 1}])
    assert "secretmark" not in "".join(capfd.readouterr()) + caplog.text
