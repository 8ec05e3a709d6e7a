"""Batch norm with fixed statistics, folded into the convolution before it.

Fine-tuning on a few photos per step keeps the statistics of ImageNet. A batch norm that does not move is only a scale
and a shift per channel, so the convolution can do both: fewer passes over memory, in training as at inference.
"""

import torch
from torch import nn
from torch.nn import functional


class SamePaddedConv2d(nn.Conv2d):
    """A convolution with TensorFlow's padding "SAME": an output side is the input's by the stride, rounded up."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride))."""
        x, padding = same_padded(x, self)
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def same_padded(x: torch.Tensor, conv: nn.Conv2d) -> tuple[torch.Tensor, tuple[int, int]]:
    """The input of a convolution with the padding "SAME", and what the convolution is to pad at both ends itself."""
    sides = zip(x.shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    rows, columns = (max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0) for n, k, s, d in sides)
    if rows % 2 == columns % 2 == 0:
        return x, (rows // 2, columns // 2)  # without a copy
    ends = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)  # the odd one goes to the end
    return functional.pad(x, ends), (0, 0)


class FoldedConv2d(nn.Conv2d):
    """conv -> fixed batch norm as one convolution with the weights ``weight * scale`` and a bias.

    While training, ``weight`` stays what the optimiser knows from ImageNet and ``scale`` (C_out, 1, 1, 1) is
    constant, so the descent is the one the unfolded pair would make. :meth:`collapse` multiplies the two for good.
    """

    scale: torch.Tensor | None
    same_padding: bool

    @classmethod
    def of(cls, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> "FoldedConv2d":
        """Fold ``norm``, with the statistics it holds, into ``conv``."""
        folded = cls(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            conv.groups,
            bias=True,
        )
        folded.weight = conv.weight
        scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
        shift = norm.bias.detach() - norm.running_mean * scale
        if conv.bias is not None:
            shift = shift + conv.bias.detach() * scale
        folded.bias = nn.Parameter(shift)
        folded.same_padding = isinstance(conv, SamePaddedConv2d)
        folded.register_buffer("scale", scale.view(-1, 1, 1, 1), persistent=False)
        return folded

    def collapse(self) -> None:
        """Write ``weight * scale`` into ``weight``; afterwards the layer is a plain convolution."""
        if self.scale is not None:
            with torch.no_grad():
                self.weight.mul_(self.scale)
            self.scale = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C_in, H, W) -> (N, C_out, H', W')."""
        padding = self.padding
        if self.same_padding:
            x, padding = same_padded(x, self)
        weight = self.weight if self.scale is None else self.weight * self.scale
        if self.groups > 1 and x.device.type == "cpu" and torch.is_grad_enabled():
            # Gradients of a depthwise convolution are several times slower in a CPU's bfloat16 than in float32.
            with torch.autocast("cpu", enabled=False):
                return self._convolved(x.float(), weight.float(), self.bias.float(), padding)
        return self._convolved(x, weight, self.bias, padding)

    def _convolved(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, padding: tuple[int, int]
    ) -> torch.Tensor:
        return functional.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every batch norm of a network into the convolution registered just before it, in place; return the network.

    A batch norm that carries its activation as ``act`` leaves the activation behind.
    """
    for module in network.modules():
        previous = None
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d) and isinstance(previous, tuple):
                setattr(module, previous[0], FoldedConv2d.of(previous[1], child))
                setattr(module, name, getattr(child, "act", nn.Identity()))
            previous = (name, child) if isinstance(child, nn.Conv2d) else None
    return network


def collapse(network: nn.Module) -> nn.Module:
    """Turn every folded convolution of a network into a plain one, in place; return the network."""
    for module in network.modules():
        if isinstance(module, FoldedConv2d):
            module.collapse()
    return network


def collapsed_state(network: nn.Module) -> dict[str, torch.Tensor]:
    """The state dictionary that ``network`` would have after :func:`collapse`; ``network`` itself is not changed."""
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, FoldedConv2d) and module.scale is not None:
            prefix = f"{name}." if name else ""
            state[f"{prefix}weight"] = module.weight.detach() * module.scale
    return state


def load_collapsed(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give ``network``, whose convolutions are folded, the weights that ``state`` holds as plain ones.

    The inverse of :func:`collapsed_state`; a channel whose scale is 0 keeps its own weights, for it is 0 anyway.
    """
    state = dict(state)
    for name, module in network.named_modules():
        if isinstance(module, FoldedConv2d) and module.scale is not None:
            key = f"{name}.weight" if name else "weight"
            state[key] = torch.where(module.scale == 0, module.weight.detach(), state[key] / module.scale)
    network.load_state_dict(state)
