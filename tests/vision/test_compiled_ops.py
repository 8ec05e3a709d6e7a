"""torchvision's compiled functions, called directly, against torchvision's own."""

import subprocess
import sys

import pytest
import torch
import torchvision.ops as published

from sspe.vision.compiled_ops import nms, nms_by_kind, roi_align, roi_pool


@pytest.fixture
def boxes() -> torch.Tensor:
    corners = torch.rand(60, 2, 2, generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    return (corners * 30).flatten(1)  # x1 y1 x2 y2


def test_suppression_is_torchvisions(boxes):
    scores, kinds = torch.rand(60, generator=torch.Generator().manual_seed(1)), torch.arange(60) % 3
    assert torch.equal(nms(boxes, scores, 0.3), published.nms(boxes, scores, 0.3))
    kept = nms_by_kind(boxes, scores, kinds, 0.3)
    assert torch.equal(kept, published.batched_nms(boxes, scores, kinds, 0.3)) and 20 < len(kept) < 60
    assert nms_by_kind(boxes[:0], scores[:0], kinds[:0], 0.3).shape == (0,)


@pytest.mark.parametrize("ours", [roi_align, roi_pool])
def test_windows_are_torchvisions_with_gradients_and_without(boxes, ours):
    maps, of_photos = torch.randn(3, 2, 8, 9), [boxes[:5], boxes[:0], boxes[5:12]]
    same = {"sampling_ratio": 2, "aligned": True} if ours is roi_align else {}
    expected = getattr(published, ours.__name__)(maps, of_photos, 4, 0.25, **same)
    with torch.no_grad():
        torch.testing.assert_close(ours(maps, of_photos, 4, 0.25), expected)
    found = ours(maps.requires_grad_(), of_photos, 4, 0.25)
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert maps.grad[0].abs().sum() > 0 and maps.grad[1].abs().sum() == 0


@pytest.mark.slow  # a fresh Python: four seconds
def test_an_answer_imports_neither_torchvision_nor_timm():
    code = """
import sys
from sspe import Localizer
assert Localizer.from_pretrained()("assets/cat.jpg", "A cat.").phrases
print(*({"torchvision", "timm", "torch._dynamo", "transformers"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert found.returncode == 0 and found.stdout.strip() == "", found.stderr
