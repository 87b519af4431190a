"""Structural similarity."""

import numpy as np
import skimage

from unimri.core.errors import UnimriError
from unimri.metrics.base import Image, Metric, MetricSettings


class SSIM(Metric):
    """Mean structural similarity of Wang et al. 2004 in percent: 100 is identical.

    K1 = 0.01 and K2 = 0.03, as scikit-image defines it: by default with a uniform window and unbiased covariances. Of
    a volume it is the mean over the slices.
    """

    name, column, title, unit = "ssim", "ssim_percent", "SSIM", "%"
    lower_is_better = False
    convention = "K1 = 0.01, K2 = 0.03, a uniform window and unbiased covariances, in float64"
    reference = (
        "Wang et al., IEEE Transactions on Image Processing 13(4), 2004; as scikit-image's structural_similarity"
    )
    in_table = scored = True

    def slice(self, truth: Image, image: Image, settings: MetricSettings) -> float:
        """As `Metric.slice`.

        Raises
        ------
        UnimriError : when the window is larger than the slice.
        ValueError : when the shapes differ.
        """
        window = 11 if settings.gaussian else settings.ssim_window
        if min(truth.shape) < window:
            height, width = truth.shape
            raise UnimriError(
                f"metrics.ssim_window: a window of {window} pixels does not fit a slice of {height} x {width}; "
                f"allowed: at most {min(truth.shape)}"
            )
        ssim = skimage.metrics.structural_similarity(
            truth.astype(np.float64),
            image.astype(np.float64),
            data_range=settings.data_range,
            win_size=window,
            gaussian_weights=settings.gaussian,
            use_sample_covariance=not settings.gaussian,
        )
        return 100 * float(ssim)

    def describe(self, settings: MetricSettings) -> str:
        return f"SSIM with {settings.window}"
