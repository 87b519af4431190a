"""Peak signal-to-noise ratio."""

import numpy as np

from unimri.metrics.base import Image, Metric
from unimri.metrics.settings import MetricSettings

PSNR_CEILING_DB = float(20 * np.log10(2**24))
"""144.49 dB: the PSNR of an error of 2^-24 of the data range, which is float32's rounding near 1."""


class PSNR(Metric):
    """PSNR in dB: 10 log10(R^2 / MSE), R the data range.

    It stops at `PSNR_CEILING_DB`, where the error is below what float32 can show: identical images would have an
    infinite PSNR, and one of them would make a mean over slices infinite. Of a volume it is over all voxels at once.
    """

    name, column, title, unit = "psnr", "psnr_db", "PSNR", "dB"
    lower_is_better = False
    convention = "10 log10(R² / MSE), R the data range, in float64, at most 144.49 dB"
    reference = "as scikit-image's peak_signal_noise_ratio; of volumes as fastMRI's evaluate.py"
    in_table = scored = True

    def slice(self, truth: Image, image: Image, settings: MetricSettings) -> float:
        return psnr(truth, image, settings.data_range)

    def volume(self, truth: Image, images: Image, settings: MetricSettings) -> float:
        return psnr(truth, images, settings.data_range)

    def describe(self, settings: MetricSettings) -> str:
        return f"data range {settings.data_range:g}"


def psnr(reference: Image, reconstruction: Image, data_range: float) -> float:
    """PSNR in dB of arrays of one shape, as `PSNR`: computed in float64, `PSNR_CEILING_DB` at most."""
    # Not by scikit-image's function, which is the same: its module loads scipy.stats, a fifth of a small job's time.
    error = np.mean((reference.astype(np.float64) - reconstruction.astype(np.float64)) ** 2)
    with np.errstate(divide="ignore"):
        return min(float(10 * np.log10(data_range**2 / error)), PSNR_CEILING_DB)
