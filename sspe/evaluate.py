"""Measure on annotated photos: ``sspe evaluate localization|retrieval|search|proposals|phrases --data ROOT``.

Prints a table on standard output; --output writes the same figures as JSON, rates as fractions in 0..1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sspe.cli import add_checkpoint_option, add_device_options, exit_code
from sspe.errors import SspeError
from sspe.evaluation.progress import progress_bar
from sspe.extras import import_extra
from sspe.files import check_writable, make_folder, written
from sspe.settings import INCOMPLETE

if TYPE_CHECKING:
    from sspe.data.records import AnnotatedPhoto
    from sspe.evaluation.answers import PhraseResult

HALVES = ("first", "second")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(prog="sspe evaluate", description=__doc__.split("\n")[0])
    kinds = p.add_subparsers(dest="measure", required=True, metavar="|".join(MEASURES))
    for name, (_, about) in MEASURES.items():
        kind = kinds.add_parser(name, help=about, description=about)
        data = "captions of Flickr8K, Flickr30K or MSCOCO" if name == "retrieval" else "JSON Lines"
        kind.add_argument(
            "--data", required=name != "localization", help=f'"synthetic", a folder of Flickr30K Entities, or {data}'
        )
        chosen = kind.add_mutually_exclusive_group()
        chosen.add_argument("--split", default="val", help="which photos of the data (default: %(default)s)")
        chosen.add_argument("--ids", type=Path, metavar="FILE", help="exactly these photos: one id per line")
        kind.add_argument("--photos", type=Path, help="folder of the photo files, where they do not lie in --data")
        if name != "phrases":
            add_checkpoint_option(kind)
        kind.add_argument("--limit", type=int, help="only the first so many photos")
        if name != "retrieval":
            kind.add_argument(
                "--half",
                choices=HALVES,
                help="only every other photo, from the first or the second on: the shipped checkpoint was chosen and "
                "calibrated on the first half of val, and its figures come from the second",
            )
        kind.add_argument("--output", type=Path, metavar="FILE.json", help="write the figures as JSON")
        kind.add_argument("--quiet", action="store_true", help="no progress bar")
        if name in ("localization", "retrieval", "search"):
            add_device_options(kind)
        if name == "search":
            kind.add_argument(
                "--absent-from",
                metavar="SPLIT",
                help="judge the probability also on phrases of this split, such as train, that no photo here mentions",
            )
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
        "--seen-in",
        metavar="SPLIT",
        help="measure apart the phrases whose head noun is in no phrase of this split of the data, such as train",
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
        help="with --plain: measure with so many proposals per photo, one row per number",
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
            help=f"draw N {what}, one per photo, for a person to look at",
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
    return exit_code(lambda: _evaluate(options))


def _evaluate(options: argparse.Namespace) -> int:
    for name in ("output", "curve", "reliability", "save"):
        if file := getattr(options, name, None):
            check_writable(file)
            if name in ("curve", "reliability"):
                import_extra("matplotlib.figure", "plots", f"--{name}")  # before the long work, not after it
    measured, table = MEASURES[options.measure][0](options)
    if options.output:
        with written(options.output) as temporary:
            temporary.write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(table)
    return 0


def _localization(options: argparse.Namespace) -> tuple[dict, str]:
    if options.compare:
        from sspe.evaluation import comparison

        measured = comparison.compare(*options.compare)
        return measured, comparison.table(measured)
    _check_localization(options)
    from sspe.checkpoint import find_checkpoint, identity, load_checkpoint
    from sspe.evaluation.localization import evaluate_localization, table
    from sspe.evaluation.probabilities import draw_reliability
    from sspe.localizer import Localizer

    photos = _photos(options)
    keep = _keeping(options, photos)
    path = find_checkpoint(options.checkpoint)
    model, about = load_checkpoint(path)
    localizer = Localizer(model, options.device, options.precision, identity(path))
    progress = progress_bar("localization", options.quiet)
    if options.plain:
        from sspe.evaluation import ranking

        frozen = about.get("settings", {}).get("fine_tune") is False
        counts = options.proposals or ()
        measured = ranking.evaluate_ranking(localizer, photos, proposals=counts, frozen=frozen, progress=progress)
        return measured, ranking.table(measured)
    if (options.cross_fit or options.reliability) and model.calibration is None:
        raise SspeError("The checkpoint has no probabilities to measure; leave --cross-fit and --reliability out.")
    measured = evaluate_localization(
        localizer,
        photos,
        cross_fit=options.cross_fit,
        full_size=_full_size(options.data),
        seen_heads=_seen_heads(options),
        results=lambda results: keep(results, localizer.identity),
        progress=progress,
    )
    if options.reliability:
        draw_reliability({k: measured[k] for k in ("confidence", "present") if k in measured}, options.reliability)
    return measured, table(measured)


def _retrieval(options: argparse.Namespace) -> tuple[dict, str]:
    from sspe.data.captions import open_captions
    from sspe.evaluation.retrieval import check_fold, evaluate_retrieval, table

    _check_regions(options)
    captions = open_captions(
        options.data, options.split, options.ids, options.limit, options.photos, incomplete=options.incomplete
    )
    check_fold(options.folds, len(captions))
    from sspe.retriever import Retriever

    weight = {} if options.region_weight is None else {"region_weight": options.region_weight}
    regions = not options.plain and (options.localizer or True)
    retriever = Retriever.from_pretrained(options.checkpoint, options.device, options.precision, regions, **weight)
    progress = progress_bar("retrieval", options.quiet)
    measured = evaluate_retrieval(retriever, captions, plain=options.plain, fold=options.folds, progress=progress)
    return measured, table(measured)


def _search(options: argparse.Namespace) -> tuple[dict, str]:
    from sspe.data import open_dataset
    from sspe.evaluation.search import evaluate_search, table
    from sspe.localizer import Localizer

    photos = _photos(options)
    others = open_dataset(options.data, options.absent_from, photos=options.photos) if options.absent_from else ()
    localizer = Localizer.from_pretrained(options.checkpoint, options.device, options.precision)
    measured = evaluate_search(localizer, photos, train=others, progress=progress_bar("search", options.quiet))
    return measured, table(measured)


def _proposals(options: argparse.Namespace) -> tuple[dict, str]:
    from sspe.checkpoint import find_checkpoint, load_checkpoint
    from sspe.evaluation.proposals import draw_curve, evaluate_proposals, table

    photos = _photos(options)
    # The settings of the checkpoint, so that what is measured is what it uses.
    model = load_checkpoint(find_checkpoint(options.checkpoint))[0]
    bar = progress_bar("proposals", options.quiet)
    measured = evaluate_proposals(photos, model.settings.proposals, bar, model.detector)
    if options.curve:
        draw_curve(measured, options.curve)
    return measured, table(measured)


def _phrases(options: argparse.Namespace) -> tuple[dict, str]:
    from sspe.evaluation.phrases import evaluate_phrases, table

    measured = evaluate_phrases(progress_bar("phrases", options.quiet)(_photos(options)))
    return measured, table(measured)


MEASURES = {  # name -> what measures it, and what `--help` says of it
    "localization": (
        _localization,
        "R@1/5/10 of a checkpoint, by type, size and resolution, and how good its probabilities are",
    ),
    "retrieval": (_retrieval, "R@1/5/10 and median rank from photos to sentences, back, and from sentence to sentence"),
    "search": (_search, "a phrase searched in all photos: R@1/5/10, mAP, right boxes, nonsense, the probability"),
    "proposals": (_proposals, "recall of Edge Boxes at 50 to 1,000 boxes, and the time they take"),
    "phrases": (_phrases, "precision, recall and F1 of the extracted noun phrases"),
}


def _photos(options: argparse.Namespace) -> Sequence[AnnotatedPhoto]:
    from sspe.data import open_dataset
    from sspe.evaluation.cross_fitting import halves

    photos = open_dataset(options.data, options.split, options.ids, options.limit, options.photos)
    return halves(photos)[HALVES.index(options.half)] if options.half else photos


def _seen_heads(options: argparse.Namespace) -> set[str]:
    from sspe.data import open_dataset
    from sspe.evaluation.measures import heads_of

    return heads_of(open_dataset(options.data, options.seen_in, photos=options.photos)) if options.seen_in else set()


def _check_localization(options: argparse.Namespace) -> None:
    """Raise SspeError where options have no meaning together or are out of range."""
    others = ("cross_fit", "seen_in", "reliability", "save", "worst", "typical")
    given = [f"--{name.replace('_', '-')}" for name in others if getattr(options, name)]
    if options.plain and given:
        raise SspeError(f"--plain ranks by score alone and has no results for {', '.join(given)}; leave one out.")
    if options.proposals and not options.plain:
        raise SspeError("--proposals goes with --plain; add it.")
    if options.proposals and min(options.proposals) < 1:
        raise SspeError(
            f"--proposals got {min(options.proposals)}, and a photo has at least 1; give numbers of at least 1."
        )
    if not options.data:
        raise SspeError("There is nothing to measure on; give --data, or --compare and two saved results.")


def _check_regions(options: argparse.Namespace) -> None:
    """Raise SspeError where the options about regions have no meaning."""
    weight = options.region_weight
    if options.plain and (options.localizer or weight is not None):
        raise SspeError("--plain leaves regions out, and --localizer and --region-weight with them; leave these out.")
    if weight is not None and not 0 <= weight < float("inf"):
        raise SspeError(f"--region-weight is {weight}; give a number of at least 0.")


def _keeping(options: argparse.Namespace, photos: Sequence[AnnotatedPhoto]) -> Callable[..., None]:
    """keep(results, identity of the checkpoint): writes what --save, --worst and --typical ask for.

    Their numbers and folders are checked at once, before the long work begins.
    """
    from sspe.evaluation.comparison import save_results
    from sspe.evaluation.examples import draw_results, typical, worst

    chosen = ((worst, options.worst), (typical, options.typical))
    drawings = [(choose, *_count_and_folder(*given)) for choose, given in chosen if given]

    def keep(results: Sequence[PhraseResult], checkpoint: str) -> None:
        if options.save:
            save_results(results, options.save, {"checkpoint": checkpoint, "data": Path(options.data).name})
        for choose, count, folder in drawings:
            draw_results(choose(results, count), photos, folder)

    return keep


def _count_and_folder(count: str, folder: str) -> tuple[int, Path]:
    if not (count.isdecimal() and int(count)):
        raise SspeError(f"The number of results to draw is {count!r}; give a whole number of at least 1.")
    make_folder(Path(folder))
    return int(count), Path(folder)


def _full_size(data: str) -> set[str]:
    """Ids of the photos at their published size, where the data lists them; the others were shrunk."""
    file = Path(data) / "full_resolution.txt"
    return set(file.read_text().split()) if file.is_file() else set()


if __name__ == "__main__":
    sys.exit(main())
