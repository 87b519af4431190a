"""The page's first words: what was measured, which claims do not hold, and how Proposed stands to the others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unimri.core.text import decimals, listed
from unimri.evaluation.averages import AVERAGE
from unimri.evaluation.claims import NOT_CHECKED, state_of
from unimri.evaluation.statistics import CONTRADICTED, FEW_PATIENTS, NO_INTERVAL, SUPPORTED, UNDECIDED
from unimri.report.tables import Row, best_of, metric_of, metric_title, rate, read_number, read_rows
from unimri.training.methods import method

WORST_FIRST = (CONTRADICTED, UNDECIDED, SUPPORTED)
"""Verdicts, in the order in which the page says them."""

STATES = (*WORST_FIRST, NOT_CHECKED)
"""What a claim can be."""

_TRAINED = ("independent", "shared", "without_distillation")


@dataclass(frozen=True)
class Compared:
    """Proposed beside another method: the gain with its interval in words, and the verdict."""

    text: str
    state: str


@dataclass(frozen=True)
class Claim:
    """A claim: what the paper states and where, the verdict in full and in short."""

    statement: str
    where: str
    verdict: str
    state: str


@dataclass(frozen=True)
class Answer:
    """The first words.

    Attributes
    ----------
    claims : how many are what, in a sentence; empty when they were not checked.
    measured : on what, in a sentence.
    rates : by acceleration: which method is best on average, and Proposed beside the others, the worst first.
    warning : of intervals that say little; empty when there are none.
    """

    claims: str
    measured: str
    rates: list[tuple[str, str, list[Compared]]]
    warning: str


def read_claims(tables: Path) -> list[Claim]:
    """The claims with their verdicts, the worst first; empty when they were not checked."""
    path = tables / "claims.csv"
    if not path.is_file():
        return []
    _, rows = read_rows(path, ["statement", "where", "verdict"])
    found = [Claim(row["statement"], row["where"], row["verdict"], state_of(row["verdict"])) for row in rows]
    return sorted(found, key=lambda claim: STATES.index(claim.state) if claim.state in STATES else len(STATES))


def answer(
    tables: Path, table1: Sequence[Row], claims: Sequence[Claim], origins: Mapping[str, str], data: Sequence[Row]
) -> Answer:
    """Say what came out, in the first of Table 1's metrics.

    Parameters
    ----------
    tables : the folder, with `comparisons.csv` or without.
    table1 : rows of Table 1.
    claims : from `read_claims`.
    origins : whether each anatomy is 'simulated' or 'real'.
    data : rows of `data.csv`, or none.
    """
    path, metric = tables / "comparisons.csv", next(row["metric"] for row in table1)
    compared: list[Row] = []
    if path.is_file():
        needed = ["acceleration", "metric", "anatomy", "other", "difference", "low", "high", "verdict"]
        _, rows = read_rows(path, needed)
        own = [row for row in rows if row["metric"] == metric and row["anatomy"] == AVERAGE]
        compared = [row for row in own if row["other"] in _TRAINED]
    rates = []
    for acceleration in dict.fromkeys(row["acceleration"] for row in table1):
        values = {
            row["method"]: read_number(row, AVERAGE, tables / "table1.csv")
            for row in table1
            if (row["acceleration"], row["metric"]) == (acceleration, metric)
        }
        beside = [_compared(row, path) for row in compared if rate(row["acceleration"]) == rate(acceleration)]
        beside.sort(key=lambda one: WORST_FIRST.index(one.state) if one.state in WORST_FIRST else 0)
        rates.append((rate(acceleration), _best(values, metric), beside))
    warning = ""
    if any(not row["low"] for row in compared):
        warning = f"Without an interval ({NO_INTERVAL}) nothing is decided."
    elif any(row.get("few_patients") == "True" for row in compared):
        warning = f"With fewer than {FEW_PATIENTS} test patients of an anatomy the intervals are too narrow."
    return Answer(_claims(claims), _measured(table1, origins, data, tables), rates, warning)


def _claims(claims: Sequence[Claim]) -> str:
    if not claims:
        return ""
    counts = {state: sum(claim.state == state for claim in claims) for state in STATES}
    unchecked = f"; {counts[NOT_CHECKED]} could not be checked" if counts[NOT_CHECKED] else ""
    return (
        f"Of the paper's {len(claims)} claims the intervals contradict {counts[CONTRADICTED]}, leave "
        f"{counts[UNDECIDED]} undecided and support {counts[SUPPORTED]}{unchecked}."
    )


def _measured(table1: Sequence[Row], origins: Mapping[str, str], data: Sequence[Row], tables: Path) -> str:
    names = [metric_title(name) for name in dict.fromkeys(row["metric"] for row in table1)]
    count = len({row["method"] for row in table1})
    kinds = {kind: [name for name, own in origins.items() if own == kind] for kind in ("simulated", "real")}
    where = listed([f"{kind} scans of {listed(own)}" for kind, own in kinds.items() if own])
    tests = [read_number(row, "patients", tables / "data.csv") for row in data if row["split"] == "test"]
    patients = f" ({sum(tests):.0f} test patients)" if tests else ""
    return f"Measured: {listed(names)} of {count} methods on {where}{patients}."


def _best(values: Mapping[str, float], metric: str) -> str:
    """Which method has the best average; and Proposed's, where that is another."""
    best = best_of({"metric": metric}, values.values())
    if math.isnan(best):
        return "No method has an average."
    found = metric_of({"metric": metric})
    unit, digits = (found.unit, found.decimals) if found else ("", 2)

    def said(value: float) -> str:
        return f"{decimals(value, digits)} {unit}".strip()

    names = listed([method(key).title for key, value in values.items() if value == best])
    text = f"the best average is {names}'s, {said(best)}"
    own = values.get("proposed", math.nan)
    return text if math.isnan(own) or own == best else f"{text}; Proposed has {said(own)}"


def _compared(row: Row, path: Path) -> Compared:
    metric = metric_of(row)
    digits = metric.decimals if metric else 2
    middle, low, high = (
        decimals(read_number(row, name, path), digits, signed=True) for name in ("difference", "low", "high")
    )
    unit = f" {metric.unit}" if metric and metric.unit else ""
    interval = f" [{low}, {high}]" if row["low"] else ""
    return Compared(f"{middle}{unit}{interval} against {method(row['other']).title}", row["verdict"])
