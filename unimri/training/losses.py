"""What a training minimises, and what it is validated by: errors of reconstructions of undersampled slices."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.data.store import SliceSet, evenly_spaced
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks
from unimri.training.distributed import ProcessGroup

# Slices (b, H, W), their numbers (b,) and their anatomy, to reconstruction and truth (b, H, W).
Reconstruct = Callable[[NDArray[np.float32], NDArray[np.int64], str], tuple[Tensor, Tensor]]
_BATCH = 8


def mean_absolute_error(image: Tensor, truth: Tensor) -> Tensor:
    """L_MAE over the two real channels (real, imaginary part) of complex (B, H, W) and real (B, H, W)."""
    difference = torch.view_as_real(image - truth)
    return difference.abs().mean()


Inputs = tuple[Tensor, Tensor, Tensor, int]
"""What a network reconstructs from: zero-filled image, measured k-space, sampled lines and axis; see `D5C5.forward`."""


class Undersampler:
    """Makes a network's inputs of slices, on a device, and says with which precision the network computes.

    Parameters
    ----------
    precision : "float32" or "bfloat16", of the convolutions.
    """

    def __init__(self, masks: Masks, device: torch.device, precision: str) -> None:
        self._masks, self._device, self._axis = masks, device, PHASE_AXES[masks.axis]
        self._low_precision = precision == "bfloat16"

    def __call__(self, truth: NDArray[np.float32], numbers: NDArray[np.int64]) -> tuple[Tensor, Inputs]:
        """The slices on the device, float32 (b, H, W), and what is left of them; `numbers` (b,) choose the masks."""
        target = torch.from_numpy(truth).to(self._device)
        sampled = lines(torch.from_numpy(self._masks.of_slices(numbers)).to(self._device), self._axis)
        return target, (*undersample(target, sampled, self._axis), sampled, self._axis)

    def autocast(self) -> torch.autocast:
        """A context for the network."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._low_precision)


@torch.no_grad()
def validation_scores(
    held_out: Mapping[str, SliceSet],
    reconstruct: Reconstruct,
    limit: int | None,
    group: ProcessGroup,
    pause: Callable[[], None],
) -> dict[str, float]:
    """Mean PSNR in dB over anatomies, `validation_psnr_db`, and of each, `validation_psnr_db_{anatomy}`.

    Parameters
    ----------
    held_out : slices of each anatomy.
    reconstruct : the network's reconstruction of a batch.
    limit : validate on at most this many slices of an anatomy.
    group : each of its processes takes its batches; all get all scores.
    pause : called after each batch, equally often in all processes; what it raises ends the validation.
    """
    scores = {name: _mean_psnr(slices, name, reconstruct, limit, group, pause) for name, slices in held_out.items()}
    average = float(np.mean(list(scores.values())))
    return {"validation_psnr_db": average} | {f"validation_psnr_db_{name}": score for name, score in scores.items()}


@torch.no_grad()
def examples(
    held_out: Mapping[str, SliceSet], reconstruct: Reconstruct, limit: int | None
) -> Iterator[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Go through the slices that `validation_scores` scores, in one process.

    Returns
    -------
    For each its anatomy, truth and magnitude of the reconstruction, float32 (H, W) both.
    """
    for anatomy, slices in held_out.items():
        chosen = evenly_spaced(len(slices), limit)
        for start in range(0, len(chosen), _BATCH):
            numbers = chosen[start : start + _BATCH]
            image, target = reconstruct(slices.batch(numbers), numbers, anatomy)  # (b, H, W) both
            for truth, magnitude in zip(target.cpu().numpy(), image.abs().cpu().numpy(), strict=True):
                yield anatomy, truth, magnitude


def _mean_psnr(
    slices: SliceSet,
    anatomy: str,
    reconstruct: Reconstruct,
    limit: int | None,
    group: ProcessGroup,
    pause: Callable[[], None],
) -> float:
    """Mean PSNR of magnitude, in dB with range 1, over (at most `limit`, evenly spaced) slices."""
    chosen = evenly_spaced(len(slices), limit)
    scores = np.zeros(len(chosen))
    for first in range(0, len(chosen), _BATCH * group.size):
        start = first + _BATCH * group.rank
        numbers = chosen[start : start + _BATCH]
        if len(numbers):
            image, target = reconstruct(slices.batch(numbers), numbers, anatomy)  # (b, H, W) both
            error = (image.abs() - target).square().mean((1, 2)).clamp_(min=1e-12)
            scores[start : start + _BATCH] = (-10 * error.log10()).tolist()
        pause()
    # Each score comes from one process and is zero in the others: the sum gathers them, in order and exactly.
    return float(np.mean(group.sum(scores)))
