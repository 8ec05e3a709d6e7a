"""Where a network runs and how precisely: what the hardware lacks is not picked."""

import os
import pickle

import pytest
import torch

from sspe.errors import SspeError
from sspe.models.device import Home, _block_time, pick_device, pick_precision


@pytest.mark.parametrize(("capability", "picked"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_bfloat16_is_picked_only_where_a_gpu_has_it(monkeypatch, capability, picked):
    """A card of compute capability 7.x emulates it, slower than float32, and torch calls that supported."""
    monkeypatch.setattr(torch.version, "cuda", "12.4")
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card(*capability))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)  # what emulation answers
    assert torch.cuda.is_bf16_supported()
    assert pick_precision(torch.device("cuda"), "auto") == picked
    assert pick_precision(torch.device("cuda"), "bfloat16") == "bfloat16"  # whoever asks for it gets it


class Card:
    """What torch knows of a CUDA card."""

    def __init__(self, major: int, minor: int):
        self.major, self.minor = major, minor


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[str]:
    """On a processor that has bfloat16: the precisions whose time was taken. bfloat16 takes the longer time."""
    taken = []
    seconds = {"float32": 1.0, "bfloat16": 2.0}
    monkeypatch.setenv("SSPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    monkeypatch.setattr(
        "sspe.models.device._block_time", lambda precision: taken.append(precision) or seconds[precision]
    )
    return taken


def test_the_faster_precision_of_a_processor_is_measured_once(measured, monkeypatch):
    """bfloat16 was picked once wherever AVX-512 has it, and was slower there."""
    for _ in range(2):
        assert pick_precision(torch.device("cpu"), "auto") == "float32"
    assert measured == ["float32", "bfloat16"]
    monkeypatch.setattr("sspe.models.device._block_time", lambda precision: -len(precision))
    assert pick_precision(torch.device("cpu"), "auto") == "float32"  # remembered
    monkeypatch.setattr("sspe.models.device._processor", lambda: "another")
    assert pick_precision(torch.device("cpu"), "auto") == "bfloat16"


def test_a_machine_that_can_keep_nothing_measures_again(measured, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where a folder would be")
    for _ in range(2):
        assert pick_precision(torch.device("cpu"), "auto") == "float32"
    assert len(measured) == 4


def test_a_processor_without_bfloat16_is_not_measured(measured, monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert pick_precision(torch.device("cpu"), "auto") == "float32" and not measured


def test_the_measure_leaves_random_numbers_alone():
    before = torch.get_rng_state()
    assert 0 < _block_time("float32") < 10
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_precision_or_device_is_one_sentence():
    with pytest.raises(SspeError, match=r"no precision 'half'; choose one of auto, float32, bfloat16\."):
        pick_precision(torch.device("cpu"), "half")
    for device in ("gpu", "mps", "cuda:x"):
        with pytest.raises(SspeError, match=f"no device '{device}'; choose auto, cpu or cuda"):
            pick_device(device)


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("auto").type == "cuda" and pick_device("cuda:0").index == 0
    with pytest.raises(SspeError, match="cuda:1 was asked for and torch finds 1 CUDA GPUs"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(SspeError, match="cuda was asked for and torch finds 0 CUDA GPUs"):
        pick_device("cuda")


def test_a_network_is_at_home_in_one_process(monkeypatch):
    cpu, home = torch.device("cpu"), Home()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    home.check(cpu)
    there = pickle.dumps(home)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # set in the child, which helps nothing
    with pytest.raises(SspeError, match=r'forked off.*load it in this process, or start .*get_context\("spawn"\)'):
        home.check(cpu)
    pickle.loads(there).check(cpu)  # sent to a spawned process


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_network_of_one_thread_works_in_a_forked_process_but_for_one_on_a_gpu(monkeypatch, device):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    monkeypatch.setattr("cv2.getNumThreads", lambda: 1)
    home = Home()
    home.check(torch.device(device))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    if device == "cpu":
        home.check(torch.device(device))
    else:
        with pytest.raises(SspeError, match="the GPU that it needs stayed behind"):
            home.check(torch.device(device))
