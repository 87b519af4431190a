"""High-frequency error norm: how well edges and fine detail come out."""

import math

import numpy as np
import scipy
from numpy.typing import NDArray

from unimri.metrics.base import Image, Metric, MetricSettings

SIGMA, SIZE = 1.5, 15
"""Of the Laplacian of a Gaussian: standard deviation, and the kernel's side, both in pixels."""

_PLACES = np.arange(SIZE) - SIZE // 2
_GAUSSIAN = np.exp(-(_PLACES**2) / (2 * SIGMA**2))
_SUM = float(2 * np.sum((_PLACES**2 - SIGMA**2) / SIGMA**4 * _GAUSSIAN) / np.sum(_GAUSSIAN))
"""Of all of the kernel before its mean is taken off."""


class HFEN(Metric):
    """||LoG(x - y)|| / ||LoG(x)||, x fully sampled; NaN where x has no edges.

    LoG filters with the Laplacian of a Gaussian, as `filtered`. Ravishankar and Bresler give the numerator alone, which
    grows with the image; divided by that of x, as later papers do, it is the same at any size and on any scale. Of a
    volume the norms are over all slices, each filtered by itself.
    """

    name = column = "hfen"
    title = "HFEN"
    decimals = 4
    lower_is_better = True
    convention = "||LoG(x - y)|| / ||LoG(x)||, LoG of 15 x 15 pixels with sigma 1.5, x fully sampled, in float64"
    reference = "Ravishankar and Bresler, IEEE Transactions on Medical Imaging 30(5), 2011; normalised"
    relative = True

    def slice(self, truth: Image, image: Image, settings: MetricSettings) -> float:
        return self.volume(truth[None], image[None], settings)

    def volume(self, truth: Image, images: Image, settings: MetricSettings) -> float:
        edges, errors = (
            math.hypot(*(float(np.linalg.norm(filtered(one))) for one in own))
            for own in (truth, truth.astype(np.float64) - images)
        )
        return errors / edges if edges else math.nan


def filtered(image: Image) -> NDArray[np.float64]:
    """Filter real (H, W) with the Laplacian of a Gaussian, with zeros around it; float64 (H, W).

    The kernel is that of MATLAB's `fspecial('log', 15, 1.5)`: sampled from the formula, the Gaussian of sum one, and
    then its mean taken off, so that it sums to zero and does not answer to a constant.
    """
    own = image.astype(np.float64)
    return _laplace(own) - _SUM * scipy.ndimage.uniform_filter(own, SIZE, mode="constant")


def _laplace(image: NDArray[np.float64]) -> NDArray[np.float64]:
    # Four passes of 15 taps in place of one of 225.
    found: NDArray[np.float64] = scipy.ndimage.gaussian_laplace(
        image, SIGMA, mode="constant", truncate=SIZE // 2 / SIGMA
    )
    return found
