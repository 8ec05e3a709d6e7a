"""Several processes that train together on this machine, for the tests."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import distributed


def together(count: int, folder: Path, work: Callable[[int], Any]) -> list:
    """What ``work(number)`` gives in each of ``count`` processes forked off this one, which meet through a file."""
    fork = multiprocessing.get_context("fork")
    store, started = folder / f"store-{work.__name__}", []
    for number in range(count):
        ours, theirs = fork.Pipe(duplex=False)
        process = fork.Process(target=_work, args=(work, number, count, store, theirs))
        process.start()
        theirs.close()
        started.append((process, ours))
    try:
        return [_received(pipe) for _, pipe in started]
    finally:
        for process, _ in started:
            process.kill()
            process.join()


def _work(work: Callable[[int], Any], number: int, count: int, store: Path, answer: Any) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=number, world_size=count)
    try:
        answer.send((work(number), None))
    except BaseException:
        answer.send((None, traceback.format_exc()))
    distributed.destroy_process_group()


def _received(pipe: Any) -> Any:
    value, failed = pipe.recv()
    assert failed is None, failed
    return value
