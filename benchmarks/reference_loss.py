"""The loss of sspe beside the released one: python benchmarks/reference_loss.py

The authors' released code trains image-sentence retrieval with equations (1), (2) and (4) on batches of photos with two
sentences each. Below stands that algorithm, restated with nothing copied; beside it runs sspe.models.losses with the
settings of the recipe "released" on the same embeddings. Printed are, for each number of pairs, the largest difference
of value and of gradient over the terms, and the time and memory of a step of each, forwards and backwards.

The released terms are means over the pairs *and* the K negatives of each, ours sums over the K: an equal factor of all.
Run it on a machine that does nothing else; without a GPU, on Linux, whose kernel counts the memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional

from sspe.models.losses import Matches, structure_preserving_loss
from sspe.training.recipes import RECIPES

EMBEDDING = 512
RELEASED = RECIPES["retrieval"]["released"]
LOSS = RELEASED.loss.terms
TERMS = ("region_anchor", "phrase_anchor", "phrase_structure")  # (1), (2), (4); the weight of (3) is 0


def released_terms(
    x: torch.Tensor, y: torch.Tensor, margin: float = LOSS.margin, top_k: int = LOSS.top_k
) -> dict[str, torch.Tensor]:
    """The three terms of the released code, by the names of our settings.

    Args:
        x: photo embeddings (N, E), unit length.
        y: sentence embeddings (N * S, E), unit length, those of a photo one after another.
        top_k: K; at most (N - 1) * S.

    Returns:
        Each term, the mean over the N * S pairs and the K largest hinges of each.
    """
    photos, sentences = len(x), len(y) // len(x)
    own = torch.eye(photos, dtype=torch.bool, device=x.device).repeat_interleave(sentences, 0)  # (M, N)
    yx = euclidean(y, x)
    right = yx[own][:, None]  # (M, 1)

    def mean_of_largest(positive: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        return (margin + positive - negatives).clamp(min=0).topk(min(top_k, negatives.shape[1]), 1).values.mean()

    wrong_photos = yx[~own].view(len(y), photos - 1)
    wrong_sentences = yx.T[~own.T].view(photos, len(y) - sentences).repeat_interleave(sentences, 0)
    yy = euclidean(y, y)
    siblings = own.repeat_interleave(sentences, 1)  # (M, M): sentences of one photo, each as itself as well
    farthest = yy[siblings].view(len(y), sentences).amax(1, keepdim=True)
    return {
        "region_anchor": mean_of_largest(right, wrong_sentences),
        "phrase_anchor": mean_of_largest(right, wrong_photos),
        "phrase_structure": mean_of_largest(farthest, yy[~siblings].view(len(y), -1)),
    }


def euclidean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distances (N, M) as the released code takes them: sqrt(|a|^2 - 2ab + |b|^2 + 1e-4)."""
    squares = (a * a).sum(1, keepdim=True) - 2 * a @ b.T + (b * b).sum(1)[None]
    return (squares + 1e-4).sqrt()


def released_loss(x: torch.Tensor, y: torch.Tensor, _: Matches) -> torch.Tensor:
    """The released weighted sum."""
    return sum(getattr(LOSS, name) * term for name, term in released_terms(x, y).items())


def our_loss(x: torch.Tensor, y: torch.Tensor, matches: Matches) -> torch.Tensor:
    """The same by sspe, whose terms are sums over the K negatives."""
    return structure_preserving_loss(x, y, matches, LOSS)["loss"] / LOSS.top_k


def make_batch(
    pairs: int, device: str = "cpu", sentences: int = RELEASED.sentences
) -> tuple[torch.Tensor, torch.Tensor, Matches]:
    """Raw embeddings (N, E) and (pairs, E) that need a gradient, and who matches whom; so many ``sentences`` per photo.

    A sentence lies little nearer to its photo than to others, so that most triplets violate the margin.
    """
    made = torch.Generator().manual_seed(0)
    x = torch.randn(pairs // sentences, EMBEDDING, generator=made)
    y = x.repeat_interleave(sentences, 0) + 30 * torch.randn(pairs, EMBEDDING, generator=made)
    own = torch.eye(len(x), dtype=torch.bool).repeat_interleave(sentences, 0).to(device)
    words = torch.eye(pairs, dtype=torch.bool, device=device)
    return x.to(device).requires_grad_(), y.to(device).requires_grad_(), Matches(own, ~own, own, words)


def differences(
    pairs: int, device: str = "cpu", sentences: int = RELEASED.sentences
) -> dict[str, tuple[float, float, float]]:
    """Of each term: the released value, how far ours is from it, and the largest difference of their gradients.

    Differences are relative to the value and to the largest entry of the gradient.
    """
    found = {}
    a, b, matches = make_batch(pairs, device, sentences)
    for name in TERMS:
        alone = replace(LOSS, **{other: float(other == name) for other in TERMS})
        values, gradients = [], []
        for ours in (False, True):
            x, y = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
            if ours:
                value = structure_preserving_loss(x, y, matches, alone)["loss"] / LOSS.top_k
            else:
                value = released_terms(x, y)[name]
            parts = torch.autograd.grad(value, (a, b), allow_unused=True)
            values.append(value.item())
            gradients.append(torch.cat([part.flatten() for part in parts if part is not None]))
        off = (gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()
        found[name] = values[0], abs(values[1] - values[0]) / values[0], off.item()
    return found


def cost(loss: Callable, pairs: int, device: str, repeats: int) -> tuple[float, float]:
    """Median milliseconds of a step, and the megabytes it adds at most to what the process holds."""
    a, b, matches = make_batch(pairs, device)
    cuda = device.startswith("cuda")

    def step() -> float:
        a.grad = b.grad = None
        begun = time.perf_counter()
        loss(functional.normalize(a, dim=1), functional.normalize(b, dim=1), matches).backward()
        if cuda:
            torch.cuda.synchronize()
        return 1000 * (time.perf_counter() - begun)

    if not cuda:
        Path("/proc/self/clear_refs").write_text("5")  # what importing took at most is forgotten
    before = torch.cuda.memory_allocated() if cuda else _held("VmRSS")
    times = [step() for _ in range(repeats + 1)]
    after = torch.cuda.max_memory_allocated() if cuda else _held("VmHWM")
    return statistics.median(times[1:]), (after - before) / 1e6


def measured_apart(loss: Callable, pairs: int, device: str, repeats: int) -> tuple[float, float]:
    """:func:`cost` in a process of its own, whose peak of memory no other loss has raised."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(cost, (loss, pairs, device, repeats))


def _held(name: str) -> int:
    """Bytes of memory that this process holds now, VmRSS, or has held at most, VmHWM; Linux counts them."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)]
    return int(line.split()[1]) * 1024


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[500, 1000, 2000, 4000], help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=10, help="measured steps (default: %(default)s)")
    options = parser.parse_args()
    print(f"{'pairs':>6}  {'value off':>9}  {'gradient off':>12}  {'released':>20}  {'sspe':>20}")
    for pairs in options.pairs:
        found = differences(pairs, options.device).values()
        columns = [f"{max(off for _, off, _ in found):9.0e}", f"{max(off for _, _, off in found):12.0e}"]
        for loss in (released_loss, our_loss):
            milliseconds, megabytes = measured_apart(loss, pairs, options.device, options.repeats)
            columns.append(f"{milliseconds:9.1f} ms {megabytes:5.0f} MB")
        print(f"{pairs:6}", *columns, sep="  ", flush=True)


if __name__ == "__main__":
    main()
