"""Instance normalisation with affine parameters, of channels_last activations.

`torch.nn.functional.instance_norm` is the same function, but forward and backward on a CPU in channels_last, which the
convolutions want, it is several times slower (benchmarks/instance_norm.py measures it). PyTorch's batch normalisation
of one slice is instance normalisation, and its kernels read channels_last in few passes, with float32 inside. They add
up one pixel after another, so that their sums over a whole large slice would be far less exact than over bands of rows.
"""

import itertools
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unimri.models.conditioning.base import Condition

EPSILON = 1e-5
# Numbers of a band: few enough that it stays in a processor's cache from one pass to the next.
_BAND = 2**18

_batch_norm = torch.ops.aten.native_batch_norm.out
_batch_norm_backward = torch.ops.aten.native_batch_norm_backward
_relu_backward = torch.ops.aten.threshold_backward.grad_input


def _bands(activation: Tensor) -> tuple[Tensor, ...]:
    """A slice (1, C, H, W) in bands of rows; on a GPU one of all rows."""
    _, channels, height, width = activation.shape
    return torch.split(activation, height if activation.is_cuda else max(1, _BAND // (channels * width)), dim=2)


def _normalise(activation: Tensor, out: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> tuple[Tensor, Tensor]:
    """Normalise a slice (1, C, H, W) into `out`; its mean and reciprocal deviation, (C,)."""
    mean, inverse = torch.empty_like(gamma), torch.empty_like(gamma)
    bands = _bands(activation)
    if len(bands) == 1:
        _batch_norm(
            activation, gamma, beta, None, None, True, 0.0, EPSILON, out=out, save_mean=mean, save_invstd=inverse
        )
        if rectify:
            out.relu_()
        return mean, inverse
    # Running statistics, which nobody reads, say of which type the results are.
    statistics = [torch.batch_norm_update_stats(band, mean.zero_(), inverse.zero_(), 1.0) for band in bands]
    means, variances = (torch.stack(each) for each in zip(*statistics, strict=True))
    weights = means.new_tensor([band.shape[2] / activation.shape[2] for band in bands])[:, None]
    mean = (weights * means).sum(0)
    variance = (weights * (variances + (means - mean) ** 2)).sum(0)
    unset = gamma.new_empty(0)
    for band, result in zip(bands, _bands(out), strict=True):
        known = gamma, beta, mean, variance, False, 0.0, EPSILON
        _batch_norm(band, *known, out=result, save_mean=unset, save_invstd=unset)
        if rectify:
            result.relu_()
    return mean, (variance + EPSILON).rsqrt()


def _gradients(
    upstream: Tensor,
    activation: Tensor,
    result: Tensor | None,
    out: Tensor,
    gamma: Tensor,
    mean: Tensor,
    inverse: Tensor,
) -> tuple[Tensor, Tensor]:
    """The gradient of a slice (1, C, H, W) into `out`; those of gamma and beta, (C,). `result`: after a ReLU."""
    known = gamma, None, None, mean, inverse, True, EPSILON
    results = itertools.repeat(None) if result is None else _bands(result)
    bands = list(zip(_bands(upstream), _bands(activation), _bands(out), strict=True))
    before, sums = [], []
    for (given, band, gradient), rectified in zip(bands, results, strict=False):
        if rectified is not None:
            # Where the gradient comes to lie is the gradient before the ReLU until then.
            given = _relu_backward(given, rectified, 0, grad_input=gradient)
        whole, of_gamma, of_beta = _batch_norm_backward(given, band, *known, (len(bands) == 1, True, True))
        before.append(given)
        sums.append((of_gamma, of_beta))
    if len(bands) == 1:
        out.copy_(whole)
        return sums[0]
    of_gamma, of_beta = (torch.stack(each).sum(0) for each in zip(*sums, strict=True))
    # gamma * inverse * (upstream - of_beta / n - normalised * of_gamma / n): all but its first term is a normalisation.
    scale = gamma * inverse
    count = activation[0, 0].numel()
    slope, offset = -scale * inverse * of_gamma / count, -scale * of_beta / count
    factor, variance = scale.to(out.dtype)[:, None, None], torch.full_like(gamma, 1 - EPSILON)
    for given, (_, band, gradient) in zip(before, bands, strict=True):
        rest = torch.native_batch_norm(band, slope, offset, mean, variance, False, 0.0, EPSILON)[0]
        torch.addcmul(rest, given, factor, out=gradient)
    return of_gamma, of_beta


class _InstanceNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, activation: Tensor, gamma: Tensor, beta: Tensor, rectify: bool) -> Tensor:
        activation = activation.contiguous(memory_format=torch.channels_last)
        result = torch.empty_like(activation)
        slices = zip(torch.split(activation, 1), torch.split(result, 1), strict=True)
        statistics = [_normalise(*pair, gamma, beta, rectify) for pair in slices]
        ctx.save_for_backward(activation, result if rectify else None, gamma, *itertools.chain(*statistics))
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        activation, result, gamma, *statistics = ctx.saved_tensors
        upstream = gradients[0].contiguous(memory_format=torch.channels_last)
        out = torch.empty_like(activation)
        results = [None] * len(out) if result is None else torch.split(result, 1)
        slices = zip(torch.split(upstream, 1), torch.split(activation, 1), results, torch.split(out, 1), strict=True)
        known = zip(slices, statistics[::2], statistics[1::2], strict=True)
        sums = [_gradients(*given, gamma, mean, inverse) for given, mean, inverse in known]
        of_gamma, of_beta = (torch.stack(each).sum(0) for each in zip(*sums, strict=True))
        return out, of_gamma, of_beta, None


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
    parameters = (one.to(torch.promote_types(activation.dtype, torch.float32)) for one in (gamma, beta))
    result: Tensor = _InstanceNorm.apply(activation, *parameters, rectify)  # type: ignore[no-untyped-call]
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
