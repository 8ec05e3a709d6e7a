"""The paper's claims as rows that anyone can run again.

    python benchmarks/ablation.py --data ROOT --vectors runs/word2vec300.txt           # run what is missing, print all
    python benchmarks/ablation.py --data ROOT --vectors ... --rows loss text --seeds 3 # some rows, three seeds
    python benchmarks/ablation.py --data ROOT --vectors ... --print                    # run nothing

Every row is one ``sspe train --recipe ablation`` with its own settings: frozen features, one short schedule, the
paper's measure. Rows that are finished are not run again, one that was stopped goes on. The table is Markdown. The
vectors are made by ``python tools/train_word2vec.py CAPTIONS FILE --size 300``.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import rows as shared
from rows import HGLMM, MEAN, SEEN, TFIDF, WORD2VEC, Row, all_finished, command, folder, line

from sspe.files import atomic_write

COUNTS = (100, 200, 500, 1000)
TEXT_TERM, IMAGE_TERM = "loss.phrase_structure=0.1", "loss.region_structure=0.1"
ONE_WAY = "loss.region_anchor=0"


def _row(name: str, group: str, about: str, changes: tuple[str, ...]) -> Row:
    return Row(name, group, about, changes, "ablation")


def _structure(encoder: str, changes: tuple[str, ...]) -> list[Row]:
    """The structure terms with one text encoder; without any of them is a row of its own."""
    terms = {"text": (TEXT_TERM,), "image": (IMAGE_TERM,), "both": (TEXT_TERM, IMAGE_TERM)}
    return [
        _row(f"{encoder.lower()}-{name}-structure", "loss", f"{encoder}: + {name} structure", (*changes, *terms[name]))
        for name in terms
    ]


ROWS = (
    _row("base", "base", "HGLMM, nonlinear, bi-directional, RoI, positive augmentation", HGLMM),
    _row("linear", "network", "linear branches", (*HGLMM, "network.hidden=0")),
    _row("similarity", "network", "similarity network", (*HGLMM, "network.kind=similarity")),
    _row("cca-hglmm", "network", "CCA, HGLMM", (*HGLMM, "network.kind=cca")),
    _row("cca-mean", "network", "CCA, mean", (*MEAN, "network.kind=cca")),
    _row("region-anchor", "loss", "HGLMM: one-directional, region to phrases", (*HGLMM, "loss.phrase_anchor=0")),
    _row("phrase-anchor", "loss", "HGLMM: one-directional, phrase to regions", (*HGLMM, ONE_WAY)),
    *_structure("HGLMM", HGLMM),
    *_structure("mean", MEAN),
    *_structure("tf-idf", TFIDF),
    _row("same-photo", "loss", "HGLMM: + own photo's negatives (not the paper's)", (*HGLMM, "loss.same_photo=1")),
    _row("mean", "text", "mean of GloVe 50-d and word2vec 300-d", MEAN),
    _row("mean-word2vec", "text", "mean of word2vec 300-d", ("text.encoder=mean", WORD2VEC)),
    _row("tf-idf", "text", "tf-idf", TFIDF),
    _row("hglmm-glove", "text", "HGLMM of GloVe 50-d", ("text.encoder=hglmm",)),
    _row("minilm", "text", f"MiniLM ({SEEN})", ("text.encoder=minilm",)),
    _row("crops", "regions", "crops of 112 pixels instead of RoI", (*HGLMM, "regions.mode=crops")),
    _row("geometry", "regions", "with geometry (not the paper's)", (*HGLMM, "regions.geometry=true")),
    _row("ground-truth", "positives", "ground-truth pairs only", (*HGLMM, "positive_iou=1")),
    _row("hard-negatives", "positives", "+ hard negatives, mined after epoch 1", (*HGLMM, "mining_epoch=1")),
    Row(
        "fine-tuned", "fine-tuned", "fine-tuned, refined: --recipe short (another measure)", MEAN, "short",
        by_name_only=True, limited=False,
    ),
)  # fmt: skip
PUBLISHED = """\
Published, official test split, for orientation only (other photos, other training set): CCA about 42 (remembered), this
paper 43.9 (remembered), its journal version 51.03 (embedding network) and 51.05 (similarity network)."""


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    return shared.parser(__doc__, ROWS, 3000, Path("runs/ablation"), ["proposals"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 1 where rows failed, 2 for a user's mistake."""
    return shared.print_table(parser().parse_args(arguments), chosen, run, table)


def chosen(wanted: Sequence[str] | None) -> list[Row]:
    """The rows of the groups and names wanted, the base first; None wants all that one schedule trains."""
    return shared.choose(ROWS, wanted, ["proposals"])


def proposals_command(options: argparse.Namespace) -> str:
    """The command that measures the base with more and fewer proposals, for the reader of the table."""
    line = ["sspe", "evaluate", "localization", "--data", options.data]
    line += ["--checkpoint", str(folder(ROWS[0], 0, options) / "best.safetensors"), "--plain"]
    line += ["--proposals", *map(str, COUNTS), "--output", str(options.output / "proposals.json")]
    return shlex.join(line + (["--limit", str(options.val_limit)] if options.val_limit else []))


def run(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[str, str]]:
    """Train and measure what is missing; the names of the rows that failed, and why."""
    failed = shared.train_missing(rows, "localization", options)
    wanted = options.rows is None or "proposals" in options.rows
    base = folder(ROWS[0], 0, options)
    if wanted and (base / "metrics.json").exists() and not (options.output / "proposals.json").exists():
        measure_proposals(base / "best.safetensors", options)
    return failed


def measure_proposals(checkpoint: Path, options: argparse.Namespace) -> None:
    """Measure a checkpoint with each of the counts of proposals; the figures go to proposals.json."""
    from sspe.data import open_dataset
    from sspe.evaluation.progress import progress_bar
    from sspe.evaluation.ranking import evaluate_ranking
    from sspe.localizer import Localizer

    photos = open_dataset(options.data, limit=options.val_limit)
    localizer = Localizer.from_pretrained(checkpoint, options.device)
    bar = progress_bar("localization", options.quiet)
    measured = evaluate_ranking(localizer, photos, proposals=COUNTS, frozen=True, progress=bar)
    with atomic_write(options.output / "proposals.json") as temporary:
        temporary.write_text(json.dumps(measured, indent=2) + "\n")


def table(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The finished rows as Markdown, in percent; of several seeds the mean and half the range."""
    found = all_finished(rows, options)
    if not found:
        return "No row is finished yet."
    floors = found[0][1][0][0]
    lines = ["| | R@1 | R@5 | R@10 | training, s | seeds |", "|---|---|---|---|---|---|"]
    for name, title in (("floor_whole_photo", "whole photo"), ("floor_centred_box", "centred box of 0.8 W x 0.8 H")):
        lines.append(f"| floor: {title} | {100 * floors[name]:.1f} | | | | |")
    for row, measured in found:
        lines.append(line(row, lambda m: [m[f"recall_at_{k}"] for k in (1, 5, 10)], measured))
    file = options.output / "proposals.json"
    if file.exists():
        for count, m in json.loads(file.read_text())["by_proposals"].items():
            rates = " | ".join(f"{100 * m[f'recall_at_{k}']:.1f}" for k in (1, 5, 10))
            bound = f"bound {100 * m['upper_bound']:.1f}"
            lines.append(f"| base, measured with {count} proposals ({bound}) | {rates} | | 1 |")
    lines += ["", f"{floors['phrases']} phrases; {floors['protocol']}.", "", PUBLISHED, "", "Commands, seed 0:", ""]
    lines += [f"    {command(row, 'localization', options)}" for row, _ in found]
    if file.exists():
        lines.append(f"    {proposals_command(options)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
