"""The paper's claims, one by one: what it states, what its own tables say of it, and what came out here; as files too.

`published/claims.csv` has a row for each claim. Its column `order` says which rows of a table stand above which, best
first: "proposed > independent shared" are two orderings, and so are "proposed > independent > shared". They are stated
for each of its accelerations, metrics and anatomies. A claim that something is below a limit has the limit as its size.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import interval_number, markdown_table, write_csv
from unimri.evaluation.averages import AVERAGE, anatomies_of, cells, read_frame
from unimri.evaluation.markdown import TITLES, heading_of
from unimri.evaluation.paper import PAPERS_PARAMETERS, parameter_table, published
from unimri.evaluation.statistics import FEW_PATIENTS, Pair, StatisticsSettings, rounded_difference
from unimri.evaluation.study_tables import layer_rows, published_s2
from unimri.metrics.base import metric_of

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
_ROWS = 40
_COUNTS = ("held", "supported", "contradicted")

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
    """What came out of an ordering: above minus below, in the metric's unit, with its interval.

    `sign` is -1 where the lowest is the best in that metric, else 1.
    """

    value: float
    low: float
    high: float
    few_patients: bool
    sign: float = 1

    @property
    def held(self) -> bool:
        """Whether above is strictly better."""
        return self.sign * self.value > 0

    @property
    def supported(self) -> bool:
        """Whether all of the interval is on that side."""
        return self.sign * self.low > 0 and self.sign * self.high > 0

    @property
    def contradicted(self) -> bool:
        """Whether all of it is on the other side."""
        return self.sign * self.low < 0 and self.sign * self.high < 0


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

    An ordering can be checked when its acceleration, metric, anatomy and methods are here; an average, when the
    anatomies are the paper's own. It is held when the difference is above zero, supported when its whole interval is,
    and contradicted when all of that is below zero; the other way round in a metric of which the lowest is the best.
    Parameters are counted: they are supported or contradicted.

    Parameters
    ----------
    compared : from `unimri.evaluation.statistics.compare`, of `claimed_pairs` and maybe others.
    parameters : from `unimri.evaluation.paper.parameter_table`.
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
    own, comparable = _parameter_cells(parameters), set(anatomies) == set(anatomies_of(published()))
    place = ["acceleration", "metric", "anatomy", "above", "below"]
    found = {
        tuple(row[name] for name in place): row
        for row in compared.to_dict("records")
        if comparable or row["anatomy"] != AVERAGE
    }

    def came_out(claim: Claim, ordering: Ordering) -> Difference | None:
        if claim.table == "parameters":
            value = _difference(own, ordering, claim.size)
            return Difference(value, value, value, False)
        *column, above, below = ordering
        row = found.get((*column, _key(claim.table, above, layer), _key(claim.table, below, layer)))
        if row is None:
            return None
        sign = _sign(claim, ordering)
        return Difference(row["difference"], row["low"], row["high"], row["few_patients"], sign)

    printed = {
        "table1": cells(published()),
        "table_s2": cells(published_s2()),
        "parameters": _parameter_cells(parameter_table(*PAPERS_PARAMETERS)),
    }
    summaries, rows = [], []
    for claim in claims():
        theirs = [_difference(printed[claim.table], ordering, claim.size) for ordering in claim.orderings]
        results = [came_out(claim, ordering) for ordering in claim.orderings]
        checked = [result for result in results if result is not None]
        held = sum(result.held for result in checked)
        signs = [_sign(claim, ordering) for ordering in claim.orderings]
        summaries.append(
            (
                claim.claim,
                claim.where,
                claim.statement,
                len(checked),
                held,
                sum(result.supported for result in checked),
                sum(result.contradicted for result in checked),
                _verdict(claim, len(checked), held, compared, anatomies),
                sum(result.few_patients for result in checked),
                len(claim.orderings),
                sum(sign * difference > 0 for sign, difference in zip(signs, theirs, strict=True)),
                _size(claim, results),
                claim.note,
            )
        )
        for ordering, result, printed_, sign in zip(claim.orderings, results, theirs, signs, strict=True):
            here = (math.nan, math.nan, math.nan, None, None) if result is None else (*result[:4], result.held)
            rows.append((claim.claim, *ordering, *here, printed_, sign * printed_ > 0))
    orderings = pd.DataFrame(rows, columns=list(CLAIM_ORDERING_COLUMNS))
    kinds = {"few_patients": "boolean", "held": "boolean"}
    return pd.DataFrame(summaries, columns=list(CLAIM_COLUMNS)), orderings.astype(kinds)


def _sign(claim: Claim, ordering: Ordering) -> float:
    return 1 if claim.table == "parameters" else metric_of(ordering.metric).gain(1)


def _parameter_cells(table: pd.DataFrame) -> dict[Any, float]:
    """Values by method and metric."""
    rows = table.to_dict("records")
    return {(row["method"], metric): float(row[metric]) for row in rows for metric in row if metric != "method"}


def _difference(values: Mapping[Any, float], ordering: Ordering, limit: float) -> float:
    """Above minus below, of a table's cells, or of the parameters'."""
    acceleration, metric, anatomy, *names = ordering
    above, below = ((acceleration, name, metric, anatomy) if anatomy else (name, metric) for name in names)
    return rounded_difference({**values, (_LIMIT, metric): limit}, above, below)


def _verdict(claim: Claim, checked: int, held: int, compared: pd.DataFrame, anatomies: Sequence[str]) -> str:
    if checked:
        if held in (0, checked):
            return "held" if held else "not held"
        return f"held in part ({held} of {checked})"
    accelerations, metrics, columns = ({ordering[place] for ordering in claim.orderings} for place in (0, 1, 2))
    if not accelerations & set(compared["acceleration"]):
        return "not checked here (its accelerations are others)"
    if not metrics & set(compared["metric"]):
        return "not checked here (its metrics are not in the table)"
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
    unit = metric_of(claim.orderings[0].metric).unit
    shown = [
        f"{result.value:+.2f} {unit} ({ordering.acceleration:g}×)"
        for ordering, result in zip(claim.orderings, results, strict=True)
        if result is not None
    ]
    return f"claimed about {claim.size:+.1f} {unit}; here {', '.join(shown) or 'not known'}"


def write_claims(
    found: pd.DataFrame,
    orderings: pd.DataFrame,
    anatomies: Mapping[str, str],
    statistics: StatisticsSettings,
    output: Path,
) -> None:
    """Write `claims.csv`, `claims_orderings.csv` and `claims.md` to a folder.

    Parameters
    ----------
    found, orderings : from `check_claims`.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    statistics : how the intervals were made.
    """
    write_csv(output / "claims.csv", found)
    write_csv(output / "claims_orderings.csv", orderings)
    sections = [
        "# The paper's claims",
        f"## {heading_of(anatomies)}",
        summary(found),
        "What the paper states (Liu et al., MICCAI 2021), as orderings of its tables' rows. An ordering is held when "
        f"the difference is above zero; it is supported when its whole {statistics.percent} interval over patients is, "
        "and contradicted when all of it is below. A claim that could be checked in part counts as far as it could.",
        *_few(found),
        _claims_table(found),
        *_notes(found),
        *_failed(orderings, statistics),
    ]
    write_text(output / "claims.md", "\n\n".join(sections) + "\n")


def summary(found: pd.DataFrame) -> str:
    """Say in one line how many of the claims came out; of a frame with the columns `CLAIM_COLUMNS`."""
    checked = found[found["orderings"] > 0]
    held = int((checked["held"] == checked["orderings"]).sum())
    none = int((checked["held"] == 0).sum())
    return (
        f"Of the paper's {len(found)} claims {held} held, {len(checked) - held - none} held in part, {none} did not "
        f"hold, and {len(found) - len(checked)} could not be checked here."
    )


def read_summary(folder: Path) -> str:
    """The line of `summary` from the `claims.csv` in a folder of tables.

    Raises
    ------
    UnimriError : when the file cannot be read.
    """
    return summary(read_frame(folder / "claims.csv", CLAIM_COLUMNS, "a list of claims"))


def _few(found: pd.DataFrame) -> list[str]:
    few, checked = int(found["few_patients"].sum()), int(found["orderings"].sum())
    if not few:
        return []
    return [
        f"**Few patients**: {few} of the {checked} orderings rest on fewer than {FEW_PATIENTS} test patients of an "
        "anatomy. Their intervals are too narrow, and what they support or contradict here says little."
    ]


def _claims_table(found: pd.DataFrame) -> str:
    header = [
        "Claim",
        "Where",
        "The paper states",
        "Verdict",
        *map(str.capitalize, _COUNTS),
        "In the paper's own table",
    ]
    return markdown_table(
        header,
        [
            [
                row["claim"],
                row["where"],
                row["statement"] + (f" ({row['size']})" if row["size"] else ""),
                row["verdict"],
                *(f"{row[name]} of {row['orderings']}" if row["orderings"] else "–" for name in _COUNTS),
                f"{row['published_held']} of {row['stated']}",
            ]
            for row in found.to_dict("records")
        ],
        text_columns=4,
    )


def _notes(found: pd.DataFrame) -> list[str]:
    notes = [f"- {row['claim']}: {row['note']}" for row in found.to_dict("records") if row["note"]]
    return ["How they were read:", "\n".join(notes)]


def _failed(orderings: pd.DataFrame, statistics: StatisticsSettings) -> list[str]:
    failed = orderings[~orderings["held"].fillna(True).astype(bool) & (orderings["anatomy"] != "")]
    keys = ["acceleration", "metric", "anatomy", "above", "below"]
    names = failed.groupby(keys, sort=False)["claim"].agg(", ".join)
    failed = failed.drop_duplicates(keys)
    if failed.empty:
        return []
    rows = [
        [
            f"{row['acceleration']:g}×",
            metric_of(row["metric"]).title,
            row["anatomy"],
            f"{_label(row['above'])} over {_label(row['below'])}",
            interval_number(row["difference"], row["low"], row["high"], 3) + ("°" if row["few_patients"] else ""),
            f"{row['published_difference']:+.2f}",
            names[tuple(row[key] for key in keys)],
        ]
        for row in failed.head(_ROWS).to_dict("records")
    ]
    header = ["", "Metric", "Anatomy", "Ordering", f"Here [{statistics.percent}]", "In the paper", "Claims"]
    more = [f"{len(failed) - _ROWS} more are in `claims_orderings.csv`."] if len(failed) > _ROWS else []
    return [
        "## Orderings that did not come out",
        f"° fewer than {FEW_PATIENTS} patients.",
        markdown_table(header, rows, text_columns=4),
        *more,
    ]


def _label(row: str) -> str:
    """What a row of Table 1 or S2 is called."""
    return TITLES.get(row) or ("no layer" if row == "none" else f"layer {row}")
