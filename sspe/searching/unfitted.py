"""How a checkpoint is searched that nothing was fitted for: in order of the scores, without a probability."""

from __future__ import annotations

import torch

from sspe.models.localization import LocalizationModel
from sspe.models.search_fit import LEVELS, SearchFit, principal_directions, scales_of

DEVIATIONS = 6  # of what box refinement reads, on either side of the mean, are kept


def unfitted_search(model: LocalizationModel) -> SearchFit:
    """What a checkpoint without a fit is searched with: every number kept, no hubs, no probability.

    The basis is that of the calibration's bank where there is one; else every direction stays as it is.
    """
    size = model.settings.network.embedding
    if model.calibration is not None:
        bank = model.calibration.bank[:, :size].float().cpu()
        basis = principal_directions(bank, size)
        scale = scales_of(bank @ basis)
    else:
        basis, scale = torch.eye(size), torch.full((size,), 1 / LEVELS)
    mean, spread = torch.zeros(0), torch.zeros(0)
    if model.network.refiner is not None:
        norm = model.network.refiner.region[1]
        # Batch norm leaves each number with a mean and a deviation that it knows.
        mean, spread = norm.bias.detach().float().cpu(), norm.weight.detach().float().cpu().abs().clamp(min=1e-3)
    nothing = torch.zeros(0)
    return SearchFit(
        basis,
        scale,
        mean,
        torch.eye(len(mean)),
        DEVIATIONS * spread / LEVELS,
        torch.zeros(0, size),
        nothing,
        torch.tensor(0.5),
    )
