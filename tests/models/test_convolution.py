import pytest
import torch
import torch.nn.functional as F

from unimri.models import convolution
from unimri.models.convolution import convolve, weight_gradient


def channels_last(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("inputs", [2, 5, 32])
@pytest.mark.parametrize("outputs", [2, 5, 32])
@pytest.mark.parametrize("size", [(1, 1), (7, 10), (96, 70)])
def test_the_weight_gradient_is_the_exact_one_to_float_precision(
    inputs: int, outputs: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    activation, upstream = channels_last(2, inputs, *size), channels_last(2, outputs, *size)
    shape = (outputs, inputs, 3, 3)
    exact = torch.nn.grad.conv2d_weight(activation.double(), shape, upstream.double(), padding=1)
    result = weight_gradient(activation, upstream)
    assert result.shape == shape
    assert ((result - exact).norm() / exact.norm()).item() < 2e-6


@pytest.mark.parametrize("strip", [1, 20, 10_000])
def test_gradients_by_finite_differences(strip: int, monkeypatch) -> None:
    monkeypatch.setattr(convolution, "_STRIP", strip)
    torch.manual_seed(2)
    for inputs, outputs in ((2, 5), (5, 6), (5, 2)):
        arguments = [
            channels_last(2, inputs, 5, 4, dtype=torch.float64),
            torch.randn(outputs, inputs, 3, 3, dtype=torch.float64),
            torch.randn(outputs, dtype=torch.float64),
        ]
        assert torch.autograd.gradcheck(convolve, [argument.requires_grad_() for argument in arguments])


def test_only_wanted_gradients_are_made_and_a_bias_is_optional() -> None:
    activation, weight = channels_last(1, 3, 6, 6), torch.randn(4, 3, 3, 3, requires_grad=True)
    result = convolve(activation, weight, None)
    torch.testing.assert_close(result, F.conv2d(activation, weight, padding=1))
    result.sum().backward()
    assert activation.grad is None
    assert weight.grad is not None
