"""Figures of the studies beside Table 1, from their tables."""

from pathlib import Path
from typing import Literal

import pandas as pd

from unimri.core.errors import UnimriError
from unimri.evaluation.figures import adaptation_figure, matrix_figure

PictureName = Literal["adaptation", "aspin_matrix"]


def draw_study(study: PictureName, table: Path, acceleration: float, title: str, output: Path) -> None:
    """Draw one acceleration of `adaptation.csv` or `aspin_matrix.csv`, in PSNR.

    Raises
    ------
    UnimriError : when the table is missing, is damaged, or has no such acceleration.
    """
    try:
        frame = pd.read_csv(table, dtype={"patients": str}, keep_default_na=False, na_values=[""])
        rows = frame[(frame["acceleration"] == acceleration) & (frame["metric"] == "psnr_db")]
    except (OSError, ValueError, KeyError) as fault:
        raise UnimriError(f"{table}: cannot be read ({fault}); make it again") from None
    if rows.empty:
        raise UnimriError(f"{table}: has no rows at {acceleration:g}x; make it again")
    (adaptation_figure if study == "adaptation" else matrix_figure)(rows, title, output)
