"""How good a probability is: does what it calls 70 % come true in 70 of 100 cases, and does it tell true from false?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from sspe.extras import import_extra
from sspe.files import written

BINS = 10


def measure_probability(probabilities: Sequence[float], true: Sequence[bool]) -> dict:
    """ECE, Brier score and AUROC of N probabilities of N events, with the reliability curve.

    Returns:
        "ece": expected calibration error over ten bins of equal width, 0..1: the mean distance of a bin's mean
        probability from its share of true events, weighted by the bins' counts (Guo et al., ICML 2017).
        "brier": mean squared distance from the truth, 0..1.
        "auroc": chance that a true event has a higher probability than a false one, ties counted half; None where all
        are true or all are false.
        "rate", "count": share of true events, and N.
        "curve": per bin that holds any: mean probability, share of true events, count.
    """
    p, y = np.asarray(probabilities, float), np.asarray(true, bool)
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    curve = []
    for b in np.unique(bins):
        inside = bins == b
        curve.append((float(p[inside].mean()), float(y[inside].mean()), int(inside.sum())))
    return {
        "ece": float(sum(abs(mean - share) * count for mean, share, count in curve) / len(p)),
        "brier": float(np.mean((p - y) ** 2)),
        "auroc": auroc(p, y),
        "rate": float(y.mean()),
        "count": len(p),
        "curve": curve,
    }


def shares_below(measured: Mapping, threshold: float) -> tuple[float, float]:
    """Shares, 0..1, of the true and of the false events whose probability is below a threshold, a multiple of 0.1.

    ``measured`` is what :func:`measure_probability` returned; a share of no event is 0.
    """
    low = [(share * count, count) for mean, share, count in measured["curve"] if mean < threshold]
    true, false = sum(right for right, _ in low), sum(count - right for right, count in low)
    all_true = measured["rate"] * measured["count"]
    return true / max(all_true, 1), false / max(measured["count"] - all_true, 1)


def auroc(scores: np.ndarray, true: np.ndarray) -> float | None:
    """Area under the ROC curve, from ranks; ties share their mean rank. None where there is nothing to tell apart."""
    positives, negatives = int(true.sum()), int((~true).sum())
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]
    return float((ranks[true].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def draw_reliability(measured: Mapping[str, dict], file: Path) -> None:
    """Write the reliability diagrams of several probabilities, by name, side by side as a PNG."""
    figure = import_extra("matplotlib.figure", "plots", "Drawing a diagram").Figure(
        figsize=(4.2 * len(measured), 4.4), layout="constrained"
    )
    for axes, (name, m) in zip(np.atleast_1d(figure.subplots(1, len(measured))), measured.items(), strict=True):
        means, shares, counts = zip(*m["curve"], strict=True)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfectly calibrated")
        # The bars say how many answers each point speaks for.
        axes.bar(
            means, np.array(counts) / sum(counts), width=0.06, color="tab:orange", alpha=0.4, label="share of answers"
        )
        axes.plot(means, shares, marker="o", color="tab:blue", label="share that came true")
        axes.set(xlabel=f"{name}, as stated", ylabel="as observed", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        separation = "" if m["auroc"] is None else f", AUROC {m['auroc']:.3f}"
        axes.set_title(f"{name}: ECE {m['ece']:.3f}{separation}, n = {m['count']:,}", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left", fontsize=8)
    with written(file) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
