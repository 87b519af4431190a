"""Normalised mean squared error."""

import math

import numpy as np

from unimri.metrics.base import Image, Metric, MetricSettings


class NMSE(Metric):
    """||x - y||^2 / ||x||^2, x fully sampled, of a slice or of all voxels of a volume at once; NaN where x is zero."""

    name = column = "nmse"
    title = "NMSE"
    decimals = 4
    lower_is_better = True
    convention = "||x - y||² / ||x||², x fully sampled, in float64"
    reference = "as fastMRI's evaluate.py"
    scored = relative = True

    def slice(self, truth: Image, image: Image, settings: MetricSettings) -> float:
        return normalised_error(truth, image) if truth.any() else math.nan

    def volume(self, truth: Image, images: Image, settings: MetricSettings) -> float:
        return self.slice(truth, images, settings)


def normalised_error(reference: Image, reconstruction: Image) -> float:
    """NMSE of real arrays of one shape, in float64: ||x - y||^2 / ||x||^2, x the reference, which is not all zero."""
    truth = reference.astype(np.float64)
    return float(np.sum((truth - reconstruction) ** 2) / np.sum(truth**2))
