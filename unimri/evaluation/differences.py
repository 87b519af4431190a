"""The one table of differences between methods: which is better, by how much, and in how many seeds.

`unimri.evaluation.statistics.compare` adds how sure they are. Orderings, comparisons and claims are read from it.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from unimri.evaluation.averages import AVERAGE, anatomies_of, cells
from unimri.evaluation.paper import comparable
from unimri.metrics.base import metric_of
from unimri.training.methods import METHODS

DIFFERENCE_COLUMNS = (
    "acceleration",
    "metric",
    "anatomy",
    "above",
    "below",
    "above_value",
    "below_value",
    "difference",
    "held",
    "held_seeds",
    "seeds",
)
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


class Pair(NamedTuple):
    """Two methods, by key, the one that should be better first; differences are `above` minus `below`."""

    above: str
    below: str


PROPOSED_PAIRS = tuple(Pair("proposed", known.key) for known in METHODS if known.key != "proposed")
"""Proposed and each other method of Table 1, in its order."""


def differences(table: pd.DataFrame, pairs: Sequence[Pair], by_seed: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Take the differences of pairs of methods, in every column of a table.

    A pair is held when the first is strictly better, in all decimals of the table, in the direction of the metric: a
    tie is not held.

    Parameters
    ----------
    table : from `unimri.evaluation.averages.averages`.
    pairs : methods to compare.
    by_seed : the same of each seed alone.

    Returns
    -------
    frame with the columns `DIFFERENCE_COLUMNS`, one row for each acceleration, metric, pair, and anatomy or `average`
    for which the table has both values, in this order. `difference` is in the metric's unit, to six decimals; in
    `held_seeds` of `seeds` (int64) the pair is held too.
    """
    values, alone = cells(table), [cells(one) for one in by_seed]
    rows: list[dict[str, Any]] = []
    for acceleration in table["acceleration"].unique():
        for column in table["metric"].unique():
            metric = metric_of(column)
            for pair in pairs:
                for anatomy in (*anatomies_of(table), AVERAGE):
                    above, below = ((acceleration, name, column, anatomy) for name in pair)
                    difference = _difference(values, above, below)
                    if math.isnan(difference):
                        continue
                    rows.append(
                        {
                            "acceleration": acceleration,
                            "metric": column,
                            "anatomy": anatomy,
                            "above": pair.above,
                            "below": pair.below,
                            "above_value": values[above],
                            "below_value": values[below],
                            "difference": difference,
                            "held": metric.gain(difference) > 0,
                            "held_seeds": sum(metric.gain(_difference(one, above, below)) > 0 for one in alone),
                            "seeds": len(alone),
                        }
                    )
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).astype({"difference": "float64", "held": "bool"})


def _difference(values: dict[Any, float], above: Any, below: Any) -> float:
    return round(values.get(above, math.nan) - values.get(below, math.nan), 6)


def of_proposed(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of differences that compare Proposed with another method of Table 1, called `other`."""
    rows = found[(found["above"] == "proposed") & found["below"].isin([pair.below for pair in PROPOSED_PAIRS])]
    return rows.drop(columns="above").rename(columns={"below": "other"}).reset_index(drop=True)


def orderings(found: pd.DataFrame, anatomies: Sequence[str], published: pd.DataFrame) -> pd.DataFrame:
    """Say whether the paper's ordering comes out: is Proposed better than each other method, where the paper has it so?

    Parameters
    ----------
    found : from `differences`, or from `unimri.evaluation.statistics.compare`.
    anatomies : of our table.
    published : the paper's Table 1, from `unimri.evaluation.paper.published`.

    Returns
    -------
    frame with the columns `ORDERING_COLUMNS`. `published_difference` (float64, NaN) and `published_held` (boolean, NA)
    are missing where the paper makes no such comparison: another anatomy or acceleration, a method or metric of ours,
    an average over other anatomies.
    """
    own = of_proposed(found).rename(columns={"above_value": "proposed_value", "below_value": "other_value"})
    theirs = cells(comparable(published, list(own["acceleration"].unique()), anatomies))
    printed, held = [], []
    for acceleration, metric, anatomy, other in own[["acceleration", "metric", "anatomy", "other"]].to_numpy().tolist():
        pair = ((acceleration, name, metric, anatomy) for name in ("proposed", other))
        printed.append(_difference(theirs, *pair))
        held.append(pd.NA if math.isnan(printed[-1]) else metric_of(metric).gain(printed[-1]) > 0)
    own = own.assign(published_difference=printed, published_held=pd.Series(held, dtype="boolean"))
    return own[list(ORDERING_COLUMNS)].astype({"published_difference": "float64"})


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
