"""The paper's tables of image-sentence retrieval as rows that anyone can run again; `ablation.py` for whole photos.

    python benchmarks/ablation_retrieval.py --data ROOT --vectors runs/word2vec300.txt       # run what is missing
    python benchmarks/ablation_retrieval.py --data ROOT --vectors ... --rows loss --seeds 1  # some rows, one seed
    python benchmarks/ablation_retrieval.py --data ROOT --vectors ... --list    # run nothing, print rows and commands
    python benchmarks/ablation_retrieval.py --data ROOT --vectors ... --print   # run nothing, print what is finished

Most rows are one ``sspe train --task retrieval --recipe retrieval-frozen`` with their own settings: frozen features of
whole photos, one short schedule. Rows that are finished are not run again, one that was stopped goes on.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import rows as shared
from rows import BOTH, HGLMM, MEAN, SEEN, TFIDF, WORD2VEC, Row, all_finished, command, line

RECIPE, FINE = "retrieval-frozen", "retrieval"
MINILM = ("text.encoder=minilm",)
JOINED, JOINED_MINILM = ("text.encoder=mean+tfidf", BOTH), ("text.encoder=minilm+mean+tfidf", BOTH)
HGLMM_GLOVE = ("text.encoder=hglmm",)
PLAIN, STRUCTURE = "loss.sentence_structure=0", "loss.sentence_structure=0.1"
FROM_PHOTOS, FROM_SENTENCES = "loss.sentence_anchor=0", "loss.photo_anchor=0"
LINEAR, LITE2 = "network.hidden=0", "photos.backbone=efficientnet_lite2"
CCA = "network.kind=cca"

ROWS = (
    Row("base", "base", "HGLMM, nonlinear, bi-directional", (*HGLMM, PLAIN), RECIPE),
    Row("structure", "loss", "HGLMM: + sentence structure", (*HGLMM, STRUCTURE), RECIPE),
    Row("photo-anchor", "loss", "HGLMM: one-directional, photo to sentences", (*HGLMM, PLAIN, FROM_PHOTOS), RECIPE),
    Row(
        "sentence-anchor", "loss", "HGLMM: one-directional, sentence to photos", (*HGLMM, PLAIN, FROM_SENTENCES), RECIPE
    ),
    Row("mean-structure", "loss", "mean: + sentence structure", (*MEAN, STRUCTURE), RECIPE),
    Row("tf-idf-structure", "loss", "tf-idf: + sentence structure", (*TFIDF, STRUCTURE), RECIPE),
    Row("minilm-structure", "loss", f"MiniLM ({SEEN}): + sentence structure", (*MINILM, STRUCTURE), RECIPE),
    Row("linear", "network", "linear branches", (*HGLMM, PLAIN, LINEAR), RECIPE),
    Row(
        "linear-photo-anchor", "network", "linear, one-directional, photo to sentences",
        (*HGLMM, PLAIN, LINEAR, FROM_PHOTOS), RECIPE,
    ),
    Row("linear-structure", "network", "linear + sentence structure", (*HGLMM, STRUCTURE, LINEAR), RECIPE),
    Row("cca-hglmm", "network", "CCA, HGLMM", (*HGLMM, CCA), RECIPE),
    Row("cca-mean", "network", "CCA, mean", (*MEAN, CCA), RECIPE),
    Row("cca-tf-idf", "network", "CCA, tf-idf", (*TFIDF, CCA), RECIPE),
    Row("mean", "text", "mean of GloVe 50-d and word2vec 300-d", (*MEAN, PLAIN), RECIPE),
    Row("mean-word2vec", "text", "mean of word2vec 300-d", ("text.encoder=mean", WORD2VEC, PLAIN), RECIPE),
    Row("tf-idf", "text", "tf-idf", (*TFIDF, PLAIN), RECIPE),
    Row("hglmm-glove", "text", "HGLMM of GloVe 50-d", (*HGLMM_GLOVE, PLAIN), RECIPE),
    Row("minilm", "text", f"MiniLM ({SEEN})", (*MINILM, PLAIN), RECIPE),
    Row("joined", "text", "mean and tf-idf side by side", (*JOINED, PLAIN), RECIPE),
    Row("joined-minilm", "text", f"MiniLM ({SEEN}), mean and tf-idf side by side", (*JOINED_MINILM, PLAIN), RECIPE),
    Row("one-view", "photos", "the photo without its mirror image", (*HGLMM, PLAIN, "photos.views=one"), RECIPE),
    Row("crops", "photos", "ten crops of 224 pixels", (*HGLMM, PLAIN, "photos.views=crops", "photos.side=224"), RECIPE),
    Row("paper", "recipes", "the paper's recipe, with structure", (WORD2VEC, LITE2), "paper", True),
    Row("released", "recipes", "the released code's recipe, with structure", (WORD2VEC, LITE2), "released", True),
    Row("fine-tuned", "fine-tuned", "mean and tf-idf, structure, fine-tuned end to end", JOINED, FINE, True),
    Row(
        "fine-tuned-minilm", "fine-tuned", f"MiniLM ({SEEN}), mean and tf-idf, structure, fine-tuned end to end",
        JOINED_MINILM, FINE, True,
    ),
)  # fmt: skip
DIRECTIONS = {"image_to_sentence": (1, 5, 10), "sentence_to_image": (1, 5, 10), "sentence_to_sentence": (1,)}


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = shared.parser(__doc__, ROWS, Path("runs/ablation-retrieval"))
    p.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 1 where rows failed, 2 for a user's mistake."""
    return shared.print_table(
        parser().parse_args(arguments), ROWS, lambda row, options: command(row, "retrieval", options), run, table
    )


def run(rows: Sequence[Row], options: argparse.Namespace) -> list[tuple[str, str]]:
    """Train what is missing of the rows; the names of those that failed, and why."""
    return shared.train_missing(rows, "retrieval", options)


def table(rows: Sequence[Row], options: argparse.Namespace) -> str:
    """The finished rows as Markdown, in percent; of several seeds the mean and half the range."""
    from sspe.evaluation.retrieval import PUBLISHED

    found = all_finished(rows, options)
    if not found:
        return "No row is finished yet."
    columns = [(direction, k) for direction, ranks in DIRECTIONS.items() for k in ranks]
    heads = [f"{direction.replace('_', ' ')} R@{k}" for direction, k in columns]
    lines = [f"| | {' | '.join(heads)} | training, s | seeds |", "|---" * (len(heads) + 3) + "|"]
    for row, measured in found:
        lines.append(line(row, lambda m: [m[direction][f"recall_at_{k}"] for direction, k in columns], measured))
    first = found[0][1][0][0]
    lines += ["", f"{first['sentences']} sentences of {first['photos']} photos; {first['protocol']}.", ""]
    lines += ["Published, official test splits, for orientation only (other photos, other training sets):", ""]
    for title, *directions in PUBLISHED:
        lines.append(f"- {title}: " + ", ".join("/".join(map(str, rates)) for rates in directions))
    lines += ["", "Commands, seed 0:", ""]
    return "\n".join([*lines, *(f"    {command(row, 'retrieval', options)}" for row, _ in found)])


if __name__ == "__main__":
    sys.exit(main())
