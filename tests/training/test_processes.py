"""Processes that share every step make the step that one process would make."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from run_files import rows, same, weights
from together import together
from torch import nn

from sspe.errors import CheckpointError, SspeError
from sspe.training import processes
from sspe.training.batches import EpochSampler
from sspe.training.localization import LocalizationTask

ROWS = [3, 0, 2]  # of each process


def parts(size, seed=0):
    """Rows (5, size), and those of each of three processes."""
    whole = torch.randn(sum(ROWS), size, generator=torch.Generator().manual_seed(seed))
    return whole, whole.split(ROWS)


def whole_loss(rows):
    return (rows[:-1] * rows[1:]).sum().tanh() + rows.square().sum()  # no row counts by itself


def test_gathered_rows_and_their_gradient_are_those_of_one_process(tmp_path):
    whole, own = parts(4)
    whole = whole.clone().requires_grad_()
    whole_loss(whole).backward()

    def gather(number):
        mine = own[number].clone().requires_grad_()
        found = processes.gathered(mine)
        whole_loss(found).backward()
        return found.tolist(), (mine.grad / processes.count()).tolist()

    found = together(3, tmp_path, gather)
    assert [rows for rows, _ in found] == [whole.tolist()] * 3
    gradients = torch.cat([torch.tensor(gradient).reshape(-1, 4) for _, gradient in found])
    torch.testing.assert_close(gradients, whole.grad)


def test_batch_norm_and_gradients_of_all_processes(tmp_path):
    """A branch with batch norm, of which every process has other rows, and one of them none."""
    whole, own = parts(4)

    def branch():
        torch.manual_seed(1)
        made = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
        nn.init.uniform_(made[1].weight)
        return made

    def state(network):
        gradients = {f"gradient of {name}": p.grad for name, p in network.named_parameters()}
        return {name: tensor.tolist() for name, tensor in {**network.state_dict(), **gradients}.items()}

    def step(number):
        network = branch()
        processes.share_batch_norm(network, None)
        whole_loss(processes.gathered(network(own[number]))).backward()
        processes.average_gradients(network)
        network.eval()
        return state(network), network(whole).tolist()

    alone = branch()
    whole_loss(alone(whole)).backward()
    expected = state(alone)
    for found, output in together(3, tmp_path, step):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(values), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.tensor(output), alone.eval()(whole), atol=1e-5, rtol=1e-5)


def test_who_does_what(tmp_path):
    """Shares are the whole, what is said reaches everyone, dropout differs, and what must not differ is refused."""

    def look(number):
        try:
            processes.agree({"seed": 0, "data": number // 2})
            refused = ""
        except SspeError as error:
            refused = str(error)
        processes.agree({"seed": 0})
        drawn = []
        for step in (1, 2, 1):
            processes.draw_apart(0, 5, step)
            drawn.append(torch.rand(3).tolist())
        batches = [list(batch) for batch in EpochSampler(10, 4, seed=0, epoch=2)]
        try:
            EpochSampler(2, 4, seed=0, epoch=0)
        except SspeError as error:
            few = str(error)
        return processes.share(range(8)), processes.everyone(f"I am {number}"), drawn, batches, refused, few

    found = together(3, tmp_path, look)
    shares, said, drawn, batches, refused, few = zip(*found, strict=True)
    assert [i for part in shares for i in part] == list(range(8))
    assert said == (["I am 0", "I am 1", "I am 2"],) * 3
    assert all(one == again for one, _, again in drawn)
    assert len({str(numbers) for of_process in drawn for numbers in of_process[:2]}) == 6
    assert [[*a, *b, *c] for a, b, c in zip(*batches, strict=True)] == list(EpochSampler(10, 4, seed=0, epoch=2))
    assert refused[0] == (
        "Processes that train together differ in data: 0 here and 1 elsewhere; give all of them the same command, "
        "photos and annotations."
    )
    assert few[0].startswith("A step of 2 photos gives each of 3 processes less than one; start fewer of them, or")


def test_one_process_alone_does_as_it_would_without():
    tensor, network = torch.randn(3, 2, requires_grad=True), nn.Sequential(nn.BatchNorm1d(2))
    assert processes.gathered(tensor) is processes.summed(tensor) is tensor
    processes.share_batch_norm(network)
    assert type(network[0]) is nn.BatchNorm1d
    before = torch.get_rng_state()
    processes.draw_apart(0, 0, 0)
    assert torch.equal(torch.get_rng_state(), before)
    with processes.joined("cpu") as device:
        assert (device, processes.count(), processes.is_first(), processes.share("abc")) == ("cpu", 1, True, "abc")


# Of 24 photos. Plain descent: Adam divides a gradient by its own size, so that of one that is nothing but rounding it
# makes a step as large as of any other.
TWENTY_STEPS = {
    "localization": ["batch=4", "epochs=4", "calibrated=false"],
    "retrieval": ["batch=4", "epochs=3", "frozen_batch=8", "frozen_epochs=1", "frozen_lr=0.01"],
}
PLAIN = ["network.dropout=0", "optimiser=sgd", "branch_lr=0.01", "backbone_lr=0.001"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", ["localization", "retrieval"])
def test_two_processes_make_the_steps_of_one(few_words, train, train_retrieval, tmp_path, task):
    run = {"localization": train, "retrieval": train_retrieval}[task]

    def work(number):
        return run(tmp_path / "two", *TWENTY_STEPS[task], *PLAIN, limit=24, val_limit=1)

    alone = run(tmp_path / "one", *TWENTY_STEPS[task], *PLAIN, limit=24, val_limit=1)
    measured, nothing = together(2, tmp_path, work)
    assert nothing == {} and measured.keys() == alone.keys()
    # In localization rounding tips a hinge sooner or later: losses differ by a part in a million for twelve steps, and
    # by less than one in a thousand after 24. One process that computes with two threads instead of one, or without
    # oneDNN, is by then two to three in a thousand from itself.
    rounding = {"localization": 1e-3, "retrieval": 1e-5}[task]
    one, two = rows(tmp_path / "one"), rows(tmp_path / "two")
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        assert float(a["loss"]) == pytest.approx(float(b["loss"]), rel=rounding)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=0, atol=3 * rounding, msg=name)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_stopped_run_of_two_processes_goes_on(few_words, train, stop_at, tmp_path):
    """With dropout, and stopped in an epoch: it ends with the weights of an undisturbed run."""

    def whole(number):
        train(tmp_path / "whole")

    def stopped(number):
        stop_at(LocalizationTask, 4)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "stopped", save_every=-1.0)

    def resumed(number):
        train(tmp_path / "stopped", resume=True)

    for work in (whole, stopped, resumed):
        together(2, tmp_path, work)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    with pytest.raises(CheckpointError, match="began with processes 2, and this command has 1; resume it with"):
        train(tmp_path / "stopped", resume=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_torchrun(scenes, tmp_path):
    tiny = ("regions.side=96", "proposals.count=40", "batch=4", "epochs=2")
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "sspe.train"]
    line += ["--data", scenes, "--recipe", "synthetic", "--limit", "8", "--val-limit", "4", "--device", "cpu"]
    line += ["--output", tmp_path / "run", *(part for change in tiny for part in ("--set", change))]
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("epoch 2: loss") == 1  # the other process is silent
    assert {"best.safetensors", "metrics.json", "log.csv"} <= {file.name for file in (tmp_path / "run").iterdir()}
    line[line.index("8")] = "1"
    line[line.index(tmp_path / "run")] = tmp_path / "few"
    done = subprocess.run([str(part) for part in line], capture_output=True, text=True)
    assert done.returncode == 1 and "A step of 1 photos gives each of 2 processes less than one" in done.stderr
