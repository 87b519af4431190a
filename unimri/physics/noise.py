"""The coils' noise: how it is told by k-space, made white, and what fewer virtual coils keep of the signal."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.core.stacks import Mapped
from unimri.physics.acquisition import Acquisition
from unimri.physics.mask import Sampled
from unimri.physics.sense import Measurement

# The outermost part of the readout, on either side, where noise is looked for.
_EDGE = 0.05

# Fewer samples a coil tell no covariance.
_SAMPLES_A_COIL = 10

# Edges hold signal where their inner half has more energy than the outer one by this factor, of any coil. White noise
# of 1,000 samples a half differs by 5 %.
_FALLING = 1.25

# Or where the median of a coil's squares is less than this part of what white noise of their mean has: few samples
# stand out, as signal that is in few lines does.
_EVEN = 0.85


def noise_covariance(samples: Tensor) -> Tensor:
    """Covariance of noise, n n^H / (2 N): of real and imaginary part each, so that white noise of 1 has the identity.

    Noise has no mean, so that none is taken off.

    Parameters
    ----------
    samples : complex (coils, N), N >= 1.

    Returns
    -------
    complex128 (coils, coils), Hermitian; the square roots of its diagonal are standard deviations of real and imaginary
    part each.
    """
    wide = samples.to(torch.complex128)
    return wide @ wide.mH / (2 * samples.shape[1])


def from_edges(kspace: Tensor | NDArray[Any], mask: Tensor | NDArray[Any], axis: Sampled) -> Tensor | None:
    """Covariance of the noise from both ends of the readout, where k-space of most scans holds no signal.

    Parameters
    ----------
    kspace : complex (slices, coils, rows, columns), centred.
    mask : bool (slices or 1, N), the lines that were sampled, see `unimri.physics.acquisition.Acquisition`.
    axis : what the lines are.

    Returns
    -------
    See `noise_covariance`. None where the edges still hold signal, or too few samples that are not 0, as padding is;
    and of points, whose edges few scans measure.
    """
    if axis == "points":
        return None
    data = torch.as_tensor(kspace)
    kept = torch.as_tensor(mask).expand(len(data), -1)
    # (slices, lines, readout, coils), of which those that were sampled are one axis: (lines, readout, coils).
    lines = data.permute(0, 3, 2, 1) if axis == "columns" else data.permute(0, 2, 3, 1)
    lines = lines[kept]
    # Padding is no edge.
    measured = lines.any(-1).any(0).nonzero().flatten()
    if not len(measured):
        return None
    lines = lines[:, int(measured[0]) : int(measured[-1]) + 1]
    half = max(1, round(_EDGE * lines.shape[1] / 2))
    if lines.shape[1] < 8 * half:
        return None
    outer, inner = (
        _samples(torch.cat([lines[:, start:stop], lines[:, lines.shape[1] - stop : lines.shape[1] - start]], 1))
        for start, stop in ((0, half), (half, 2 * half))
    )
    coils = data.shape[1]
    if min(len(outer), len(inner)) < _SAMPLES_A_COIL * coils:
        return None
    outer_energy, inner_energy = (part.abs().square().mean(0) for part in (outer, inner))
    both = torch.cat([outer, inner])
    squares = both.abs().square()
    # Squares of complex white noise fall off exponentially.
    even = squares.median(0).values >= _EVEN * np.log(2) * squares.mean(0)
    if (inner_energy > _FALLING * outer_energy).any() or not even.all():
        return None
    return noise_covariance(both.T)


def _samples(lines: Tensor) -> Tensor:
    """Samples that are not 0, complex128 (N, coils)."""
    samples = lines.flatten(0, 1).to(torch.complex128)
    return samples[samples.any(-1)]


def prewhiten(kspace: Tensor, covariance: Tensor) -> Tensor:
    """Coils whose noise has unit variance, of real and imaginary part each, and is not correlated.

    Parameters
    ----------
    kspace : complex (..., coils, rows, columns).
    covariance : complex (coils, coils), as `noise_covariance` gives it.

    Returns
    -------
    Shape and dtype of `kspace`: L^-1 k, of covariance = L L^H (Cholesky).

    Raises
    ------
    UnimriError : when the covariance is of another number of coils, or not Hermitian and positive definite.
    """
    coils = kspace.shape[-3]
    if covariance.shape != (coils, coils):
        raise UnimriError(f"the noise covariance has shape {tuple(covariance.shape)}, and the k-space {coils} coils")
    wide = covariance.to(torch.complex128)
    factor, failed = torch.linalg.cholesky_ex(wide)
    # Cholesky looks at one triangle alone.
    if failed or not torch.isfinite(torch.view_as_real(factor)).all() or not torch.allclose(wide, wide.mH):
        raise UnimriError(
            "the noise covariance is not Hermitian and positive definite: a coil without noise, or a copy"
        )
    inverse = torch.linalg.solve_triangular(factor, torch.eye(coils, dtype=wide.dtype, device=wide.device), upper=False)
    return mixed(inverse, kspace)


def compression(kspace: Iterable[Tensor], coils: int) -> Tensor:
    """Weights of virtual coils that keep most of the energy, by a singular value decomposition (Buehrer et al. 2007).

    They are of a whole volume, so that its slices go together. White noise stays white.

    Parameters
    ----------
    kspace : its slices, complex (coils, rows, columns), looked at one after the other.
    coils : how many are kept, >= 1; all where there are no more.

    Returns
    -------
    complex128 (virtual coils, coils), those with most energy first; orthonormal rows.
    """
    # Squares of float32 neither overflow nor vanish in float64.
    wide = (slice_.flatten(1).to(torch.complex128) for slice_ in kspace)
    energies = torch.stack([samples @ samples.mH for samples in wide]).sum(0)
    return torch.linalg.eigh(energies)[1].flip(-1)[:, :coils].mH


def compress(scan: Acquisition, coils: int) -> Acquisition:
    """The same scan by fewer virtual coils, of what was measured; itself where it has no more. Truth and scale stay."""
    number, *size = scan.kspace.shape[1:]
    if number <= coils:
        return scan
    slices = (scan.measured(slice(one, one + 1))[0] for one in range(len(scan.kspace)))
    matrix = compression(map(torch.from_numpy, slices), coils)

    def fewer(slice_: NDArray[np.complex64]) -> NDArray[np.complex64]:
        virtual: NDArray[np.complex64] = mixed(matrix, torch.from_numpy(slice_)).numpy()
        return virtual

    return replace(scan, kspace=Mapped(scan.kspace, fewer, (coils, *size)))


def mixed(matrix: Tensor, kspace: Tensor) -> Tensor:
    """A matrix (new, coils) times coils: (..., coils, rows, columns) to (..., new, rows, columns), of its dtype."""
    return (matrix.to(kspace.dtype) @ kspace.flatten(-2)).reshape(*kspace.shape[:-3], -1, *kspace.shape[-2:])


def deviation(
    magnitude: Callable[[Measurement], Tensor], given: Measurement, noise: Tensor, replicas: int, seed: int
) -> Tensor:
    """Standard deviation of a reconstruction under noise, by pseudo replicas (Robson et al. 2008).

    White noise is added to what was measured, again and again, and each is reconstructed: nothing is supposed of the
    reconstruction. Where the object is dark, its magnitude varies less than real and imaginary part.

    Parameters
    ----------
    magnitude : the reconstruction, real, of a shape of its own.
    given : what was measured.
    noise : standard deviation of real and imaginary part each of k-space's noise, real (B,).
    replicas : how many, >= 2.
    seed : what noise follows from, a whole number >= 0; it is the same on every device.

    Returns
    -------
    float64, >= 0, of the shape that `magnitude` gives.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(given.kspace.shape)
    level = noise.reshape(-1, *[1] * (len(shape) - 1))
    mean = squares = torch.zeros((), dtype=torch.float64)
    for number in range(1, replicas + 1):
        drawn = rng.standard_normal((*shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
        found = magnitude(given.plus(torch.from_numpy(drawn).to(level.device) * level)).double()
        # Welford 1962: no sum of large squares.
        before, mean = mean, mean + (found - mean) / number
        squares = squares + (found - before) * (found - mean)
    return (squares / (replicas - 1)).sqrt()
