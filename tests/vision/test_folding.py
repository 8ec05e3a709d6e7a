"""A folded network is the network with fixed batch norms, in what it computes and in what it learns."""

import copy

import pytest
import torch
from torch import nn

from sspe.vision.efficientnet_lite import EfficientNetLite, NormReLU6
from sspe.vision.folding import (
    FoldedConv2d,
    SamePaddedConv2d,
    collapse,
    collapsed_state,
    fold_batch_norm,
    load_collapsed,
)


def settled(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every batch norm statistics and parameters as training would leave them; in eval mode."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.3, 3)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
    return network.eval()


def small() -> nn.Sequential:
    """Plain, depthwise and grouped convolutions, with and without bias, stride and TensorFlow's padding."""
    return settled(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=True),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Sequential(SamePaddedConv2d(8, 8, 5, stride=2, groups=8, bias=False), NormReLU6(8)),
            nn.Conv2d(8, 12, 3, padding=2, dilation=2, groups=4, bias=False),
            nn.BatchNorm2d(12, eps=1e-2),
            nn.Conv2d(12, 5, 1),
        )
    )


def photos(count: int = 2, side: int = 17, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def gradients(network: nn.Module, x: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Gradients by parameter and of the input, of a loss that weighs every output differently."""
    x = x.clone().requires_grad_()
    y = network(x)
    (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}, x.grad


@pytest.mark.parametrize("side", [17, 18])  # TensorFlow's padding is the same at both ends of one, not of the other
def test_the_output_does_not_change_and_no_batch_norm_is_left(side):
    network, x = small(), photos(side=side)
    expected = network(x)
    folded = fold_batch_norm(copy.deepcopy(network))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert sum(isinstance(m, FoldedConv2d) for m in folded.modules()) == 3  # the last has no norm behind it
    torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(folded.train()(x), expected, rtol=1e-4, atol=1e-5)  # there is nothing that trains apart


def test_the_activation_of_a_norm_stays():
    folded = fold_batch_norm(small())
    assert isinstance(folded[3][1], nn.ReLU6) and isinstance(folded[1], nn.Identity)


def test_gradients_are_those_of_the_network_with_fixed_batch_norms():
    network, x = small(), photos()
    expected, expected_x = gradients(network, x)
    folded = fold_batch_norm(copy.deepcopy(network))
    found, found_x = gradients(folded, x)
    torch.testing.assert_close(found_x, expected_x, rtol=1e-3, atol=1e-4)
    for conv, norm in (("0", "1"), ("3.0", "3.1"), ("4", "5")):
        torch.testing.assert_close(found[f"{conv}.weight"], expected[f"{conv}.weight"], rtol=1e-3, atol=1e-3)
        # The folded bias stands where the norm's did.
        torch.testing.assert_close(found[f"{conv}.bias"], expected[f"{norm}.bias"], rtol=1e-3, atol=1e-3)
    assert torch.equal(folded[0].weight, network[0].weight)  # what the optimiser sees is not scaled


def test_a_real_network_keeps_its_output_and_gradients():
    network = settled(EfficientNetLite(0))
    folded, x = fold_batch_norm(copy.deepcopy(network)), photos(1, side=64)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    expected = network(x)
    torch.testing.assert_close(folded(x), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    expected.square().mean().backward()
    folded(x).square().mean().backward()
    ours = dict(folded.named_parameters())
    for name, parameter in network.named_parameters():
        if name.endswith(".weight") and name in ours and parameter.grad is not None:
            scale = parameter.grad.abs().max().item()
            torch.testing.assert_close(ours[name].grad, parameter.grad, rtol=1e-2, atol=1e-3 * scale)


def test_collapse_makes_plain_convolutions_of_the_same_output():
    folded, x = fold_batch_norm(small()), photos()
    expected, weight = folded(x), folded[0].weight.clone()
    state = collapsed_state(folded)
    assert torch.equal(folded[0].weight, weight) and folded[0].scale is not None  # looked at, not changed
    assert set(state) == set(folded.state_dict()) and not any("scale" in name for name in state)
    collapse(folded)
    assert all(m.scale is None for m in folded.modules() if isinstance(m, FoldedConv2d))
    torch.testing.assert_close(folded(x), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(folded[0].weight, weight)
    for name, value in folded.state_dict().items():
        assert torch.equal(state[name], value) and not state[name].requires_grad
    again = folded[0].weight.clone()
    collapse(folded)  # a second time it finds nothing to do
    assert torch.equal(folded[0].weight, again)


def test_a_collapsed_state_fits_another_collapsed_network():
    folded, x = fold_batch_norm(small()), photos()
    other = collapse(fold_batch_norm(settled(small(), seed=5)))
    assert not torch.allclose(other(x), folded(x))
    other.load_state_dict(collapsed_state(folded))
    torch.testing.assert_close(other(x), folded(x), rtol=1e-4, atol=1e-5)


def test_a_folded_network_takes_collapsed_weights():
    folded, x = fold_batch_norm(small()), photos()
    with torch.no_grad():
        folded[0].scale[0] = 0
    other = fold_batch_norm(settled(small(), seed=5))
    with torch.no_grad():
        other[0].scale[0] = 0
    load_collapsed(other, collapsed_state(folded))
    assert other[0].scale is not None and all(p.isfinite().all() for p in other.parameters())
    torch.testing.assert_close(other(x), folded(x), rtol=1e-3, atol=1e-4)


def test_one_folded_layer_alone_has_a_collapsed_state():
    conv, norm = small()[:2]
    folded = FoldedConv2d.of(conv, norm)
    assert set(collapsed_state(folded)) == {"weight", "bias"}
    torch.testing.assert_close(collapsed_state(folded)["weight"], folded.weight * folded.scale)


@pytest.mark.parametrize(("stride", "kernel"), [(1, 3), (2, 3), (1, 5), (2, 5)])
def test_a_depthwise_layer_trains_in_float32_on_the_cpu_whatever_the_precision_around_it(stride, kernel):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 6, kernel, stride=stride, padding=kernel // 2, groups=6, bias=False)
    layer = FoldedConv2d.of(conv, settled(nn.Sequential(nn.BatchNorm2d(6)))[0])
    x = torch.randn(4, 6, 16, 16)
    exact = gradients(layer, x)
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.float32
        rounded = gradients(layer, x)
        with torch.no_grad():
            assert layer(x).dtype == torch.bfloat16  # at inference it is as fast as the rest
    torch.testing.assert_close(rounded, exact)
