"""The optimiser and the schedule of learning rates that a recipe asks for."""

from collections.abc import Sequence

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sspe.models.localization import LocalizationModel
from sspe.training.recipes import LocalizationRecipe, Recipe


def make_optimiser(model: LocalizationModel, recipe: LocalizationRecipe, steps: int) -> tuple[Optimizer, LRScheduler]:
    """The optimiser of a recipe and its schedule, which is stepped after each of the ``steps`` of an epoch.

    The backbone's parameters that the recipe leaves alone are fixed.
    """
    regions = model.regions
    regions.requires_grad_(recipe.fine_tune)
    regions.freeze_through(recipe.frozen_through)
    backbone = [p for p in regions.parameters() if p.requires_grad]
    # What has no ImageNet weights to keep learns fast.
    branches = [*model.network.parameters()]
    if regions.around is not None:
        branches += regions.around.parameters()
    new = {id(p) for p in branches}
    backbone = [p for p in backbone if id(p) not in new]
    groups = [{"params": branches, "lr": recipe.branch_lr}, {"params": backbone, "lr": recipe.backbone_lr}]
    optimiser = optimiser_of(groups, recipe)
    return optimiser, schedule_of(optimiser, recipe, steps, recipe.epochs)


def optimiser_of(groups: Sequence[dict], recipe: Recipe) -> Optimizer:
    """The kind of optimiser that a recipe asks for, of groups of parameters with a learning rate each.

    AdamW without weight decay is Adam.
    """
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)


def schedule_of(optimiser: Optimizer, recipe: Recipe, steps: int, epochs: int) -> LRScheduler:
    """A tenth after every ``decay_every`` epochs of ``steps`` steps; if 0, one rise and fall in ``epochs``."""
    if recipe.decay_every:
        return torch.optim.lr_scheduler.StepLR(optimiser, steps * recipe.decay_every, gamma=0.1)
    return one_cycle(optimiser, steps * epochs, recipe.warm_up)


def one_cycle(optimiser: Optimizer, steps: int, warm_up: float) -> LRScheduler:
    """Each group's learning rate rises for the share ``warm_up`` of the steps to what it is now, then falls to nothing.

    To be stepped after each of the ``steps``.
    """
    rates = [group["lr"] for group in optimiser.param_groups]
    if warm_up * (steps + 1) == 1:  # the rise would take no step, and the scheduler divides by their number
        warm_up *= 1 - 1e-6
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, total_steps=steps + 1, pct_start=warm_up)
