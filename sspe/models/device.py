"""Where a network runs and in which precision; both can be picked by the machine at hand."""

import os
from contextlib import AbstractContextManager

import cv2
import torch
from torch import nn

from sspe.errors import SspeError
from sspe.vision.folding import collapse

PRECISIONS = ("auto", "float32", "bfloat16")


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """ "auto" is the GPU where there is one, else the CPU. Raises SspeError for a device that is not here."""
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        picked = torch.device(device)
    except RuntimeError:
        picked = None
    if picked is None or picked.type not in ("cpu", "cuda"):
        raise SspeError(f"There is no device {str(device)!r}; choose auto, cpu or cuda.")
    if picked.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (picked.index or 0) >= count:
            raise SspeError(f"The device {picked} was asked for and torch finds {count} CUDA GPUs; choose auto or cpu.")
    return picked


def pick_precision(device: torch.device, precision: str = "auto") -> str:
    """ "auto" is bfloat16 where the hardware multiplies it fast, else float32."""
    if precision not in PRECISIONS:
        raise SspeError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        # Before compute capability 8.0 (Ampere) bfloat16 is emulated, which torch calls supported unless asked not to.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    # With AMX bfloat16 is several times faster. The bfloat16 of AVX-512 alone is slower than float32: 0.66 s against
    # 0.55 s per photo on two such cores. torch has no public question for this in all the versions we take.
    return "bfloat16" if torch.cpu._is_amx_tile_supported() else "float32"


class Home:
    """The process in which a network works.

    A forked child has the network's weights and not the threads of torch and OpenCV, for which it would wait for ever.
    With one thread each there is nothing to wait for, and a child works. A pickled network is at home where it arrives.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._threads = 1

    def __reduce__(self) -> tuple:
        return Home, ()

    def check(self, device: torch.device) -> None:
        """To be called before any work. Raises SspeError in a forked child that could not do it."""
        if os.getpid() == self._process:
            self._threads = max(self._threads, torch.get_num_threads(), cv2.getNumThreads())
        elif self._threads > 1 or device.type == "cuda":
            raise SspeError(
                "The model was loaded before this process was forked off, and the threads or the GPU that it needs "
                'stayed behind; load it in this process, or start processes with multiprocessing.get_context("spawn").'
            )


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision for a block; ``precision`` as :func:`pick_precision` gives it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def fix_for_inference(model: nn.Module, device: str | torch.device, precision: str) -> str:
    """Move a model to the device and fix its weights; return the precision it is to run in. Both may be "auto"."""
    picked = pick_device(device)
    precision = pick_precision(picked, precision)
    if picked.type == "cuda" and precision == "float32":
        # Otherwise cuDNN multiplies with 10 bits after the point, and scores leave the CPU's by more than 0.001.
        torch.backends.cudnn.allow_tf32 = False
    collapse(model)
    model.to(picked, memory_format=torch.channels_last).eval().requires_grad_(False)
    return precision
