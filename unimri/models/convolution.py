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
    # Other devices, and bfloat16 on a CPU that computes in it, have good weight gradients of their own. An exported
    # graph has no gradients.
    if activation.device.type != "cpu" or torch.is_autocast_enabled("cpu") or torch.compiler.is_exporting():
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
    """Weight gradient as matrix products of strips of rows, a third fewer than there are pixels times weights."""
    batch, inputs, height, width = activation.shape
    if height % 2:
        return _by_strips(F.pad(activation, (0, 0, 0, 1)), F.pad(upstream, (0, 0, 0, 1)))
    outputs = upstream.shape[1]
    rows = min(height, max(2, _STRIP // (width + 2) // 2 * 2))
    total = activation.new_zeros(4, outputs, 3 * inputs)
    pixels, gradients = activation.permute(0, 2, 3, 1), upstream.permute(0, 2, 3, 1)
    strips = {count: _Strip(count, pixels, gradients, total) for count in {rows, height % rows} - {0}}
    for sample in range(batch):
        for start in range(0, height, rows):
            strips[min(rows, height - start)].add(pixels[sample], gradients[sample], start)
    first, added, subtracted, last = total[0], total[1] / 2, total[2] / 2, total[3]
    shifts = torch.stack((first + added + subtracted, added - subtracted, added + subtracted - last))  # (3, O, 3 I)
    return shifts.view(3, outputs, 3, inputs).permute(1, 3, 0, 2)


class _Strip:
    """Buffers for a strip of rows, and views of them whose products are summed.

    Along the rows, three neighbouring pixels of the strip with its border of zeros are one row of a matrix, so that a
    shift is an offset in memory and nothing is copied for it. Along the columns, two rows of the gradient and the four
    rows of the activation that they meet give the sums of all three shifts in four products instead of six (Winograd's
    F(3, 2); Lavin and Gray 2016).

    Parameters
    ----------
    count : rows, an even number.
    pixels, gradients : (B, H, W, I) and (B, H, W, O), as examples of what `add` gets one sample of.
    total : (4, O, 3 I), what the four products are added to.
    """

    def __init__(self, count: int, pixels: Tensor, gradients: Tensor, total: Tensor) -> None:
        self.count, pairs = count, count // 2
        width, inputs, outputs = pixels.shape[2], pixels.shape[3], gradients.shape[3]
        row = width + 2
        self.around = pixels.new_empty(count + 2, width, inputs)
        # Two pixels more: the last neighbours of the last pixel, which is a zero of the gradient's border.
        mixed = pixels.new_zeros(4, pairs * row + 2, inputs)
        met = gradients.new_zeros(4, pairs * row, outputs)
        self.four_rows = [self.around[place : place + count : 2] for place in range(4)]
        self.mixed = mixed[:, :-2].view(4, pairs, row, inputs)[:, :, 1:-1].unbind()
        self.met = met.view(4, pairs, row, outputs)[:, :, :-2].unbind()
        self.factors = [
            (total[number], _every_third(met[number], place, groups, outputs).T, neighbours)
            for number in range(4)
            for place in range(3)
            for groups in [(pairs * row - place + 2) // 3]
            for neighbours in [_every_third(mixed[number], place, groups, 3 * inputs)]
        ]

    def add(self, pixels: Tensor, gradients: Tensor, start: int) -> None:
        """Add the products of the rows from `start` on; (H, W, I) and (H, W, O)."""
        above, below = max(start - 1, 0), min(start + self.count + 1, len(pixels))
        inside = slice(above - start + 1, below - start + 1)
        self.around[: inside.start].zero_()
        self.around[inside].copy_(pixels[above:below])
        self.around[inside.stop :].zero_()
        one, two, three, four = self.four_rows
        torch.sub(one, three, out=self.mixed[0])
        torch.add(two, three, out=self.mixed[1])
        torch.sub(three, two, out=self.mixed[2])
        torch.sub(two, four, out=self.mixed[3])
        even, odd = gradients[start : start + self.count : 2], gradients[start + 1 : start + self.count : 2]
        self.met[0].copy_(even)
        torch.add(even, odd, out=self.met[1])
        torch.sub(even, odd, out=self.met[2])
        self.met[3].copy_(odd)
        for product, gradient, neighbours in self.factors:
            product.addmm_(gradient, neighbours)


def _every_third(pixels: Tensor, place: int, groups: int, width: int) -> Tensor:
    """Numbers of pixels place, place + 3, ... of (P, C), `width` from each pixel's first on: a view (groups, width)."""
    channels = pixels.shape[1]
    return pixels.as_strided((groups, width), (3 * channels, 1), pixels.storage_offset() + place * channels)
