"""Measure on annotated photos: ``sspe evaluate localization|proposals|phrases --data ROOT``.

Prints a table on standard output; --output writes the same figures as JSON, rates as fractions in 0..1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from sspe.errors import SspeError
from sspe.files import atomic_write, check_writable

MEASURES = ("localization", "proposals", "phrases")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(prog="sspe evaluate", description=__doc__.split("\n")[0])
    kinds = p.add_subparsers(dest="measure", required=True, metavar="|".join(MEASURES))
    about = {
        "localization": "R@1/5/10 of a checkpoint, by type, with the proposals' bound and trivial floors",
        "proposals": "recall of Edge Boxes at 50 to 1,000 boxes, and the time they take",
        "phrases": "precision, recall and F1 of the extracted noun phrases",
    }
    for name in MEASURES:
        kind = kinds.add_parser(name, help=about[name], description=about[name])
        kind.add_argument("--data", required=True, help='"synthetic", a folder of Flickr30K Entities, or JSON Lines')
        chosen = kind.add_mutually_exclusive_group()
        chosen.add_argument("--split", default="val", help="which photos of the data (default: %(default)s)")
        chosen.add_argument("--ids", type=Path, metavar="FILE", help="exactly these photos: one id a line")
        kind.add_argument("--photos", type=Path, help="folder of the photo files, where they do not lie in --data")
        kind.add_argument("--checkpoint", help="a .safetensors file or a name (default: the shipped one)")
        kind.add_argument("--limit", type=int, help="the first so many photos only")
        kind.add_argument("--output", type=Path, metavar="FILE.json", help="write the figures as JSON")
        kind.add_argument("--quiet", action="store_true", help="no progress bar")
        if name == "localization":
            kind.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
            kind.add_argument("--precision", default="auto", help="auto, float32 or bfloat16 (default: %(default)s)")
        if name == "proposals":
            kind.add_argument("--curve", type=Path, metavar="FILE.png", help="draw recall against the number of boxes")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    options = parser().parse_args(arguments)
    try:
        for file in (options.output, getattr(options, "curve", None)):
            if file:
                check_writable(file)
        measured, table = _measure(options)
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    if options.output:
        with atomic_write(options.output) as temporary:
            temporary.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(table)
    return 0


def _measure(options: argparse.Namespace) -> tuple[dict, str]:
    from sspe.data import open_dataset

    photos = open_dataset(options.data, options.split, options.ids, options.limit, options.photos)

    def progress(work: Iterable, total: int | None = None) -> Iterable:
        from tqdm import tqdm

        name = options.measure if total is None else "proposals"
        return tqdm(work, name, total, disable=options.quiet, file=sys.stderr)

    if options.measure == "phrases":
        from sspe.evaluation.phrases import measure_phrases, table

        measured = measure_phrases(progress(photos))
    elif options.measure == "proposals":
        from sspe.evaluation.proposals import draw_curve, measure_proposals, table

        measured = measure_proposals(photos, _proposal_settings(options), progress)
        if options.curve:
            draw_curve(measured, options.curve)
    else:
        from sspe.data.feature_store import FeatureStore
        from sspe.evaluation.localization import localize_annotated, measure_localization, table
        from sspe.localizer import Localizer

        pipeline = Localizer.from_pretrained(options.checkpoint, options.device, options.precision).pipeline
        store = FeatureStore(pipeline.settings.regions.side, pipeline.settings.proposals)
        store.prepare([photo.path for photo in photos], progress)
        measured = measure_localization(localize_annotated(pipeline, photos, store, progress))
    return measured, table(measured)


def _proposal_settings(options: argparse.Namespace):
    """The settings of the checkpoint, so that what is measured is what it uses."""
    from sspe.checkpoint import find_checkpoint, load_checkpoint

    return load_checkpoint(find_checkpoint(options.checkpoint))[0].settings.proposals


if __name__ == "__main__":
    sys.exit(main())
