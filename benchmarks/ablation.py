"""The paper's claims about phrase localization as rows that anyone can run again.

    python benchmarks/ablation.py --data ROOT --vectors runs/word2vec300.txt                  # run what is missing
    python benchmarks/ablation.py --data ROOT --vectors ... --rows structure text --seeds 5   # some questions
    python benchmarks/ablation.py --data ROOT --vectors ... --list     # run nothing, say what there is to run, and how
    python benchmarks/ablation.py --data ROOT --vectors ... --print    # run nothing, print what is finished

A row is the recipe ``ablation`` with its own settings: a two-branch network on frozen region features (see
`region_vectors.py`), measured as the paper measures. Every finished run is one line of results.jsonl and is not run
again. The features come of ``sspe train --recipe region-features``, the vectors of ``python tools/train_word2vec.py
CAPTIONS FILE --size 300``.
"""

from __future__ import annotations

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import rows as shared
from region_vectors import region_vectors
from rows import spread
from trial import Data, Inputs, trial

from sspe.checkpoint import find_checkpoint, identity
from sspe.data import open_dataset
from sspe.evaluation.progress import progress_bar
from sspe.files import locked, make_folder, settings_key
from sspe.training.localization_data import limit_regions, training_photos
from sspe.training.recipes import LocalizationRecipe, recipe


@dataclass(frozen=True)
class Row(shared.Row):
    """As of `rows.py`, and what the network is shown."""

    recipe: str = "ablation"
    inputs: Inputs = field(default_factory=Inputs)


HGLMM, TFIDF = ("text.encoder=hglmm",), ("text.encoder=tfidf", "text.vocabulary=1000")
PHRASES, REGIONS = "loss.phrase_structure=0.2", "loss.region_structure=0.1"  # the paper's weights

ROWS = (
    Row("base", "base", "mean of word vectors, nonlinear, bi-directional", ()),
    Row("linear", "network", "linear branches", ("network.hidden=0",)),
    Row("cca", "network", "CCA", ("network.kind=cca",)),
    Row("cca-hglmm", "network", "CCA, HGLMM", (*HGLMM, "network.kind=cca")),
    Row("similarity", "network", "similarity network of the journal version", ("network.kind=similarity",)),
    Row("region-anchor", "directions", "from regions to phrases alone", ("loss.phrase_anchor=0",)),
    Row("phrase-anchor", "directions", "from phrases to regions alone", ("loss.region_anchor=0",)),
    Row("phrase-structure", "structure", "+ phrases of one region stay together (4)", (PHRASES,)),
    Row("region-structure", "structure", "+ regions of one phrase stay together (3)", (REGIONS,)),
    Row("both-structures", "structure", "+ both (3) and (4)", (PHRASES, REGIONS)),
    Row("lone", "structure", "both, but batches without neighbours", (PHRASES, REGIONS), inputs=Inputs(lone=True)),
    Row("hglmm", "text", "HGLMM", HGLMM),
    Row("tf-idf", "text", "tf-idf", TFIDF),
    Row("ground-truth", "positives", "annotated boxes alone", ("positive_iou=1",)),
    Row("hard-negatives", "positives", "+ hard negatives, mined half-way", ("mining_epoch=2",)),
    Row("own-photo", "positives", "+ own photo's negatives (not the paper's)", ("loss.same_photo=1",)),
    Row("proposals-50", "regions", "50 proposals", (), inputs=Inputs(proposals=50)),
    Row("proposals-100", "regions", "100 proposals", (), inputs=Inputs(proposals=100)),
    Row("edge-boxes", "regions", "170 Edge Boxes, without the detector's 30", (), inputs=Inputs(edge_boxes=True)),
    Row("things", "regions", "+ what the detector sees (not the paper's)", (), inputs=Inputs(things=True)),
    Row("geometry", "regions", "+ box geometry (not the paper's)", ("regions.geometry=true",)),
    Row("full", "full", "all of the paper's parts: HGLMM, both structures, hard negatives",
        (*HGLMM, PHRASES, REGIONS, "mining_epoch=2")),
    Row("epochs-2", "schedule", "2 epochs in place of 4", ("epochs=2",)),
    Row("epochs-8", "schedule", "8 epochs", ("epochs=8",)),
    Row("epochs-16", "schedule", "16 epochs", ("epochs=16",)),
    Row("epochs-32", "schedule", "32 epochs", ("epochs=32",)),
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = shared.parser(__doc__, ROWS, Path("runs/ablation"))
    p.add_argument("--features", default="sspe-lite0", help="checkpoint with the backbone (default: %(default)s)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    return shared.print_table(parser().parse_args(arguments), ROWS, command, run, table)


def command(row: Row, options: argparse.Namespace) -> str:
    """The command that runs a row, all its seeds, for the reader of the table."""
    line = ["python", "benchmarks/ablation.py", "--data", options.data, "--features", options.features]
    line += ["--vectors", options.vectors, "--rows", row.name, "--seeds", str(options.seeds)]
    for option, value in (("--limit", options.limit), ("--val-limit", options.val_limit)):
        line += [option, str(value)] if value else []
    return shlex.join([*line, *(part for change in options.set for part in ("--set", change))])


def settings(row: Row, options: argparse.Namespace) -> LocalizationRecipe:
    """The row's recipe; what makes the row what it is outweighs --set."""
    return recipe(row.recipe, [f"text.vectors={options.vectors}", *options.set, *row.changes])


def key(row: Row, seed: int, options: argparse.Namespace) -> str:
    """What a run is known by: a change of settings, features or photos makes it another one."""
    made = settings(row, options).as_dict()
    made["text"]["vectors"] = [Path(name).name for name in made["text"]["vectors"]]
    photos = Path(options.data).name, options.limit, options.val_limit
    return settings_key(made, asdict(row.inputs), seed, identity(find_checkpoint(options.features)), photos)


def run(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[str, str]]:
    """Run what is missing, the first seed of every row first; a line of results.jsonl for each.

    Several processes may share the work: each takes runs that no other is at. What fails stops all, so none is named.
    """
    make_folder(options.output / "locks")
    data = None
    for seed in range(options.seeds):
        for row in rows:
            name = key(row, seed, options)
            lock = locked(options.output / "locks" / name)
            if lock is None or name in results(options):
                continue
            with lock:
                data = data or read(options)
                logging.info("%s, seed %d", row.name, seed)
                made = settings(row, options)
                text = data.text_features(made.text, options.output)
                measured = trial(made, row.inputs, seed, data, text)
                line = {"key": name, "row": row.name, "seed": seed, **measured}
                with (options.output / "results.jsonl").open("a") as out:
                    out.write(json.dumps(line) + "\n")
                logging.info("%s, seed %d: R@1 %.1f", row.name, seed, 100 * measured["recall_at_1"])
    return []


def read(options: argparse.Namespace) -> Data:
    """Photos, phrases and the vectors of their regions."""
    train = open_dataset(options.data, "train", limit=options.limit)
    val = open_dataset(options.data, "val", limit=options.val_limit)
    photos, table = training_photos(train, context=False)
    photos = limit_regions(photos, recipe("ablation").regions_per_phrase, seed=0)
    phrases = [p.text for photo in train for s in photo.sentences for p in s.phrases if len(p.boxes)]
    bar = progress_bar("regions", options.quiet)
    regions = region_vectors(
        find_checkpoint(options.features), photos, val, options.output, lambda work, total: bar(work, total)
    )
    return Data(photos, table, regions[0], phrases, val, regions[1])


def results(options: argparse.Namespace) -> dict[str, dict]:
    """Every finished run by its key."""
    file = options.output / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return {line["key"]: line for line in map(json.loads, lines)}


def finished(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[Row, list[dict]]]:
    """The rows of which a run is finished, each with the measures of its seeds."""
    known = results(options)
    found = [(row, [known[k] for s in range(options.seeds) if (k := key(row, s, options)) in known]) for row in rows]
    return [(row, runs) for row, runs in found if runs]


def table(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The finished rows as Markdown, in percent; of several seeds the mean and half the range."""
    found = finished(rows, options)
    if not found:
        return "No row is finished yet."
    first = found[0][1][0]
    lines = ["| | R@1 | R@5 | R@10 | seeds |", "|---|---|---|---|---|"]
    for name, title in (("floor_whole_photo", "whole photo"), ("floor_centred_box", "centred box of 0.8 W x 0.8 H")):
        lines.append(f"| floor: {title} | {100 * first[name]:.1f} | | | |")
    for row, runs in found:
        cells = [spread([100 * run[f"recall_at_{k}"] for run in runs]) for k in (1, 5, 10)]
        lines.append(f"| {' | '.join([row.about, *cells, str(len(runs))])} |")
        if row.name == "base":
            cells = [spread([100 * run["nms"][f"recall_at_{k}"] for run in runs]) for k in (1, 5, 10)]
            lines.append(f"| {' | '.join(['the same after NMS at 0.5', *cells, str(len(runs))])} |")
    bounds = ", ".join(f"{n} proposals {100 * m['upper_bound']:.1f}" for n, m in first["by_proposals"].items())
    return "\n".join([*lines, "", f"{first['phrases']} phrases; {first['protocol']}. Bound: {bounds}."])


if __name__ == "__main__":
    sys.exit(main())
