"""The paper's claims, one by one: what it states, what its own tables say of it, and what came out here.

`published/claims.csv` has a row for each claim. Its column `order` says which rows of a table stand above which, best
first: "proposed > independent shared" are two orderings, and so are "proposed > independent > shared". They are stated
for each of its accelerations, metrics and anatomies. A claim that something is below a limit has the limit as its size.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple, cast

import pandas as pd

from unimri.evaluation.layers import layer_rows, published_s2
from unimri.evaluation.layout import AVERAGE, anatomies_of, cells
from unimri.evaluation.paper import published
from unimri.evaluation.parameters import PAPERS_PARAMETERS, parameter_table
from unimri.evaluation.statistics import Pair

CLAIM_COLUMNS = (
    "claim",
    "where",
    "statement",
    "orderings",
    "held",
    "supported",
    "contradicted",
    "verdict",
    "few_patients",
    "stated",
    "published_held",
    "size",
    "note",
)
CLAIM_ORDERING_COLUMNS = (
    "claim",
    "acceleration",
    "metric",
    "anatomy",
    "above",
    "below",
    "difference",
    "low",
    "high",
    "few_patients",
    "held",
    "published_difference",
    "published_held",
)

# The row of a limit, in the table of parameters.
_LIMIT = "limit"
_UNITS = {"psnr_db": "dB", "ssim_percent": "%"}

TableName = Literal["table1", "table_s2", "parameters"]


class Ordering(NamedTuple):
    """One row above another, of one column of a table; parameters have no acceleration (NaN) and no anatomy."""

    acceleration: float
    metric: str
    anatomy: str
    above: str
    below: str


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes
    ----------
    claim : its name.
    where : where the paper states it.
    statement : what it states, in short.
    table : where its rows are.
    orderings : that it implies.
    size : by about how much, in the metric's unit, or a limit; NaN when the paper does not say.
    note : how it was read, and what is wrong with it.
    """

    claim: str
    where: str
    statement: str
    table: TableName
    orderings: tuple[Ordering, ...]
    size: float
    note: str


class Difference(NamedTuple):
    """What came out of an ordering: above minus below, in the metric's unit, with its interval."""

    value: float
    low: float
    high: float
    few_patients: bool


Found = Mapping[tuple[TableName, Ordering], Difference]
"""What came out of each ordering that could be checked."""


def claims() -> list[Claim]:
    """Every claim of the paper that says what is above what."""
    with (files("unimri.evaluation") / "published" / "claims.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False).to_dict("records")
    return [
        Claim(
            row["claim"],
            row["where"],
            row["statement"],
            cast(TableName, row["table"]),
            tuple(_stated(row)),
            float(row["size"] or "nan"),
            row["note"],
        )
        for row in rows
    ]


def _stated(row: Mapping[Any, str]) -> Iterator[Ordering]:
    accelerations = [float(value) for value in row["accelerations"].split()] or [math.nan]
    steps = [step.split() for step in row["order"].split(" > ")]
    for column in product(accelerations, row["metrics"].split(), row["anatomies"].split() or [""]):
        for better, worse in pairwise(steps):
            for above, below in product(better, worse):
                yield Ordering(*column, above, below)


def claimed_pairs(layer: int) -> list[Pair]:
    """The methods that the claims compare, by key; `layer` is the one that Proposed distils."""
    pairs = [
        Pair(*(_key(claim.table, name, layer) for name in (ordering.above, ordering.below)))
        for claim in claims()
        for ordering in claim.orderings
        if claim.table != "parameters"
    ]
    return list(dict.fromkeys(pairs))


def _key(table: TableName, row: str, layer: int) -> str:
    """The method of a table's row."""
    if table == "table1":
        return row
    return {name: key for key, name in layer_rows(layer).items()}.get(row, f"layer{row}")


def check_claims(
    compared: pd.DataFrame, parameters: pd.DataFrame, anatomies: Sequence[str], layer: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check every claim, and every single ordering that it implies.

    An ordering can be checked when its acceleration, anatomy and methods are here; an average, when the anatomies are
    the paper's own. It is held when the difference is above zero, supported when its interval's lower end is too, and
    contradicted when the upper end is below zero. Parameters are counted: they are supported or contradicted.

    Parameters
    ----------
    compared : from `unimri.evaluation.statistics.compare`, of `claimed_pairs`.
    parameters : from `unimri.evaluation.parameters.parameter_table`.
    anatomies : of our tables.
    layer : that Proposed distils.

    Returns
    -------
    claims : frame with the columns `CLAIM_COLUMNS`: of the orderings that are `stated`, so many `orderings` could be
        checked here, of which so many were `held`, `supported`, `contradicted`, and rest on `few_patients`; of those
        stated the paper's own table bears out `published_held`. `verdict` and `size` are in words.
    orderings : frame with the columns `CLAIM_ORDERING_COLUMNS`, one row for each that is stated; what came out is
        missing where it could not be checked.
    """
    found, own = _found(compared, anatomies, layer), _parameter_cells(parameters)
    printed = {
        "table1": cells(published()),
        "table_s2": cells(published_s2()),
        "parameters": _parameter_cells(parameter_table(*PAPERS_PARAMETERS)),
    }
    summaries, rows = [], []
    for claim in claims():
        theirs = [_difference(printed[claim.table], ordering, claim.size) for ordering in claim.orderings]
        if claim.table == "parameters":
            counted = [_difference(own, ordering, claim.size) for ordering in claim.orderings]
            results: list[Difference | None] = [Difference(value, value, value, False) for value in counted]
        else:
            results = [found.get((claim.table, ordering)) for ordering in claim.orderings]
        checked = [result for result in results if result is not None]
        held = sum(result.value > 0 for result in checked)
        summaries.append(
            (
                claim.claim,
                claim.where,
                claim.statement,
                len(checked),
                held,
                sum(result.low > 0 for result in checked),
                sum(result.high < 0 for result in checked),
                _verdict(claim, len(checked), held, compared, anatomies),
                sum(result.few_patients for result in checked),
                len(claim.orderings),
                sum(difference > 0 for difference in theirs),
                _size(claim, results),
                claim.note,
            )
        )
        for ordering, result, published_ in zip(claim.orderings, results, theirs, strict=True):
            came_out = (math.nan, math.nan, math.nan, None, None) if result is None else (*result, result.value > 0)
            rows.append((claim.claim, *ordering, *came_out, published_, published_ > 0))
    orderings = pd.DataFrame(rows, columns=list(CLAIM_ORDERING_COLUMNS))
    kinds = {"few_patients": "boolean", "held": "boolean"}
    return pd.DataFrame(summaries, columns=list(CLAIM_COLUMNS)), orderings.astype(kinds)


def _found(compared: pd.DataFrame, anatomies: Sequence[str], layer: int) -> Found:
    comparable = set(anatomies) == set(anatomies_of(published()))
    rows_s2 = layer_rows(layer)
    found: dict[tuple[TableName, Ordering], Difference] = {}
    for row in compared.to_dict("records"):
        if row["anatomy"] == AVERAGE and not comparable:
            continue
        difference = Difference(row["difference"], row["low"], row["high"], row["few_patients"])
        column = row["acceleration"], row["metric"], row["anatomy"]
        found["table1", Ordering(*column, row["above"], row["below"])] = difference
        names = (rows_s2.get(key, key.removeprefix("layer")) for key in (row["above"], row["below"]))
        found["table_s2", Ordering(*column, *names)] = difference
    return found


def _parameter_cells(table: pd.DataFrame) -> dict[Any, float]:
    """Values by method and metric."""
    rows = table.to_dict("records")
    return {(row["method"], metric): float(row[metric]) for row in rows for metric in row if metric != "method"}


def _difference(values: Mapping[Any, float], ordering: Ordering, limit: float) -> float:
    """Above minus below, of a table's cells, or of the parameters'."""
    acceleration, metric, anatomy, *names = ordering
    above, below = (
        limit if name == _LIMIT else values[(name, metric) if not anatomy else (acceleration, name, metric, anatomy)]
        for name in names
    )
    return round(above - below, 6)


def _verdict(claim: Claim, checked: int, held: int, compared: pd.DataFrame, anatomies: Sequence[str]) -> str:
    if checked:
        if held in (0, checked):
            return "held" if held else "not held"
        return f"held in part ({held} of {checked})"
    accelerations, columns = ({ordering[place] for ordering in claim.orderings} for place in (0, 2))
    if not accelerations & set(compared["acceleration"]):
        return "not checked here (its accelerations are others)"
    if not columns & {*anatomies, AVERAGE}:
        return "not checked here (its anatomies are others)"
    if columns == {AVERAGE} and set(anatomies) != set(anatomies_of(published())):
        return "not checked here (its average is over other anatomies)"
    if claim.table == "table_s2":
        return "not checked here (its layers were not distilled)"
    return "not checked here (its methods are not in the table)"


def _size(claim: Claim, results: Sequence[Difference | None]) -> str:
    """Our differences beside the size that is claimed, in words; empty for a limit and when none is claimed."""
    if math.isnan(claim.size) or claim.table == "parameters":
        return ""
    unit = _UNITS[claim.orderings[0].metric]
    shown = [
        f"{result.value:+.2f} {unit} ({ordering.acceleration:g}×)"
        for ordering, result in zip(claim.orderings, results, strict=True)
        if result is not None
    ]
    return f"claimed about {claim.size:+.1f} {unit}; here {', '.join(shown) or 'not known'}"
