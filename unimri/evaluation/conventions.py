"""The same results in several conventions of PSNR, SSIM and NMSE, so that papers can be compared with."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unimri.evaluation.averages import averages
from unimri.evaluation.layout import KEYS
from unimri.evaluation.metrics import METRICS, OWN_METRICS
from unimri.evaluation.text import significant, write_csv
from unimri.evaluation.volumes import WHOLE_METRICS

CONVENTION = "convention"

# NMSE is small.
_DECIMALS = 12

_PLAIN = {"psnr_slice_max_db": "psnr_db", "ssim_slice_max_percent": "ssim_percent"}


def conventions(scores: pd.DataFrame, volumes: pd.DataFrame, anatomies: Sequence[str]) -> pd.DataFrame:
    """Average scores in each convention.

    - `unit_range`: that of Table 1, a fixed data range; means over slices.
    - `slice_maximum`: the range is each fully sampled slice's maximum, NMSE is of a slice; means over the slices that
      are not all zero.
    - `volume_maximum`: fastMRI's, the range is each fully sampled volume's maximum, PSNR and NMSE are of whole volumes;
      means over volumes.

    NMSE has no range, so `unit_range` has none of its own.

    Parameters
    ----------
    scores, volumes : from `unimri.evaluation.metrics.read_scores`, `unimri.evaluation.volumes.read_volume_scores`.
    anatomies : in the order of the columns.

    Returns
    -------
    frame with the columns convention, acceleration, method, metric (psnr_db, ssim_percent, nmse), the anatomies and
    average; as `unimri.evaluation.averages.averages`.
    """
    tables = {
        "unit_range": averages(scores, anatomies, METRICS, _DECIMALS),
        "slice_maximum": averages(scores, anatomies, (*OWN_METRICS[1:], OWN_METRICS[0]), _DECIMALS),
        "volume_maximum": averages(volumes, anatomies, (*WHOLE_METRICS[1:], WHOLE_METRICS[0]), _DECIMALS),
    }
    frames = [table.assign(**{CONVENTION: name}) for name, table in tables.items()]
    frame = pd.concat(frames, ignore_index=True).replace({"metric": _PLAIN})
    return frame[[CONVENTION, *(column for column in frame if column != CONVENTION)]]


def write_conventions(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame from `conventions` as CSV, with six significant digits: NMSE is small."""
    shown = frame.copy()
    for column in frame.columns.drop([CONVENTION, *KEYS]):
        shown[column] = [significant(value) for value in frame[column]]
    write_csv(path, shown)
