"""Instance normalisation, compiled for the processor: each pass over memory does all that it can.

Slices are (B, P, C) as channels_last has them, float32, float64, or bfloat16 by its bits (uint16). Sums are float32 or
better within a block of pixels and float64 over blocks. What is compiled is kept beside this module, or in the user's
cache, for the next process.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit, types
from numba.extending import overload

# Pixels whose 32 channels stay in a core's first cache.
BLOCK = 128

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _compiled(kernel: _Kernel) -> _Kernel:
    options = {"nogil": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
    try:
        return cast(_Kernel, njit(cache=True, **options)(kernel))
    except RuntimeError:
        # Nowhere to keep it: neither the package's folder nor the user's can be written.
        return cast(_Kernel, njit(**options)(kernel))


def _read(stored):
    """A stored number as one to compute with."""
    raise NotImplementedError


def _write(number, like):
    """A number as one is stored that is of the type of `like`."""
    raise NotImplementedError


@overload(_read, inline="always")
def _read_type(stored):
    if stored == types.uint16:
        return lambda stored: np.uint32(np.uint32(stored) << np.uint32(16)).view(np.float32)
    return lambda stored: stored


@overload(_write, inline="always")
def _write_type(number, like):
    if like != types.uint16:
        return lambda number, like: number

    def nearest(number, like):
        """Of two as near, the even one."""
        bits = np.float32(number).view(np.uint32)
        odd = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))

    return nearest


@_compiled
def normalise(activation, out, mean, inverse, gamma, beta, epsilon, rectify):
    """Normalise slices (B, P, C) into `out`, their means and reciprocal deviations (B, C) into `mean` and `inverse`."""
    batch, pixels, channels = activation.shape
    zero = gamma.dtype.type(0)
    total, centre, square = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    scale, shift = np.empty_like(gamma), np.empty_like(gamma)
    for number in range(batch):
        means, squares = np.zeros(channels), np.zeros(channels)
        for start in range(0, pixels, BLOCK):
            stop = min(start + BLOCK, pixels)
            total[:] = 0
            square[:] = 0
            for pixel in range(start, stop):
                for channel in range(channels):
                    total[channel] += _read(activation[number, pixel, channel])
            for channel in range(channels):
                centre[channel] = total[channel] / (stop - start)
            for pixel in range(start, stop):
                for channel in range(channels):
                    difference = _read(activation[number, pixel, channel]) - centre[channel]
                    square[channel] += difference * difference
            # Chan, Golub and LeVeque 1983, equation 2.1: the squares of two sets about their common mean.
            for channel in range(channels):
                apart = centre[channel] - means[channel]
                means[channel] += apart * (stop - start) / stop
                squares[channel] += square[channel] + apart * apart * start * (stop - start) / stop
        for channel in range(channels):
            mean[number, channel] = means[channel]
            inverse[number, channel] = 1 / np.sqrt(squares[channel] / pixels + epsilon)
            scale[channel] = gamma[channel] * inverse[number, channel]
            shift[channel] = beta[channel] - mean[number, channel] * scale[channel]
        for pixel in range(pixels):
            for channel in range(channels):
                value = _read(activation[number, pixel, channel]) * scale[channel] + shift[channel]
                if rectify:
                    # What is not a number stays so.
                    value = zero if value < 0 else value
                out[number, pixel, channel] = _write(value, activation[number, pixel, channel])


@_compiled
def gradients(upstream, activation, mean, inverse, out, of_gamma, of_beta, gamma, beta, rectify):
    """The gradient of slices (B, P, C) into `out`; each one's of gamma and beta into `of_gamma`, `of_beta` (B, C)."""
    batch, pixels, channels = activation.shape
    zero = gamma.dtype.type(0)
    total, correlated, centre = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    scale, shift, slope, offset = np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma), np.empty_like(gamma)
    for number in range(batch):
        for channel in range(channels):
            centre[channel] = mean[number, channel]
            scale[channel] = gamma[channel] * inverse[number, channel]
            shift[channel] = beta[channel] - centre[channel] * scale[channel]
        totals, correlations = np.zeros(channels), np.zeros(channels)
        for start in range(0, pixels, BLOCK):
            total[:] = 0
            correlated[:] = 0
            for pixel in range(start, min(start + BLOCK, pixels)):
                for channel in range(channels):
                    value = _read(activation[number, pixel, channel])
                    given = _read(upstream[number, pixel, channel])
                    if rectify:
                        given = given if value * scale[channel] + shift[channel] > 0 else zero
                    total[channel] += given
                    correlated[channel] += given * (value - centre[channel])
            for channel in range(channels):
                totals[channel] += total[channel]
                correlations[channel] += correlated[channel]
        # scale * (given - mean of given - normalised * mean of given times normalised)
        for channel in range(channels):
            by_gamma = correlations[channel] * inverse[number, channel]
            of_gamma[number, channel] = by_gamma
            of_beta[number, channel] = totals[channel]
            slope[channel] = -scale[channel] * by_gamma * inverse[number, channel] / pixels
            offset[channel] = -scale[channel] * totals[channel] / pixels - slope[channel] * centre[channel]
        for pixel in range(pixels):
            for channel in range(channels):
                value = _read(activation[number, pixel, channel])
                given = _read(upstream[number, pixel, channel])
                if rectify:
                    given = given if value * scale[channel] + shift[channel] > 0 else zero
                result = given * scale[channel] + value * slope[channel] + offset[channel]
                out[number, pixel, channel] = _write(result, activation[number, pixel, channel])
