"""Fit the weights that tell whether a region is one of several things, WEIGHTS of sspe/models/answering.py.

    python tools/fit_things.py --data ROOT [--checkpoint FILE] [--split val] [--half first]

Prints the weights to put there, and the F1 of boxes that the checkpoint reaches with those it has and with these, each
measured on the photos they are fitted on: the figure to state is `sspe evaluate localization`'s, of the other half.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import numpy as np

from sspe.checkpoint import find_checkpoint, load_checkpoint
from sspe.cli import exit_code
from sspe.data import open_dataset
from sspe.data.caches import FeatureStore, FrozenFeatures
from sspe.errors import DataError
from sspe.evaluation.answers import THRESHOLD, f1, regions_of
from sspe.evaluation.cross_fitting import halves
from sspe.models import answering
from sspe.models.answering import CONSIDERED, GLANCED, Reading, evidence_of_things, things_of_a_kind
from sspe.models.calibration import fit_weights
from sspe.models.localization import LocalizationModel
from sspe.phrases.asked import ask
from sspe.vision.boxes import iou


def cases(model: LocalizationModel, photos: list) -> Iterator[tuple[Reading, np.ndarray, int | None, np.ndarray]]:
    """Every phrase of several boxes that speaks of several things: what one is called in the photo, the box of the
    whole phrase, the count that the words state, and the boxes that people drew."""
    store = FeatureStore(model.settings.regions.side, model.settings.proposals, detector=model.detector)
    frozen = FrozenFeatures(model.regions, model.precision)
    for photo in photos:
        said = [(s, p) for s in photo.sentences for p in s.phrases if len(p.boxes) > 1]
        asked = [(ask(s.text, p.start, p.end), p.boxes) for s, p in said]
        asked = [(one, boxes) for one, boxes in asked if one.number and not one.which]
        if not asked:
            continue
        regions = regions_of(model, photo, store, frozen)
        wholes = model.locate(regions, [one.text for one, _ in asked], [one.context for one, _ in asked])
        things = model.glance(regions, model.read([one.number.one for one, _ in asked]), GLANCED)
        for row, (one, boxes) in enumerate(asked):
            frame = wholes.boxes[row, wholes.kept[row][0]]
            yield Reading.of(things, row), frame, one.number.count, boxes


def right_ones(given: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Which of boxes (K, 4), best first, is the first one on a thing (B, 4): (K,) bool."""
    overlap, right = iou(given, annotated), np.zeros(len(given), bool)
    for row in range(len(given)):
        nearest = int(overlap[row].argmax())
        if overlap[row, nearest] >= THRESHOLD:
            right[row] = True
            overlap[:, nearest] = -1
    return right


def main(args: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of Flickr30K Entities")
    parser.add_argument("--checkpoint", help="a .safetensors file; by default the shipped one")
    parser.add_argument("--split", default="val")
    parser.add_argument("--half", choices=("first", "second"), default="first")
    options = parser.parse_args(args)
    return exit_code(lambda: fit(options))


def fit(options: argparse.Namespace) -> int:
    """Fit and print."""
    model, _ = load_checkpoint(find_checkpoint(options.checkpoint))
    model.for_inference()
    photos = halves(open_dataset(options.data, options.split))[options.half == "second"]
    found = list(cases(model, photos))
    if not found:
        raise DataError(f"No phrase of {options.data} has several boxes and says that it means several things.")
    evidence, right = [], []
    for read, frame, _, boxes in found:
        considered = read.kept[:CONSIDERED]
        evidence.append(evidence_of_things(read, considered, frame))
        right.append(right_ones(read.boxes[considered], boxes))

    def mean_f1() -> float:
        each = (f1(read.boxes[things_of_a_kind(read, frame, count)], boxes) for read, frame, count, boxes in found)
        return float(np.mean(list(each)))

    before = mean_f1()
    answering.WEIGHTS = fit_weights(np.concatenate(evidence), np.concatenate(right)).astype(np.float32)
    print(f"{len(found)} phrases; F1 of boxes {before:.4f}, with the new weights {mean_f1():.4f}")
    print("WEIGHTS = np.array([" + ", ".join(f"{weight:.3g}" for weight in answering.WEIGHTS) + "], np.float32)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
