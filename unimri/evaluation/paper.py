"""The paper's numbers (Liu et al., MICCAI 2021, on its own data), ours beside them, and its orderings in ours."""

import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal

import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import decimals, markdown_table, write_csv
from unimri.evaluation.averages import AVERAGE, KEYS, Cell, anatomies_of, cells
from unimri.evaluation.statistics import NO_INTERVAL, of_proposed, rounded_difference, tally, verdicts
from unimri.metrics.base import metric_of
from unimri.training.methods import method

ORDERING_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "other",
    "proposed_value",
    "other_value",
    "difference",
    "low",
    "high",
    "verdict",
    "better_seeds",
    "seeds",
    "published_difference",
    "published_held",
)
PAPERS_PARAMETERS = (144650, 1280, 5)
"""The paper's own: of its backbone, of a set of ASPIN, and how many anatomies it has."""


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


def printed(paper: pd.DataFrame, anatomies: Sequence[str]) -> dict[Cell, float]:
    """Values of a table of the paper, by cell, that can stand beside ours.

    Its averages are there only when the anatomies are the same ones: averages over others do not compare.
    """
    same = set(anatomies) == set(anatomies_of(paper))
    return {cell: value for cell, value in cells(paper).items() if same or cell[3] != AVERAGE}


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
    theirs, ours = printed(paper, anatomies), cells(table)
    rows = [
        (acceleration, key, metric, column, ours[cell], theirs[cell], round(ours[cell] - theirs[cell], 6))
        for acceleration, key, metric in table[list(KEYS)].itertuples(index=False, name=None)
        for column in (*anatomies, AVERAGE)
        if not math.isnan(theirs.get(cell := (acceleration, key, metric, column), math.nan) + ours[cell])
    ]
    return pd.DataFrame(rows, columns=[*KEYS, "anatomy", "ours", "published", "difference"])


def orderings(found: pd.DataFrame, anatomies: Sequence[str], paper: pd.DataFrame) -> pd.DataFrame:
    """Judge the paper's ordering: is Proposed better than each other method, where the paper has it so?

    Parameters
    ----------
    found : from `unimri.evaluation.statistics.compare`.
    anatomies : of our table.
    paper : the paper's Table 1, from `published`.

    Returns
    -------
    frame with the columns `ORDERING_COLUMNS`; the verdict is by the interval. `published_difference` (float64, NaN)
    and `published_held` (boolean, NA) are missing where the paper makes no such comparison: another anatomy or
    acceleration, a method or metric of ours, an average over other anatomies.
    """
    own = of_proposed(found).rename(columns={"above_value": "proposed_value", "below_value": "other_value"})
    theirs = printed(paper, anatomies)
    differences, held = [], []
    for acceleration, metric, anatomy, other in own[["acceleration", "metric", "anatomy", "other"]].to_numpy().tolist():
        pair = ((acceleration, name, metric, anatomy) for name in ("proposed", other))
        differences.append(rounded_difference(theirs, *pair))
        held.append(pd.NA if math.isnan(differences[-1]) else metric_of(metric).gain(differences[-1]) > 0)
    papers = pd.Series(held, dtype="boolean")
    own = own.assign(verdict=verdicts(own), published_difference=differences, published_held=papers)
    return own[list(ORDERING_COLUMNS)].astype({"published_difference": "float64"})


def above_of(frame: pd.DataFrame) -> str:
    """What the first of a pair is when it is supported: above the other, or better than it where a lower metric is."""
    return "better than" if any(metric_of(column).lower_is_better for column in frame["metric"].unique()) else "above"


def summary(frame: pd.DataFrame) -> str:
    """Say in one line what the intervals say of the paper's orderings.

    Parameters
    ----------
    frame : from `orderings`.
    """
    if frame.empty:
        return "Nothing to compare: Proposed and another method must both be in the table."
    papers = frame["published_held"].fillna(False).astype(bool)
    others = frame["published_held"].isna()
    line = f"The paper's orderings, Proposed above the other: {tally(frame.loc[papers, 'verdict'])}."
    if others.any():
        line += (
            f" Comparisons that the paper does not make, Proposed {above_of(frame[others])} the other: "
            f"{tally(frame.loc[others, 'verdict'])}."
        )
    if without := int(frame["low"].isna().sum()):
        line += f" {without} of all {len(frame)} have no interval ({NO_INTERVAL}), and are undecided."
    return line


def parameter_table(backbone: int, aspin: int, anatomies: int) -> pd.DataFrame:
    """Count the parameters with which each method reconstructs all anatomies (the paper's section 3.4).

    Parameters
    ----------
    backbone : parameters of one backbone without ASPIN; the paper's D5C5 has 144,650.
    aspin : parameters of one anatomy's set of ASPIN; the paper's has 1,280.
    anatomies : number of anatomies.

    Returns
    -------
    frame with the columns method (key), parameters (int, in all), times_backbone (in all, in units of one
    backbone), for_each_anatomy (int, what one more anatomy adds) and for_each_anatomy_percent (the same, in
    percent of one backbone).
    """
    rows = [
        ("shared", backbone, 0),
        ("independent", anatomies * backbone, backbone),
        ("proposed", backbone + anatomies * aspin, aspin),
    ]
    return pd.DataFrame(
        [(key, total, total / backbone, added, 100 * added / backbone) for key, total, added in rows],
        columns=["method", "parameters", "times_backbone", "for_each_anatomy", "for_each_anatomy_percent"],
    )


def write_parameters(backbone: int, aspin: int, anatomies: int, output: Path) -> None:
    """Write `parameters.csv` and `parameters.md` to the folder `output`; arguments as `parameter_table`."""
    table = parameter_table(backbone, aspin, anatomies)
    write_csv(output / "parameters.csv", table)
    body = markdown_table(
        ["Method", "Parameters", "In backbones", "Added for each anatomy", "% of a backbone"],
        [
            [method(key).title, f"{total:,}", f"{decimals(times)}×", f"{added:,}", decimals(percent)]
            for key, total, times, added, percent in table.itertuples(index=False)
        ],
    )
    caption = (
        f"For {anatomies} anatomies. One backbone has {backbone:,} parameters and one anatomy's set of ASPIN "
        f"{aspin:,}, which is {decimals(100 * aspin / backbone)} % of it. The paper (section 3.4) counts 144,650 "
        'and 1,280, and says that this is "less than 0.1%": a slip, 1,280 / 144,650 is 0.88 %.'
    )
    write_text(output / "parameters.md", f"# Parameters\n\n{body}\n\n{caption}\n")
