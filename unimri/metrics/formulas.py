"""Formulas that are used without their metrics' classes: another title of a metric tunes nothing again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

PSNR_CEILING_DB = float(20 * np.log10(2**24))
"""144.49 dB: the PSNR of an error of 2^-24 of the data range, which is float32's rounding near 1."""


def psnr(reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]], data_range: float) -> float:
    """PSNR in dB of arrays of one shape, as `metrics.psnr.PSNR`: in float64, `PSNR_CEILING_DB` at most."""
    # Not by scikit-image's function, which is the same: its module loads scipy.stats, a fifth of a small job's time.
    error = np.mean((reference.astype(np.float64) - reconstruction.astype(np.float64)) ** 2)
    with np.errstate(divide="ignore"):
        return min(float(10 * np.log10(data_range**2 / error)), PSNR_CEILING_DB)
