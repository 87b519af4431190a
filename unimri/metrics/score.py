"""Scores of slices and of volumes by every metric, and the CSV files that hold them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from unimri.core.artifacts import check_noted
from unimri.core.errors import UnimriError
from unimri.core.text import write_csv
from unimri.metrics.base import (
    CONVENTIONS,
    SLICE_MAXIMUM,
    UNIT_RANGE,
    VOLUME_MAXIMUM,
    Convention,
    Image,
    Metric,
    MetricSettings,
    in_convention,
    scored_metrics,
)
from unimri.metrics.psnr import PSNR
from unimri.metrics.ssim import SSIM

AS_TRAINED = "as trained"
"""The condition of Tables 1 and S2: mask, noise and conditioning that a method was trained for."""

IDENTITY = ("condition", "mask", "acceleration", "seed", "method", "anatomy", "patient", "volume")
"""The columns that say what was scored. `mask`, `acceleration` and `seed` are of the method's training, from which
`condition` may differ; zero filling, which has no training, bears the seed of those beside it. `patient` is the
manifest's key."""

SLICE = "slice"
"""The number of a slice in its volume, from 0: a column of the slices' CSV after the identity."""

CHANGE = "largest_pixel_change"
"""The last column of the slices' CSV: how far any pixel's magnitude is from the reconstruction that was there before,
on the slices' scale of [0, 1]; missing where none was."""

_WHOLE, _NUMBERS = ("seed", SLICE), ("acceleration",)

Row = dict[str, float]


class Score(NamedTuple):
    """What a reconstruction of one slice scores: PSNR in dB, SSIM in percent (100 is identical)."""

    psnr_db: float
    ssim_percent: float


def score_slice(truth: Image, image: Image, settings: MetricSettings) -> Score:
    """Score the magnitude of one reconstructed slice by the two metrics that a person is told.

    Parameters
    ----------
    truth : real (H, W), the fully sampled magnitude, on a scale of [0, R].
    image : real (H, W), the reconstruction's magnitude on the same scale. It is not clipped.
    settings : how to compute them.

    Raises
    ------
    UnimriError : when either image holds a value that is not finite, or SSIM's window is larger than the
        image.
    ValueError : when the shapes differ.
    """
    _check_finite(truth, image)
    ssim = SSIM().slice(truth, image, settings)
    return Score(PSNR().slice(truth, image, settings), ssim)


def mean_score(scores: Sequence[Score]) -> Score:
    """Mean PSNR (dB) and SSIM (percent) over slices; at least one."""
    return Score(*np.mean(scores, axis=0).tolist())


def score_slices(truth: Image, images: Image, settings: MetricSettings) -> list[Row]:
    """Score every slice of a volume in the conventions of slices.

    Parameters
    ----------
    truth : real (S, H, W), the fully sampled magnitudes, on a scale of [0, R].
    images : real (S, H, W), the reconstruction's magnitudes on the same scale. They are not clipped.
    settings : which metrics, and how.

    Returns
    -------
    A row a slice: `slice`, and the columns `slice_columns`. A slice that is zero everywhere has no range of its own and
    no norm: its scores by these are NaN, and in no mean, whatever the reconstruction. Those by a fixed range stand.

    Raises
    ------
    UnimriError : when an image holds a value that is not finite, or SSIM's window is larger than a slice.
    ValueError : when the shapes differ.
    """
    scored = scored_metrics(settings)
    rows = []
    for number, (one, image) in enumerate(zip(truth, images, strict=True)):
        _check_finite(one, image)
        by_range = _score(one, image, scored, UNIT_RANGE, settings)
        rows.append({SLICE: number} | by_range | _score(one, image, scored, SLICE_MAXIMUM, settings))
    return rows


def score_volume(truth: Image, images: Image, settings: MetricSettings) -> Row:
    """Score a volume as `fastmri/evaluate.py` of facebookresearch/fastMRI does, by every metric.

    NMSE and PSNR are over all voxels at once, SSIM is the mean over the slices, in a uniform window of 7 pixels. The
    data range of both is the fully sampled volume's maximum. Here all is in float64, and PSNR has its ceiling. A volume
    is what the manifest calls one: of a 4D cardiac file all its slices at all times.

    Parameters
    ----------
    truth, images : real (S, H, W), magnitudes on one scale.
    settings : which metrics; how they are computed is fastMRI's.

    Returns
    -------
    The columns `volume_columns`; NaN, each of them, where the fully sampled volume is all zero.

    Raises
    ------
    UnimriError : when either holds a value that is not finite, or the window is larger than a slice.
    ValueError : when the shapes differ.
    """
    for one, image in zip(truth, images, strict=True):
        _check_finite(one, image)
    return _score(truth, images, scored_metrics(settings), VOLUME_MAXIMUM, MetricSettings())


def _score(
    truth: Image, images: Image, scored: Sequence[Metric], convention: Convention, settings: MetricSettings
) -> Row:
    columns = in_convention(scored, convention)
    if convention.own_range:
        maximum = float(truth.max())
        if maximum == 0:
            return dict.fromkeys(columns, math.nan)
        settings = settings.model_copy(update={"data_range": maximum})
    return {
        column: (metric.volume if convention.whole else metric.slice)(truth, images, settings)
        for column, metric in columns.items()
    }


def _check_finite(truth: Image, image: Image) -> None:
    for name, values in (("reference", truth), ("reconstruction", image)):
        if not np.isfinite(values).all():
            raise UnimriError(f"the {name} holds values that are not finite, so it has no PSNR or SSIM")
    if truth.shape != image.shape:
        raise ValueError(f"truth and reconstruction do not have the same dimensions: {truth.shape}, {image.shape}")


def slice_columns(settings: MetricSettings) -> list[str]:
    """The metrics' columns of a slices' CSV, in order."""
    scored = scored_metrics(settings)
    return [*in_convention(scored, UNIT_RANGE), *in_convention(scored, SLICE_MAXIMUM)]


def volume_columns(settings: MetricSettings) -> list[str]:
    """The metrics' columns of a volumes' CSV, in order."""
    return list(in_convention(scored_metrics(settings), VOLUME_MAXIMUM))


def volumes_file(scores: Path) -> Path:
    """The volumes' CSV beside a slices' CSV: `brain.volumes.csv` beside `brain.csv`."""
    return scores.with_suffix(f".volumes{scores.suffix}")


def write_scores(path: Path, rows: Iterable[Any], settings: MetricSettings) -> None:
    """Write a slices' CSV; metrics have six decimals, so equal scores are equal bytes.

    Parameters
    ----------
    rows : of each slice `IDENTITY`, `SLICE`, `slice_columns` and `CHANGE`; by name, or in this order.
    """
    _write(path, rows, [*IDENTITY, SLICE, *slice_columns(settings), CHANGE])


def write_volume_scores(path: Path, rows: Iterable[Any], settings: MetricSettings) -> None:
    """Write a volumes' CSV: rows of `IDENTITY` and `volume_columns`, as in `write_scores`."""
    _write(path, rows, [*IDENTITY, *volume_columns(settings)])


def _write(path: Path, rows: Iterable[Any], columns: list[str]) -> None:
    frame = pd.DataFrame(list(rows), columns=columns)
    write_csv(path, frame, noted=True)


def read_scores(paths: Iterable[Path], settings: MetricSettings | None = None) -> pd.DataFrame:
    """Read slices' CSVs into one frame, one row a slice.

    Parameters
    ----------
    settings : with which they were scored; None: as by default. Further columns are left out.

    Returns
    -------
    frame of `IDENTITY`, `SLICE`, `slice_columns` and `CHANGE`; acceleration, metrics and change are float64, seed and
    slice int64, and the others str. Metrics by a slice's own range or norm, and the change, are NaN where they are
    missing.

    Raises
    ------
    UnimriError : when there are no files, or when one is missing, is empty, lacks a column, or holds a value
        that is no finite number where one belongs. The message names the file.
    """
    scored = scored_metrics(settings or MetricSettings())
    conventions = [convention for convention in CONVENTIONS if not convention.whole]
    columns = _columns(scored, conventions) | {CHANGE: True}
    return _read(paths, [*IDENTITY, SLICE], columns)


def read_volume_scores(paths: Iterable[Path], settings: MetricSettings | None = None) -> pd.DataFrame:
    """Read volumes' CSVs into one frame of `IDENTITY` and `volume_columns`; metrics are NaN where they are missing.

    Parameters, Raises
    ------------------
    as in `read_scores`.
    """
    return _read(paths, IDENTITY, _columns(scored_metrics(settings or MetricSettings()), [VOLUME_MAXIMUM]))


def _columns(scored: Sequence[Metric], conventions: Sequence[Convention]) -> dict[str, bool]:
    """The metrics' columns in some conventions, and of each whether values may be missing."""
    return {column: convention.own_range for convention in conventions for column in in_convention(scored, convention)}


def _read(paths: Iterable[Path], names: Sequence[str], columns: dict[str, bool]) -> pd.DataFrame:
    frames = [_read_file(path, names, columns) for path in paths]
    if not frames:
        raise UnimriError("no metrics files were given, so there is nothing to tabulate")
    return pd.concat(frames, ignore_index=True)


def _read_file(path: Path, names: Sequence[str], metric_columns: dict[str, bool]) -> pd.DataFrame:
    """A file's frame; of each metric's column whether values may be missing."""
    columns = [*names, *metric_columns]
    mend = "score again to write it"
    check_noted(path)
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
    for column in (name for name in columns if name in (*_WHOLE, *_NUMBERS, *metric_columns)):
        values = pd.to_numeric(frame[column], errors="coerce").astype("float64")
        right = np.isfinite(values) | ((frame[column] == "") & metric_columns.get(column, False))
        if not right.all():
            raise UnimriError(f"{path}: line {int(np.argmin(right)) + 2}, column {column}: not a finite number; {mend}")
        frame[column] = values.astype("int64") if column in _WHOLE else values
    return frame[columns]
