"""The page's first section: what was run, on what, what came out, and what falls short, all from the results."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unimri.evaluation.averages import AVERAGE
from unimri.report.catalogue import TABLES
from unimri.report.experiment import Experiment
from unimri.report.tables import (
    Row,
    best_of,
    decimals,
    metric_of,
    metric_title,
    rate,
    read_number,
    read_rows,
    verdict_state,
)
from unimri.training.methods import method

FEW_PATIENTS = 10
"""Fewer test patients of an anatomy than this are called few."""

STATES = ("held", "in part", "not held", "not checked")
"""Verdicts on a claim."""

PAPER_SIZE = 320
"""Side of the paper's images, in pixels."""


@dataclass(frozen=True)
class Averages:
    """Averages over the anatomies: columns by acceleration and metric, rows by method."""

    columns: list[str]
    rows: list[tuple[str, bool, list[tuple[str, bool]]]]


@dataclass(frozen=True)
class Claims:
    """How many of the paper's claims came out, by verdict, and those that did not hold.

    Attributes
    ----------
    counts : by verdict.
    others : what the paper states, where, the verdict in full and in short.
    """

    counts: dict[str, int]
    others: list[tuple[str, str, str, str]]


def describe_network(experiment: Experiment) -> str:
    """The network in one line."""
    settings = dict(experiment.network)
    name = str(settings.pop("name", "network"))
    described = [f"{key.replace('_', ' ')} {value}" for key, value in settings.items()]
    return f"{name.upper()} ({', '.join(described)})"


def methods_of(table1: list[Row]) -> list[str]:
    """Labels of the methods of Table 1, in its order."""
    return [method(key).title for key in dict.fromkeys(row["method"] for row in table1)]


def averages(table1: list[Row], path: Path) -> Averages:
    """Take the averages from Table 1; the best of each column is marked."""
    places = list(dict.fromkeys((row["acceleration"], row["metric"]) for row in table1))
    values = {(row["method"], row["acceleration"], row["metric"]): read_number(row, AVERAGE, path) for row in table1}
    best = {
        place: best_of({"metric": place[1]}, (value for key, value in values.items() if key[1:] == place))
        for place in places
    }
    rows = []
    for key in dict.fromkeys(row["method"] for row in table1):
        shown = []
        for place in places:
            value, metric = values.get((key, *place), math.nan), metric_of({"metric": place[1]})
            shown.append((decimals(value, metric.decimals if metric else 2), value == best[place]))
        rows.append((method(key).title, key == "proposed", shown))
    return Averages([f"{rate(acceleration)} {metric_title(metric)}" for acceleration, metric in places], rows)


def claims(tables: Path) -> Claims | None:
    """Count the claims by verdict."""
    path = tables / "claims.csv"
    if not path.is_file():
        return None
    _, rows = read_rows(path, ["statement", "where", "verdict"])
    found = Counter(verdict_state(row["verdict"]) for row in rows)
    others = [
        (row["statement"], row["where"], row["verdict"], state)
        for row in rows
        if (state := verdict_state(row["verdict"])) != "held"
    ]
    # The expected ones in their order, then whatever else there is.
    return Claims({state: found[state] for state in dict.fromkeys((*STATES, *found)) if found[state]}, others)


def orderings(tables: Path) -> str:
    """Say how many of the paper's orderings came out; nothing when they were not compared."""
    path = tables / "orderings.csv"
    if not path.is_file():
        return ""
    _, rows = read_rows(path, ["held", "published_held"])
    papers = [row for row in rows if row["published_held"] == "True"]
    held = sum(row["held"] == "True" for row in papers)
    return f"{held} of {len(papers)} of the paper's orderings came out: Proposed strictly above the other method."


def shortcomings(
    tables: Path, experiment: Experiment, origins: Mapping[str, str], data: list[Row], found: Claims | None
) -> list[str]:
    """Say what these results cannot show, as far as it can be told from them."""
    said = []
    if simulated := [name for name, origin in origins.items() if origin == "simulated"]:
        whole = "Every anatomy is" if len(simulated) == len(origins) else f"{_listed(simulated)}:"
        said.append(f"{whole} simulated. These numbers say nothing about scans of patients.")
    if len(experiment.seeds) == 1:
        said.append("One seed: how much a result varies from training to training is not known.")
    elif len(experiment.seeds) < 3:
        said.append(f"{len(experiment.seeds)} seeds are too few for a deviation that can be relied on.")
    few = {
        row["anatomy"]: int(read_number(row, "patients", tables / "data.csv"))
        for row in data
        if row["split"] == "test" and read_number(row, "patients", tables / "data.csv") < FEW_PATIENTS
    }
    if few:
        counts = _listed([f"{name} {count}" for name, count in few.items()])
        said.append(f"Few test patients ({counts}): differences between methods may be those between patients.")
    size = experiment.preparation.image_size
    if size != PAPER_SIZE:
        said.append(f"Images of {size} × {size} pixels; the paper's are {PAPER_SIZE} × {PAPER_SIZE}.")
    if found is None:
        said.append("The paper's claims were not checked one by one.")
    elif unchecked := found.counts.get("not checked", 0):
        said.append(f"{unchecked} of the paper's claims could not be checked with this experiment.")
    missing = [entry.title.split(":")[0] for entry in TABLES if not (tables / entry.file).is_file()]
    if missing:
        said.append(f"Not made: {'; '.join(missing)}.")
    return said


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
