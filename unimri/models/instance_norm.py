"""Instance normalisation with affine parameters, of channels_last activations.

`torch.nn.functional.instance_norm` is the same function. On a CPU it is many times slower in channels_last, which the
convolutions want, and PyTorch's batch normalisation of one slice after another about three times
(benchmarks/instance_norm.py measures both).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from unimri.models.conditioning.base import Condition

EPSILON = 1e-5
_COMPILED = (torch.bfloat16, torch.float32, torch.float64)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count)


def _in_threads(kernel: Callable[..., None], batched: Sequence[Tensor], same: dict[str, Any]) -> None:
    """Call a compiled kernel with tensors (B, ...), several slices at once; how many at once changes no number."""
    arrays = [_array(tensor) for tensor in batched]
    threads = min(torch.get_num_threads(), len(arrays[0]))
    if threads == 1:
        kernel(*arrays, **same)
        return
    shares = zip(*(np.array_split(array, threads) for array in arrays), strict=True)
    list(_threads(threads).map(lambda share: kernel(*share, **same), shares))


def _array(tensor: Tensor) -> np.ndarray:
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()


def _normalised(
    activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool, overwrite: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The result, and of what it was made: (B, H W, C), its means and reciprocal deviations, (B, C) each."""
    batch, channels, height, width = activation.shape
    flat = activation.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
    result = flat if overwrite else torch.empty_like(flat)
    mean, inverse = gamma.new_empty(2, batch, channels)
    if flat.device.type == "cpu" and flat.dtype in _COMPILED:
        from unimri.models import kernels

        same = {"gamma": _array(gamma), "beta": _array(beta), "epsilon": EPSILON, "rectify": rectify}
        _in_threads(kernels.normalise, (flat, result, mean, inverse), same)
    else:
        torch.mean(flat, 1, dtype=mean.dtype, out=mean)
        variance = (flat.to(mean.dtype) - mean[:, None]).square_().mean(1)
        torch.rsqrt(variance + EPSILON, out=inverse)
        scale = gamma * inverse
        result.copy_(torch.addcmul((beta - mean * scale)[:, None], flat, scale[:, None]))
        if rectify:
            result.relu_()
    return result.view(batch, height, width, channels).permute(0, 3, 1, 2), flat, mean, inverse


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> Tensor:
        result, flat, mean, inverse = _normalised(activation, gamma, beta, rectify)
        ctx.save_for_backward(flat, gamma, beta, mean, inverse)
        ctx.rectify = rectify
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        flat, gamma, beta, mean, inverse = ctx.saved_tensors
        pixelwise = gradients[0].permute(0, 2, 3, 1)
        upstream = pixelwise.reshape(flat.shape)
        down, of_gamma, of_beta = torch.empty_like(flat), torch.empty_like(mean), torch.empty_like(mean)
        if flat.device.type == "cpu" and flat.dtype in _COMPILED:
            from unimri.models import kernels

            same = {"gamma": _array(gamma), "beta": _array(beta), "rectify": ctx.rectify}
            _in_threads(kernels.gradients, (upstream, flat, mean, inverse, down, of_gamma, of_beta), same)
        else:
            normalised = (flat.to(mean.dtype) - mean[:, None]) * inverse[:, None]
            before = upstream.to(mean.dtype)
            if ctx.rectify:
                before = before * (normalised * gamma + beta > 0)
            torch.sum(before, 1, out=of_beta)
            torch.sum(before * normalised, 1, out=of_gamma)
            apart = before - (normalised * of_gamma[:, None] + of_beta[:, None]) / flat.shape[1]
            down.copy_(apart.mul_((gamma * inverse)[:, None]))
        return down.view(pixelwise.shape).permute(0, 3, 1, 2), of_gamma.sum(0), of_beta.sum(0), None


def instance_norm(
    activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool = False, overwrite: bool = False
) -> Tensor:
    """IN(h) = gamma (h - mu(h)) / sigma(h) + beta, statistics over each slice's H x W (paper, eq. 2).

    Parameters
    ----------
    activation : (B, C, H, W), any floating type; statistics are accumulated in float32 or better.
    gamma, beta : (C,), float32 or better.
    rectify : apply a ReLU to the result, in the same pass.
    overwrite : the result may take the activation's memory; not where gradients are wanted.

    Returns
    -------
    (B, C, H, W) of the activation's type, channels_last. sigma is the biased standard deviation, with 1e-5 added to
    the variance.
    """
    if torch.compiler.is_exporting():
        return _in_graph(activation, gamma, beta, rectify)
    gamma, beta = (one.to(torch.promote_types(activation.dtype, torch.float32)) for one in (gamma, beta))
    # Nothing is kept for gradients then, so that the result may take its memory.
    if not torch.is_grad_enabled():
        return _normalised(activation, gamma, beta, rectify, overwrite)[0]
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
        own = self.gamma[cascade, layer], self.beta[cascade, layer]
        return instance_norm(features, *own, rectify=True, overwrite=not torch.is_grad_enabled())
