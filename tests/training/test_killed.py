"""Training that is killed with -9 at random moments, again and again, ends with the weights of an undisturbed run."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import pytest
from run_files import rows, same, weights

KILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_at_any_moment_it_resumes_to_the_same_weights(train, tmp_path):
    """Drawn scenes, saved after every step. Where a run ends before it is killed, another begins."""

    def work(folder):
        train(folder, resume=(folder / "last.pt").exists(), save_every=-1.0)

    began = time.monotonic()
    work(tmp_path / "whole")
    usual = time.monotonic() - began
    chance, fork = np.random.default_rng(0), multiprocessing.get_context("fork")
    kills, finished = 0, []
    folder = tmp_path / "0"
    while kills < KILLS or folder not in finished:
        process = fork.Process(target=work, args=(folder,))
        process.start()
        process.join(chance.uniform(0, usual) if kills < KILLS else None)
        if process.exitcode is None:
            process.kill()  # -9
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        finished.append(folder)
        if kills < KILLS:
            folder = tmp_path / str(len(finished))
    for folder in finished:
        assert same(weights(folder), weights(tmp_path / "whole"))
        logs = [
            [{k: v for k, v in row.items() if k != "seconds"} for row in rows(run)]
            for run in (folder, tmp_path / "whole")
        ]
        assert logs[0] == logs[1]
        assert (folder / "metrics.json").read_bytes() == (tmp_path / "whole" / "metrics.json").read_bytes()
        assert not [file for file in folder.iterdir() if file.name.startswith(".")]
