"""PSNR, SSIM and NMSE of a slice, and the CSV files that hold them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skimage
from numpy.typing import NDArray
from pydantic import Field, field_validator

from unimri.core.errors import UnimriError
from unimri.core.settings import Settings
from unimri.evaluation.text import significant, write_csv

PSNR_CEILING_DB = float(20 * np.log10(2**24))
"""144.49 dB: the PSNR of an error of 2^-24 of the data range, which is float32's rounding near 1."""


class MetricSettings(Settings):
    """How PSNR and SSIM are computed."""

    data_range: float = Field(1.0, gt=0, description="intensity range R of the images, in PSNR and in SSIM's constants")
    ssim_window: int = Field(
        7, ge=3, description="side of SSIM's uniform window in pixels, odd; without effect when gaussian"
    )
    gaussian: bool = Field(
        False,
        description="weigh SSIM's window by a Gaussian, as Wang et al. 2004: sigma 1.5, 11 pixels",
    )

    @property
    def description(self) -> str:
        """What a table has to say about its PSNR and SSIM."""
        window = "a Gaussian window, sigma 1.5" if self.gaussian else f"a uniform window of {self.ssim_window} pixels"
        return f"data range {self.data_range:g}, SSIM with {window}"

    @field_validator("ssim_window")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("must be odd, so that the window has a centre")
        return value


class Score(NamedTuple):
    """What a reconstruction of one slice scores: PSNR in dB, SSIM in percent (100 is identical)."""

    psnr_db: float
    ssim_percent: float


class OwnScore(NamedTuple):
    """What a slice scores by its own intensities; NaN, each of them, where the fully sampled slice is all zero."""

    nmse: float
    psnr_slice_max_db: float
    ssim_slice_max_percent: float


class SliceScore(NamedTuple):
    """One row of a metrics CSV: one slice, reconstructed by one method at one acceleration.

    `seed` is of the method's training; zero filling, which has none, bears that of the trainings beside it. `patient`
    is the manifest's key. The metrics are those of `score_slice` and then those of `score_slice_by_itself`.
    """

    mask: str
    acceleration: float
    seed: int
    method: str
    anatomy: str
    patient: str
    volume: str
    slice: int
    psnr_db: float
    ssim_percent: float
    nmse: float
    psnr_slice_max_db: float
    ssim_slice_max_percent: float


COLUMNS = SliceScore._fields
"""The columns of a metrics CSV, in order."""

METRICS = Score._fields
"""Those of Table 1."""

OWN_METRICS = OwnScore._fields
"""Those by a slice's own intensities; missing where a slice has none."""


def score_slice(
    reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]], settings: MetricSettings
) -> Score:
    """Score the magnitude of a reconstruction against the fully sampled slice.

    PSNR is 10 log10(R^2 / MSE), R the data range. It stops at `PSNR_CEILING_DB`, where the error is below
    what float32 can show: identical images would have an infinite PSNR, and one of them would make a mean
    over slices infinite. SSIM is the mean structural similarity of Wang et al. 2004 with K1 = 0.01 and K2 =
    0.03, as scikit-image defines it: by default with a uniform window and unbiased covariances. Both are
    computed in float64.

    Parameters
    ----------
    reference : real (H, W), the fully sampled magnitude, on a scale of [0, R].
    reconstruction : real (H, W), the reconstruction's magnitude on the same scale. It is not clipped.
    settings : how to compute them.

    Raises
    ------
    UnimriError : when either image holds a value that is not finite, or SSIM's window is larger than the
        image.
    ValueError : when the shapes differ.
    """
    for name, image in (("reference", reference), ("reconstruction", reconstruction)):
        if not np.isfinite(image).all():
            raise UnimriError(f"the {name} holds values that are not finite, so it has no PSNR or SSIM")
    window = 11 if settings.gaussian else settings.ssim_window
    if min(reference.shape) < window:
        height, width = reference.shape
        raise UnimriError(
            f"metrics.ssim_window: a window of {window} pixels does not fit a slice of {height} x {width}; "
            f"allowed: at most {min(reference.shape)}"
        )
    truth, image = reference.astype(np.float64), reconstruction.astype(np.float64)
    ssim = skimage.metrics.structural_similarity(
        truth,
        image,
        data_range=settings.data_range,
        win_size=window,
        gaussian_weights=settings.gaussian,
        use_sample_covariance=not settings.gaussian,
    )
    return Score(psnr(truth, image, settings.data_range), 100 * float(ssim))


def psnr(reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]], data_range: float) -> float:
    """PSNR in dB of arrays of one shape, as in `score_slice`: computed in float64, `PSNR_CEILING_DB` at most."""
    # Not by scikit-image's function, which is the same: its module loads scipy.stats, a fifth of a small job's time.
    error = np.mean((reference.astype(np.float64) - reconstruction.astype(np.float64)) ** 2)
    with np.errstate(divide="ignore"):
        return min(float(10 * np.log10(data_range**2 / error)), PSNR_CEILING_DB)


def score_slice_by_itself(
    reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]], settings: MetricSettings
) -> OwnScore:
    """Score as `score_slice` does with the fully sampled slice's own maximum for R, and by NMSE.

    NMSE is ||x - y||^2 / ||x||^2, x fully sampled. A slice that is zero everywhere has no range and no norm: its scores
    are missing and in no mean, whatever the reconstruction. Its scores by a fixed range stand.

    Parameters
    ----------
    reference, reconstruction, settings : as in `score_slice`; the settings' own range is not used.

    Raises
    ------
    UnimriError, ValueError : as in `score_slice`.
    """
    maximum = float(reference.max())
    if maximum == 0:
        return OwnScore(math.nan, math.nan, math.nan)
    score = score_slice(reference, reconstruction, settings.model_copy(update={"data_range": maximum}))
    return OwnScore(normalised_error(reference, reconstruction), *score)


def normalised_error(reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]]) -> float:
    """NMSE of real arrays of one shape, in float64: ||x - y||^2 / ||x||^2, x the reference, which is not all zero."""
    truth = reference.astype(np.float64)
    return float(np.sum((truth - reconstruction) ** 2) / np.sum(truth**2))


def write_scores(path: Path, rows: Iterable[SliceScore]) -> None:
    """Write a metrics CSV, one row a slice; metrics have six decimals, so equal scores are equal bytes."""
    write_score_rows(path, pd.DataFrame(list(rows), columns=list(COLUMNS)))


def write_score_rows(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame of scores, whose NMSE may be too small for six decimals: it gets six significant digits."""
    write_csv(path, frame.assign(nmse=[significant(value) for value in frame["nmse"]]))


def read_scores(paths: Iterable[Path]) -> pd.DataFrame:
    """Read metrics CSVs into one frame of the columns `COLUMNS`, one row a slice.

    Returns
    -------
    frame whose acceleration and metrics are float64, seed and slice int64, and the others str. `OWN_METRICS` are NaN
    where they are missing.

    Raises
    ------
    UnimriError : when there are no files, or when one is missing, is empty, lacks a column, or holds a value
        that is no finite number where one belongs. The message names the file.
    """
    return read_score_rows(paths, COLUMNS, {"seed", "slice"}, {"acceleration", *METRICS}, set(OWN_METRICS))


def read_score_rows(
    paths: Iterable[Path], columns: Sequence[str], whole: set[str], numbers: set[str], missing: set[str]
) -> pd.DataFrame:
    """Read CSVs of scores into one frame.

    Parameters
    ----------
    columns : that it has, in order; others are left out.
    whole, numbers, missing : those of integers, of finite numbers, and of finite numbers or nothing (NaN); others are
        text.

    Raises
    ------
    UnimriError : as in `read_scores`.
    """
    frames = [_read_file(path, columns, whole, numbers, missing) for path in paths]
    if not frames:
        raise UnimriError("no metrics files were given, so there is nothing to tabulate")
    return pd.concat(frames, ignore_index=True)


def _read_file(
    path: Path, columns: Sequence[str], whole: set[str], numbers: set[str], missing: set[str]
) -> pd.DataFrame:
    mend = "evaluate again to write it"
    try:
        # As text first: pandas would make a number of a volume named 001 and a missing value of one named NA.
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except pd.errors.EmptyDataError:
        raise UnimriError(f"{path}: empty, not even a header; {mend}") from None
    except (OSError, UnicodeDecodeError, pd.errors.ParserError) as fault:
        raise UnimriError(f"{path}: cannot be read as a metrics CSV ({fault}); {mend}") from None
    if lacking := [column for column in columns if column not in frame]:
        raise UnimriError(f"{path}: lacks the column(s) {', '.join(lacking)}; {mend}")
    if frame.empty:
        raise UnimriError(f"{path}: has a header but no rows; {mend}")
    for column in (name for name in columns if name in whole | numbers | missing):
        values = pd.to_numeric(frame[column], errors="coerce").astype("float64")
        right = np.isfinite(values) | ((frame[column] == "") & (column in missing))
        if not right.all():
            raise UnimriError(f"{path}: line {int(np.argmin(right)) + 2}, column {column}: not a finite number; {mend}")
        frame[column] = values.astype("int64") if column in whole else values
    return frame[list(columns)]
