"""Coils, phase and noise that are drawn, for slices of which only the magnitude is known. Smooth, as receivers' are.

Few numbers are drawn, with NumPy; fields are made of them on the device that wants them.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unimri.physics.drawing import AcquisitionSettings
from unimri.physics.fourier import from_hybrid, to_hybrid
from unimri.physics.phase import constant_phase
from unimri.physics.sense import Encoding, Measurement

# Orders of the waves of a slice's phase.
_ORDERS = (1, 2, 3)

# Of the borders between two kinds of tissue: orders of the waves that they follow, and how far these shift them on the
# slice's scale of [0, 1]; how wide the borders are on it, from and to.
_TISSUE_ORDER, _SHIFT, _BORDER = 6, 0.2, (0.01, 0.1)

# How many slices' sensitivities end with the object, as estimated ones do, and what is taken for background then.
_CUT_OFF, _DARK = 0.75, 0.04


def draw_sensitivities(
    rng: np.random.Generator, coils: int, size: tuple[int, int], device: torch.device | str = "cpu"
) -> Tensor:
    """Draw the sensitivities of coils that stand around the object.

    Each falls off as a Gaussian from a place outside or at the edge of the field of view, and has a phase that rises
    linearly and in smooth waves. Sums of squares over the coils are 1, as ESPIRiT's maps have them.

    Parameters
    ----------
    rng : the only source of chance.
    coils : how many.
    size : H and W.

    Returns
    -------
    complex64 (coils, H, W).
    """
    angle = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(coils) / coils + 0.15 * rng.standard_normal(coils)
    distance, width = rng.uniform(0.9, 1.5), rng.uniform(0.7, 1.4)
    slopes, offset = 1.2 * rng.standard_normal((2, coils)), rng.uniform(0, 2 * np.pi, coils)
    waves = torch.stack([draw_phase(rng, size, 1, 0.5, device) for _ in range(coils)])
    rows, columns = _places(size, device)  # (H, 1), (1, W)
    across, down = (_column(distance * turn(angle), device) for turn in (np.cos, np.sin))
    # Logarithms, of which the largest is taken off: coils far away would be zero everywhere.
    logs = -((columns - across).square() + (rows - down).square()) / (2 * width**2)
    phase = _column(offset, device) + _column(slopes[0], device) * columns + _column(slopes[1], device) * rows + waves
    sensitivities = torch.polar((logs - logs.amax(0)).exp(), phase)
    return sensitivities / torch.linalg.vector_norm(sensitivities, dim=0)


def draw_phase(
    rng: np.random.Generator,
    size: tuple[int, int],
    order: int,
    strength: float,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Draw a smooth phase: waves of up to `order` half periods along either axis.

    Parameters
    ----------
    rng : the only source of chance.
    size : H and W.
    strength : root mean square over the field of view, in radians.

    Returns
    -------
    float32 (H, W), in radians.
    """
    parts: NDArray[np.float64] = rng.standard_normal((2 * order + 1, 2 * order + 1, 2))
    amplitudes = torch.from_numpy(parts[..., 0] + 1j * parts[..., 1]).to(device, torch.complex64)
    numbers = torch.arange(-order, order + 1, device=device)
    # A field of view is 2 long, and half a period of the slowest wave.
    rows, columns = (torch.exp(0.5j * np.pi * place.reshape(-1, 1) * numbers) for place in _places(size, device))
    waves = (rows @ amplitudes @ columns.T).real
    return waves * (strength / waves.square().mean().sqrt().clamp_min(1e-9))


def draw_tissues(rng: np.random.Generator, slice_: Tensor, difference: float) -> Tensor:
    """Draw two kinds of tissue, told apart by the slice's intensity and by chance, and give one of them another phase.

    Parameters
    ----------
    rng : the only source of chance.
    slice_ : magnitude, float32 (H, W).
    difference : phase of one kind over the other's, in radians.

    Returns
    -------
    float32 (H, W), in radians, from 0 to `difference`.
    """
    intensity = slice_ / slice_.max().clamp_min(1e-9)
    size = (slice_.shape[-2], slice_.shape[-1])
    kind = intensity + _SHIFT * draw_phase(rng, size, _TISSUE_ORDER, 1, slice_.device)
    place, width = rng.uniform(0.2, 0.8), rng.uniform(*_BORDER)
    seen = kind[intensity > _DARK].sort().values
    if not len(seen):
        return torch.zeros_like(slice_)
    return difference * ((kind - seen[int(place * len(seen))]) / width).sigmoid()


def draw_measurement(
    settings: AcquisitionSettings,
    slices: Tensor,
    sampled: Tensor,
    axis: int,
    keys: Sequence[Sequence[int]],
    coils: int,
    noise: float = 0.0,
) -> tuple[Tensor, Measurement]:
    """Give slices phase and coils, and measure them with noise.

    Parameters
    ----------
    slices : magnitudes, float32 (B, H, W), on the device that computes.
    sampled : bool, from `unimri.physics.fourier.lines`.
    axis : phase-encoding axis, -1 or -2.
    keys : as of `cut`.
    coils : how many.
    noise : standard deviation of further noise.

    Returns
    -------
    The truth, complex64 (B, H, W), of several coils (B, 1, H, W), zero where no coil sees anything, without noise or
    with it as `settings.truth` says; and what was measured of it. Both have lost the constant phase of the zero-filled
    image, as scans do before they are reconstructed.
    """
    device, size = slices.device, (slices.shape[-2], slices.shape[-1])
    phases, maps, noises, levels = [], [], [], []
    for key, slice_ in zip(keys, slices, strict=True):
        rng = np.random.default_rng([*key, 2])
        strength = settings.phase * rng.random()
        phase = draw_phase(rng, size, int(rng.choice(_ORDERS)), strength, device)
        if settings.tissues:
            # From a source of its own: what else is drawn is the same with and without.
            own = np.random.default_rng([*key, 3])
            phase = phase + draw_tissues(own, slice_, settings.tissues * own.random())
        phases.append(phase)
        # Squared, since most scans have little.
        levels.append(float(np.hypot(settings.noise * rng.random() ** 2, noise)))
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        shape = (coils, *size)
        noises.append(torch.randn(shape, generator=generator, device=device, dtype=torch.complex64) * 2**0.5)
        if coils > 1:
            seen = _support(slice_) if rng.random() < _CUT_OFF else 1
            maps.append(draw_sensitivities(rng, coils, size, device) * seen)
    level = torch.tensor(levels, device=device)
    added = level[:, None, None, None] * torch.stack(noises)  # (B, coils, H, W)
    truth = torch.polar(slices, torch.stack(phases))
    if coils == 1:
        whole = to_hybrid(truth, axis) + added[:, 0]
        kspace = whole * sampled
        zero_filled, sensitivities = from_hybrid(kspace, axis), None
    else:
        sensitivities = torch.stack(maps).unsqueeze(1)  # (B, 1, coils, H, W)
        encoding = Encoding(sampled, axis, sensitivities)
        truth = truth.unsqueeze(1) * encoding.support
        every = encoding._replace(sampled=torch.ones_like(sampled))
        whole = every.forward(truth) + added
        kspace = whole * sampled.unsqueeze(1)
        zero_filled = encoding.adjoint(kspace)
    if settings.truth == "measured":
        truth = from_hybrid(whole, axis) if sensitivities is None else every.adjoint(whole)
    back = constant_phase(zero_filled).conj()
    measured = Measurement(zero_filled * back, kspace * back, sampled, axis, sensitivities, level)
    return truth * back, measured


def _support(slice_: Tensor) -> Tensor:
    """Where maps that are estimated see the object: bool (H, W), with some of the background around it."""
    width = max(slice_.shape) // 24 * 2 + 1
    blurred = F.avg_pool2d(slice_[None], width, 1, width // 2, count_include_pad=False)[0]
    return blurred > _DARK * slice_.max()


def _places(size: tuple[int, int], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W), from -1 to 1 over the field of view."""
    rows, columns = (torch.linspace(-1, 1, length, device=device) for length in size)
    return rows[:, None], columns[None]


def _column(numbers: NDArray[np.float64], device: torch.device | str) -> Tensor:
    """A number of each coil, float32 (coils, 1, 1)."""
    return torch.from_numpy(numbers).to(device, torch.float32)[:, None, None]
