"""Measure on annotated photos: ``sspe evaluate localization|retrieval|proposals|phrases --data ROOT``.

Prints a table on standard output; --output writes the same figures as JSON, rates as fractions in 0..1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.cli import add_checkpoint_option, add_device_options
from sspe.errors import SspeError
from sspe.files import atomic_write, check_writable, make_folder
from sspe.settings import INCOMPLETE

if TYPE_CHECKING:
    from sspe.data.records import AnnotatedPhoto

MEASURES = ("localization", "retrieval", "proposals", "phrases")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(prog="sspe evaluate", description=__doc__.split("\n")[0])
    kinds = p.add_subparsers(dest="measure", required=True, metavar="|".join(MEASURES))
    about = {
        "localization": "R@1/5/10 of a checkpoint, by type, size and resolution, and how good its probabilities are",
        "retrieval": "R@1/5/10 and median rank from photos to sentences, back, and from sentence to sentence",
        "proposals": "recall of Edge Boxes at 50 to 1,000 boxes, and the time they take",
        "phrases": "precision, recall and F1 of the extracted noun phrases",
    }
    for name in MEASURES:
        kind = kinds.add_parser(name, help=about[name], description=about[name])
        data = "captions of Flickr8K, Flickr30K or MSCOCO" if name == "retrieval" else "JSON Lines"
        kind.add_argument(
            "--data", required=name != "localization", help=f'"synthetic", a folder of Flickr30K Entities, or {data}'
        )
        chosen = kind.add_mutually_exclusive_group()
        chosen.add_argument("--split", default="val", help="which photos of the data (default: %(default)s)")
        chosen.add_argument("--ids", type=Path, metavar="FILE", help="exactly these photos: one id a line")
        kind.add_argument("--photos", type=Path, help="folder of the photo files, where they do not lie in --data")
        if name != "phrases":
            add_checkpoint_option(kind)
        kind.add_argument("--limit", type=int, help="the first so many photos only")
        kind.add_argument("--output", type=Path, metavar="FILE.json", help="write the figures as JSON")
        kind.add_argument("--quiet", action="store_true", help="no progress bar")
        if name in ("localization", "retrieval"):
            add_device_options(kind)
        if name == "localization":
            _add_localization_options(kind)
        if name == "retrieval":
            _add_retrieval_options(kind)
        if name == "proposals":
            kind.add_argument("--curve", type=Path, metavar="FILE.png", help="draw recall against the number of boxes")
    return p


def _add_localization_options(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--cross-fit",
        action="store_true",
        help="judge confidence and present as fitted on the other four fifths of these photos: for the photos "
        "that the checkpoint's own were fitted on",
    )
    kind.add_argument(
        "--plain",
        action="store_true",
        help="as the paper measures: rank the proposals by score alone, each phrase read without its sentence",
    )
    kind.add_argument(
        "--proposals",
        type=int,
        nargs="+",
        metavar="N",
        help="with --plain: measure with so many proposals a photo, one row a number",
    )
    kind.add_argument("--reliability", type=Path, metavar="FILE.png", help="draw the reliability diagrams")
    kind.add_argument("--save", type=Path, metavar="FILE.json", help="write the result of every phrase")
    kind.add_argument(
        "--compare", type=Path, nargs=2, metavar=("A", "B"), help="only compare two files written with --save"
    )
    for which, what in (("worst", "worst mistakes"), ("typical", "results drawn at random")):
        kind.add_argument(
            f"--{which}",
            nargs=2,
            metavar=("N", "FOLDER"),
            help=f"draw N {what}, one a photo, for a person to look at",
        )


def _add_retrieval_options(kind: argparse.ArgumentParser) -> None:
    kind.add_argument(
        "--plain",
        action="store_true",
        help="as the paper measures: by the cosine of photo and sentence alone; otherwise with local scaling and with "
        "noun phrases looked for among the regions of a photo, which takes several times as long",
    )
    kind.add_argument(
        "--localizer", metavar="CHECKPOINT", help="what finds the phrases, as for `sspe localize` (default: shipped)"
    )
    kind.add_argument("--region-weight", type=float, metavar="W", help="what the regions weigh (default: 0.4)")
    kind.add_argument("--folds", type=int, metavar="PHOTOS", help="measure also folds of so many photos, and average")
    kind.add_argument(
        "--incomplete",
        choices=INCOMPLETE,
        default="refuse",
        help="what to do about photos with fewer than five sentences or without a file, and ids that occur twice: "
        "%(choices)s (default: %(default)s)",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    options = parser().parse_args(arguments)
    try:
        for name in ("output", "curve", "reliability", "save"):
            if file := getattr(options, name, None):
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
    if options.measure == "localization" and options.compare:
        from sspe.evaluation.comparison import compare, table

        measured = compare(*options.compare)
        return measured, table(measured)
    if options.measure == "localization":
        _check_plain(options)
    if options.measure == "retrieval":
        _check_regions(options)
    if not options.data:
        raise SspeError("There is nothing to measure on; give --data, or --compare and two saved results.")

    def progress(work: Iterable, total: int | None = None) -> Iterable:
        from tqdm import tqdm

        name = options.measure if total is None else "proposals"
        return tqdm(work, name, total, disable=options.quiet, file=sys.stderr)

    if options.measure == "retrieval":
        from sspe.evaluation.retrieval import table

        measured = _measure_retrieval(options, progress)
        return measured, table(measured)
    from sspe.data import open_dataset

    photos = open_dataset(options.data, options.split, options.ids, options.limit, options.photos)
    if options.measure == "phrases":
        from sspe.evaluation.phrases import measure_phrases, table

        measured = measure_phrases(progress(photos))
    elif options.measure == "proposals":
        from sspe.evaluation.proposals import draw_curve, measure_proposals, table

        measured = measure_proposals(photos, _proposal_settings(options), progress)
        if options.curve:
            draw_curve(measured, options.curve)
    elif options.plain:
        from sspe.evaluation.ranking import table

        measured = _measure_plainly(options, photos, progress)
    else:
        from sspe.evaluation.localization import table

        measured = _measure_localization(options, photos, progress)
    return measured, table(measured)


def _measure_localization(
    options: argparse.Namespace, photos: Sequence[AnnotatedPhoto], progress: Callable[..., Iterable]
) -> dict:
    from sspe.data.caches import FeatureStore
    from sspe.evaluation.absent import choose_absent
    from sspe.evaluation.comparison import save_results
    from sspe.evaluation.cross_fitting import fit
    from sspe.evaluation.examples import draw_results, typical, worst
    from sspe.evaluation.localization import localize_annotated, measure_localization
    from sspe.evaluation.probabilities import draw_reliability
    from sspe.localizer import Localizer

    drawings = [
        (choice, *_count_and_folder(asked))
        for choice, asked in ((worst, options.worst), (typical, options.typical))
        if asked
    ]
    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    model = localizer.model
    calibrated = model.calibration is not None
    if (options.cross_fit or options.reliability) and not calibrated:
        raise SspeError("The checkpoint has no probabilities to measure; leave --cross-fit and --reliability out.")
    store = FeatureStore(model.settings.regions.side, model.settings.proposals)
    store.prepare([photo.path for photo in photos], progress)
    absent = choose_absent(photos) if calibrated else None
    results, missing = localize_annotated(model, photos, store, progress, absent)
    measured = measure_localization(results, missing, _full_size(options.data))
    if options.cross_fit:
        measured |= fit(results, missing, model.calibration.bank)[1]
    if options.reliability:
        draw_reliability({k: measured[k] for k in ("confidence", "present") if k in measured}, options.reliability)
    if options.save:
        save_results(results, options.save, {"checkpoint": localizer.identity, "data": Path(options.data).name})
    for choice, count, folder in drawings:
        draw_results(choice(results, count), photos, folder)
    return measured


def _check_plain(options: argparse.Namespace) -> None:
    """Raise SspeError where options were given that have no meaning together."""
    others = ("cross_fit", "reliability", "save", "worst", "typical")
    asked = [f"--{name.replace('_', '-')}" for name in others if getattr(options, name)]
    if options.plain and asked:
        raise SspeError(f"--plain ranks by score alone and has no results for {', '.join(asked)}; leave one out.")
    if options.proposals and not options.plain:
        raise SspeError("--proposals goes with --plain; add it.")


def _measure_plainly(
    options: argparse.Namespace, photos: Sequence[AnnotatedPhoto], progress: Callable[..., Iterable]
) -> dict:
    from sspe.checkpoint import find_checkpoint, load_checkpoint
    from sspe.data.caches import FeatureStore, FrozenFeatures
    from sspe.evaluation.ranking import measure_ranking, rank_annotated

    counts = options.proposals or []
    if any(count < 1 for count in counts):
        raise SspeError(f"--proposals got {min(counts)}, and a photo has at least 1; give numbers of at least 1.")
    model, about = load_checkpoint(find_checkpoint(options.checkpoint))
    model.for_inference(options.device, options.precision)
    settings = model.settings.proposals
    # The best so many of a larger number are what a smaller number would have been.
    store = FeatureStore(model.settings.regions.side, replace(settings, count=max([settings.count, *counts])))
    store.prepare([photo.path for photo in photos], progress)
    frozen = FrozenFeatures(model.regions) if about.get("settings", {}).get("fine_tune") is False else None
    results = rank_annotated(model, photos, store, frozen, progress)
    measured = measure_ranking(results, settings.count)
    if counts:
        rates = {count: measure_ranking(results, count) for count in counts}
        kept = ("recall_at_1", "recall_at_5", "recall_at_10", "upper_bound")
        measured["by_proposals"] = {str(count): {name: rates[count][name] for name in kept} for count in counts}
    return measured


def _check_regions(options: argparse.Namespace) -> None:
    """Raise SspeError where what was said of regions has no meaning."""
    weight = options.region_weight
    if options.plain and (options.localizer or weight is not None):
        raise SspeError("--plain leaves regions out, and --localizer and --region-weight with them; leave these out.")
    if weight is not None and not 0 <= weight < float("inf"):
        raise SspeError(f"--region-weight is {weight}; give a number of at least 0.")


def _measure_retrieval(options: argparse.Namespace, progress: Callable[..., Iterable]) -> dict:
    from sspe.data.captions import open_captions
    from sspe.evaluation.retrieval import check_fold, measure_retriever

    captions = open_captions(
        options.data, options.split, options.ids, options.limit, options.photos, incomplete=options.incomplete
    )
    check_fold(options.folds, len(captions))
    from sspe.retriever import Retriever

    weight = {} if options.region_weight is None else {"region_weight": options.region_weight}
    regions = not options.plain and (options.localizer or True)
    retriever = Retriever.from_pretrained(options.checkpoint, options.device, options.precision, regions, **weight)
    measured = measure_retriever(retriever, captions, options.plain, options.folds, progress)
    return {**measured, "left_out": captions.left_out}


def _count_and_folder(asked: Sequence[str]) -> tuple[int, Path]:
    """What --worst and --typical were given, before the long work begins."""
    if not (asked[0].isdecimal() and int(asked[0])):
        raise SspeError(f"The number of results to draw is {asked[0]!r}; give a whole number of at least 1.")
    folder = Path(asked[1])
    make_folder(folder)
    return int(asked[0]), folder


def _full_size(data: str) -> set[str]:
    """Ids of the photos at their published size, where the data lists them; the others were shrunk."""
    file = Path(data) / "full_resolution.txt"
    return set(file.read_text().split()) if file.is_file() else set()


def _proposal_settings(options: argparse.Namespace):
    """The settings of the checkpoint, so that what is measured is what it uses."""
    from sspe.checkpoint import find_checkpoint, load_checkpoint

    return load_checkpoint(find_checkpoint(options.checkpoint))[0].settings.proposals


if __name__ == "__main__":
    sys.exit(main())
