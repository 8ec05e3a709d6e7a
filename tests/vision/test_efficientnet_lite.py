"""Our EfficientNet-Lite is timm's: the same tensors by the same names, and the same numbers out."""

import pytest
import timm
import torch
from torch import nn

from sspe.vision.efficientnet_lite import SIZES, EfficientNetLite


@pytest.mark.parametrize("version", SIZES)
def test_it_computes_what_timms_does(version):
    torch.manual_seed(0)
    ours, theirs = EfficientNetLite(version).eval(), timm.create_model(f"tf_efficientnet_lite{version}").eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for (name, module), other in zip(ours.named_modules(), _of_the_same_kind(ours, theirs), strict=True):
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:  # as random as theirs
            assert module.weight.std().item() == pytest.approx(other.weight.std().item(), rel=0.05), name
    theirs.load_state_dict(ours.state_dict())
    photos = torch.randn(1, 3, 72, 50)  # sides at which the padding is uneven here, even there
    with torch.inference_mode():
        expected = theirs(photos)
        torch.testing.assert_close(ours(photos), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def _of_the_same_kind(ours: nn.Module, theirs: nn.Module) -> list[nn.Module | None]:
    """Of each of our modules the one of theirs by its name; None where they divide it otherwise."""
    named = dict(theirs.named_modules())
    return [named.get(name) for name, _ in ours.named_modules()]
