"""Does the paper's ordering come out: is Proposed above each other method, wherever the paper has it so?"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from unimri.evaluation.layout import AVERAGE, anatomies_of, cells
from unimri.evaluation.paper import comparable
from unimri.training.methods import METHODS

ORDERING_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "other",
    "proposed_value",
    "other_value",
    "difference",
    "held",
    "held_seeds",
    "seeds",
    "published_difference",
    "published_held",
)


def orderings(table: pd.DataFrame, published: pd.DataFrame, by_seed: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Compare Proposed with each other method that is in the table.

    An ordering is held when Proposed's value is strictly greater, in all decimals of the table: a tie is not
    held.

    Parameters
    ----------
    table : frame with Table 1's columns.
    published : the paper's Table 1, from `unimri.evaluation.paper.published`.
    by_seed : Table 1 of each seed alone.

    Returns
    -------
    frame with the columns `ORDERING_COLUMNS`, one row for each acceleration, metric, other method, and
    anatomy or `average` for which the table has both values. `difference` is Proposed minus the other, in the
    metric's unit; in `held_seeds` of `seeds` it is greater than zero. `published_difference` (float64, NaN) and
    `published_held` (boolean, NA) are missing where the paper makes no such comparison: another anatomy or
    acceleration, a method of ours, an average over other anatomies.
    """
    anatomies = anatomies_of(table)
    paper = comparable(published, list(table["acceleration"].unique()), anatomies)
    ours, theirs, alone = cells(table), cells(paper), [cells(one) for one in by_seed]
    missing = float("nan")
    rows: list[dict[str, Any]] = []
    for acceleration in table["acceleration"].unique():
        for metric in table["metric"].unique():
            for other in (method.key for method in METHODS if method.key != "proposed"):
                for anatomy in (*anatomies, AVERAGE):
                    above = (acceleration, "proposed", metric, anatomy)
                    below = (acceleration, other, metric, anatomy)
                    difference = ours.get(above, missing) - ours.get(below, missing)
                    printed = theirs.get(above, missing) - theirs.get(below, missing)
                    if math.isnan(difference):
                        continue
                    rows.append(
                        {
                            "acceleration": acceleration,
                            "metric": metric,
                            "anatomy": anatomy,
                            "other": other,
                            "proposed_value": ours[above],
                            "other_value": ours[below],
                            "difference": difference,
                            "held": difference > 0,
                            "held_seeds": sum(one[above] > one[below] for one in alone),
                            "seeds": len(alone),
                            "published_difference": printed,
                            "published_held": pd.NA if math.isnan(printed) else printed > 0,
                        }
                    )
    frame = pd.DataFrame(rows, columns=list(ORDERING_COLUMNS))
    return frame.astype({"held": "bool", "published_difference": "float64", "published_held": "boolean"})


def summary(frame: pd.DataFrame) -> str:
    """Say in one line how many of the paper's orderings came out.

    Parameters
    ----------
    frame : from `orderings`.
    """
    if frame.empty:
        return "Nothing to compare: Proposed and another method must both be in the table."
    papers = frame["published_held"].fillna(False).astype(bool)
    others = frame["published_held"].isna()
    line = (
        f"{int(frame.loc[papers, 'held'].sum())} of {int(papers.sum())} of the paper's orderings came out "
        "(Proposed strictly above)."
    )
    if others.any():
        line += (
            f" Of {int(others.sum())} comparisons that the paper does not make, Proposed is above in "
            f"{int(frame.loc[others, 'held'].sum())}."
        )
    return line
