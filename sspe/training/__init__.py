"""Training of both tasks. :func:`train` is all of it; a step is in `localization.py` and `retrieval.py`.

:func:`refit` fits the probabilities of a finished localization checkpoint, or of the mean of several, anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sspe.errors import SspeError
from sspe.training.recipes import LocalizationRecipe, Recipe

__all__ = ["refit", "task_of", "train"]


def train(
    recipe: Recipe,
    data: str | Path,
    output: str | Path,
    *,
    photos: str | Path | None = None,
    train_split: str = "train",
    val_split: str = "val",
    limit: int | None = None,
    val_limit: int | None = None,
    incomplete: str | None = None,
    start: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    save_every: float = 180.0,
) -> dict:
    """Train a network by a recipe, whose type says for which task, and measure its best checkpoint on val photos.

    The run's files are written to ``output``: ``best.safetensors``, ``last.pt``, ``log.csv``, ``curves.png``,
    ``metrics.json`` and, of a calibrated localization model, ``reliability.png``. Processes that torchrun started train
    one network together, see :mod:`sspe.training.processes`.

    Args:
        recipe: from :func:`sspe.training.recipes.recipe`, or made by hand.
        data, photos, train_split, val_split, limit, val_limit: what is read, see
            :class:`sspe.training.source.Source`.
        incomplete: for retrieval alone: what to do about incomplete photos (None: refuse them).
        start: a checkpoint whose weights the run begins with, see :func:`sspe.training.start.take_weights`.
        seed, device, precision, resume, quiet, save_every: how it is run, see :class:`sspe.training.loop.Run`.

    Returns:
        The measures as in ``metrics.json``, rates in 0..1: of all val photos, or of a calibrated localization model of
        the half that it was neither chosen nor calibrated on, see :func:`sspe.evaluation.cross_fitting.halves`. Of
        several processes the first one's; the others get none.

    Raises:
        SspeError: for a setting, a path or data that cannot be used, in one sentence.
    """
    from sspe.checkpoint import find_checkpoint
    from sspe.training import processes
    from sspe.training.loop import open_run
    from sspe.training.source import Source

    recipe.check()
    task = "localization" if isinstance(recipe, LocalizationRecipe) else "retrieval"
    if task == "localization" and incomplete is not None:
        raise SspeError("'incomplete' is for retrieval alone, and the recipe is for localization; leave it out.")
    start = find_checkpoint(start, task) if start else None
    source = Source(data, photos, train_split, val_split, limit, val_limit, **_given(incomplete=incomplete))
    with processes.joined(device) as own:
        run = open_run(
            output, seed=seed, device=own, precision=precision, resume=resume, start=start, quiet=quiet,
            save_every=save_every,
        )  # fmt: skip
        read, train_on = task_of(recipe)
        return train_on(recipe, read(recipe, source, run.bar), run)


def refit(
    checkpoints: str | Path | Sequence[str | Path],
    data: str | Path,
    output: str | Path,
    *,
    photos: str | Path | None = None,
    train_split: str = "train",
    val_split: str = "val",
    limit: int | None = None,
    val_limit: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    quiet: bool = False,
) -> dict:
    """Fit the probabilities of a localization checkpoint on val photos; its other weights stay as they are.

    Of several checkpoints, runs that began with the same weights, the network gets the mean of their weights, see
    :func:`sspe.training.start.mean_of`. ``output`` gets ``best.safetensors``, ``metrics.json`` and ``reliability.png``;
    the checkpoints themselves are only read. The other arguments, the measures returned and the errors raised are those
    of :func:`train`.
    """
    from sspe.checkpoint import find_checkpoint
    from sspe.training.localization import refit_localization
    from sspe.training.loop import open_run
    from sspe.training.source import Source

    given = [checkpoints] if isinstance(checkpoints, (str, Path)) else checkpoints
    found = [find_checkpoint(checkpoint) for checkpoint in given]
    source = Source(data, photos, train_split, val_split, limit, val_limit)
    return refit_localization(
        found, source, open_run(output, device=device, precision=precision, start=found[0], quiet=quiet)
    )


def task_of(recipe: Recipe) -> tuple[Callable, Callable[..., dict]]:
    """The two halves of :func:`train` for the recipe's task, for runs that share their data.

    ``read(recipe, source, bar)`` gives the data, ``train_on(recipe, data, run)`` the measures; a
    :class:`~sspe.training.loop.Run` comes from :func:`sspe.training.loop.open_run`.
    """
    if isinstance(recipe, LocalizationRecipe):
        from sspe.training.localization import LocalizationData, train_localization
        from sspe.training.region_features import train_region_features

        if recipe.nouns:
            return LocalizationData.read, train_region_features
        return LocalizationData.read, train_localization
    from sspe.training.retrieval import RetrievalData, train_retrieval

    return RetrievalData.read, train_retrieval


def _given(**options: str | None) -> dict[str, str]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}
