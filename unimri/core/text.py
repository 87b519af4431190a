"""Frames as CSV and as markdown, in one fixed form, so that equal results are equal bytes."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from unimri.core.artifacts import noting, replacing


def write_csv(path: Path, frame: pd.DataFrame, small: Iterable[str] = (), noted: bool = False) -> None:
    """Write a frame as CSV: six decimals, accelerations as short as can be, nothing for a missing value.

    Columns that are `small` would show as zero what is not: they have six significant digits. What is computed with
    later is `noted`, see `unimri.core.artifacts.noting`.
    """
    short = {column: ["" if math.isnan(value) else f"{value:.6g}" for value in frame[column]] for column in small}
    frame = frame.assign(**short)
    if "acceleration" in frame:
        frame = frame.assign(acceleration=[f"{value:g}" for value in frame["acceleration"]])
    with (noting if noted else replacing)(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6f", lineterminator="\n", encoding="utf-8")


def number(value: float, mark: str = "", decimals: int = 2) -> str:
    """Give a metric, with the paper's two decimals, between two `mark`s; a dash where it is missing."""
    return "–" if math.isnan(value) else f"{mark}{value:.{decimals}f}{mark}"


def spread_number(value: float, deviation: float, mark: str = "", decimals: int = 2) -> str:
    """Give a metric as `number` does, with its deviation over seeds where there is one."""
    spread = "" if math.isnan(deviation) or deviation == 0 else f" ± {deviation:.{decimals}f}"
    return number(value, mark, decimals) + spread


def interval_number(value: float, low: float, high: float, decimals: int = 2) -> str:
    """Give a difference with its sign and its interval, where there is one; a dash where it is missing."""
    if math.isnan(value):
        return "–"
    interval = "" if math.isnan(low) else f" [{low:+.{decimals}f}, {high:+.{decimals}f}]"
    return f"{value:+.{decimals}f}{interval}"


def listed(words: Sequence[str]) -> str:
    """Give words as a sentence lists them: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    """Give a pipe table; the first `text_columns` columns are aligned left and the others right."""

    def escape(cell: str) -> str:
        return cell.replace("|", "\\|").replace("\n", " ")

    return str(
        tabulate(
            [[escape(cell) for cell in row] for row in rows],
            headers=[escape(cell) for cell in header],
            tablefmt="pipe",
            disable_numparse=True,
            colalign=["left"] * text_columns + ["right"] * (len(header) - text_columns),
        )
    )
