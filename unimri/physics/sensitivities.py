"""Coil sensitivities from the fully sampled lines around DC, by ESPIRiT (Uecker et al. 2014, MRM 71:990-1001).

Neighbourhoods of k-space, of `kernel` x `kernel` points of all coils, lie in a subspace that sensitivities decide. Seen
from the image, projecting on it is one coils x coils matrix a pixel, and its eigenvectors of eigenvalue 1 are the maps.
SigPy's `EspiritCalib` gives one set of maps, wants a square of k-space and transforms one kernel after the other.
"""

import math
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unimri.physics.mask import Sampled

KERNEL = 6
"""Side of the neighbourhoods, in points of k-space."""

# Points along the readout that are looked at: of 20, 48 and all of them a measured brain gave the same maps.
_READOUT = 48

# Eigenvectors are found on a grid with this many points for each that the matrices, which are smooth, are told by.
_OVERSAMPLING = 5

CROP = 0.8, 0.7
"""Eigenvalues below which there is no object, and no second one on it, whose are lower: 0.75 to 0.95 at 14 lines.

At 0.95 CG-SENSE of a measured brain was 0.8 dB better, and the dim edge of a simulated object was cut off, a tenth of
it by its norm; at 0.8 a hundredth."""

# A second set over this part of the first one's area is needed: simulated objects that wrapped (two seeds) had one over
# 0.10 to 0.28 of it, others over 0.004 at most, a measured brain over 0.03.
_SECOND = 0.05

# Numbers of matrices that are in memory at a time.
_AT_ONCE = 2**23


class Sensitivities(NamedTuple):
    """What `estimate` found.

    Attributes
    ----------
    maps : complex64 (sets, coils, rows, columns), see `espirit`; None where too little was measured.
    reason : why there are none, in words; blank where there are.
    """

    maps: Tensor | None
    reason: str = ""


def calibration_lines(mask: Tensor) -> slice:
    """The lines around DC without a gap: of bool (N,), DC at N // 2; empty where DC was not sampled."""
    centre = len(mask) // 2
    after = sum(accumulate(mask[centre:].tolist(), min))
    before = sum(accumulate(reversed(mask[:centre].tolist()), min)) if after else 0
    return slice(centre - before, centre + after)


def calibration_points(mask: Tensor) -> tuple[slice, slice]:
    """The largest block around DC without a gap, rows and columns: of bool (rows, columns), DC at the centre.

    It grows on all sides alike, and where one side cannot along the others.
    """
    sides = [slice(length // 2, length // 2) for length in mask.shape]
    growing = [(axis, end) for axis in (0, 1) for end in (0, 1)]
    if mask[sides[0].start, sides[1].start]:
        sides = [slice(side.start, side.stop + 1) for side in sides]
    while growing and sides[0].stop > sides[0].start:
        for axis, end in tuple(growing):
            own = sides[axis]
            wider = slice(own.start - 1, own.stop) if end == 0 else slice(own.start, own.stop + 1)
            tried = [wider if number == axis else side for number, side in enumerate(sides)]
            if wider.start >= 0 and wider.stop <= mask.shape[axis] and bool(mask[tried[0], tried[1]].all()):
                sides = tried
            else:
                growing.remove((axis, end))
    return sides[0], sides[1]


def lacks_calibration(masks: NDArray[np.bool_], kernel: int = KERNEL) -> str:
    """Why masks have too little around DC for maps, in words; blank where each has `kernel` + 2 lines there.

    `masks`: bool (K, N), or of points (K, rows, columns), where that is both sides of a block.
    """
    if masks.ndim == 3:
        blocks = [calibration_points(torch.from_numpy(mask)) for mask in np.unique(masks, axis=0)]
        sides = min(([side.stop - side.start for side in block] for block in blocks), key=min)
        if min(sides) >= kernel + 2:
            return ""
        wanted = f"{kernel + 2} x {kernel + 2} are needed: coil by coil"
        return f"{sides[0]} x {sides[1]} calibration points were measured and {wanted}"
    around = [calibration_lines(torch.from_numpy(mask)) for mask in np.unique(masks, axis=0)]
    fewest = min(lines.stop - lines.start for lines in around)
    if fewest >= kernel + 2:
        return ""
    counted = f"{fewest} calibration line{' was' if fewest == 1 else 's were'} measured"
    return f"{counted} and {kernel + 2} are needed: coil by coil"


def estimate(
    kspace: Tensor, mask: Tensor, axis: Sampled = "columns", sets: int | None = None, kernel: int = KERNEL
) -> Sensitivities:
    """Maps of one slice from its calibration lines.

    Parameters
    ----------
    kspace : complex (coils, rows, columns), centred, zero where it was not sampled.
    mask : bool (N,), the phase-encoding lines that were sampled, DC at N // 2; of points (rows, columns).
    axis : what they are.
    sets : 1 or 2; None: 2 where one does not explain the coils, as where the object is larger than the field of view
        and parts of it, seen with other sensitivities, lie on each other.
    kernel : see `espirit`.

    Returns
    -------
    No maps when fewer than `kernel` + 2 lines, or a smaller block of points, were measured around DC. Of one coil a map
    of ones, whatever was measured; of two coils one set, unless two are asked for.
    """
    coils, *size = kspace.shape
    if coils == 1:
        return Sensitivities(torch.ones(1, 1, *size, dtype=torch.complex64, device=kspace.device))
    if reason := lacks_calibration(mask.cpu().numpy()[None], kernel):
        return Sensitivities(None, reason)
    if axis == "points":
        rows, columns = calibration_points(mask)
        block = kspace[:, rows, columns]
    else:
        block = _calibration(kspace, calibration_lines(mask), axis)
    maps = espirit(block, (size[0], size[1]), kernel=kernel, sets=sets or min(2, coils - 1))
    if sets is None and len(maps) == 2:
        first, second = (one.any(0).sum().item() for one in maps)
        if second <= _SECOND * first:
            maps = maps[:1]
    return Sensitivities(maps)


def _calibration(kspace: Tensor, lines: slice, axis: Sampled) -> Tensor:
    """The middle of the lines around DC: (coils, rows, columns)."""
    readout = kspace.shape[1] if axis == "columns" else kspace.shape[2]
    middle = slice(max(0, readout // 2 - _READOUT // 2), readout // 2 + _READOUT // 2)
    return kspace[:, middle, lines] if axis == "columns" else kspace[:, lines, middle]


def espirit(
    calibration: Tensor,
    size: tuple[int, int],
    *,
    kernel: int = KERNEL,
    threshold: float = 0.05,
    crop: tuple[float, float] = CROP,
    sets: int = 1,
) -> Tensor:
    """Maps from a block of k-space.

    Parameters
    ----------
    calibration : complex (coils, rows, columns), fully sampled; any scale. Where in k-space it lies does not matter.
    size : rows and columns of the maps.
    kernel : side of the neighbourhoods; at most half a side of the block.
    threshold : of the neighbourhoods' singular values, as a fraction of the largest; smaller ones are taken for noise.
    crop : eigenvalues, of 0 to 1, below which the first and the second set are zero.
    sets : how many maps a coil has, 1 or 2; at most as many as there are coils.

    Returns
    -------
    complex64 (sets, coils, *size). Over the coils the sum of |S|^2 is 1 in a set, or 0 where its eigenvalue is not
    above its `crop`. Sets are orthogonal. The phase is relative to a virtual coil, the calibration data's first
    principal component, so that the combined image has that coil's phase.
    """
    spectrum = _spectrum(calibration, kernel, threshold)
    grids = [
        torch.linspace(0, length - 1, min(length, _OVERSAMPLING * points), dtype=torch.float64)
        for length, points in zip(size, spectrum.shape[:2], strict=True)
    ]
    axes = [torch.arange(length, dtype=torch.float64) for length in size]
    virtual = _principal(calibration)

    vectors = torch.linalg.eigh(_operators(spectrum, size, *grids))[1][..., -sets:].flip(-1)
    coarse = _turned(vectors.permute(3, 2, 0, 1), virtual)
    parts = torch.view_as_real(coarse).permute(0, 1, 4, 2, 3).flatten(0, 2)
    parts = F.interpolate(parts[None], size, mode="bilinear", align_corners=True)[0]
    fine = torch.view_as_complex(parts.view(*coarse.shape[:2], 2, *size).permute(0, 1, 3, 4, 2).contiguous())

    coils = len(calibration)
    rows = max(1, _AT_ONCE // (size[1] * coils**2))
    maps = torch.empty_like(fine)
    for start in range(0, size[0], rows):
        part = slice(start, start + rows)
        found, values = _iterated(_operators(spectrum, size, axes[0][part], axes[1]), fine[:, :, part])
        there = [value > least for value, least in zip(values, crop, strict=False)]
        maps[:, :, part] = found * torch.stack(there)[:, None]
    return _turned(maps, virtual)


def _spectrum(calibration: Tensor, kernel: int, threshold: float) -> Tensor:
    """The pixels' matrices on a grid that tells them everywhere: complex64 (2 ky - 1, 2 kx - 1, coils, coils).

    A matrix is a Fourier sum over the lags between a kernel's points: as many samples as there are lags tell it.
    """
    coils = len(calibration)
    # Of few lines large neighbourhoods are few: with 9 lines and 6 points maps of a measured brain lost a third of it.
    widths = [max(1, min(kernel, length // 2)) for length in calibration.shape[1:]]
    # Squares are summed, which neither overflow nor vanish of numbers up to 1.
    scaled = (calibration / calibration.abs().max().clamp_min(torch.finfo(torch.float32).tiny)).to(torch.complex64)
    blocks = scaled.unfold(1, widths[0], 1).unfold(2, widths[1], 1)
    matrix = blocks.permute(1, 2, 0, 3, 4).reshape(-1, coils * math.prod(widths))
    # Singular values squared: float32 tells those that are a hundredth of the largest from nothing.
    values, vectors = torch.linalg.eigh(matrix.mH @ matrix)
    signal = values > threshold**2 * values[-1]
    # Of zeros too there is one, whose eigenvalues are far below 1, so that maps are zero.
    signal[-1] = True
    kept = vectors[:, signal].T.reshape(-1, coils, *widths)
    kernels = torch.fft.fft2(kept, s=[2 * width - 1 for width in widths]).permute(2, 3, 1, 0)
    return kernels.conj() @ kernels.transpose(-1, -2) / math.prod(widths)


def _operators(spectrum: Tensor, size: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Matrices of pixels, by their rows and columns: complex64 (rows, columns, coils, coils), Hermitian."""
    down, across = (
        _interpolation(points, length, places).to(spectrum.device)
        for points, length, places in zip(spectrum.shape[:2], size, (rows, columns), strict=True)
    )
    parts = torch.view_as_real(spectrum).flatten(2)
    wide = across @ parts
    return torch.view_as_complex((down @ wide.flatten(1)).view(len(down), len(across), *spectrum.shape[2:], 2))


def _interpolation(points: int, length: int, places: Tensor) -> Tensor:
    """Trigonometric interpolation from an odd number of points of one period to pixels, DC at length // 2, float32."""
    angles = 2 * math.pi * ((places - length // 2)[:, None] / length - torch.arange(points) / points)
    lags = torch.arange(1, points // 2 + 1)
    return ((1 + 2 * torch.cos(angles[..., None] * lags).sum(-1)) / points).float()


def _iterated(operators: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    """One orthogonal iteration from nearly right vectors (sets, coils, rows, columns); and their eigenvalues."""
    tiny = torch.finfo(torch.float32).tiny
    found: list[Tensor] = []
    values = []
    # Of a sum of neighbours' vectors, which turn round where the virtual coil sees nothing, the length is lost.
    moved = (operators @ vectors.permute(2, 3, 1, 0)).permute(3, 2, 0, 1)
    for before, vector in zip(vectors, moved, strict=True):
        for other in found:
            vector = vector - other * (other.conj() * vector).sum(0)
        norm = torch.linalg.vector_norm(vector, dim=0)
        values.append(norm / torch.linalg.vector_norm(before, dim=0).clamp_min(tiny))
        found.append(vector / norm.clamp_min(tiny))
    return torch.stack(found), torch.stack(values)


def _principal(calibration: Tensor) -> Tensor:
    """The first principal component over the coils, (coils,), of norm 1."""
    data = calibration.flatten(1).to(torch.complex128)
    return torch.linalg.eigh(data @ data.mH)[1][:, -1].to(torch.complex64)


def _turned(maps: Tensor, virtual: Tensor) -> Tensor:
    """Maps (sets, coils, rows, columns) with the phase that makes what they are of a virtual coil real and positive."""
    seen = torch.einsum("c,schw->shw", virtual.conj(), maps)
    return maps * torch.exp(-1j * seen.angle())[:, None]
