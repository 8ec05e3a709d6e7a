"""How listeners that need the network run: one after the other, and on the GPU of a Space that shares one."""

from __future__ import annotations

from collections.abc import Callable

MODEL_EVENTS = {"concurrency_id": "localizer", "concurrency_limit": 1}  # one request at a time holds the network


def on_gpu(function: Callable) -> Callable:
    """The function as a Hugging Face Space with shared GPUs wants it; elsewhere the function itself."""
    try:
        import spaces
    except ImportError:
        return function
    return spaces.GPU(function)
