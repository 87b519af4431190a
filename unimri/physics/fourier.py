"""The Fourier side of Cartesian MRI: orthonormal transforms, retrospective undersampling, hard data consistency.

Two layouts of k-space appear. `to_kspace` and `to_image` use the centred one that scanners' files use (DC in the
middle of both axes). The networks use *hybrid* k-space: transformed along the phase-encoding axis only, DC first. For
a mask of whole lines both give the same data consistency, because the transform along the readout axis cancels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unimri.physics.mask import HYBRID_AXES as HYBRID_AXES
from unimri.physics.mask import PHASE_AXES as PHASE_AXES

Axes = int | tuple[int, int]
"""What hybrid k-space is transformed along: -1 or -2, or of points (-2, -1)."""


def to_kspace(image: Tensor) -> Tensor:
    """Centred orthonormal 2D Fourier transform, (..., H, W) real or complex to (..., H, W) complex."""
    shifted = torch.fft.ifftshift(image, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))


def to_image(kspace: Tensor) -> Tensor:
    """Inverse (and adjoint) of `to_kspace`, (..., H, W) complex to (..., H, W) complex."""
    shifted = torch.fft.ifftshift(kspace, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))


def centre(values: Tensor, size: tuple[int, int]) -> Tensor:
    """The centre of images or centred k-space (..., H, W), zeros around where it is smaller: (..., *size).

    Of images that is the crop of `unimri.data.prepare.centre_crop`, of k-space another resolution: the pixel, or line,
    n // 2 stays in the middle.
    """
    (above, below), (left, right) = (
        (new // 2 - old // 2, new - old - (new // 2 - old // 2))
        for old, new in zip(values.shape[-2:], size, strict=True)
    )
    return F.pad(values, (left, right, above, below))


def combine_coils(images: Tensor) -> Tensor:
    """Magnitude, of several coils the root sum of squares: (..., coils, H, W) to float32 (..., H, W).

    Sums are in double precision, in which no square of a float32 overflows or vanishes.
    """
    if images.shape[-3] == 1:
        return images[..., 0, :, :].abs()
    if images.ndim > 3:
        # One after the other: all of a volume would be in memory in double precision.
        return torch.stack([combine_coils(image) for image in images])
    return torch.linalg.vector_norm(images.abs(), dim=-3, dtype=torch.float64).float()


def to_hybrid(image: Tensor, axis: Axes) -> Tensor:
    """Orthonormal Fourier transform along the phase-encoding `axis` only, DC first; shape unchanged, complex."""
    if isinstance(axis, tuple):
        return torch.fft.fftn(image, dim=axis, norm="ortho")
    return torch.fft.fft(image, dim=axis, norm="ortho")


def from_hybrid(kspace: Tensor, axis: Axes) -> Tensor:
    """Inverse (and adjoint) of `to_hybrid`."""
    if isinstance(axis, tuple):
        return torch.fft.ifftn(kspace, dim=axis, norm="ortho")
    return torch.fft.ifft(kspace, dim=axis, norm="ortho")


def lines(mask: Tensor, axis: Axes) -> Tensor:
    """Bring centred masks to where hybrid k-space needs them.

    Parameters
    ----------
    mask : bool (B, N), True where a phase-encoding line is kept, DC at N // 2; of points (B, H, W).
    axis : -1 (lines are columns), -2 (lines are rows) or (-2, -1) (points).

    Returns
    -------
    bool (B, 1, N), (B, N, 1) or (B, H, W), DC first; broadcasts against (B, H, W).
    """
    if isinstance(axis, tuple):
        return torch.fft.ifftshift(mask, dim=axis)
    first = torch.fft.ifftshift(mask, dim=-1)
    return first.unsqueeze(-2) if axis == -1 else first.unsqueeze(-1)


def undersample(image: Tensor, sampled: Tensor, axis: Axes) -> tuple[Tensor, Tensor]:
    """Retrospective undersampling without noise.

    Parameters
    ----------
    image : (B, H, W) real or complex.
    sampled : bool, from `lines`.
    axis : see `Axes`.

    Returns
    -------
    zero_filled : complex (B, H, W), the image with the lines that were not sampled set to zero.
    measured : complex (B, H, W), hybrid k-space, zero where not sampled.
    """
    measured = to_hybrid(image, axis) * sampled
    return from_hybrid(measured, axis), measured


def enforce_consistency(image: Tensor, measured: Tensor, sampled: Tensor, axis: Axes) -> Tensor:
    """Hard data consistency, k <- (1 - m) k + m k0 (Schlemper et al. 2017, eq. 5 without noise).

    Parameters
    ----------
    image : complex (B, H, W), the current estimate.
    measured : complex (B, H, W), hybrid k-space as measured.
    sampled : bool, from `lines`.
    axis : see `Axes`.

    Returns
    -------
    complex (B, H, W) whose sampled lines are the measured ones, to float precision.
    """
    return from_hybrid(torch.where(sampled, measured, to_hybrid(image, axis)), axis)
