"""Localize a sentence in photos: ``sspe localize PHOTO... "SENTENCE"``.

JSON on standard output, words and progress on standard error. A folder means every photo in it. Exit code 0 when all
went well, 1 when some photos could not be opened or no phrase was found (the rest is done), 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sspe.errors import PhotoError, SspeError
from sspe.files import atomic_write

FORMATS = ("json", "jsonl", "coco")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(prog="sspe localize", description="Box every noun phrase of a sentence in photos.")
    p.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photo files or folders of photos")
    p.add_argument("sentence", metavar="SENTENCE", help="what to look for")
    p.add_argument("--top-k", type=int, default=1, metavar="K", help="candidates a phrase (default: %(default)s)")
    p.add_argument(
        "--format", choices=FORMATS, default="json", help="one array, a line a photo, or COCO (default: json)"
    )
    p.add_argument("--draw", type=Path, metavar="DIR", help="write the photos with their boxes drawn into this folder")
    p.add_argument("--checkpoint", help="a .safetensors file, a name or a repository (default: the shipped one)")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    p.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parser().parse_args(arguments)
    try:
        if not options.sentence.strip():
            raise SspeError('The sentence is empty; the last argument is the sentence, such as "a man in a red hat".')
        if options.top_k < 1:
            raise SspeError(f"--top-k is {options.top_k}, and a phrase has at least 1 candidate; give 1 or more.")
        photos = list(_expanded(options.photos))
        return _localize(options, photos)
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, `head` for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its exit
        return 1


def _localize(options: argparse.Namespace, photos: list[Path]) -> int:
    from tqdm import tqdm

    from sspe.localization import to_coco
    from sspe.localizer import Localizer

    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    failed = 0
    records, localized, names = [], [], []
    results = localizer.batch(photos, options.sentence, options.top_k)
    bar = tqdm(results, total=len(photos), disable=len(photos) < 2, file=sys.stderr)
    for photo, drawing, result in zip(photos, _drawing_names(photos), bar, strict=True):
        if isinstance(result, PhotoError):
            failed += 1
            print(result, file=sys.stderr)
            record = {"photo": str(photo), "error": str(result)}
        else:
            record = {"photo": str(photo), **result.to_dict()}
            if options.format == "coco":
                localized.append(result)
                names.append(str(photo))
            if options.draw:
                with atomic_write(options.draw / drawing) as temporary:
                    result.draw().save(temporary)
        if options.format == "jsonl":
            print(json.dumps(record, ensure_ascii=False), flush=True)
        records.append(record)
    if options.format == "json":
        print(json.dumps(records, ensure_ascii=False, indent=2))
    elif options.format == "coco":
        print(json.dumps(to_coco(localized, names), ensure_ascii=False, indent=2))
    if not any(record.get("phrases") for record in records) and failed < len(photos):
        print(f"No noun phrase was found in {options.sentence!r}; name something to look for.", file=sys.stderr)
        return 1
    return 1 if failed else 0


def _expanded(photos: Sequence[Path]) -> Iterator[Path]:
    """Folders replaced by the photos in them. Raises PhotoError for a folder without one."""
    from sspe.photo import find_photos

    for photo in photos:
        yield from find_photos(photo) if photo.is_dir() else [photo]


def _drawing_names(photos: Sequence[Path]) -> list[str]:
    """A PNG name a photo, its own stem; further photos of the same stem get a number."""
    names: list[str] = []
    for photo in photos:
        name, number = f"{photo.stem}.png", 1
        while name in names:
            number += 1
            name = f"{photo.stem}-{number}.png"
        names.append(name)
    return names


if __name__ == "__main__":
    sys.exit(main())
