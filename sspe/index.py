"""Embed a folder of photos for searching: ``sspe index FOLDER``.

JSON on standard output, words and progress on standard error. What is done is kept every few seconds: a run that was
stopped goes on where it was, and a later run embeds what is new alone. Exit code 0 when all went well, 1 when some
files could not be read, the folder is not there at present (the rest is done), or it has no photo; 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sspe.cli import add_checkpoint_option, add_device_options, exit_code


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe index", description="Embed the photos of a folder, so that `sspe search` finds phrases in them."
    )
    p.add_argument("folder", type=Path, metavar="FOLDER", help="photos, in it and below")
    p.add_argument("--index", type=Path, metavar="PATH", help="where the index is to lie (default: FOLDER/.sspe)")
    p.add_argument(
        "--part",
        type=_part,
        metavar="I/N",
        help="only the i-th of n parts, so that processes or machines share the work; the parts are searched as one",
    )
    p.add_argument("--quiet", action="store_true", help="no progress bar")
    add_checkpoint_option(p)
    add_device_options(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _index(options), "Stopped; what was done is kept, and another run goes on from there.")


def _index(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from sspe.collection import Collection
    from sspe.localizer import Localizer
    from sspe.vision.photo import PHOTO_SUFFIXES

    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    with tqdm(unit=" photos", disable=options.quiet, file=sys.stderr) as bar:

        def report(done: int, total: int, path: str) -> None:
            if bar.total is None:
                bar.reset(total)
                bar.n = bar.initial = done  # what the index has already says nothing about the speed
            bar.update(done - bar.n)

        collection = Collection.build(options.folder, options.index, localizer, report, options.part)
    built = collection.built
    for path, reason in built.skipped.items():
        print(f"{path} was skipped: {reason}", file=sys.stderr)
    if built.offline:
        print(
            f"{options.folder} is missing or empty now; the index keeps its {built.kept} photos until they are back.",
            file=sys.stderr,
        )
    nothing = not (collection.photos or built.skipped or built.offline or options.part)
    if nothing:
        print(
            f"There is no photo in {options.folder}: looked for {', '.join(sorted(PHOTO_SUFFIXES))}; give the folder "
            "of your photos.",
            file=sys.stderr,
        )
    if built.repaired:
        print(f"A part of the index was damaged; its {built.repaired} photos were looked at anew.", file=sys.stderr)
    found = {**asdict(built), "photos": len(collection.photos), "bytes": collection.nbytes}
    found["skipped"] = [{"path": path, "reason": reason} for path, reason in built.skipped.items()]
    found["seconds"] = round(built.seconds, 2)
    print(json.dumps(found, indent=2))
    return 1 if built.skipped or built.offline or nothing else 0


def _part(text: str) -> tuple[int, int]:
    i, slash, n = text.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise argparse.ArgumentTypeError(f"{text!r} is no part; give I/N, such as 1/4")
    return int(i), int(n)


if __name__ == "__main__":
    sys.exit(main())
