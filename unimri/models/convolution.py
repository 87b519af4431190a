"""3x3 convolution with a weight gradient that is fast on a CPU in float32.

Forward and the gradient of the input are PyTorch's (oneDNN), which reach the processor's peak in channels_last. Its
weight gradient does not: at 320 x 320 it takes five times as long as the forward (benchmarks/convolution.py).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

# Pixels whose activations and gradients stay in the cache while they are multiplied nine times.
_STRIP = 6144
# Up to so many channels on one side, the nine shifts of that side are written out.
_FEW = 4


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(activation, weight)
        return F.conv2d(activation, weight, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        activation, weight = ctx.saved_tensors
        upstream = gradients[0].contiguous(memory_format=torch.channels_last)
        of_input, of_weight, of_bias = ctx.needs_input_grad
        return (
            conv2d_input(activation.shape, weight, upstream, padding=1) if of_input else None,
            weight_gradient(activation, upstream) if of_weight else None,
            upstream.permute(0, 2, 3, 1).flatten(0, 2).sum(0) if of_bias else None,
        )


def convolve(activation: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.conv2d(activation, weight, bias, padding=1)` for a 3x3 kernel.

    Parameters
    ----------
    activation : (B, I, H, W), channels_last.
    weight : (O, I, 3, 3).
    bias : (O,) or None.
    """
    # Other devices, and bfloat16 on a CPU that computes in it, have good weight gradients of their own.
    if activation.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return F.conv2d(activation, weight, bias, padding=1)
    result: Tensor = _Convolution.apply(activation, weight, bias)  # type: ignore[no-untyped-call]
    return result


def weight_gradient(activation: Tensor, upstream: Tensor) -> Tensor:
    """Gradient of a 3x3 convolution's weight, zero padding.

    Parameters
    ----------
    activation : (B, I, H, W), what was convolved, channels_last.
    upstream : (B, O, H, W), gradient of the result, channels_last.

    Returns
    -------
    (O, I, 3, 3).
    """
    if activation.shape[1] <= _FEW:
        product = _shifts_times(activation, upstream)  # (I, 3, 3, O)
        return product.permute(3, 0, 1, 2)
    if upstream.shape[1] <= _FEW:
        product = _shifts_times(upstream, activation)  # (O, 3, 3, I)
        return product.flip(1, 2).permute(0, 3, 1, 2)
    return _by_strips(activation, upstream)


def _shifts_times(few: Tensor, many: Tensor) -> Tensor:
    """Sum over pixels of every 3x3 shift of `few` (B, c, H, W) times `many` (B, C, H, W): (c, 3, 3, C)."""
    batch, channels, height, width = few.shape
    padded = F.pad(few, (1, 1, 1, 1)).contiguous()
    plane, row = (height + 2) * (width + 2), width + 2
    shifts = padded.as_strided((batch, channels, 3, 3, height, width), (channels * plane, plane, row, 1, row, 1))
    columns = shifts.reshape(batch, channels * 9, height * width)
    pixels = many.permute(0, 2, 3, 1).reshape(batch, height * width, -1)
    return torch.bmm(columns, pixels).sum(0).view(channels, 3, 3, -1)


def _by_strips(activation: Tensor, upstream: Tensor) -> Tensor:
    """Weight gradient as matrix products of shifted strips of rows.

    In a strip with its border of zeros, a shift is an offset in memory, and three neighbouring pixels are one row of a
    matrix. So pixels 3q + r (r = 0, 1, 2) of the gradient times the three neighbours of each, from the row above, the
    same and the row below, are nine products of (O x pixels / 3) and (pixels / 3 x 3 I), and nothing is copied but the
    strip.
    """
    batch, inputs, height, width = activation.shape
    outputs, row = upstream.shape[1], width + 2
    rows = max(1, min(height, _STRIP // row))
    # Two pixels more: the last neighbours of the last pixel, which is a zero of the gradient's border.
    around = activation.new_zeros((rows + 2) * row + 2, inputs)
    within = upstream.new_zeros(rows * row, outputs)
    around_image = around[:-2].view(rows + 2, row, inputs)
    within_image = within.view(rows, row, outputs)
    total = activation.new_zeros(3, outputs, 3 * inputs)
    pixels, gradients = activation.permute(0, 2, 3, 1), upstream.permute(0, 2, 3, 1)
    for number in range(batch):
        for start in range(0, height, rows):
            count = min(rows, height - start)
            above, below = max(start - 1, 0), min(start + count + 1, height)
            first, last = above - start + 1, below - start + 1
            around_image[:first].zero_()
            around_image[first:last, 1:-1].copy_(pixels[number, above:below])
            around_image[last:].zero_()
            within_image[:count, :-2].copy_(gradients[number, start : start + count])
            for place in range(3):
                groups = (count * row - place + 2) // 3
                of_group = within.as_strided((groups, outputs), (3 * outputs, 1), place * outputs)
                for shift in range(3):
                    offset = (shift * row + place) * inputs
                    neighbours = around.as_strided((groups, 3 * inputs), (3 * inputs, 1), offset)
                    total[shift].addmm_(of_group.T, neighbours)
    return total.view(3, outputs, 3, inputs).permute(1, 3, 0, 2)
