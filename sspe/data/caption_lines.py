"""Readers of files with one sentence per line: Flickr8K and Flickr30K, as published and as Kaggle has them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from sspe.data.caption_sources import CaptionTable, flickr8k_lists, photo_id
from sspe.data.records import read_lines
from sspe.errors import DataError

TOKEN_FILES = ("Flickr8k.token.txt", "results_20130124.token")  # Flickr8K and Flickr30K, as published
TABLE_FILES = ("captions.txt", "captions.csv", "results.csv")  # the same two, as Kaggle has them

_TOKEN_LINE = re.compile(r"([^\t]+?)#(\d+)(?:\t(.*))?")  # photo file, number of the sentence, sentence
# The same in a table; one line of Kaggle's file lacks its second bar.
_TABLE_LINE = re.compile(r"([^|]+?)\s*\|\s*(\d+)\s*\|?\s*(.*)")


def read_tokens(file: Path, photos: Path | None) -> CaptionTable:
    """Flickr8k.token.txt or results_20130124.token ("a.jpg#0<tab>A child ..."), with lists of splits beside it.

    These are Flickr_8k.{train,dev,test}Images.txt, or {train,val,test}.txt as Flickr30K Entities has them.
    """
    table = CaptionTable(file, file.parent, photos, above=True)
    expected = '"<photo>#<number>", a tab, a sentence'
    _add_numbered(table, _matches(file, read_lines(file), _TOKEN_LINE, expected))
    for split, names in flickr8k_lists(file.parent).items():
        table.list_split(split, names)
    if not table.has_splits:
        table.list_splits_beside(file.parent)
    return table


def read_table(file: Path, photos: Path | None) -> CaptionTable:
    """Kaggle's captions.txt of Flickr8K ("image,caption"), or results.csv of Flickr30K with bars between its columns.

    The first line names the columns. Splits are lists beside it, train.txt, val.txt and test.txt.
    """
    first, *lines = read_lines(file) or [""]
    table = CaptionTable(file, file.parent, photos, above=True)
    if _columns(first, "|") == ["image_name", "comment_number", "comment"]:
        expected = '"<photo>| <number>| <sentence>"'
        _add_numbered(table, _matches(file, lines, _TABLE_LINE, expected, begin=2))
    elif _columns(first, ",") == ["image", "caption"]:
        sentences: dict[str, list[str]] = defaultdict(list)
        for number, line in enumerate(lines, start=2):
            name, comma, sentence = line.partition(",")
            if line and not (comma and name.strip()):
                raise DataError(f'{file}, line {number} is {line[:60]!r}, expected "<photo>,<sentence>".')
            if line:
                quoted = len(sentence) > 1 and sentence[0] == sentence[-1] == '"'
                sentences[name].append(sentence[1:-1].replace('""', '"') if quoted else sentence)
        for name, of_photo in sentences.items():
            table.add(of_photo, name)
    else:
        raise DataError(
            f'{file} begins with {first[:60]!r}, expected the columns "image,caption" or '
            '"image_name| comment_number| comment"; give a file of captions as Kaggle has it.'
        )
    table.list_splits_beside(file.parent)
    return table


def _columns(line: str, delimiter: str) -> list[str]:
    return [name.strip().lower() for name in line.split(delimiter)]


def _matches(
    file: Path, lines: list[str], pattern: re.Pattern, expected: str, begin: int = 1
) -> Iterator[tuple[str, int, str]]:
    """(photo file, number of the sentence, sentence) of each line that is not blank."""
    for number, line in enumerate(lines, start=begin):
        if line:
            parts = pattern.fullmatch(line)
            if parts is None:
                raise DataError(f"{file}, line {number} is {line[:60]!r}, expected {expected}.")
            yield parts[1], int(parts[2]), parts[3] or ""


def _add_numbered(table: CaptionTable, lines: Iterable[tuple[str, int, str]]) -> None:
    """Photos whose sentences are numbered, in any order."""
    numbered: dict[str, dict[int, str]] = {}
    for name, which, sentence in lines:
        of_photo = numbered.setdefault(name, {})
        if which in of_photo:
            table.repeats[photo_id(name)].append(f"{name}#{which} a second time")
        else:
            of_photo[which] = sentence
    for name, of_photo in numbered.items():
        table.add([of_photo[which] for which in sorted(of_photo)], name)
