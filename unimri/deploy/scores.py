"""Scores of reconstructions of one's own scans, as CSV: volumes are known by number, so that no name is in it."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from unimri.core.text import write_csv
from unimri.metrics.score import Score

if TYPE_CHECKING:
    from unimri.deploy.reconstruct import Outcome

ZERO_FILLING = "zero filling"

_METRICS = ["zero_filled_psnr_db", "zero_filled_ssim_percent", "psnr_db", "ssim_percent"]
_COLUMNS = ["volume", "slice", "model", "anatomy", "acceleration", *_METRICS]


def mean_score(scores: Sequence[Score]) -> Score:
    """Mean PSNR (dB) and SSIM (percent) over slices; at least one."""
    return Score(*np.mean(scores, axis=0).tolist())


def write_scores(outcomes: Iterable["Outcome"], path: Path) -> None:
    """Write one row a slice: volume (its number in the input, from 1), slice (from 0), and scores of both methods."""
    rows = [
        {
            "volume": outcome.number,
            "slice": place,
            "model": outcome.model,
            "anatomy": outcome.anatomy,
            "acceleration": round(outcome.acceleration, 4),
            "zero_filled_psnr_db": before.psnr_db,
            "zero_filled_ssim_percent": before.ssim_percent,
            "psnr_db": after.psnr_db,
            "ssim_percent": after.ssim_percent,
        }
        for outcome in outcomes
        for place, (before, after) in enumerate(zip(outcome.zero_filled, outcome.own, strict=True))
    ]
    write_csv(path, pd.DataFrame(rows, columns=_COLUMNS))


def named_gain(name: str, scores: Mapping[str, Score]) -> str:
    """Say what a new anatomy's ASPIN gains over zero filling and over the best of the others."""
    own = scores[name]
    others = {other: score for other, score in scores.items() if other not in (name, ZERO_FILLING)}
    nearest = max(others, key=lambda other: others[other].psnr_db)
    said = ", ".join(f"{own.psnr_db - scores[other].psnr_db:+.2f} dB over {other}" for other in (ZERO_FILLING, nearest))
    return f"{name}: {own.psnr_db:.2f} dB, {own.ssim_percent:.2f} % on test patients; {said}"
