"""Acquisitions that a training draws for its slices: coils, phase, noise, masks and patches.

What is drawn for a slice follows from the training's seed, the step and the slice's place in its batch, so that a
training can resume anywhere, and processes that share a batch draw what one would.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.physics.coils import draw_phase, draw_sensitivities
from unimri.physics.fourier import from_hybrid, to_hybrid
from unimri.physics.phase import constant_phase
from unimri.physics.sense import Encoding, Measurement
from unimri.training.settings import AcquisitionSettings

# Orders of the waves of a slice's phase.
_ORDERS = (1, 2, 3)

# What a patch holds at least, in the mean, on the scale of [0, 1], and how often one is looked for.
_SIGNAL, _ATTEMPTS = 0.03, 8


def cut(
    settings: AcquisitionSettings, slices: NDArray[np.float32], keys: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Cut a patch out of each slice, turned and mirrored at random; whole slices without a size of patches.

    Half of them are cut out of a slice of half the size, where that is not smaller than a patch.

    Parameters
    ----------
    slices : float32 (B, n, n).
    keys : what each slice's draws follow from, whole numbers >= 0.

    Returns
    -------
    float32 (B, p, p).
    """
    size = settings.patch
    if size is None:
        return slices
    cut_out = np.empty((len(slices), size, size), np.float32)
    for place, slice_, key in zip(cut_out, slices, keys, strict=True):
        rng = np.random.default_rng([*key, 0])
        half = len(slice_) // 2
        if half >= size and rng.random() < 0.5:
            slice_ = slice_[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean((1, 3))
        for _ in range(_ATTEMPTS):
            row, column = rng.integers(0, len(slice_) - size + 1, 2)
            patch = slice_[row : row + size, column : column + size]
            if patch.mean() > _SIGNAL:
                break
        patch = np.rot90(patch, int(rng.integers(4)))
        place[...] = patch.T if rng.random() < 0.5 else patch
    return cut_out


def draw_masks(settings: AcquisitionSettings, size: int, keys: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """Draw a mask for each slice: bool (B, size), DC at size // 2; parameters as of `cut`."""
    drawn = []
    for key in keys:
        rng = np.random.default_rng([*key, 1])
        kind = settings.masks[rng.integers(len(settings.masks))]
        drawn.append(kind.draw(size, rng.uniform(*settings.accelerations), rng))
    return np.stack(drawn)


def draw_measurement(
    settings: AcquisitionSettings, slices: Tensor, sampled: Tensor, axis: int, keys: Sequence[Sequence[int]], coils: int
) -> tuple[Tensor, Measurement]:
    """Give slices phase and coils, and measure them with noise.

    Parameters
    ----------
    slices : magnitudes, float32 (B, H, W), on the device that computes.
    sampled : bool, from `unimri.physics.fourier.lines`.
    axis : phase-encoding axis, -1 or -2.
    keys : as of `cut`.
    coils : how many.

    Returns
    -------
    The truth, complex64 (B, H, W), of several coils (B, 1, H, W); and what was measured of it. Both have lost the
    constant phase of the zero-filled image, as scans do before they are reconstructed.
    """
    device, size = slices.device, (slices.shape[-2], slices.shape[-1])
    phases, maps, noises, levels = [], [], [], []
    for key in keys:
        rng = np.random.default_rng([*key, 2])
        strength = settings.phase * rng.random()
        phases.append(draw_phase(rng, size, int(rng.choice(_ORDERS)), strength, device))
        levels.append(settings.noise * rng.random())
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        shape = (coils, *size)
        noises.append(torch.randn(shape, generator=generator, device=device, dtype=torch.complex64) * 2**0.5)
        if coils > 1:
            maps.append(draw_sensitivities(rng, coils, size, device))
    level = torch.tensor(levels, device=device)
    noise = level[:, None, None, None] * torch.stack(noises)  # (B, coils, H, W)
    truth = torch.polar(slices, torch.stack(phases))
    if coils == 1:
        kspace = (to_hybrid(truth, axis) + noise[:, 0]) * sampled
        zero_filled, sensitivities = from_hybrid(kspace, axis), None
    else:
        truth, sensitivities = truth.unsqueeze(1), torch.stack(maps).unsqueeze(1)  # (B, 1, H, W), (B, 1, coils, H, W)
        encoding = Encoding(sampled, axis, sensitivities)
        kspace = encoding.forward(truth) + noise * sampled.unsqueeze(1)
        zero_filled = encoding.adjoint(kspace)
    back = constant_phase(zero_filled).conj()
    measured = Measurement(zero_filled * back, kspace * back, sampled, axis, sensitivities, level)
    return truth * back, measured
