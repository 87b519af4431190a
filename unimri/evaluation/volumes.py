"""Scores of a whole volume in fastMRI's convention, and the CSV files that hold them."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unimri.evaluation.metrics import (
    MetricSettings,
    normalised_error,
    psnr,
    read_score_rows,
    score_slice,
    write_score_rows,
)


class WholeScore(NamedTuple):
    """What a reconstruction of one volume scores; NaN, each of them, where the fully sampled volume is all zero."""

    nmse: float
    psnr_db: float
    ssim_percent: float


class VolumeScore(NamedTuple):
    """One row of a volumes' CSV; as `unimri.evaluation.metrics.SliceScore`."""

    mask: str
    acceleration: float
    seed: int
    method: str
    anatomy: str
    patient: str
    volume: str
    nmse: float
    psnr_db: float
    ssim_percent: float


VOLUME_COLUMNS = VolumeScore._fields
"""The columns of a volumes' CSV, in order."""

WHOLE_METRICS = WholeScore._fields
"""Those of them that are metrics."""


def volumes_file(scores: Path) -> Path:
    """The volumes' CSV beside a metrics CSV: `brain.volumes.csv` beside `brain.csv`."""
    return scores.with_suffix(f".volumes{scores.suffix}")


def score_volume(reference: NDArray[np.floating[Any]], reconstruction: NDArray[np.floating[Any]]) -> WholeScore:
    """Score a volume as `fastmri/evaluate.py` of facebookresearch/fastMRI does.

    NMSE and PSNR are over all voxels at once, SSIM is the mean over the slices, in a uniform window of 7 pixels. The
    data range of both is the fully sampled volume's maximum. Here all is in float64, and PSNR has the ceiling of
    `unimri.evaluation.metrics.score_slice`. A volume is what the manifest calls one: of a 4D cardiac file all its
    slices at all times.

    Parameters
    ----------
    reference, reconstruction : real (slices, H, W), magnitudes on one scale.

    Raises
    ------
    UnimriError : when either holds a value that is not finite, or the window is larger than a slice.
    ValueError : when the shapes differ.
    """
    maximum = float(reference.max())
    if maximum == 0:
        return WholeScore(math.nan, math.nan, math.nan)
    settings = MetricSettings(data_range=maximum)
    slices = [score_slice(truth, image, settings) for truth, image in zip(reference, reconstruction, strict=True)]
    return WholeScore(
        normalised_error(reference, reconstruction),
        psnr(reference, reconstruction, maximum),
        float(np.mean([score.ssim_percent for score in slices])),
    )


def write_volume_scores(path: Path, rows: Iterable[VolumeScore]) -> None:
    """Write a volumes' CSV, one row a volume."""
    write_score_rows(path, pd.DataFrame(list(rows), columns=list(VOLUME_COLUMNS)))


def read_volume_scores(paths: Iterable[Path]) -> pd.DataFrame:
    """Read volumes' CSVs into one frame of the columns `VOLUME_COLUMNS`; metrics are NaN where they are missing.

    Raises
    ------
    UnimriError : as `unimri.evaluation.metrics.read_scores`.
    """
    return read_score_rows(paths, VOLUME_COLUMNS, {"seed"}, {"acceleration"}, set(WHOLE_METRICS))
