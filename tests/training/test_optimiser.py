"""The schedule of the learning rate."""

import pytest
import torch

from sspe.training.optimiser import one_cycle


@pytest.mark.parametrize(
    ("steps", "warm_up"), [(9, 0.1), (19, 0.05), (1, 0.5), (1, 0.1), (200, 0.1), (50, 0.0), (5, 1.0)]
)
def test_the_rate_rises_to_what_it_is_and_falls_to_nothing(steps, warm_up):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=0.5)
    schedule = one_cycle(optimiser, steps, warm_up)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert 0 < max(rates) <= 0.5 and (steps < 50 or max(rates) > 0.49)
    if warm_up < 1:
        assert optimiser.param_groups[0]["lr"] < 1e-4
        peak = rates.index(max(rates))
        assert rates[peak:] == sorted(rates[peak:], reverse=True) and peak <= warm_up * (steps + 1)
