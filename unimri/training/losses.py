"""The two losses: mean absolute error, and attention transfer from a teacher (paper, section 2.3)."""

from typing import Any

import torch
from torch import Tensor


def mean_absolute_error(image: Tensor, truth: Tensor) -> Tensor:
    """L_MAE over the two real channels (real, imaginary part) of complex (B, H, W) and real (B, H, W)."""
    difference = torch.view_as_real(image - truth)
    return difference.abs().mean()


class _Energy(torch.autograd.Function):
    """Sum over channels of squares, which reads the activation once in each direction and keeps no copy of it."""

    @staticmethod
    def forward(ctx: Any, activation: Tensor) -> Tensor:
        ctx.save_for_backward(activation)
        accumulate = torch.promote_types(activation.dtype, torch.float32)
        return torch.linalg.vector_norm(activation, dim=1, dtype=accumulate).square_()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (activation,) = ctx.saved_tensors
        return (activation * (2 * gradients[0])[:, None]).to(activation.dtype)


def attention_map(activation: Tensor) -> Tensor:
    """O = sum over channels of |m_c|^2, flattened and L2-normalised for each sample: (B, C, H, W) to (B, H W)."""
    energy: Tensor = _Energy.apply(activation)  # type: ignore[no-untyped-call]
    return torch.nn.functional.normalize(energy.flatten(1), dim=1)


def attention_transfer(teacher: list[Tensor], student: list[Tensor]) -> Tensor:
    """L_AT, eq. 4: L1 distance of the attention maps, summed over cascades, averaged over the batch.

    Parameters
    ----------
    teacher, student : for each cascade the activation of the distilled layer, (B, C, H, W).
    """
    distances = [
        (attention_map(taught) - attention_map(learnt)).abs().sum(1).mean()
        for taught, learnt in zip(teacher, student, strict=True)
    ]
    return torch.stack(distances).sum()
