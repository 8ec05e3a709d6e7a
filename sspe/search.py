"""Search photos for phrases: ``sspe search FOLDER "PHRASE" ["PHRASE" ...]``; `sspe index FOLDER` comes first.

JSON on standard output, words on standard error. Exit code 0 when something was found, 1 when nothing was or a drawing
failed, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sspe.cli import add_checkpoint_option, add_device_options, exit_code
from sspe.errors import PhotoError, SspeError
from sspe.extras import start_fast
from sspe.files import make_folder, written

NOTES = """\
One PHRASE may be a whole sentence, "a dog without a leash", whose noun phrases are then looked for, and what it denies
left out. Several phrases are looked for in photos that show all of them, each in a region of its own. "probability"
(0 to 1; null where the checkpoint has none for searches) says how likely a photo shows a phrase; --at-least is asked of
each. With --like no phrase is given, and "score" is the cosine of the two regions.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe search", description="Find phrases in a collection of photos, each with its box.", epilog=NOTES
    )
    p.add_argument("folder", type=Path, metavar="FOLDER", help="a folder that `sspe index` has read, or its index")
    p.add_argument("phrases", nargs="*", metavar="PHRASE", help="what to look for")
    p.add_argument(
        "--without", action="append", default=[], metavar="PHRASE", help="leave out photos that show this; repeatable"
    )
    p.add_argument(
        "--like",
        nargs=5,
        metavar=("PHOTO", "X1", "Y1", "X2", "Y2"),
        help="look for more like this box, pixels, of a photo of the collection or any other",
    )
    p.add_argument("--top", type=int, default=50, metavar="K", help="photos at most (default: %(default)s)")
    p.add_argument(
        "--at-least", type=float, metavar="P", help="the least probability, 0 to 1 (default: the checkpoint's own)"
    )
    p.add_argument("--format", choices=("json", "coco"), default="json", help="(default: %(default)s)")
    p.add_argument("--draw", type=Path, metavar="DIR", help="write the photos with their boxes drawn into this folder")
    add_checkpoint_option(p)
    add_device_options(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parser().parse_intermixed_args(arguments)
    start_fast()
    return exit_code(lambda: _search(options))


def _search(options: argparse.Namespace) -> int:
    if bool(options.phrases) == bool(options.like):
        raise SspeError("Give phrases to look for, or --like with a photo and a box; one of the two.")
    if options.like and (options.without or options.at_least is not None):
        raise SspeError("--without and --at-least are for phrases, and --like has none; leave them out.")
    if options.draw:
        make_folder(options.draw)

    from sspe.collection import Collection
    from sspe.localizer import Localizer
    from sspe.searching.results import to_coco

    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    collection = Collection.open(options.folder, localizer)
    if options.like:
        photo, *box = options.like
        result = collection.like(photo, _box(box), top=options.top)
    else:
        phrases = options.phrases[0] if len(options.phrases) == 1 else options.phrases
        result = collection.search(phrases, without=options.without, top=options.top, at_least=options.at_least)
    found = result.to_dict() if options.format == "json" else to_coco(result.hits)
    print(json.dumps(found, indent=2), flush=True)
    for phrase in result.unknown:
        print(f"The model does not know the word of {phrase!r}, so it can tell nothing about it.", file=sys.stderr)
    if not result.hits and not result.unknown:
        print(f"Nothing was found in {result.searched} photos.", file=sys.stderr)
    if result.skipped:
        print(f"{len(result.skipped)} files could not be indexed and were not searched.", file=sys.stderr)
    failed = 0
    for number, hit in enumerate(result.hits, start=1):
        if options.draw:
            try:
                picture = hit.draw()
            except PhotoError as error:
                failed += 1
                print(error, file=sys.stderr)
                continue
            with written(options.draw / f"{number:04}-{Path(hit.path).stem}.png") as temporary:
                picture.save(temporary)
    return 1 if failed or not result.hits else 0


def _box(edges: Sequence[str]) -> tuple[float, float, float, float]:
    try:
        x1, y1, x2, y2 = map(float, edges)
    except ValueError:
        raise SspeError(f"The box {' '.join(edges)!r} is not four numbers; give x1 y1 x2 y2 in pixels.") from None
    return x1, y1, x2, y2


if __name__ == "__main__":
    sys.exit(main())
