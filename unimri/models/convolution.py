"""Convolutions whose temporary memory does not grow with the slice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Bytes of activations above which a convolution goes by strips of rows: libraries make copies in layouts of their own.
_LARGE = 128 * 2**20


def convolve(image: Tensor, convolution: nn.Conv2d, bias: Tensor | None, overwrite: bool = False) -> Tensor:
    """What a convolution gives with this bias, its numbers those of `torch.nn.functional.conv2d` to rounding.

    Outside training, large slices go by strips of rows: beside image and result only a strip's copies are in memory.

    Parameters
    ----------
    image : (B, C, H, W).
    convolution : with zeros as padding.
    bias : (C',) or None, in place of the convolution's own.
    overwrite : the result may take the image's memory; not where gradients are wanted.
    """
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    batch, channels, height, width = image.shape
    row = batch * max(channels, convolution.out_channels) * width * image.element_size()
    # Of an exported graph the size is not known.
    once = torch.is_grad_enabled() or torch.compiler.is_exporting() or not _keeps_size(convolution)
    if once or row * height <= _LARGE:
        return F.conv2d(image, convolution.weight, bias, stride, padding, dilation, convolution.groups)
    halo, across = _numbers(padding)
    result = image if overwrite and channels == convolution.out_channels else None
    step = max(1, halo, _LARGE // 8 // row)
    # The rows before a strip as they were; zeros before the first.
    above = image.new_zeros(batch, channels, halo, width)
    for first in range(0, height, step):
        last = min(first + step, height)
        below = F.pad(image[:, :, first : last + halo], (0, 0, 0, max(0, last + halo - height)))
        strip = torch.cat([above, below], 2)
        above = image[:, :, last - halo : last].clone()
        part = F.conv2d(strip, convolution.weight, bias, stride, (0, across), dilation, convolution.groups)
        # Autocast chooses the type, and does so anew for each.
        if result is None or result.dtype != part.dtype:
            shape = (batch, convolution.out_channels, height, width)
            result = torch.empty(shape, dtype=part.dtype, device=part.device, memory_format=torch.channels_last)
        result[:, :, first:last] = part
    assert result is not None
    return result


def _keeps_size(convolution: nn.Conv2d) -> bool:
    """Whether the result is as large as the image, so that a strip's rows are those of the image."""
    if isinstance(convolution.padding, str) or convolution.stride != (1, 1):
        return False
    sizes = zip(convolution.kernel_size, convolution.dilation, convolution.padding, strict=True)
    return all(dilation * (kernel - 1) == 2 * padding for kernel, dilation, padding in sizes)


def _numbers(padding: str | tuple[int, ...]) -> tuple[int, int]:
    assert not isinstance(padding, str)
    rows, columns = padding
    return rows, columns
