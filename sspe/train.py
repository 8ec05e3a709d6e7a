"""Train a network: from photos and annotations, or photos and sentences, to a checkpoint.

    python -m sspe.train --data synthetic
    python -m sspe.train --data ROOT --recipe default --output runs/first
    python -m sspe.train --data ROOT --recipe default --output runs/first --resume
    python -m sspe.train --data ROOT --refit CHECKPOINT --output runs/refit
    python -m sspe.train --data ROOT --task retrieval
    python -m sspe.train --task retrieval --settings
    torchrun --nproc_per_node 2 -m sspe.train --data ROOT        # several processes share every step, each GPU one

The output folder gets ``best.safetensors`` (best R@1, or mean recall of retrieval, on the watched val photos),
``last.pt`` (everything that --resume needs), ``log.csv``, ``curves.png`` and, at the end, when the best checkpoint is
measured on val photos, ``metrics.json``; of localization, which is then calibrated on one half of them and measured on
the other, also ``reliability.png``.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sspe.cli import add_device_options
from sspe.errors import SspeError
from sspe.settings import INCOMPLETE, listed
from sspe.training import refit, train
from sspe.training.recipes import RECIPES, Recipe, recipe


def parser() -> argparse.ArgumentParser:
    """The command line's options."""
    p = argparse.ArgumentParser(
        prog="sspe train",
        description=__doc__,
        epilog=_recipes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--task", choices=RECIPES, default="localization", help="what to train for (default: %(default)s)")
    p.add_argument(
        "--data",
        help='"synthetic", a folder of Flickr30K Entities, JSON Lines or, for retrieval, captions of Flickr8K, '
        "Flickr30K or MSCOCO",
    )
    p.add_argument("--photos", type=Path, help="folder of the photo files, where they are not in --data")
    p.add_argument("--train-split", default="train", help="split to train on (default: %(default)s)")
    p.add_argument("--val-split", default="val", help="split to choose the best epoch on (default: %(default)s)")
    p.add_argument("--limit", type=int, metavar="N", help="train on the first N photos only")
    p.add_argument("--val-limit", type=int, metavar="N", help="measure on the first N val photos only")
    p.add_argument(
        "--incomplete",
        choices=INCOMPLETE,
        help="for retrieval: what to do about photos with fewer than five sentences or without a file, and ids that "
        f"occur twice (default: {INCOMPLETE[0]})",
    )
    p.add_argument(
        "--recipe",
        help="one of those below (default: synthetic for localization on synthetic data, else the first of the task)",
    )
    p.add_argument(
        "--start",
        metavar="CHECKPOINT",
        help="begin with the weights of a checkpoint, a file or a shipped one's name, not ImageNet's and random ones",
    )
    p.add_argument(
        "--refit",
        nargs="+",
        metavar="CHECKPOINT",
        help="train nothing, only fit the second look and the probabilities of a localization checkpoint anew; of "
        "several that began with the same --start, the mean of their weights is taken",
    )
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the recipe")
    p.add_argument("--settings", action="store_true", help="only list the recipe's settings, their values and meaning")
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
        chosen = _chosen(options)
        if options.settings:
            print("\n".join(f"{key} = {_written(value)}    {about}" for key, value, about in listed(chosen)))
            return 0
        if not options.data:
            parser().print_usage(sys.stderr)
            raise SspeError('There are no photos to train on; name them with --data, or try --data "synthetic".')
        if options.incomplete and options.task != "retrieval":
            raise SspeError("--incomplete is for retrieval alone; add --task retrieval or leave it out.")
        if options.refit:
            return _refit(options)
        output = options.output or Path("runs") / f"{chosen.name}-{options.seed}"
        train(
            chosen,
            options.data,
            output,
            incomplete=options.incomplete,
            start=options.start,
            seed=options.seed,
            resume=options.resume,
            **_shared(options),
        )
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


def _refit(options: argparse.Namespace) -> int:
    """Fit the probabilities of a checkpoint anew; returns the exit code."""
    given = {"--recipe": options.recipe, "--set": options.set, "--start": options.start, "--resume": options.resume}
    given["--task retrieval"] = options.task == "retrieval"
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SspeError("--refit trains nothing and has no use for several processes; start it without torchrun.")
    if unwanted := [name for name, value in given.items() if value]:
        raise SspeError(f"--refit trains nothing and takes no {unwanted[0]}; leave it out.")
    refit(options.refit, options.data, options.output or Path("runs") / "refit", **_shared(options))
    return 0


def _shared(options: argparse.Namespace) -> dict[str, Any]:
    """What training and a refit take alike."""
    names = ("photos", "train_split", "val_split", "limit", "val_limit", "device", "precision", "quiet")
    return {name: getattr(options, name) for name in names}


def _chosen(options: argparse.Namespace) -> Recipe:
    """The recipe named, or the one that fits task and data, with the changes of --set."""
    drawn = options.data == "synthetic" and options.task == "localization"
    name = options.recipe or ("synthetic" if drawn else next(iter(RECIPES[options.task])))
    return recipe(name, options.set, options.task)


def _recipes() -> str:
    """The recipes of each task, a line each."""
    lines = []
    for task, recipes in RECIPES.items():
        lines.append(f"recipes for {task}:")
        lines += [f"  {name:18} {made.summary}" for name, made in recipes.items()]
    return "\n".join(lines)


def _written(value: object) -> str:
    """A value as --set takes it."""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
