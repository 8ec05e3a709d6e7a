"""EfficientNet-Lite 0 to 2: EfficientNet (Tan and Le, ICML 2019) for small machines, as published by Google.

Beside EfficientNet it has no squeeze-and-excitation, ReLU6 for an activation, and the same first and last layer in
every size. Tensors have the names that they have in timm, whose networks compute the same; a test compares them. It is
here because importing timm takes longer than a photo.
"""

import math

import torch
from torch import nn

from sspe.vision.folding import SamePaddedConv2d

# Per stage: blocks, kernel, stride, factor by which a block widens before its depthwise convolution, channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
SIZES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # by version: factors of channels and of blocks per stage
STEM, TOP, CLASSES = 32, 1280, 1000


class NormReLU6(nn.BatchNorm2d):
    """Batch norm, then ReLU6."""

    def __init__(self, channels: int):
        super().__init__(channels, eps=1e-3)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(super().forward(x))


class Separable(nn.Module):
    """The block of the first stage, (N, C, H, W) -> (N, D, H, W): depthwise, then 1 x 1."""

    def __init__(self, inputs: int, outputs: int, kernel: int):
        super().__init__()
        self.conv_dw, self.bn1 = _convolution(inputs, inputs, kernel, groups=inputs), NormReLU6(inputs)
        self.conv_pw, self.bn2 = _convolution(inputs, outputs), nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.conv_pw(self.bn1(self.conv_dw(x))))


class InvertedResidual(nn.Module):
    """(N, C, H, W) -> (N, D, H / stride, W / stride): widened 1 x 1, depthwise, narrowed 1 x 1; the input is added
    where the output has its shape."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, widening: int):
        super().__init__()
        wide = inputs * widening
        self.adds = stride == 1 and inputs == outputs
        self.conv_pw, self.bn1 = _convolution(inputs, wide), NormReLU6(wide)
        self.conv_dw, self.bn2 = _convolution(wide, wide, kernel, stride, groups=wide), NormReLU6(wide)
        self.conv_pwl, self.bn3 = _convolution(wide, outputs), nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn1(self.conv_pw(x))
        y = self.bn2(self.conv_dw(y))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """Normalised photos (N, 3, H, W) -> logits (N, 1000) of ImageNet's classes, through seven stages of ``blocks``."""

    def __init__(self, version: int):
        """``version`` is 0, 1 or 2. The weights are random."""
        super().__init__()
        wider, deeper = SIZES[version]
        self.conv_stem, self.bn1 = _convolution(3, STEM, 3, stride=2), NormReLU6(STEM)
        inputs, stages = STEM, []
        for number, (blocks, kernel, stride, widening, channels) in enumerate(STAGES):
            outputs = _rounded(channels * wider)
            if 0 < number < len(STAGES) - 1:
                blocks = math.ceil(blocks * deeper)
            stage = []
            for place in range(blocks):
                first = place == 0
                if widening == 1:
                    stage.append(Separable(inputs, outputs, kernel))
                else:
                    stage.append(InvertedResidual(inputs, outputs, kernel, stride if first else 1, widening))
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = _convolution(inputs, TOP), NormReLU6(TOP)
        self.classifier = nn.Linear(TOP, CLASSES)
        for module in self.modules():
            _initialise(module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.bn1(self.conv_stem(x)))
        return self.classifier(self.bn2(self.conv_head(x)).mean(dim=(2, 3)))


def _convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    kind = SamePaddedConv2d if stride > 1 else nn.Conv2d  # of stride 1 TensorFlow's padding is the same at both ends
    padding = 0 if stride > 1 else kernel // 2
    return kind(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, or the next one where that were less than nine tenths."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest


def _initialise(module: nn.Module) -> None:
    """Random weights as the authors': normal with the variance that keeps the sum over outputs."""
    if isinstance(module, nn.Conv2d):
        outputs = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))
    elif isinstance(module, nn.Linear):
        nn.init.uniform_(module.weight, -(1 / math.sqrt(CLASSES)), 1 / math.sqrt(CLASSES))
        nn.init.zeros_(module.bias)
