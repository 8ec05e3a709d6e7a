"""Optimiser and learning rate of a recipe, for what it trains of a pipeline."""

import torch
from torch import nn

from sspe.pipeline import Pipeline
from sspe.recipes import Recipe


def make_optimiser(
    pipeline: Pipeline, recipe: Recipe, steps: int
) -> tuple[list[nn.Parameter], torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """What is trained, its optimiser and its schedule, which is stepped after each of the ``steps`` of an epoch.

    The backbone's parameters that the recipe leaves alone are fixed.
    """
    regions = pipeline.regions
    regions.requires_grad_(recipe.fine_tune)
    for stage in list(regions.map)[: recipe.frozen_stages]:
        stage.requires_grad_(False)
    backbone = [p for p in regions.parameters() if p.requires_grad]
    # What has no ImageNet weights to keep learns fast.
    branches = [*pipeline.network.parameters()]
    if regions.around is not None:
        branches += regions.around.parameters()
    new = {id(p) for p in branches}
    backbone = [p for p in backbone if id(p) not in new]
    groups = [{"params": branches, "lr": recipe.branch_lr}, {"params": backbone, "lr": recipe.backbone_lr}]
    if recipe.optimiser == "sgd":
        optimiser = torch.optim.SGD(groups, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    if recipe.decay_every:
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, steps * recipe.decay_every, gamma=0.1)
    else:
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            [recipe.branch_lr, recipe.backbone_lr],
            total_steps=steps * recipe.epochs + 1,
            pct_start=recipe.warm_up,
        )
    return backbone + branches, optimiser, schedule
