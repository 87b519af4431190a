"""Instance normalisation with affine parameters, written out for channels_last activations.

`torch.nn.functional.group_norm` with C groups is the same function, but forward and backward on a CPU in channels_last,
which the convolutions want, are about ten times slower in bfloat16 (benchmarks/instance_norm.py measures it).
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unimri.models.conditioning.base import Condition

EPSILON = 1e-5
# Numbers (2 MB in float32) that are read several times while they are in a CPU's cache.
_PIECE = 2**19


def _pieces(flat: Tensor) -> Iterator[tuple[slice, slice]]:
    """Samples and pixels of the pieces of (B, P, C): on a CPU small enough for its cache, else one of everything."""
    batch, count, channels = flat.shape
    if flat.device.type != "cpu" or flat.numel() <= _PIECE:
        yield slice(None), slice(None)
        return
    step = max(1, _PIECE // channels)
    for sample in range(batch):
        for start in range(0, count, step):
            yield slice(sample, sample + 1), slice(start, start + step)


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> Tensor:
        batch, channels, height, width = activation.shape
        count = height * width
        flat = activation.permute(0, 2, 3, 1).reshape(batch, count, channels)
        accumulate = torch.promote_types(flat.dtype, torch.float32)
        mean = flat.new_zeros((batch, channels), dtype=accumulate)
        square = torch.zeros_like(mean)
        for sample, pixels in _pieces(flat):
            values = flat[sample, pixels]
            mean[sample] += values.sum(1, dtype=accumulate)
            square[sample] += (values * values).sum(1, dtype=accumulate)
        mean /= count
        inverse = (square / count - mean * mean).clamp_(min=0).add_(EPSILON).rsqrt_()
        scale = gamma * inverse
        shift = (beta - mean * scale).to(flat.dtype)[:, None]
        scale = scale.to(flat.dtype)[:, None]
        result = torch.empty_like(flat)
        for sample, pixels in _pieces(flat):
            piece = result[sample, pixels]
            torch.addcmul(shift[sample], flat[sample, pixels], scale[sample], out=piece)
            if rectify:
                piece.relu_()
        ctx.save_for_backward(flat, result if rectify else None, gamma, mean, inverse)
        return result.view(batch, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        flat, result, gamma, mean, inverse = ctx.saved_tensors
        pixelwise = gradients[0].permute(0, 2, 3, 1)
        upstream = pixelwise.reshape(flat.shape)
        down = torch.empty_like(flat)
        # With a ReLU, `down` holds the gradient before it until it is overwritten.
        before = upstream if result is None else down
        total, correlated = torch.zeros_like(mean), torch.zeros_like(mean)
        for sample, pixels in _pieces(flat):
            values = before[sample, pixels]
            if result is not None:
                given = upstream[sample, pixels], result[sample, pixels], 0
                torch.ops.aten.threshold_backward.grad_input(*given, grad_input=values)
            total[sample] += values.sum(1, dtype=mean.dtype)
            correlated[sample] += (values * flat[sample, pixels]).sum(1, dtype=mean.dtype)
        # sum of upstream * normalised, without making the normalised activation
        correlated = (correlated - mean * total) * inverse
        scale = gamma * inverse
        slope = -scale * correlated * inverse / flat.shape[1]
        offset = -scale * total / flat.shape[1] - slope * mean
        scale, slope, offset = (factor.to(flat.dtype)[:, None] for factor in (scale, slope, offset))
        for sample, pixels in _pieces(flat):
            rest = torch.addcmul(offset[sample], flat[sample, pixels], slope[sample])
            torch.addcmul(rest, before[sample, pixels], scale[sample], out=down[sample, pixels])
        return down.view(pixelwise.shape).permute(0, 3, 1, 2), correlated.sum(0), total.sum(0), None


def instance_norm(activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool = False) -> Tensor:
    """IN(h) = gamma (h - mu(h)) / sigma(h) + beta, statistics over each slice's H x W (paper, eq. 2).

    Parameters
    ----------
    activation : (B, C, H, W), any floating type; statistics are accumulated in float32 or better.
    gamma, beta : (C,), float32 or better.
    rectify : apply a ReLU to the result, in the same pass.

    Returns
    -------
    (B, C, H, W) of the activation's type, channels_last. sigma is the biased standard deviation, with 1e-5 added to
    the variance.
    """
    if torch.compiler.is_exporting():
        return _in_graph(activation, gamma, beta, rectify)
    result: Tensor = _InstanceNorm.apply(activation, gamma, beta, rectify)  # type: ignore[no-untyped-call]
    return result


def _in_graph(activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> Tensor:
    """`instance_norm` in operations whose number does not depend on the size, for an exported graph."""
    centred = activation - activation.mean((-2, -1), keepdim=True)
    variance = (centred * centred).mean((-2, -1), keepdim=True)
    result = centred * (gamma[:, None, None] * (variance + EPSILON).rsqrt()) + beta[:, None, None]
    return result.relu() if rectify else result


class InstanceNorm(Condition):
    """Instance normalisation and ReLU after each convolution, with affine parameters of its own for each.

    Attributes
    ----------
    gamma, beta : float32 (cascades, layers, width). At full size 5 x 4 x 32 each: 1,280 numbers in all.
    """

    adds_bias: ClassVar[bool] = False

    def __init__(self, cascades: int, layers: int, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(cascades, layers, width))
        self.beta = nn.Parameter(torch.zeros(cascades, layers, width))

    def forward(self, features: Tensor, cascade: int, layer: int) -> Tensor:
        """Normalised and rectified; see `Condition.forward`."""
        return instance_norm(features, self.gamma[cascade, layer], self.beta[cascade, layer], rectify=True)
