"""Per-phrase results on disk, and the paired difference of two of them.

A saved file is JSON: {"about": {...}, "phrases": [{"photo", "sentence", "start", "text", "types", "right", "answer",
"iou", "any_iou", "alone_iou", "score", "rank", "rank_nms", "confidence", "present"}, ...]}. Boxes are x1, y1, x2, y2 in
pixels; a rank is that of the first right box, from 1, or null where no box is right.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sspe.errors import DataError
from sspe.evaluation.answers import THRESHOLD, PhraseResult
from sspe.files import written

RESAMPLES = 10_000


def save_results(results: Sequence[PhraseResult], file: Path, about: dict) -> None:
    """Write the results; the file appears whole or not at all."""
    phrases = [
        {
            "photo": r.photo,
            "sentence": r.sentence,
            "start": r.start,
            "text": r.text,
            "types": list(r.types),
            "right": [round(float(v), 2) for v in r.right],
            "answer": [round(float(v), 2) for v in r.answer],
            "iou": round(float(r.ious[r.kept[0]]), 4),
            "any_iou": round(r.any_iou, 4),
            "alone_iou": round(r.alone_iou, 4),
            "score": round(float(r.scores[0]), 4),
            "rank": _rank(r.ious),
            "rank_nms": _rank(r.ious[r.kept]),
            "confidence": r.judged.confidence,
            "present": r.judged.present,
        }
        for r in results
    ]
    with written(file) as temporary:
        temporary.write_text(json.dumps({"about": about, "phrases": phrases}, indent=0) + "\n", encoding="utf-8")


def compare(a: Path, b: Path, seed: int = 0) -> dict:
    """How much better B answers than A on the phrases they share, in R@1 as a fraction.

    The interval is the 95 % one of a bootstrap over photos, paired: a resample takes the same photos for both. Whole
    photos are drawn because the phrases of one photo fail together. Raises DataError where a file is not a saved
    result, or the two share no phrase.
    """
    ours, theirs = _hits(a), _hits(b)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise DataError(f"{a} and {b} have no phrase in common; save both on the same photos.")
    photos, of_photo = np.unique([key[0] for key in shared], return_inverse=True)
    difference = np.array([float(theirs[key]) - float(ours[key]) for key in shared])
    sums, counts = np.bincount(of_photo, difference), np.bincount(of_photo)
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(len(photos), size=len(photos)) for _ in range(RESAMPLES)]
    resampled = [sums[rows].sum() / counts[rows].sum() for rows in drawn]
    low, high = np.percentile(resampled, [2.5, 97.5])
    return {
        "recall_at_1_a": float(np.mean([ours[key] for key in shared])),
        "recall_at_1_b": float(np.mean([theirs[key] for key in shared])),
        "difference": float(difference.mean()),
        "interval": [float(low), float(high)],
        "gained": int((difference > 0).sum()),
        "lost": int((difference < 0).sum()),
        "phrases": len(shared),
        "photos": len(photos),
        "only_in_a": len(ours) - len(shared),
        "only_in_b": len(theirs) - len(shared),
    }


def table(compared: dict) -> str:
    """The comparison as text, in percent and points."""
    c = compared
    low, high = c["interval"]
    return "\n".join(
        [
            f"{c['phrases']} shared phrases of {c['photos']} photos; {c['only_in_a']} only in A, {c['only_in_b']} in B",
            f"A {100 * c['recall_at_1_a']:.2f} %, B {100 * c['recall_at_1_b']:.2f} % R@1",
            f"B - A: {100 * c['difference']:+.2f} points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f} "
            f"(bootstrap over photos, {RESAMPLES:,} resamples); {c['gained']} phrases gained, {c['lost']} lost",
        ]
    )


def _hits(file: Path) -> dict[tuple[str, int, int, str], bool]:
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        return {(p["photo"], p["sentence"], p["start"], p["text"]): p["rank"] == 1 for p in saved["phrases"]}
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); give a file written with --save.") from None
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{file} holds no saved results; give a file written with --save.") from None


def _rank(ious: np.ndarray) -> int | None:
    right = ious >= THRESHOLD
    return int(right.argmax()) + 1 if right.any() else None
