"""Frames as CSV and as markdown, in one fixed form, so that equal results are equal bytes."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from unimri.core.artifacts import noting, replacing

# Who prints a number waits for no pandas.
if TYPE_CHECKING:
    import pandas as pd


def in_file(value: Any) -> str:
    """Give a number as files have it: six decimals, and below one six significant digits, which are more."""
    return f"{value:.6g}" if abs(value) < 1 else f"{value:.6f}"


def write_csv(path: Path, frame: "pd.DataFrame", noted: bool = False) -> None:
    """Write a frame as CSV: numbers as `in_file`, accelerations as short as can be, nothing for a missing value.

    What is computed with later is `noted`, see `unimri.core.artifacts.noting`.
    """
    if "acceleration" in frame:
        frame = frame.assign(acceleration=[f"{value:g}" for value in frame["acceleration"]])
    with (noting if noted else replacing)(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=in_file, lineterminator="\n", encoding="utf-8")


def decimals(value: float, digits: int = 2, signed: bool = False) -> str:
    """Give a score, or a difference of scores, as every table, page and figure shows it: the one place that rounds.

    With the paper's two decimals, a true minus sign, and thousands set apart; a dash where it is missing.
    """
    if math.isnan(value):
        return "–"
    text = f"{value:{'+' if signed else ''},.{digits}f}"
    # What rounds to nothing has no sign.
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "−")


def spread_number(value: float, deviation: float, digits: int = 2, mark: str = "") -> str:
    """Give a score between two `mark`s, with its deviation over seeds where there is one."""
    spread = "" if math.isnan(deviation) or deviation == 0 else f" ± {decimals(deviation, digits)}"
    return f"{mark}{decimals(value, digits)}{mark}{spread}"


def interval_number(value: float, low: float, high: float, digits: int = 2) -> str:
    """Give a difference with its sign and its interval, where there is one."""
    ends = "" if math.isnan(low) else f" [{decimals(low, digits, True)}, {decimals(high, digits, True)}]"
    return decimals(value, digits, True) + ends


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
