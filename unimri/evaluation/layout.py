"""The layout of Table 1, ours and the paper's alike: which rows, which columns, which cells."""

import pandas as pd

KEYS = ("acceleration", "method", "metric")
"""The columns that name a row; the others are anatomies, and `average`."""

AVERAGE = "average"

METRIC_LABELS = {"psnr_db": "PSNR", "ssim_percent": "SSIM"}
"""The metrics by their names in files, in the order of Table 1."""

ROBUSTNESS_COLUMNS = ["acceleration", "seed", "condition", "method", "anatomy", "volume", "slice", *METRIC_LABELS]
MATRIX_COLUMNS = ["acceleration", "seed", "anatomy", "aspin", "volume", "slice", *METRIC_LABELS]
FORGETTING_COLUMNS = [
    "acceleration",
    "seed",
    "way",
    "new",
    "anatomy",
    "slices",
    "before",
    "after",
    "largest_pixel_change",
]
"""Columns of the files that the studies' scores are in."""

Cell = tuple[float, str, str, str]
"""Acceleration, method, metric, and anatomy or `average`."""


def anatomies_of(table: pd.DataFrame) -> list[str]:
    """Anatomies of a table, in its order."""
    return [column for column in table.columns if column not in (*KEYS, AVERAGE)]


def cells(table: pd.DataFrame) -> dict[Cell, float]:
    """Values of a table by their cell; NaN where the table has none."""
    rows = list(table[list(KEYS)].itertuples(index=False, name=None))
    return {
        (acceleration, method, metric, column): float(value)
        for column in (*anatomies_of(table), AVERAGE)
        if column in table
        for (acceleration, method, metric), value in zip(rows, table[column], strict=True)
    }


def best(table: pd.DataFrame) -> set[Cell]:
    """Cells that are the highest of their column among the methods at one acceleration, before rounding."""
    values = cells(table)
    highest: dict[tuple[float, str, str], float] = {}
    for (acceleration, _, metric, anatomy), value in values.items():
        column = (acceleration, metric, anatomy)
        # NaN compares false, so a missing value is never the highest.
        if value > highest.get(column, float("-inf")):
            highest[column] = value
    return {cell for cell, value in values.items() if value == highest.get((cell[0], cell[2], cell[3]))}
