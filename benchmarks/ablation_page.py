"""What `docs/ablation.md` says of the runs of `ablation.py`: a plot for each question, a verdict for each claim.

    python benchmarks/ablation_page.py runs/ablation/results.jsonl docs/ablation.md

writes claims, plots and table into the page, between its two markers, and the plots beside it. A claim says that one
row is better than another. It *holds* where the two rows' seeds do not overlap and the 95 % interval of their
difference, a paired bootstrap over photos, lies above zero; below zero it *does not hold*; else, and of a single seed
always, it *cannot be told here*.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ablation import ROWS
from rows import spread

from sspe.errors import SspeError
from sspe.extras import import_extra
from sspe.files import make_folder, written

RESAMPLES = 2000
MARKERS = ("<!-- figures of benchmarks/ablation_page.py -->", "<!-- end of the figures -->")
TITLES = {
    "network": "Which network?",
    "directions": "Both directions or one?",
    "structure": "Do the structure terms help?",
    "text": "Which text feature?",
    "positives": "Which positives, which negatives?",
    "regions": "Which regions?",
    "schedule": "Is the schedule long enough?",
}
# The paper's claims: what is said to be better than what.
CLAIMS = (
    ("A nonlinear network is better than a linear one", "base", "linear"),
    ("The network is better than CCA", "base", "cca"),
    ("Both directions are better than from regions to phrases alone", "base", "region-anchor"),
    ("Both directions are better than from phrases to regions alone", "base", "phrase-anchor"),
    ("Phrases of one region that stay together (4) help", "phrase-structure", "base"),
    ("Regions of one phrase that stay together (3) help", "region-structure", "base"),
    ("Both structure terms together help", "both-structures", "base"),
    ("Batches with neighbours are better than batches without", "both-structures", "lone"),
    ("HGLMM is better than the mean of word vectors", "hglmm", "base"),
    ("HGLMM is better than tf-idf", "hglmm", "tf-idf"),
    ("Proposals near the right box as further positives help", "base", "ground-truth"),
    ("Hard negatives, mined half-way, help", "hard-negatives", "base"),
    ("All of the paper's parts together are better than the base", "full", "base"),
    ("The journal version's similarity network is better than the embedding", "similarity", "base"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("results", type=Path, help="results.jsonl of ablation.py")
    p.add_argument("page", type=Path, help="Markdown file with the two markers")
    options = p.parse_args(arguments)
    try:
        runs = read(options.results)
        before, after = around(options.page)
        plots = options.page.with_suffix("")
        groups = [group for group in TITLES if any(row.group == group and row.name in runs for row in ROWS)]
        for group in groups:
            draw(group, runs, plots / f"{group}.svg")
        pictures = [f'<img src="{plots.name}/{group}.svg" alt="{TITLES[group]}" width="420">' for group in groups]
        folded = ["<details><summary>All rows</summary>", "", *table(runs), "", "</details>"]
        with written(options.page) as temporary:
            temporary.write_text("\n".join([before, *claims(runs), "", *pictures, "", *folded, after]))
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def around(page: Path) -> tuple[str, str]:
    """The page up to its first marker and from its second one on. Raises SspeError where it lacks one."""
    try:
        text = page.read_text()
    except OSError as error:
        raise SspeError(f"{page} cannot be read ({error.strerror}); name the page to write into.") from None
    first, last = (text.find(marker) for marker in MARKERS)
    if not 0 <= first < last:
        raise SspeError(f"{page} lacks the lines {' and '.join(MARKERS)}; put them where the figures are to stand.")
    return text[: first + len(MARKERS[0])] + "\n", "\n" + text[last:]


def read(results: Path) -> dict[str, list[dict]]:
    """The runs of every row by its name, a seed once: the last one written. Raises SspeError where there are none."""
    try:
        lines = [json.loads(line) for line in results.read_text().splitlines()]
    except OSError as error:
        raise SspeError(
            f"{results} cannot be read ({error.strerror}); give the results.jsonl of ablation.py."
        ) from None
    known = {(line["row"], line["seed"]): line for line in lines}
    runs: dict[str, list[dict]] = {}
    for _, line in sorted(known.items()):
        runs.setdefault(line["row"], []).append(line)
    if "base" not in runs:
        raise SspeError(f"{results} holds no run of the row base; run ablation.py first.")
    return runs


def claims(runs: dict[str, list[dict]]) -> list[str]:
    """A line of Markdown for each claim both of whose rows are there."""
    lines = []
    for claim, better, worse in CLAIMS:
        if better in runs and worse in runs:
            a, b = runs[better], runs[worse]
            low, high = interval(a, b)
            seeds = min(len(a), len(b))
            figures = f"{rates(a)} against {rates(b)}, difference {low:+.1f} to {high:+.1f}, seeds: {seeds}"
            lines.append(f"- {claim}: **{verdict(a, b, (low, high))}** ({figures}).")
    return lines


def verdict(a: Sequence[dict], b: Sequence[dict], difference: tuple[float, float]) -> str:
    """Whether runs ``a`` are better than runs ``b``, given the interval of the difference."""
    ours, theirs = ([run["recall_at_1"] for run in runs] for runs in (a, b))
    if min(len(ours), len(theirs)) > 1:  # one seed of a row does not say how far others of it would lie
        if min(ours) > max(theirs) and difference[0] > 0:
            return "holds"
        if max(ours) < min(theirs) and difference[1] < 0:
            return "does not hold"
    return "cannot be told here"


def interval(a: Sequence[dict], b: Sequence[dict], seed: int = 0) -> tuple[float, float]:
    """The 95 % interval of R@1 of runs ``a`` less that of runs ``b``, in points: a paired bootstrap over photos.

    Each phrase counts with the share of a row's seeds that find it. Whole photos are drawn, for the phrases of one
    photo fail together.
    """
    difference = _found(a) - _found(b)
    counts = np.array(a[0]["phrases_of_photos"])
    sums = np.add.reduceat(difference, np.concatenate([[0], counts.cumsum()[:-1]]))
    drawn = np.random.default_rng(seed).integers(len(counts), size=(RESAMPLES, len(counts)))
    low, high = np.percentile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [2.5, 97.5])
    return float(100 * low), float(100 * high)


def _found(runs: Sequence[dict]) -> np.ndarray:
    """Share of the runs whose answer is right, for each phrase."""
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(run["hits"]), np.uint8))[: run["phrases"]] for run in runs]
    return np.mean(bits, axis=0)


def rates(runs: Sequence[dict], name: str = "recall_at_1") -> str:
    """Mean of a rate, and half the range over the seeds, in percent."""
    return spread([100 * run[name] for run in runs])


def draw(group: str, runs: dict[str, list[dict]], path: Path) -> None:
    """Bars of R@1 for the rows of a question and the base, each with the range of its seeds, and the higher floor."""
    rows = [row for row in ROWS if row.group in ("base", group) and row.name in runs]
    about = ["the base" if row.name == "base" else row.about for row in rows]
    values = [[100 * run["recall_at_1"] for run in runs[row.name]] for row in rows]
    means = np.array([np.mean(v) for v in values])
    ends = np.array([[m - min(v), max(v) - m] for m, v in zip(means, values, strict=True)]).T
    floor = 100 * max(runs["base"][0][name] for name in ("floor_whole_photo", "floor_centred_box"))
    # White behind everything: the page may be read on black.
    matplotlib = import_extra("matplotlib", "train", "Drawing")
    figure = import_extra("matplotlib.figure", "train", "Drawing").Figure(
        figsize=(7, 0.8 + 0.32 * len(rows)), facecolor="white", layout="constrained"
    )
    axes = figure.subplots()
    colours = ["#7f7f7f" if row.name == "base" else "#1f77b4" for row in rows]
    axes.barh(about, means, xerr=ends, color=colours, error_kw={"ecolor": "black", "capsize": 3})
    for place, (mean, end) in enumerate(zip(means, ends[1], strict=True)):
        axes.text(mean + end + 0.6, place, f"{mean:.1f}", va="center")
    axes.axvline(floor, color="#d62728", linestyle="--", linewidth=1)
    axes.invert_yaxis()
    axes.set(title=TITLES[group], xlabel="R@1, %; dashed: a box in the middle", xlim=(0, max(means) + 8))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    make_folder(path.parent)
    with written(path) as temporary, matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sspe"}):
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def table(runs: dict[str, list[dict]]) -> list[str]:
    """All rows as Markdown, in percent."""
    first = runs["base"][0]
    lines = ["| | R@1 | R@5 | R@10 | seeds |", "|---|---|---|---|---|"]
    for name, title in (("floor_whole_photo", "whole photo"), ("floor_centred_box", "centred box of 0.8 W x 0.8 H")):
        lines.append(f"| floor: {title} | {100 * first[name]:.1f} | | | |")
    for row in ROWS:
        if row.name in runs:
            found = runs[row.name]
            cells = [rates(found, f"recall_at_{k}") for k in (1, 5, 10)]
            lines.append(f"| {' | '.join([row.about, *cells, str(len(found))])} |")
            if row.name == "base":
                cells = [spread([100 * run["nms"][f"recall_at_{k}"] for run in found]) for k in (1, 5, 10)]
                lines.append(f"| {' | '.join(['the same after NMS at 0.5', *cells, str(len(found))])} |")
    bounds = ", ".join(f"{100 * m['upper_bound']:.1f} of {n}" for n, m in first["by_proposals"].items())
    lines += ["", f"{first['phrases']} phrases; {first['protocol']}. Bound of the proposals: {bounds}."]
    lines += ["", "R@1 of the first 120 val photos after every epoch of the base, seed 0:", ""]
    return [*lines, ", ".join(f"{100 * rate:.1f}" for rate in first["curve"])]


if __name__ == "__main__":
    sys.exit(main())
