"""Rows of a table: what each is, how they are chosen, and, where a row is one ``sspe train``, how they are run.

Such rows that are finished (their folder has a metrics.json) are not run again, and one that was stopped goes on.
"""

import argparse
import csv
import json
import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sspe.errors import SspeError
from sspe.training.recipes import Recipe, recipe

SEEN = "text encoder has seen these captions"
WORD2VEC, BOTH = "text.vectors={vectors}", "text.vectors=glove,{vectors}"
HGLMM = ("text.encoder=hglmm", WORD2VEC)
MEAN = ("text.encoder=mean", BOTH)
TFIDF = ("text.encoder=tfidf",)


@dataclass(frozen=True)
class Row:
    """One network to train.

    Attributes:
        name: of its run folder, before the seed.
        group: which question it answers; "base" answers each.
        about: what a reader of the table is told.
        changes: settings changed in the recipe.
        recipe: what is changed.
        by_name_only: too long to be run unless the row is asked for.
    """

    name: str
    group: str
    about: str
    changes: tuple[str, ...]
    recipe: str
    by_name_only: bool = False


def parser(about: str, rows: Sequence[Row], output: Path) -> argparse.ArgumentParser:
    """The options of a table's command line; ``output`` is the default folder."""
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", required=True, help="as for sspe train")
    p.add_argument("--vectors", required=True, help="300-d word vectors, trained on captions without val's")
    p.add_argument("--rows", nargs="+", metavar="NAME", help=f"these groups or rows only: {', '.join(names(rows))}")
    p.add_argument("--seeds", type=int, default=3, help="runs per row (default: %(default)s)")
    p.add_argument("--limit", type=int, help="training photos (default: all)")
    p.add_argument("--val-limit", type=int, help="val photos (default: all)")
    p.add_argument("--output", type=Path, default=output, help="folder of the runs (default: %(default)s)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of every row")
    p.add_argument("--list", action="store_true", help="run nothing, print every row and its command")
    p.add_argument("--print", action="store_true", help="run nothing, print what is finished")
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def names(rows: Sequence[Row]) -> list[str]:
    """Groups, then rows, each once."""
    return list(dict.fromkeys([*(row.group for row in rows), *(row.name for row in rows)]))


def choose(rows: Sequence[Row], wanted: Sequence[str] | None) -> list[Row]:
    """The rows of the groups and names wanted, the base first; None wants all but those run by name only.

    Raises SspeError for a name that is unknown.
    """
    if wanted is None:
        return [row for row in rows if not row.by_name_only]
    known = names(rows)
    for name in wanted:
        if name not in known:
            raise SspeError(f"There is no row or group {name!r}; choose among {', '.join(known)}.")
    return [row for row in rows if row.name == "base" or {row.name, row.group} & set(wanted)]


def print_table(
    options: argparse.Namespace,
    rows: Sequence[Row],
    command: Callable[[Row, argparse.Namespace], str],
    run: Callable[[Sequence[Row], argparse.Namespace], list[tuple[str, str]]],
    table: Callable[[Sequence[Row], argparse.Namespace], str],
) -> int:
    """Choose among the rows, run what is missing, print all.

    Returns the exit code: 0 ok, 1 where ``run`` names rows that failed, 2 for a user's mistake.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        chosen = choose(rows, options.rows)
        if options.list:
            print("\n".join(f"{row.about}\n    {command(row, options)}" for row in rows if row in chosen))
            return 0
        failed = [] if options.print else run(chosen, options)
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    print(table(chosen, options))
    for name, reason in failed:
        print(f"{name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def folder(row: Row, seed: int, options: argparse.Namespace) -> Path:
    """Folder of a row's run."""
    return options.output / f"{row.name}-{seed}"


def changes(row: Row, options: argparse.Namespace) -> list[str]:
    """Changes of settings that make the row of its recipe."""
    return [change.format(vectors=options.vectors) for change in (*row.changes, *options.set)]


def command(row: Row, task: str, options: argparse.Namespace, seed: int = 0) -> str:
    """The command that makes the row, for the reader of the table."""
    line = ["sspe", "train", *(("--task", task) if task != "localization" else ())]
    line += ["--data", options.data, "--recipe", row.recipe]
    line += [part for change in changes(row, options) for part in ("--set", change)]
    for option, value in (("--limit", options.limit), ("--val-limit", options.val_limit)):
        line += [option, str(value)] if value else []
    line += ["--device", options.device] if options.device != "auto" else []
    return shlex.join([*line, "--seed", str(seed), "--output", str(folder(row, seed, options))])


def train_missing(rows: Sequence[Row], task: str, options: argparse.Namespace) -> list[tuple[str, str]]:
    """Train what is missing of the rows; the names of those that failed, and why.

    Runs that read the same data read it once: the rows go text encoder by text encoder, all seeds of each.
    """
    from sspe.training import task_of
    from sspe.training.loop import open_run
    from sspe.training.source import Source

    missing: dict[tuple, list[tuple[Row, Recipe, int]]] = {}  # by what they read
    for row in rows:
        made = recipe(row.recipe, changes(row, options), task)
        source = Source(options.data, limit=options.limit, val_limit=options.val_limit)
        for seed in range(options.seeds):
            if not (folder(row, seed, options) / "metrics.json").exists():
                missing.setdefault((source, made.reads), []).append((row, made, seed))
    count, number, failed = sum(map(len, missing.values())), 0, []
    for (source, _), runs in missing.items():
        data = None
        for row, made, seed in runs:
            number += 1
            logging.info("[%d of %d] %s, seed %d", number, count, row.name, seed)
            output = folder(row, seed, options)
            resume = (output / "last.pt").exists()
            read, train_on = task_of(made)
            try:
                run = open_run(output, seed=seed, device=options.device, resume=resume, quiet=options.quiet)
                if data is None:
                    data = read(made, source, run.bar)
                train_on(made, data, run)
            except SspeError as error:
                failed.append((f"{row.name}, seed {seed}", str(error)))
    return failed


def all_finished(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[Row, list[tuple[dict, float]]]]:
    """The rows of which a run is finished, each with what :func:`finished` gives."""
    return [(row, measured) for row in rows if (measured := list(finished(row, options)))]


def finished(row: Row, options: argparse.Namespace) -> Iterator[tuple[dict, float]]:
    """Measures and seconds of training for every seed of a row that is finished."""
    for seed in range(options.seeds):
        run = folder(row, seed, options)
        if (run / "metrics.json").exists():
            with (run / "log.csv").open(newline="") as log:
                seconds = sum(float(epoch["seconds"]) for epoch in csv.DictReader(log))
            yield json.loads((run / "metrics.json").read_text()), seconds


def line(row: Row, rates: Callable[[dict], Sequence[float]], measured: Sequence[tuple[dict, float]]) -> str:
    """A row in Markdown: rates, given as fractions, in percent; mean seconds of training; seeds."""
    columns = zip(*(rates(measures) for measures, _ in measured), strict=True)
    seconds = sum(s for _, s in measured) / len(measured)
    cells = [spread([100 * rate for rate in column]) for column in columns]
    return f"| {' | '.join([row.about, *cells, f'{seconds:.0f}', str(len(measured))])} |"


def spread(values: Sequence[float]) -> str:
    """Mean, and half of the range where there are several values."""
    mean = f"{sum(values) / len(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {(max(values) - min(values)) / 2:.1f}"
