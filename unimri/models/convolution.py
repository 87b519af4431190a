"""Convolutions whose temporary memory does not grow with the slice."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Bytes of activations above which a convolution goes by strips of rows: libraries make copies in layouts of their own.
_LARGE = 128 * 2**20


def convolve(image: Tensor, convolution: nn.Conv2d, bias: Tensor | None) -> Tensor:
    """What a convolution gives with this bias, its numbers those of `torch.nn.functional.conv2d` to rounding.

    Outside training, large slices go by strips of rows: beside image and result only a strip's copies are in memory.

    Parameters
    ----------
    image : (B, C, H, W).
    convolution : with zeros as padding.
    bias : (C',) or None, in place of the convolution's own.
    """
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    wide = max(image.shape[1], convolution.out_channels)
    row = image.shape[0] * wide * image.shape[3] * image.element_size()
    if torch.is_grad_enabled() or row * image.shape[2] <= _LARGE or not _keeps_size(convolution):
        return F.conv2d(image, convolution.weight, bias, stride, padding, dilation, convolution.groups)
    (halo, across), height = _numbers(padding), image.shape[2]
    shape = (image.shape[0], convolution.out_channels, *image.shape[2:])
    result = torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=torch.channels_last)
    step = max(1, _LARGE // 8 // row)
    for first in range(0, height, step):
        last = min(first + step, height)
        above, below = max(0, first - halo), min(height, last + halo)
        strip = F.pad(image[:, :, above:below], (0, 0, above - (first - halo), last + halo - below))
        result[:, :, first:last] = F.conv2d(
            strip, convolution.weight, bias, stride, (0, across), dilation, convolution.groups
        )
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
