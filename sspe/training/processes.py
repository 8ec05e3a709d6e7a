"""Training on several processes: ``torchrun --nproc_per_node N -m sspe.train ...``, one GPU or some cores for each.

Every step is of one batch, whatever the number of processes. Each embeds its share of the batch's photos; then all
embeddings are gathered, so that every process computes the same loss, that of the whole batch with all its negatives.
Gradients flow back through the gathering to the process that embedded, and their mean is what each descends on. With
batch norm on the statistics of the whole batch, N processes make the steps that one would make, but for rounding and
for the dropout that each draws by itself.

The first process alone logs, measures and writes. In a run of one process every function here does nothing.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import distributed, nn
from torch.nn import functional

from sspe.errors import SspeError
from sspe.models.device import pick_device

Work = TypeVar("Work", bound=Sequence)

# Longer than the first process measures while the others wait; where one dies, torchrun ends them all.
_PATIENCE = timedelta(days=2)


@contextmanager
def joined(device: str = "auto") -> Iterator[str]:
    """Meet the other processes that torchrun started, for a block; yields the device that this one works on.

    ``device`` is as of :func:`sspe.models.device.pick_device`; of "auto" and "cuda" each process takes a GPU of its
    own. Raises SspeError where there are fewer GPUs than processes.
    """
    started = distributed.is_available() and distributed.is_torchelastic_launched()
    if not started or int(os.environ["WORLD_SIZE"]) == 1:
        yield device
        return
    picked = pick_device(device)
    if picked.type == "cuda":
        picked = pick_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(picked)
    distributed.init_process_group("nccl" if picked.type == "cuda" else "gloo", timeout=_PATIENCE)
    if not is_first():
        logging.getLogger("sspe").setLevel(logging.WARNING)
    try:
        yield str(picked)
    finally:
        distributed.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _together() else 1


def number() -> int:
    """Which of them this is, counted from 0."""
    return distributed.get_rank() if _together() else 0


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def is_first() -> bool:
    """Whether this is the process that logs, measures and writes."""
    return number() == 0


def share(work: Work) -> Work:
    """The part of a sequence that is this process's: the parts of all, one after the other, are the whole."""
    bounds = [len(work) * n // count() for n in (number(), number() + 1)]
    return work[bounds[0] : bounds[1]]


def everyone(value: Any) -> list:
    """The value of each process, the first one's first; every process must ask, and waits for the others."""
    if count() == 1:
        return [value]
    values: list[Any] = [None] * count()
    distributed.all_gather_object(values, value)
    return values


def wait() -> None:
    """Go on when all processes are here."""
    everyone(None)


def agree(settings: dict[str, Any]) -> None:
    """Raise SspeError unless all processes were given the same, named, settings; which may be none at all."""
    for other in everyone(settings):
        for name, value in settings.items():
            if other[name] != value:
                raise SspeError(
                    f"Processes that train together differ in {name}: {value!r} here and {other[name]!r} elsewhere; "
                    "give all of them the same command, photos and annotations."
                )


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """Rows (n, ...) of this process among those of all (sum of n, ...), the first process's first; differentiable."""
    return _Gather.apply(rows, everyone(len(rows))) if count() > 1 else rows


def summed(tensor: torch.Tensor) -> torch.Tensor:
    """The sum over all processes of a tensor that each has one of; differentiable."""
    return _Sum.apply(tensor) if count() > 1 else tensor


# What a process gives counts in the loss of every process, so its gradient is the sum of theirs. (The differentiable
# functions of torch.distributed.nn are deprecated, and take from all processes tensors of one size.)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, counts: list[int]) -> torch.Tensor:
        first = sum(counts[: number()])
        ctx.own = slice(first, first + len(rows))
        together = rows.new_zeros(sum(counts), *rows.shape[1:])
        together[ctx.own] = rows
        distributed.all_reduce(together)  # zeros and one process's rows: their sum is exact
        return together

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Sum.apply(gradient)[ctx.own], None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _Sum.apply(gradient)


def average_gradients(trained: nn.Module) -> None:
    """Give every process the mean of all processes' gradients: with the losses all alike, that of the one loss."""
    if count() == 1:
        return
    gradients = [p.grad for p in trained.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])  # one message instead of hundreds
    distributed.all_reduce(flat)
    flat /= count()
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def draw_apart(seed: int, epoch: int, step: int) -> None:
    """Let each process draw its own dropout in a step, and the same again where the run is resumed."""
    if count() > 1:
        mixed = np.random.SeedSequence([seed, epoch, step, number()])
        torch.manual_seed(int(mixed.generate_state(1, np.uint64)[0]))


class SharedBatchNorm1d(nn.BatchNorm1d):
    """Batch norm on the statistics of the rows (N, C) of all processes. (torch's SyncBatchNorm is for GPUs alone.)"""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C) -> (N, C); in evaluation as :class:`torch.nn.BatchNorm1d`."""
        if not self.training:
            return super().forward(x)
        rows = x.float()
        totals = summed(functional.pad(rows.sum(dim=0), (0, 1), value=len(rows)))  # (C + 1,)
        mean, many = totals[:-1] / totals[-1], totals[-1].detach()
        centred = rows - mean
        variance = summed(centred.square().sum(dim=0)) / many
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (many / (many - 1).clamp(min=1)), self.momentum)
        return (centred * (variance + self.eps).rsqrt() * self.weight + self.bias).to(x.dtype)


def share_batch_norm(*networks: nn.Module | None) -> None:
    """Let the batch norms of networks, some of which may be None, see the rows of all processes."""
    if count() == 1:
        return
    for network in networks:
        for module in network.modules() if network is not None else ():
            for name, norm in list(module.named_children()):
                if type(norm) is nn.BatchNorm1d:
                    shared = SharedBatchNorm1d(norm.num_features, norm.eps, norm.momentum)
                    shared.load_state_dict(norm.state_dict())
                    setattr(module, name, shared)
