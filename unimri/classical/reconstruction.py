"""Reconstruction without training: conjugate symmetry, total variation and wavelets, for a batch of slices at once.

Each slice's reconstruction is the complex image x that minimises

    1/2 ||M F x - y||^2 + lambda R(G x)

F is the orthonormal 2D Fourier transform, M keeps the sampled lines, y is what was measured. The objective is a sum
over slices, so a batch is solved together, each slice as if it were alone. Two penalties:

- total variation, isotropic: G gives the differences to the neighbour above and to the left, R sums the length of the
  two complex differences over pixels.
- wavelet: G gives the details of the undecimated (translation invariant) wavelet transform, scaled so that details and
  approximation together keep the norm; R is their L1 norm. The approximation is not penalised. A decimated transform,
  whose penalty depends on where a structure lies, gains far less: the artifacts of whole lines are not noise.

Both G are circular convolutions (the image continues periodically at its borders), so G^H G is diagonal in k-space, as
M is, and each step of ADMM (Boyd et al. 2011; for total variation: split Bregman, Goldstein and Osher 2009) is exact.

Images without phase have k(-f) = conj k(f) (Margosian et al. 1986). Where x has to be real, each measured line says
what its opposite one is, and counts half for either: M and y are replaced by their means over f and -f, with y
conjugated there. Conjugate filling is the real x of least norm with lambda = 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pywt
import torch
from numpy.typing import NDArray
from sigpy import alg, linop, prox
from torch import Tensor

from unimri.classical.sense import sense
from unimri.classical.settings import Classical, ConjugateFilling, Penalised, RealTotalVariation, Sense, Wavelet
from unimri.physics.sense import Measurement

# What the first shrinkage takes off, weight / rho, for slices in [0, 1]: steers how fast ADMM converges, and not where
# to. Chosen in benchmarks/classical.py; that of a real image is taken over from total variation's.
_SHRINKAGE = {"total_variation": 0.1, "total_variation_real": 0.1, "wavelet": 0.025}


def classical_reconstructor(settings: Classical, weight: float) -> Callable[[Measurement], Tensor]:
    """Give a `unimri.physics.retrospective.Reconstructor` of a classical method.

    Parameters
    ----------
    weight : of the penalty, lambda; 0 is the solution of least norm: zero filling, of a real image conjugate filling.
    """

    if isinstance(settings, Sense):
        return lambda given: sense(given, settings, weight)

    def reconstruct(given: Measurement) -> Tensor:
        zero_filled, sampled = given.zero_filled, given.sampled
        if isinstance(settings, ConjugateFilling) or (weight == 0 and isinstance(settings, RealTotalVariation)):
            return fill_conjugate(zero_filled, sampled)
        if weight == 0:
            return zero_filled
        return torch.from_numpy(minimise(zero_filled.numpy(), sampled.numpy(), settings, weight))

    return reconstruct


def fill_conjugate(zero_filled: Tensor, sampled: Tensor) -> Tensor:
    """Fill in the lines that k(-f) = conj k(f) tells; shapes and orders as of `minimise`, of tensors."""
    measured, weight = _symmetric(torch.fft.fft2(zero_filled).numpy(), sampled.numpy())
    filled = np.divide(measured, weight, out=np.zeros_like(measured), where=weight > 0)
    return torch.fft.ifft2(torch.from_numpy(filled))


def _symmetric(
    measured: NDArray[np.complex64], sampled: NDArray[np.bool_]
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """What is measured of f and -f: the half of both in k-space (B, H, W), DC first, and of how many, 0, 0.5 or 1."""
    kept = np.broadcast_to(sampled, measured.shape).astype(np.float32)
    return (measured + _opposite(measured).conj()) / 2, (kept + _opposite(kept)) / 2


def _opposite(kspace: NDArray[Any]) -> NDArray[Any]:
    """K-space (..., H, W), DC first, of -f."""
    return np.roll(np.flip(kspace, (-2, -1)), 1, (-2, -1))


def minimise(
    zero_filled: NDArray[np.complex64], sampled: NDArray[np.bool_], settings: Penalised, weight: float
) -> NDArray[np.complex64]:
    """Minimise the objective above by ADMM, started from zero filling.

    Parameters
    ----------
    zero_filled : complex64 (B, H, W), F^H y; slices on a scale of [0, 1].
    sampled : bool, broadcasts against it; DC first, as `unimri.physics.fourier.lines` gives it.
    settings : the penalty and the number of iterations.
    weight : lambda, above 0.

    Returns
    -------
    complex64 (B, H, W).
    """
    shape = zero_filled.shape
    filters = _filters(settings, shape[-2:])  # (K, H, W)
    fourier = linop.FFT(shape, axes=(-2, -1), center=False)
    multiply = linop.Multiply((1, *shape), filters[:, None].astype(np.complex64))
    to_kspace = linop.FFT(multiply.oshape, axes=(-2, -1), center=False)
    # G, from (B, H, W) to (K, B, H, W), and F G^H.
    analysis = to_kspace.H * multiply * linop.Reshape((1, *shape), shape) * fourier
    synthesis = linop.Reshape(shape, (1, *shape)) * multiply.H * to_kspace
    if isinstance(settings, Wavelet):
        shrink = prox.L1Reg(analysis.oshape, np.float32(weight))
    else:
        # Both differences of a pixel shrink together.
        shrink = prox.Conj(prox.L2Proj(analysis.oshape, np.float32(weight), axes=(0,)))
    rho = weight / _SHRINKAGE[settings.method]
    measured, counted = fourier(zero_filled), sampled.astype(np.float32)
    image = zero_filled.copy()
    if isinstance(settings, RealTotalVariation):
        measured, counted = _symmetric(measured, sampled)
        image = image.real.astype(image.dtype)
    inverse = _inverse(counted + rho * (np.abs(filters) ** 2).sum(0))
    analysed = analysis(image)
    split, dual = analysed.copy(), np.zeros_like(analysed)

    def update_image() -> None:
        image[...] = fourier.H(inverse * (measured + np.float32(rho) * synthesis(split - dual)))
        analysed[...] = analysis(image)

    def update_split() -> None:
        split[...] = shrink(np.float32(1 / rho), analysed + dual)

    # The constraint G x - v = 0; G x is at hand.
    admm = alg.ADMM(
        update_image,
        update_split,
        image,
        split,
        dual,
        lambda _: analysed,
        np.negative,
        0,
        max_iter=settings.iterations,
    )
    while not admm.done():
        admm.update()
    return image


def _inverse(normal: NDArray[np.float64]) -> NDArray[np.float32]:
    """Of M + rho G^H G in k-space; zero where neither data nor penalty say anything: at DC, when it is not sampled."""
    said = normal > 1e-12 * normal.max()
    return np.divide(1, normal, out=np.zeros_like(normal), where=said).astype(np.float32)


def _filters(settings: Penalised, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Frequency responses of G: complex128 (K, H, W), DC first."""
    height, width = shape
    if not isinstance(settings, Wavelet):
        vertical, horizontal = (_response([1, -1], 1, size) for size in shape)
        return np.stack([np.outer(vertical, np.ones(width)), np.outer(np.ones(height), horizontal)])
    wavelet = pywt.Wavelet(settings.wavelet)
    filters = []
    below = np.ones(height, complex), np.ones(width, complex)
    for level in range(settings.levels):
        # Holes of 2^level - 1 zeros between the taps, in place of dropping every second coefficient.
        low, high = (
            [before * _response(taps, 2**level, size) / np.sqrt(2) for before, size in zip(below, shape, strict=True)]
            for taps in (wavelet.dec_lo, wavelet.dec_hi)
        )
        filters += [np.outer(low[0], high[1]), np.outer(high[0], low[1]), np.outer(high[0], high[1])]
        below = low[0], low[1]
    return np.stack(filters)


def _response(taps: list[float], step: int, size: int) -> NDArray[np.complex128]:
    """Frequency response of a circular filter with `step` between its taps: complex128 (size,)."""
    kernel = np.zeros(size)
    np.add.at(kernel, np.arange(len(taps)) * step % size, taps)
    response: NDArray[np.complex128] = np.fft.fft(kernel)
    return response
