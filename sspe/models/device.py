"""Where a network runs and in which precision; both can be picked by the machine at hand."""

import os
import platform
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import cv2
import torch
from torch import nn

from sspe.errors import SspeError
from sspe.files import atomic_write, cache_dir, settings_key
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
    """ "auto" is bfloat16 where the hardware computes faster in it than in float32."""
    if precision not in PRECISIONS:
        raise SspeError(f"There is no precision {precision!r}; choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    if device.type == "cuda":
        # Before compute capability 8.0 (Ampere) bfloat16 is emulated, which torch calls supported unless asked not to.
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if not torch.backends.mkldnn.is_available() or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "float32"  # emulated, it could only be slower
    return _faster_here()


def _faster_here() -> str:
    """The faster precision of this machine's processor, measured once and remembered in the cache folder.

    With AMX bfloat16 is several times faster than float32; with the bfloat16 of AVX-512 alone it was slower on one
    processor and will be faster on another.
    """
    has = [torch.cpu._is_amx_tile_supported(), torch.cpu._is_avx512_bf16_supported()]
    file = cache_dir() / "precision" / settings_key(_processor(), has, torch.get_num_threads(), torch.__version__)
    try:
        remembered = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        remembered = ""
    if remembered not in PRECISIONS[1:]:
        remembered = min(PRECISIONS[1:], key=_block_time)
        with suppress(OSError), atomic_write(file) as temporary:  # where nothing can be kept, the next start measures
            temporary.write_text(remembered, encoding="utf-8")
    return remembered


@torch.inference_mode()
def _block_time(precision: str) -> float:
    """Seconds, the best of seven, that a block of the region head takes on the processor for 64 regions."""
    wide = 1152
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay the same
        layers = (
            nn.Conv2d(192, wide, 1),
            nn.ReLU6(),
            nn.Conv2d(wide, wide, 5, padding=2, groups=wide),
            nn.Conv2d(wide, 192, 1),
        )
    block = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    windows = torch.ones(64, 192, 4, 4).contiguous(memory_format=torch.channels_last)
    taken = []
    with autocast(torch.device("cpu"), precision):
        for _ in range(7):
            begun = time.perf_counter()
            block(windows)
            taken.append(time.perf_counter() - begun)
    return min(taken)


def _processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), platform.processor())


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
