"""Instance normalisation with given affine parameters, written out for channels_last activations.

`torch.nn.functional.group_norm` with C groups is the same function, but forward and backward on a CPU in channels_last,
which the convolutions want, are about ten times slower in bfloat16 (benchmarks/instance_norm.py measures it).
"""

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-5


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> Tensor:
        batch, channels, height, width = activation.shape
        flat = activation.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        accumulate = torch.promote_types(flat.dtype, torch.float32)
        count = height * width
        mean = flat.sum(1, dtype=accumulate) / count  # (B, C)
        result = flat * flat
        square = result.sum(1, dtype=accumulate) / count
        inverse = (square - mean * mean).clamp_(min=0).add_(EPSILON).rsqrt_()
        scale = gamma * inverse
        shift = beta - mean * scale
        torch.addcmul(shift.to(flat.dtype)[:, None], flat, scale.to(flat.dtype)[:, None], out=result)
        if rectify:
            result.relu_()
        ctx.save_for_backward(flat, result if rectify else None, gamma, mean, inverse)
        return result.view(batch, height, width, channels).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        flat, result, gamma, mean, inverse = ctx.saved_tensors
        shape = gradients[0].permute(0, 2, 3, 1).shape
        upstream = gradients[0].permute(0, 2, 3, 1).reshape(flat.shape)
        if result is not None:
            upstream = torch.ops.aten.threshold_backward(upstream, result, 0)
        accumulate, count = mean.dtype, flat.shape[1]
        total = upstream.sum(1, dtype=accumulate)  # (B, C)
        down = upstream * flat
        # sum of upstream * normalised, without making the normalised activation
        correlated = (down.sum(1, dtype=accumulate) - mean * total) * inverse
        scale = gamma * inverse
        slope = -scale * correlated * inverse / count
        offset = -scale * total / count - slope * mean
        torch.addcmul(offset.to(flat.dtype)[:, None], flat, slope.to(flat.dtype)[:, None], out=down)
        torch.addcmul(down, upstream, scale.to(flat.dtype)[:, None], out=down)
        return down.view(shape).permute(0, 3, 1, 2), correlated.sum(0), total.sum(0), None


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
    result: Tensor = _InstanceNorm.apply(activation, gamma, beta, rectify)  # type: ignore[no-untyped-call]
    return result
