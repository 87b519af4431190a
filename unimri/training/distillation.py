"""Attention transfer from frozen teachers to a student (paper, section 2.3).

Trainings that distil reach it by `importlib`, so that the fingerprints of the others do not hold it.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.models.folder import load_model
from unimri.physics.sense import Measurement
from unimri.training.settings import Distillation
from unimri.training.steps import Undersampler


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


class Teachers:
    """Frozen networks that a student learns from, one for each of its anatomies.

    Parameters
    ----------
    folders : of the teachers' models, by anatomy.
    anatomies : that the student learns.

    Raises
    ------
    UnimriError : when there is not one teacher for each, or its files are damaged.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        anatomies: Collection[str],
        settings: Distillation,
        device: torch.device,
        undersampler: Undersampler,
    ) -> None:
        if set(folders) != set(anatomies):
            raise UnimriError(
                f"distillation: teachers for {sorted(folders)}, data for {sorted(anatomies)}; give one each"
            )
        self._networks = {name: load_model(folder).to(device) for name, folder in folders.items()}
        self._settings, self._undersampler = settings, undersampler

    def loss(self, anatomy: str, measured: Measurement, activations: list[Tensor]) -> Tensor:
        """Omega times the attention transfer to a student whose activations of the layer on the same are given."""
        with torch.no_grad(), self._undersampler.autocast():
            taught = self._networks[anatomy].activations(measured, anatomy, self._settings.layer)
        return self._settings.omega * attention_transfer(taught, activations)
