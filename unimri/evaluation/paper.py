"""The numbers that the paper publishes: Liu et al., MICCAI 2021, on its own data."""

import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal

import pandas as pd

from unimri.evaluation.layout import AVERAGE, KEYS, anatomies_of, cells


def published(name: Literal["table1", "table_s2"] = "table1") -> pd.DataFrame:
    """Give a table of the paper: Table 1, or Table S2 of its supplement (which layer to distil).

    Returns
    -------
    frame with the columns acceleration (float64), method or distilled_layer (str), metric (str: psnr_db or
    ssim_percent), one for each anatomy of the paper and `average` (float64; NaN where the paper prints none).
    """
    with (files("unimri.evaluation") / "published" / f"{name}.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, keep_default_na=False, na_values=[""])
    return frame.astype({"acceleration": "float64"})


def comparable(paper: pd.DataFrame, accelerations: Sequence[float], anatomies: Sequence[str]) -> pd.DataFrame:
    """Restrict the paper's Table 1 to what can stand beside ours.

    Parameters
    ----------
    paper : frame with Table 1's columns, from `published`.
    accelerations, anatomies : what our table has.

    Returns
    -------
    frame with the rows of these accelerations and the columns of these anatomies, in our order. It has
    `average` only when the anatomies are the same ones: averages over different anatomies do not compare.
    """
    common = [anatomy for anatomy in anatomies if anatomy in anatomies_of(paper)]
    average = [AVERAGE] if set(anatomies) == set(anatomies_of(paper)) else []
    rows = paper["acceleration"].isin(list(accelerations))
    return paper.loc[rows, [*KEYS, *common, *average]].reset_index(drop=True)


def beside(table: pd.DataFrame, paper: pd.DataFrame) -> pd.DataFrame:
    """Set our numbers beside the paper's, one row for each that both have.

    The paper's are of other data, and of another mask: a difference says how alike the two settings are, and not how
    well the method was reproduced.

    Parameters
    ----------
    table, paper : frames with Table 1's columns; the paper's whole.

    Returns
    -------
    frame with the columns acceleration, method, metric, anatomy (or `average`, when the anatomies are the same ones),
    ours, published, difference (ours minus published; float64), in our order.
    """
    anatomies = anatomies_of(table)
    theirs = cells(comparable(paper, list(table["acceleration"].unique()), anatomies))
    ours = cells(table)
    rows = [
        (acceleration, method, metric, column, ours[cell], theirs[cell], round(ours[cell] - theirs[cell], 6))
        for acceleration, method, metric in table[list(KEYS)].itertuples(index=False, name=None)
        for column in (*anatomies, AVERAGE)
        if not math.isnan(theirs.get(cell := (acceleration, method, metric, column), math.nan) + ours[cell])
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "anatomy", "ours", "published", "difference"])
