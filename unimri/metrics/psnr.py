"""Peak signal-to-noise ratio."""

from unimri.metrics.base import Image, Metric, MetricSettings, psnr


class PSNR(Metric):
    """PSNR in dB: 10 log10(R^2 / MSE), R the data range.

    It stops at `PSNR_CEILING_DB`, where the error is below what float32 can show: identical images would have
    an infinite PSNR, and one of them would make a mean over slices infinite. Of a volume it is over all voxels at once.
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
