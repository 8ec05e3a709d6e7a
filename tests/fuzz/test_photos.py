"""Pictures that are damaged or hostile: pixels, or one sentence, in a few seconds and without a traceback."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated, outcome
from pictures import pictures

from sspe.vision.photo import open_photo, photo_date, photo_orientation, photo_size


def check(file: Path) -> bool:
    """Whether the file was opened; what else is asked of it is then answered, and agrees with its pixels."""
    photo = outcome(lambda: open_photo(file))
    asked = [outcome(lambda ask=ask: ask(file)) for ask in (photo_size, photo_date, photo_orientation)]
    if isinstance(photo, str):
        assert file.name in photo
        return False
    assert photo.dtype == np.uint8 and photo.ndim == 3 and photo.shape[2] == 3 and photo.size
    assert asked[0] == (photo.shape[1], photo.shape[0]) and asked[2] in range(1, 9)
    return True


def check_many(folder: Path, seeds: range) -> int:
    """How many of the damaged pictures could be opened all the same."""
    names, opened = sorted(pictures()), 0
    for seed in seeds:
        name = names[seed % len(names)]
        file = folder / f"{seed}{Path(name).suffix}"
        file.write_bytes(mutated(pictures()[name], seed))
        opened += check(file)
        file.unlink()
    return opened


@pytest.mark.filterwarnings("ignore")
def test_pictures_are_whole_before_they_are_damaged(tmp_path):
    for name, content in pictures().items():
        (tmp_path / name).write_bytes(content)
        assert check(tmp_path / name), name


@pytest.mark.filterwarnings("ignore")
def test_damaged_pictures(tmp_path):
    assert 10 < check_many(tmp_path, range(100)) < 90


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ten_thousand_damaged_pictures(tmp_path):
    assert 1000 < check_many(tmp_path, range(100, 10_100)) < 9000


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of eight-bit grey with the chunks given after its header."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (header, *chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def scans(count: int) -> bytes:
    """A progressive JPEG of 4,000 x 4,000 pixels that goes over them again and again, a few bytes each time."""
    whole = pictures()["progressive.jpg"]
    frame = whole.index(b"\xff\xc2")
    size = struct.pack(">HH", 4000, 4000)
    first = whole.index(b"\xff\xda")
    second = whole.index(b"\xff\xda", first + 2)
    head = whole[: frame + 5] + size + whole[frame + 9 : first]
    return head + whole[first:second] * count + b"\xff\xd9"


HOSTILE = {
    "pixels without end.png": lambda: png(60_000, 60_000, (b"IDAT", zlib.compress(bytes(10**6)))),
    "as many as are taken, and none there.png": lambda: png(8000, 8000, (b"IDAT", zlib.compress(bytes(10)))),
    "text that grows.png": lambda: png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(10**7), 9)), (b"IDAT", b"")),
    "a profile that grows.png": lambda: png(8, 8, (b"iCCP", b"a\0\0" + zlib.compress(bytes(10**7), 9))),
    "no pixels.png": lambda: png(0, 0, (b"IDAT", zlib.compress(b""))),
    "scans without end.jpg": lambda: scans(3000),
    "a program.eps": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n",
    "a program.png": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n%%EOF\n",
    "a page.svg": lambda: b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "a page.jpg": lambda: b"<html><script>alert(1)</script></html>",
    "nothing.jpg": lambda: b"",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures(tmp_path, name, monkeypatch):
    def run(*_, **__):
        pytest.fail("a program was started to read a picture")

    monkeypatch.setattr(subprocess, "check_call", run)
    monkeypatch.setattr(subprocess, "Popen", run)
    (tmp_path / name).write_bytes(HOSTILE[name]())
    if check(tmp_path / name):
        assert name.startswith(("text", "scans"))  # what grows is passed over, and the picture shown


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_no_photo(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # opening it waits for somebody to write
    assert "pipe.jpg" in outcome(lambda: open_photo(tmp_path / "pipe.jpg"))
