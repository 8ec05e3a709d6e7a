"""Localize a sentence in photos: ``sspe localize PHOTO... "SENTENCE"``.

JSON on standard output, words and progress on standard error. A folder means every photo in it and below. The sentence
"-" stands for what standard input says. Exit code 0 when all went well, 1 when some photos could not be opened or no
phrase was found (the rest is done), 2 for wrong usage.

Beside its ``score`` (a cosine, -1 to 1, or 0 to 1 with a similarity network) each phrase carries two probabilities, or
null without calibration: ``present``, that the photo shows it, and ``confidence``, that its box is right if so.
Its ``boxes`` are those of the single things where it speaks of several ("two dogs"); ``chosen_by`` are the words that
chose one of several ("on the left"). A phrase that the sentence denies ("no hat") is looked for all the same and has
``negated`` true. One whose word the model does not know has ``known`` false and no probabilities.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from threading import Thread

from sspe.cli import add_checkpoint_option, add_device_options, exit_code
from sspe.errors import PhotoError, SspeError
from sspe.extras import start_fast
from sspe.files import atomic_write, make_folder
from sspe.results import PRESENT_THRESHOLD, Localization, to_coco

FORMATS = ("json", "jsonl", "coco")

FIGURES = f"""\
Each phrase carries the "score" of its box (a cosine, -1 to 1; 0 to 1 with a similarity network) and two probabilities
(0 to 1; null where the checkpoint was not calibrated, and then left out of COCO): "present", that the photo shows it,
and "confidence", that its box is right if so. In COCO "score" is their product, "box_confidence" the second of
them, and "similarity" the score of the box.
A phrase with "present" below {PRESENT_THRESHOLD} is probably not there: --draw makes it grey and dashed, --at-least
{PRESENT_THRESHOLD} leaves it out. A phrase that the sentence denies ("no hat") is looked for all the same, and
"negated". Where a phrase speaks of several things ("two dogs"), "boxes" has one for each and "box" frames them all;
COCO has one annotation for each. Words such as "on the left" choose one of several, and "chosen_by" says which words
did. One whose word the model does not know has "known" false, neither probability, and is grey and dashed, too.
"""


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe localize", description="Box every noun phrase of a sentence in photos.", epilog=FIGURES
    )
    p.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="photo files or folders of photos")
    p.add_argument("sentence", metavar="SENTENCE", help='what to look for; "-" reads it from standard input')
    p.add_argument("--top-k", type=int, default=1, metavar="K", help="candidates per phrase (default: %(default)s)")
    p.add_argument(
        "--format", choices=FORMATS, default="json", help="one array, one line per photo, or COCO (default: json)"
    )
    p.add_argument(
        "--at-least", type=float, metavar="P", help='leave out phrases whose "present" is below P, 0 to 1, or not known'
    )
    p.add_argument("--draw", type=Path, metavar="DIR", help="write the photos with their boxes drawn into this folder")
    add_checkpoint_option(p)
    add_device_options(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    options = parser().parse_intermixed_args(arguments)  # options may stand between the photos and the sentence
    start_fast()
    return exit_code(lambda: _localize(options))


def _localize(options: argparse.Namespace) -> int:
    sentence = _sentence(options.sentence)
    if options.at_least is not None and not 0 <= options.at_least <= 1:
        raise SspeError(
            f"--at-least is {options.at_least:g}, and a probability is asked for; give a number from 0 to 1."
        )
    if options.top_k < 1:
        raise SspeError(f"--top-k is {options.top_k}, and a phrase has at least 1 candidate; give 1 or more.")
    if options.draw:
        make_folder(options.draw)
    photos, unreadable = _expanded(options.photos)

    from tqdm import tqdm

    from sspe.localizer import Localizer

    Thread(target=import_module, args=["nltk"]).start()  # beside the checkpoint; the sentence will need it
    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    failed, phrases = unreadable, 0
    records: list[dict] = []
    localized: list[Localization] = []
    names: list[str] = []
    results = localizer.batch(photos, sentence, options.top_k)
    bar = tqdm(results, total=len(photos), disable=len(photos) < 2, file=sys.stderr)
    for photo, drawing, result in zip(photos, _drawings(photos, options.draw), bar, strict=True):
        if isinstance(result, PhotoError):
            failed += 1
            print(result, file=sys.stderr)
            record = {"photo": str(photo), "error": str(result)}
        else:
            phrases += len(result.phrases)
            if options.at_least is not None:
                result = result.without_doubtful(options.at_least)
            record = {"photo": str(photo), **result.to_dict()}
            if options.format == "coco":
                # Without its pixels: those of a whole folder would not fit in memory.
                localized.append(replace(result, photo=result.photo[:0, :0].copy()))
                names.append(str(photo))
            if drawing:
                with atomic_write(drawing) as temporary:
                    result.draw().save(temporary)
        if options.format == "jsonl":
            _print_json(record)
        records.append(record)
    if options.format == "json":
        _print_json(records, indent=2)
    elif options.format == "coco":
        _print_json(to_coco(localized, names), indent=2)
    if not phrases and any("error" not in record for record in records):
        print(f"No noun phrase was found in {sentence!r}; name something to look for.", file=sys.stderr)
        return 1
    return 1 if failed else 0


def _sentence(given: str) -> str:
    """The sentence of the command line, or of standard input. Raises SspeError where there is none."""
    # os.path, because Path.exists raises where the name is longer than a file's may be: a sentence, for one.
    if given != "-" and os.path.exists(given):
        raise SspeError(
            f"The last argument is to be the sentence, and {given} is a file or folder; give photos, then a sentence "
            'such as "a man in a red hat" (or end yours with a full stop, if that is it).'
        )
    if given == "-":
        try:
            given = sys.stdin.read().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise SspeError(f"The sentence of standard input is not {error.encoding} text; convert it first.") from None
    if not given.strip():
        raise SspeError('The sentence is empty; the last argument is the sentence, such as "a man in a red hat".')
    return given


def _expanded(given: Sequence[Path]) -> tuple[list[Path], int]:
    """Photos with folders replaced by the photos in them, and how many parts of these could not be looked at.

    What is passed over is told on standard error. Raises PhotoError for a folder without a photo.
    """
    from sspe.indexing.walk import walk
    from sspe.vision.photo import PHOTO_SUFFIXES

    photos: list[Path] = []
    unreadable = 0
    for path in given:
        if not os.path.isdir(path):
            photos.append(path)
            continue
        found = walk(path)
        for name, reason in found.unreadable.items():
            print(f"{path / name}: {reason}", file=sys.stderr)
        if found.passed_over:
            told = "1 file or folder was" if found.passed_over == 1 else f"{found.passed_over} files or folders were"
            print(f"In {path} {told} passed over: hidden, or no photo.", file=sys.stderr)
        if not found.files:
            raise PhotoError(f"There is no photo in {path}: looked for {', '.join(sorted(PHOTO_SUFFIXES))}.")
        unreadable += len(found.unreadable)
        photos += [path / file.path for file in found.files]
    return photos, unreadable


def _drawings(photos: Sequence[Path], folder: Path | None) -> list[Path | None]:
    """Where to draw each photo: a PNG of its stem, with a number where a drawing or a photo given is there already."""
    if folder is None:
        return [None] * len(photos)
    taken = {os.path.join(os.path.realpath(photo.parent), photo.name) for photo in photos}
    root = os.path.realpath(folder)
    targets: list[Path | None] = []
    for photo in photos:
        target, number = os.path.join(root, f"{photo.stem}.png"), 1
        while target in taken:
            number += 1
            target = os.path.join(root, f"{photo.stem}-{number}.png")
        taken.add(target)
        targets.append(Path(target))
    return targets


def _print_json(value: object, indent: int | None = None) -> None:
    """One JSON value on standard output, in plain letters where it can write them."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal without these letters, or a file name that is not valid Unicode
        text = json.dumps(value, indent=indent)
    print(text, flush=True)  # flushed, so that a reader gone is noticed here


if __name__ == "__main__":
    sys.exit(main())
