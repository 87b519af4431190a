"""Retrospective undersampling: fully sampled slices as they would have been measured, and what reconstructs them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.physics.coils import draw_measurement
from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.fourier import PHASE_AXES, combine_coils, from_hybrid, lines, undersample
from unimri.physics.masks import Masks
from unimri.physics.sense import Measurement

Reconstructor = Callable[[Measurement], Tensor]
"""What was measured to the reconstruction, complex64 of the shape of its `zero_filled`, or its magnitude, float32."""

# Draws of test slices are none of any training's, whose keys start with its seed and are longer.
_DRAWS = 7

BATCH = 8
"""Slices that are reconstructed together."""


def zero_filling(given: Measurement) -> Tensor:
    """Leave the zero-filled image as it is; of several coils their root sum of squares, as the truth is."""
    if given.sensitivities is None:
        return given.zero_filled
    return combine_coils(from_hybrid(given.kspace, given.axis))


def batches(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide numbers of slices into those that are reconstructed together."""
    return np.split(numbers, range(BATCH, len(numbers), BATCH))


@torch.no_grad()
def reconstruct_slices(
    reconstructor: Reconstructor,
    truth: NDArray[np.float32],
    numbers: NDArray[np.int64],
    masks: Masks,
    noise: float = 0.0,
    acquisition: AcquisitionSettings | None = None,
) -> NDArray[np.float32]:
    """Undersample slices and reconstruct them, in float32.

    Parameters
    ----------
    truth : fully sampled magnitudes, float32 (B, n, n) in [0, 1].
    numbers : of the slices in their split, int64 (B,): they choose masks and noise.
    noise : standard deviation of complex Gaussian noise in k-space, of real and imaginary part each, on the slices'
        scale of [0, 1]. A slice's noise depends on its number alone, so that methods are compared on the same noise.
    acquisition : coils, as many as its largest number, phase and noise that are drawn for each slice, by its number
        alone; `noise` comes on top. None: one coil without either.

    Returns
    -------
    magnitude, float32 (B, n, n).

    Raises
    ------
    UnimriError : when the masks are for slices of another size.
    """
    size = truth.shape[-1]
    masks.check_size(size)
    axis = PHASE_AXES[masks.axis]
    sampled = lines(torch.from_numpy(masks.of_slices(numbers)), axis)
    if acquisition is not None:
        keys, coils = [[_DRAWS, int(number)] for number in numbers], max(acquisition.coils)
        _, given = draw_measurement(acquisition, torch.from_numpy(truth), sampled, axis, keys, coils, noise)
        return reconstructor(given).abs().reshape(truth.shape).numpy()
    zero_filled, measured = undersample(torch.from_numpy(truth), sampled, axis)
    if noise:
        # White noise is white noise in hybrid k-space too: the transform is orthonormal.
        drawn = np.stack([_noise(int(number), size) for number in numbers])
        measured = measured + noise * torch.from_numpy(drawn) * sampled
        zero_filled = from_hybrid(measured, axis)
    return reconstructor(Measurement(zero_filled, measured, sampled, axis)).abs().numpy()


def _noise(number: int, size: int) -> NDArray[np.complex64]:
    parts = np.random.default_rng(number).standard_normal((size, size, 2), dtype=np.float32)
    complex_: NDArray[np.complex64] = parts.view(np.complex64)[..., 0]
    return complex_
