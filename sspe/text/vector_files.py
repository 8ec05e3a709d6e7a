"""Files of word vectors: the GloVe text format, and word2vec's text and binary formats, told apart by their bytes.

GloVe text has one word per line, then its numbers, separated by spaces; some published words hold spaces themselves.
word2vec puts a line of two integers in front, how many words and how many numbers per word; its binary format goes on
with each word, a space, and its numbers as little-endian float32.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sspe.errors import DataError

_LONGEST = 4096  # bytes of a word in a binary file; a longer one means that the file is something else
Wanted = Callable[[int, str], bool]  # place in the file from 0, word -> is its vector to be kept?


def read_vectors(path: Path, wanted: Wanted) -> tuple[tuple[str, ...], np.ndarray]:
    """The wanted words of a file and their vectors (V, D) float32, in the file's order.

    Raises DataError naming the file and the place where it is broken; also where it is missing or holds nothing wanted.
    """
    if not path.is_file():
        raise DataError(f"There is no file of word vectors {path}; check the path.")
    with path.open("rb") as file:
        header = file.readline(_LONGEST).split()
        begins = file.tell()
        if len(header) == 2 and all(part.isdigit() for part in header):
            count, size = map(int, header)
            binary = not _is_text(file.readline(_LONGEST + 40 * size))
            file.seek(begins)
            read = _binary(file, path, count, size, wanted) if binary else _text(file, path, 2, wanted)
        else:
            file.seek(0)
            read = _text(file, path, 1, wanted)
    if not read:
        raise DataError(f"{path} holds no word vectors of use here; give a file in the GloVe or the word2vec format.")
    words, rows = zip(*read, strict=True)
    return words, np.stack(rows)


def _is_text(line: bytes) -> bool:
    """Whether a line is text that ends with a number, or blank."""
    try:
        return not line.strip() or _numbers(line.decode().split()[-1:]) is not None
    except UnicodeDecodeError:
        return False


def _text(lines: Iterable[bytes], path: Path, first: int, wanted: Wanted) -> list[tuple[str, np.ndarray]]:
    """Words and vectors of lines numbered from ``first`` on; blank ones are passed over."""
    read: list[tuple[str, np.ndarray]] = []
    size = place = 0
    for number, raw in enumerate(lines, first):
        try:
            line = raw.decode().rstrip()
        except UnicodeDecodeError:
            raise DataError(f"{path} is not UTF-8 text; give a file in the GloVe or the word2vec format.") from None
        if not line:
            continue
        word, *fields = line.split(" ")
        size = size or len(fields)
        # GloVe 840B has words with spaces, ". . ." and "at name@domain.com"; a surplus number is no part of a word.
        while len(fields) > size and _numbers(fields[:1]) is None:
            word += " " + fields.pop(0)
        if fields and len(fields) != size:
            raise DataError(f"{path}, line {number}: {len(fields)} numbers, and the lines before have {size}.")
        place += 1
        if wanted(place - 1, word) or not fields:
            row = _numbers(fields)
            if row is None:
                raise DataError(
                    f"{path}, line {number}: numbers were expected after {word[:40]!r}, each after a space."
                )
            read.append((word, row))
    return read


def _binary(file: BinaryIO, path: Path, count: int, size: int, wanted: Wanted) -> list[tuple[str, np.ndarray]]:
    """``count`` words and vectors of ``size`` numbers."""
    read: list[tuple[str, np.ndarray]] = []
    for place in range(count):
        word = _word(file)
        numbers = file.read(4 * size)
        if not word or len(numbers) != 4 * size:
            raise DataError(
                f"{path}, word {place + 1} of {count}: the file ends, or holds no word where one was expected; it is "
                "damaged, or neither word2vec's binary format nor UTF-8 text."
            )
        word = word.decode(errors="replace")  # the published vectors have words cut in the middle of a character
        if wanted(place, word):
            row = np.frombuffer(numbers, "<f4").astype(np.float32)
            if not np.isfinite(row).all():
                raise DataError(f"{path}, word {place + 1}, {word[:40]!r}: its numbers are not finite.")
            read.append((word, row))
    return read


def _word(file: BinaryIO) -> bytes:
    """The bytes before the next space, without the line end that some writers put before a word."""
    found = bytearray()
    while len(found) < _LONGEST and (byte := file.read(1)) not in (b" ", b""):
        found += byte
    return bytes(found).lstrip(b"\n")


def _numbers(fields: list[str]) -> np.ndarray | None:
    """The fields as finite float32 numbers, at least one; None where they are something else."""
    try:
        row = np.array(fields, np.float32)
    except ValueError:
        return None
    return row if len(row) and np.isfinite(row).all() else None
