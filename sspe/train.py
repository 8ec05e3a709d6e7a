"""Train a network: from photos and annotations, or photos and sentences, to a checkpoint.

    python -m sspe.train --data synthetic
    python -m sspe.train --data ROOT --recipe default --output runs/first
    python -m sspe.train --data ROOT --recipe default --output runs/first --resume
    python -m sspe.train --data ROOT --task retrieval

The output folder gets ``best.safetensors`` (best R@1, or mean recall of retrieval, on the watched val photos),
``last.pt`` (everything that --resume needs), ``log.csv``, ``curves.png`` and, at the end, when the best checkpoint is
measured on all val photos, ``metrics.json``; of localization, which is calibrated then, also ``reliability.png``.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from sspe.cli import add_device_options
from sspe.errors import SspeError
from sspe.settings import INCOMPLETE
from sspe.training.recipes import RECIPES, RETRIEVAL_RECIPES, recipe, retrieval_recipe

TASKS = ("localization", "retrieval")


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--task", choices=TASKS, default=TASKS[0], help="what to train for (default: %(default)s)")
    p.add_argument(
        "--data", required=True,
        help='"synthetic", a folder of Flickr30K Entities, JSON Lines or, for retrieval, captions of Flickr8K, '
        "Flickr30K or MSCOCO",
    )  # fmt: skip
    p.add_argument("--photos", type=Path, help="folder of the photo files, where they do not lie in --data")
    p.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    p.add_argument("--val-split", default="val", help="split to choose the best epoch on (default: %(default)s)")
    p.add_argument("--limit", type=int, help="train on the first so many photos only")
    p.add_argument("--val-limit", type=int, help="measure on the first so many val photos only")
    p.add_argument(
        "--incomplete",
        choices=INCOMPLETE,
        help="of retrieval: what to do about photos with fewer than five sentences or without a file, and ids that "
        f"occur twice (default: {INCOMPLETE[0]})",
    )
    p.add_argument(
        "--recipe",
        help=f"one of {', '.join(RECIPES)} (default: synthetic for synthetic data, else default); for retrieval one of "
        f"{', '.join(RETRIEVAL_RECIPES)} (default: retrieval)",
    )
    p.add_argument(
        "--start", type=Path, metavar="FILE",
        help="of retrieval: begin with the weights of this checkpoint instead of ImageNet's and random ones",
    )  # fmt: skip
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe")
    p.add_argument("--output", type=Path, help="folder of the run (default: runs/RECIPE-SEED)")
    p.add_argument("--resume", action="store_true", help="go on with the run in the output folder")
    p.add_argument("--seed", type=int, default=0, help="seed of weights, order and sampling (default: %(default)s)")
    add_device_options(p)
    p.add_argument("--quiet", action="store_true", help="no progress bars")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0 ok, 2 for a user's mistake."""
    options = parser().parse_args(arguments)
    output = None
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        if options.task == "retrieval":
            name = options.recipe or "retrieval"
            chosen = retrieval_recipe(name, options.set)
            from sspe.training.retrieval import RetrievalRun as Run
        else:
            if options.incomplete:
                raise SspeError(
                    "--incomplete is about the sentences of retrieval; add --task retrieval or leave it out."
                )
            if options.start:
                raise SspeError("--start is about a checkpoint of retrieval; add --task retrieval or leave it out.")
            name = options.recipe or ("synthetic" if options.data == "synthetic" else "default")
            chosen = recipe(name, options.set)
            from sspe.training.localization import LocalizationRun as Run
        output = options.output or Path("runs") / f"{name}-{options.seed}"
        Run(chosen, name, output, options).train()
        return 0
    except SspeError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if output and (output / "last.pt").exists():
            print("Stopped; the same command with --resume goes on from the last saved step.", file=sys.stderr)
        else:
            print("Stopped before anything was saved; the same command starts again.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
