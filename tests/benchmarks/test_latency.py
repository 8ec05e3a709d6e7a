"""The stage profile: what it times is a whole answer, and nothing of it stays behind."""

import itertools
import threading
from collections import defaultdict

import numpy as np
import pytest
import torch
from latency import answers, stages
from peers import PRECISIONS, Peer, faster_precision
from PIL import Image
from torch import nn


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("photo") / "a.png"
    Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(file)
    return file


def test_an_answer_is_timed_stage_by_stage(tiny_localizer, file):
    # Every look at the clock is a second later, by each thread's own: the sentence is read while the photo is seen.
    ticks = defaultdict(itertools.count)
    times = answers(tiny_localizer, file, 2, lambda: float(next(ticks[threading.get_ident()])))
    assert all(len(taken) == 2 for taken in times.values())
    for name in ("open the photo", "proposals, side by side", ". edge map", ". region head", "text", ". refinement"):
        assert 0 < times[name][0] < times["first answer"][0]
    assert times[". edge map"] == [1000, 1000] and "detector" not in str(list(times))  # there is none
    with pytest.raises(ZeroDivisionError), stages(tiny_localizer, lambda: 0.0):
        _ = 1 / 0
    model = tiny_localizer.model
    assert not {"forward", "propose", "read"} & {*vars(model), *vars(model.regions.head), *vars(model.network.refiner)}


class Slow(nn.Module):
    """Takes another time in every precision."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.time = 0.0

    def forward(self, pixel_values, words):
        assert pixel_values.dtype == self.weight.dtype and pixel_values.shape == (1, 3, 8, 16) and len(words) == 2
        self.time += 5 if self.weight.dtype == torch.float32 else 2


def test_a_peer_runs_in_the_precision_in_which_it_is_faster(file):
    network = Slow()
    peer = Peer("slow", network, (16, 8), lambda phrases: {"words": torch.zeros(len(phrases))})
    assert faster_precision(peer, file, ["a", "b"], torch.device("cpu"), lambda: network.time) == "bfloat16"
    assert network.weight.dtype == PRECISIONS["bfloat16"]
