"""From a photo and a phrase to their unit vectors: proposals, encoders and branches in one object."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from torch import nn

from sspe.embedding.network import TwoBranchNetwork
from sspe.errors import SspeError
from sspe.proposals import EdgeBoxes
from sspe.settings import EdgeBoxesSettings, NetworkSettings, RegionSettings
from sspe.text.encoders import TextEncoder
from sspe.vision.folding import collapse
from sspe.vision.regions import RegionEncoder

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
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    # torch has no public question for the CPU; without the instructions bfloat16 is emulated and slow.
    ask = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return "bfloat16" if ask is not None and ask() else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision for a block; ``precision`` as :func:`pick_precision` gives it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class PipelineSettings:
    """What a pipeline is built of; travels in the checkpoint."""

    regions: RegionSettings = field(default_factory=RegionSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    proposals: EdgeBoxesSettings = field(default_factory=EdgeBoxesSettings)

    def as_dict(self) -> dict:
        """Nested JSON-like values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "PipelineSettings":
        """The settings that :meth:`as_dict` described. Raises TypeError or KeyError for anything else."""
        return cls(
            RegionSettings(**values["regions"]),
            NetworkSettings(**values["network"]),
            EdgeBoxesSettings(**values["proposals"]),
        )


class Pipeline(nn.Module):
    """Photo -> boxes -> region embeddings; phrases -> phrase embeddings; both (·, E) float32 of unit length.

    A region's embedding depends on its photo alone and a phrase's on its words alone, so each is computed once, and a
    score is one dot product (cosine, -1..1).
    """

    def __init__(self, settings: PipelineSettings, text_encoder: TextEncoder, pretrained: bool = False):
        """``pretrained`` starts the backbone from ImageNet; otherwise its weights are random until they are loaded."""
        super().__init__()
        self.settings = settings
        self.text_encoder = text_encoder
        self.edge_boxes = EdgeBoxes(settings.proposals)
        self.regions = RegionEncoder(settings.regions, pretrained)
        self.network = TwoBranchNetwork(self.regions.feature_size, text_encoder.feature_size, settings.network)
        self.precision = "float32"

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.regions.mean.device

    def for_inference(self, device: str | torch.device = "auto", precision: str = "auto") -> "Pipeline":
        """Move to the device, choose the precision, and fix the weights; return self."""
        picked = pick_device(device)
        self.precision = pick_precision(picked, precision)
        if picked.type == "cuda" and self.precision == "float32":
            # Otherwise cuDNN multiplies with 10 bits after the point, and scores leave the CPU's by more than 0.001.
            torch.backends.cudnn.allow_tf32 = False
        collapse(self.regions)
        return self.to(picked, memory_format=torch.channels_last).eval().requires_grad_(False)

    @torch.inference_mode()
    def embed_regions(self, photo: np.ndarray, boxes: np.ndarray) -> torch.Tensor:
        """Embeddings (R, E) of the boxes (R, 4), pixels, of a photo (H, W, 3) uint8 RGB."""
        with autocast(self.device, self.precision):
            return self.network.image(self.regions.encode(photo, boxes))

    @torch.inference_mode()
    def embed_phrases(self, phrases: Sequence[str]) -> torch.Tensor:
        """Embeddings (P, E) of P phrases. A phrase of no known word has one too: it matches nothing in particular."""
        features = self.text_encoder.encode(phrases).to(self.device)
        with autocast(self.device, self.precision):
            return self.network.text(features)
