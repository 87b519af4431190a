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
_STRIP = 8192
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
            conv2d_input(activation.shape, weight, upstream, padding=1) if of_input else None,  # type: ignore[no-untyped-call]
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
    """Weight gradient as matrix products of strips of rows, a third fewer than there are pixels times weights.

    Along the rows, three neighbouring pixels of a strip with its border of zeros are one row of a matrix, so that a
    shift is an offset in memory and nothing is copied for it. Along the columns, two rows of the gradient and the four
    rows of the activation that they meet give the sums of all three shifts in four products instead of six (Winograd's
    F(3, 2); Lavin and Gray 2016).
    """
    batch, inputs, height, width = activation.shape
    if height % 2:
        return _by_strips(F.pad(activation, (0, 0, 0, 1)), F.pad(upstream, (0, 0, 0, 1)))
    outputs, row = upstream.shape[1], width + 2
    rows = min(height, max(2, _STRIP // row // 2 * 2))
    pairs = rows // 2
    strip = activation.new_empty(rows + 2, width, inputs)
    # Two pixels more: the last neighbours of the last pixel, which is a zero of the gradient's border.
    mixed = activation.new_zeros(4, pairs * row + 2, inputs)
    met = upstream.new_zeros(4, pairs * row, outputs)
    mixed_image = mixed[:, :-2].view(4, pairs, row, inputs)[:, :, 1:-1]
    met_image = met.view(4, pairs, row, outputs)[:, :, :-2]
    total = activation.new_zeros(4, outputs, 3 * inputs)
    pixels, gradients = activation.permute(0, 2, 3, 1), upstream.permute(0, 2, 3, 1)
    for number in range(batch):
        for start in range(0, height, rows):
            count = min(rows, height - start)
            above, below = max(start - 1, 0), min(start + count + 1, height)
            inside = slice(above - start + 1, below - start + 1)
            strip[: inside.start].zero_()
            strip[inside].copy_(pixels[number, above:below])
            strip[inside.stop :].zero_()
            one, two, three, four = (strip[place : place + count : 2] for place in range(4))
            even, odd = (gradients[number, start + place : start + count : 2] for place in range(2))
            half = slice(count // 2)
            torch.sub(one, three, out=mixed_image[0, half])
            torch.add(two, three, out=mixed_image[1, half])
            torch.sub(three, two, out=mixed_image[2, half])
            torch.sub(two, four, out=mixed_image[3, half])
            met_image[0, half].copy_(even)
            torch.add(even, odd, out=met_image[1, half])
            torch.sub(even, odd, out=met_image[2, half])
            met_image[3, half].copy_(odd)
            for product, neighbours, of_pixels in zip(total, mixed, met, strict=True):
                for place in range(3):
                    groups = (count // 2 * row - place + 2) // 3
                    left = _every_third(of_pixels, place, groups, outputs)
                    product.addmm_(left.T, _every_third(neighbours, place, groups, 3 * inputs))
    first, added, subtracted, last = total[0], total[1] / 2, total[2] / 2, total[3]
    shifts = torch.stack((first + added + subtracted, added - subtracted, added + subtracted - last))  # (3, O, 3 I)
    return shifts.view(3, outputs, 3, inputs).permute(1, 3, 0, 2)


def _every_third(pixels: Tensor, place: int, groups: int, width: int) -> Tensor:
    """Numbers of pixels place, place + 3, ... of (P, C), `width` from each pixel's first on: a view (groups, width)."""
    channels = pixels.shape[1]
    return pixels.as_strided((groups, width), (3 * channels, 1), pixels.storage_offset() + place * channels)
