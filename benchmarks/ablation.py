"""The paper's claims as rows that anyone can run again.

    python benchmarks/ablation.py --data ROOT --vectors runs/word2vec300.txt           # run what is missing, print all
    python benchmarks/ablation.py --data ROOT --vectors ... --rows loss text --seeds 3 # some rows, three seeds
    python benchmarks/ablation.py --data ROOT --vectors ... --print                    # run nothing

Every row is one ``sspe train --recipe ablation`` with its own settings: frozen features, one short schedule, the
paper's measure. Rows that are finished (their folder has a metrics.json) are not run again, one that was stopped goes
on. The table is Markdown. The vectors are made by ``python tools/train_word2vec.py CAPTIONS FILE --size 300``.
"""

import argparse
import csv
import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sspe.errors import SspeError

SEEN = "text encoder has seen these captions"
COUNTS = ("100", "200", "500", "1000")
HGLMM = ("text.vectors={vectors}",)  # the recipe's encoder
BOTH = "text.vectors=glove,{vectors}"
MEAN = ("text.encoder=mean", BOTH)
TFIDF = ("text.encoder=tfidf",)
TEXT_TERM, IMAGE_TERM = "loss.phrase_structure=0.1", "loss.region_structure=0.1"
ONE_WAY = "loss.region_anchor=0"


@dataclass(frozen=True)
class Row:
    """One network to train.

    Attributes:
        name: of its run folder, before the seed.
        group: which question it answers; "base" answers each.
        about: what a reader of the table is told.
        changes: settings changed in the recipe.
        recipe: of ``sspe train``; another than "ablation" is not run unless the row is asked for by name.
    """

    name: str
    group: str
    about: str
    changes: tuple[str, ...]
    recipe: str = "ablation"


@dataclass(frozen=True)
class Prepared:
    """A run that is still to be made: what it reads, how that is read, and how the run is made of it."""

    reads: tuple
    read: Callable[[], object]
    make: Callable[[Any], Any]


def _structure(encoder: str, changes: tuple[str, ...]) -> list[Row]:
    """The structure terms with one text encoder; without any of them is a row of its own."""
    terms = {"text": (TEXT_TERM,), "image": (IMAGE_TERM,), "both": (TEXT_TERM, IMAGE_TERM)}
    return [
        Row(f"{encoder.lower()}-{name}-structure", "loss", f"{encoder}: + {name} structure", (*changes, *terms[name]))
        for name in terms
    ]


ROWS = (
    Row("base", "base", "HGLMM, nonlinear, bi-directional, RoI, positive augmentation", HGLMM),
    Row("linear", "network", "linear branches", (*HGLMM, "network.hidden=0")),
    Row("similarity", "network", "similarity network", (*HGLMM, "network.kind=similarity")),
    Row("cca-hglmm", "network", "CCA, HGLMM", (*HGLMM, "network.kind=cca")),
    Row("cca-mean", "network", "CCA, mean", (*MEAN, "network.kind=cca")),
    Row("region-anchor", "loss", "HGLMM: one-directional, region to phrases", (*HGLMM, "loss.phrase_anchor=0")),
    Row("phrase-anchor", "loss", "HGLMM: one-directional, phrase to regions", (*HGLMM, ONE_WAY)),
    *_structure("HGLMM", HGLMM),
    *_structure("mean", MEAN),
    *_structure("tf-idf", TFIDF),
    Row("same-photo", "loss", "HGLMM: + own photo's negatives (not the paper's)", (*HGLMM, "loss.same_photo=1")),
    Row("mean", "text", "mean of GloVe 50-d and word2vec 300-d", MEAN),
    Row("tf-idf", "text", "tf-idf", TFIDF),
    Row("hglmm-glove", "text", "HGLMM of GloVe 50-d", ()),
    Row("minilm", "text", f"MiniLM ({SEEN})", ("text.encoder=minilm",)),
    Row("crops", "regions", "crops of 112 pixels instead of RoI", (*HGLMM, "regions.mode=crops")),
    Row("geometry", "regions", "with geometry (not the paper's)", (*HGLMM, "regions.geometry=true")),
    Row("ground-truth", "positives", "ground-truth pairs only", (*HGLMM, "positive_iou=1")),
    Row("hard-negatives", "positives", "+ hard negatives, mined after epoch 1", (*HGLMM, "mining_epoch=1")),
    Row("fine-tuned", "fine-tuned", "fine-tuned, refined: --recipe short (another measure)", MEAN, "short"),
)
GROUPS = tuple(dict.fromkeys(row.group for row in ROWS))
PUBLISHED = """\
Published, official test split, for orientation only (other photos, other training set): CCA about 42 (remembered), this
paper 43.9 (remembered), its journal version 51.03 (embedding network) and 51.05 (similarity network)."""


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    names = ["proposals", *GROUPS, *(row.name for row in ROWS if row.name not in GROUPS)]
    return options_of_a_table(__doc__, "sspe train", names, 3000, Path("runs/ablation"))


def options_of_a_table(
    about: str, trainer: str, names: Sequence[str], limit: int | None, output: Path
) -> argparse.ArgumentParser:
    """What every table of rows lets a user choose; ``limit`` None trains on all photos."""
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help=f"as of {trainer}")
    p.add_argument("--vectors", required=True, help="300-d word vectors, trained on captions without val's")
    p.add_argument("--rows", nargs="+", metavar="NAME", help=f"these groups or rows only: {', '.join(names)}")
    p.add_argument("--seeds", type=int, default=1, help="runs a row; more give mean and spread (default: %(default)s)")
    p.add_argument("--limit", type=int, default=limit, help=f"training photos (default: {limit or 'all'})")
    p.add_argument("--val-limit", type=int, help="val photos (default: all)")
    p.add_argument("--output", type=Path, default=output, help="folder of the runs (default: %(default)s)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of every row")
    p.add_argument("--print", action="store_true", help="run nothing, print what there is")
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 1 where rows failed, 2 for a user's mistake."""
    return print_table(parser().parse_args(arguments), chosen, run, table)


def print_table(options: argparse.Namespace, chosen: Callable, run: Callable, table: Callable) -> int:
    """Choose the rows, run what is missing, print them all; the exit code of :func:`main`."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        rows = chosen(options.rows)
        failed = [] if options.print else run(rows, options)
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(rows, options))
    for name, error in failed:
        print(f"{name}: {error}", file=sys.stderr)
    return 1 if failed else 0


def chosen(asked: Sequence[str] | None) -> list[Row]:
    """The rows of the groups and names asked for, the base first; None asks for all that one schedule trains.

    Raises SspeError for a name that is neither.
    """
    if asked is None:
        return [row for row in ROWS if row.recipe == "ablation"]
    known = dict.fromkeys(("proposals", *GROUPS, *(row.name for row in ROWS)))
    for name in asked:
        if name not in known:
            raise SspeError(f"There is no row or group {name!r}; choose among {', '.join(known)}.")
    return [row for row in ROWS if row.name == "base" or {row.name, row.group} & set(asked)]


def command(row: Row, seed: int, options: argparse.Namespace) -> list[str]:
    """The arguments of ``sspe train`` that make the row."""
    changes = [change.format(vectors=options.vectors) for change in (*row.changes, *options.set)]
    line = ["--data", options.data, "--recipe", row.recipe]
    line += [part for change in changes for part in ("--set", change)]
    if row.recipe == "ablation":
        line += ["--limit", str(options.limit)]
    if options.val_limit:
        line += ["--val-limit", str(options.val_limit)]
    if options.device != "auto":
        line += ["--device", options.device]
    return [*line, "--seed", str(seed), "--output", str(folder(row, seed, options))]


def folder(row: Row, seed: int, options: argparse.Namespace) -> Path:
    """Of a run."""
    return options.output / f"{row.name}-{seed}"


def proposals_command(options: argparse.Namespace) -> list[str]:
    """The arguments of ``sspe evaluate`` that measure the base with more and fewer proposals."""
    base = folder(ROWS[0], 0, options)
    line = ["localization", "--data", options.data, "--checkpoint", str(base / "best.safetensors"), "--plain"]
    line += ["--proposals", *COUNTS, "--output", str(options.output / "proposals.json")]
    return line + (["--limit", str(options.val_limit)] if options.val_limit else [])


def run(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[str, str]]:
    """Train and measure what is missing; the names of the rows that failed, and why."""
    from sspe.evaluate import main as evaluate

    failed = train_missing(rows, options, command, prepared)
    asked = options.rows is None or "proposals" in options.rows
    if asked and not (options.output / "proposals.json").exists():
        line = proposals_command(options) + (["--quiet"] if options.quiet else [])
        with redirect_stdout(sys.stderr):  # the table alone goes to standard output
            if (folder(ROWS[0], 0, options) / "metrics.json").exists() and evaluate(line):
                failed.append(("proposals", "see above"))
    return failed


def prepared(row: Row, parsed: argparse.Namespace) -> Prepared:
    """A run of ``sspe train`` with the options parsed from the row's command."""
    from sspe.training.localization import LocalizationRun
    from sspe.training.localization_data import TrainingData
    from sspe.training.recipes import recipe

    made = recipe(row.recipe, parsed.set)
    return Prepared(
        (made.text, made.proposals, made.regions.side, made.regions_per_phrase, made.fine_tune),
        lambda: TrainingData.read(made, parsed, lambda work, total: work),
        lambda data: LocalizationRun(made, row.recipe, parsed.output, parsed, data),
    )


def train_missing(
    rows: Sequence[Row],
    options: argparse.Namespace,
    command: Callable[[Row, int, argparse.Namespace], list[str]],
    prepared: Callable[[Row, argparse.Namespace], Prepared],
) -> list[tuple[str, str]]:
    """Train what is missing of the rows; the names of those that failed, and why.

    Runs that read the same data read it once: the rows go text encoder by text encoder, all seeds of each.
    """
    from sspe.train import parser as train_parser

    missing = []
    for row in rows:
        for seed in range(options.seeds):
            if not (folder(row, seed, options) / "metrics.json").exists():
                line = command(row, seed, options)
                line += ["--resume"] if (folder(row, seed, options) / "last.pt").exists() else []
                line += ["--quiet"] if options.quiet else []
                parsed = train_parser().parse_args(line)
                missing.append((f"{row.name}, seed {seed}", prepared(row, parsed)))
    order = list(dict.fromkeys(made.reads for _, made in missing))
    missing.sort(key=lambda item: order.index(item[1].reads))
    failed, data, held = [], None, None
    for number, (name, made) in enumerate(missing, 1):
        logging.info("[%d of %d] %s", number, len(missing), name)
        try:
            if held != made.reads:
                data, held = None, None  # the old data goes before the new comes
                data = made.read()
                held = made.reads
            made.make(data).train()
        except SspeError as error:
            failed.append((name, str(error)))
    return failed


def table(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The finished rows as Markdown, in percent; of several seeds the mean and half the range."""
    found = [(row, measured) for row in rows if (measured := list(finished(row, options)))]
    if not found:
        return "No row is finished yet."
    floors = found[0][1][0][0]
    lines = ["| | R@1 | R@5 | R@10 | training, s | seeds |", "|---|---|---|---|---|---|"]
    for name, title in (("floor_whole_photo", "whole photo"), ("floor_centred_box", "centred box of 0.8 W x 0.8 H")):
        lines.append(f"| floor: {title} | {100 * floors[name]:.1f} | | | | |")
    for row, measured in found:
        rates = (spread([100 * m[f"recall_at_{k}"] for m, _ in measured]) for k in (1, 5, 10))
        seconds = sum(s for _, s in measured) / len(measured)
        lines.append(f"| {row.about} | {' | '.join(rates)} | {seconds:.0f} | {len(measured)} |")
    file = options.output / "proposals.json"
    if file.exists():
        for count, m in json.loads(file.read_text())["by_proposals"].items():
            rates = " | ".join(f"{100 * m[f'recall_at_{k}']:.1f}" for k in (1, 5, 10))
            bound = f"bound {100 * m['upper_bound']:.1f}"
            lines.append(f"| base, measured with {count} proposals ({bound}) | {rates} | | 1 |")
    lines += ["", f"{floors['phrases']} phrases; {floors['protocol']}.", "", PUBLISHED, "", "Commands, seed 0:", ""]
    lines += [f"    sspe train {shlex.join(command(row, 0, options))}" for row, _ in found]
    if file.exists():
        lines.append(f"    sspe evaluate {shlex.join(proposals_command(options))}")
    return "\n".join(lines)


def finished(row: Row, options: argparse.Namespace) -> Iterator[tuple[dict, float]]:
    """Measures and seconds of training of every seed of a row that is finished."""
    for seed in range(options.seeds):
        run_folder = folder(row, seed, options)
        if (run_folder / "metrics.json").exists():
            with (run_folder / "log.csv").open(newline="") as log:
                seconds = sum(float(epoch["seconds"]) for epoch in csv.DictReader(log))
            yield json.loads((run_folder / "metrics.json").read_text()), seconds


def spread(values: Sequence[float]) -> str:
    """Mean, and half of the range where there are several."""
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.1f}"


if __name__ == "__main__":
    sys.exit(main())
