"""The paper's claims, one by one: what it states, what its own tables say of it, and what came out here; as files too.

`published/claims.csv` has a row for each claim. Its column `order` says which rows of a table stand above which, best
first: "proposed > independent shared" are two orderings, and so are "proposed > independent > shared". They are stated
for each of its accelerations, metrics and anatomies. A claim that something is below a limit has the limit as its size.
"""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import decimals, interval_number, markdown_table, write_csv
from unimri.evaluation.averages import AVERAGE, anatomies_of, cells, read_frame
from unimri.evaluation.markdown import TITLES, heading_of
from unimri.evaluation.paper import PAPERS_PARAMETERS, parameter_table, published
from unimri.evaluation.statistics import (
    CONTRADICTED,
    FEW_PATIENTS,
    NO_INTERVAL,
    SUPPORTED,
    UNDECIDED,
    VERDICTS,
    Pair,
    StatisticsSettings,
    rounded_difference,
    tally,
    verdict,
)
from unimri.evaluation.study_tables import layer_rows, published_s2
from unimri.metrics.base import metric_of

CLAIM_COLUMNS = (
    "claim",
    "where",
    "statement",
    "orderings",
    *VERDICTS,
    "without_interval",
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
    "verdict",
    "published_difference",
    "published_held",
)

NOT_CHECKED = "not checked"
"""The beginning of what is said of a claim without a verdict."""

# The row of a limit, in the table of parameters.
_LIMIT = "limit"
_ROWS = 40
_PLACE = ["acceleration", "metric", "anatomy", "above", "below"]


def claims() -> pd.DataFrame:
    """Every claim of the paper that says what is above what: `published/claims.csv`, as text but for the size.

    That is about how much is claimed, in the metric's unit, or a limit; NaN when the paper does not say. `note` says
    how a claim was read, and what is wrong with it.
    """
    with (files("unimri.evaluation") / "published" / "claims.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    return frame.assign(size=pd.to_numeric(frame["size"]))


def _stated() -> pd.DataFrame:
    """Every ordering that they imply, of one column of a table: claim, table, size, and the columns `_PLACE`.

    Parameters have no acceleration (NaN) and no anatomy.
    """
    rows = []
    for claim in claims().to_dict("records"):
        accelerations = [float(value) for value in claim["accelerations"].split()] or [math.nan]
        steps = [step.split() for step in claim["order"].split(" > ")]
        for column in product(accelerations, claim["metrics"].split(), claim["anatomies"].split() or [""]):
            for better, worse in pairwise(steps):
                for names in product(better, worse):
                    rows.append((claim["claim"], claim["table"], claim["size"], *column, *names))
    return pd.DataFrame(rows, columns=["claim", "table", "size", *_PLACE])


def _pairs(stated: pd.DataFrame, layer: int) -> list[Pair]:
    """The methods that orderings compare, by key; `layer` is the one that Proposed distils."""
    of_layers = {name: key for key, name in layer_rows(layer).items()}

    def key(table: str, row: str) -> str:
        return of_layers.get(row, f"layer{row}") if table == "table_s2" else row

    rows = stated[["table", "above", "below"]].itertuples(index=False, name=None)
    return [Pair(key(table, above), key(table, below)) for table, above, below in rows]


def claimed_pairs(layer: int) -> list[Pair]:
    """The methods that the claims compare, by key; `layer` is the one that Proposed distils."""
    stated = _stated()
    return list(dict.fromkeys(_pairs(stated[stated["table"] != "parameters"], layer)))


def check_claims(
    compared: pd.DataFrame, parameters: pd.DataFrame, anatomies: Sequence[str], layer: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check every claim, and every single ordering that it implies.

    An ordering can be checked when its acceleration, metric, anatomy and methods are here; an average, when the
    anatomies are the paper's own. It is supported when its whole interval is above zero, contradicted when all of that
    is below, and else undecided; the other way round in a metric of which the lowest is the best. Parameters are
    counted: they are supported or contradicted. A claim is contradicted when one of its orderings is, supported when
    all are, and else undecided.

    Parameters
    ----------
    compared : from `unimri.evaluation.statistics.compare`, of `claimed_pairs` and maybe others.
    parameters : from `unimri.evaluation.paper.parameter_table`.
    anatomies : of our tables.
    layer : that Proposed distils.

    Returns
    -------
    claims : frame with the columns `CLAIM_COLUMNS`: of the orderings that are `stated`, so many `orderings` could be
        checked here, of which so many were `supported`, `contradicted`, `undecided`, of those so many
        `without_interval`, and rest on `few_patients`; of those stated the paper's own table bears out
        `published_held`. `verdict` and `size` are in words.
    orderings : frame with the columns `CLAIM_ORDERING_COLUMNS`, one row for each that is stated; what came out is
        missing where it could not be checked.
    """
    stated = _stated()
    pairs = pd.DataFrame(_pairs(stated, layer))
    found = compared if _same_anatomies(anatomies) else compared[compared["anatomy"] != AVERAGE]
    here = found.set_index(_PLACE)[["difference", "low", "high", "few_patients"]]
    here = here.reindex(pd.MultiIndex.from_frame(stated.assign(above=pairs["above"], below=pairs["below"])[_PLACE]))
    here = here.reset_index(drop=True).astype({"few_patients": "boolean"})
    counted = stated["table"] == "parameters"
    ours = _differences(stated[counted], {"parameters": _parameter_cells(parameters)})
    for column in ("difference", "low", "high"):
        here.loc[counted, column] = ours
    here.loc[counted, "few_patients"] = False
    theirs = _differences(
        stated,
        {
            "table1": cells(published()),
            "table_s2": cells(published_s2()),
            "parameters": _parameter_cells(parameter_table(*PAPERS_PARAMETERS)),
        },
    )
    sign = np.array([metric_of(name).gain(1) for name in stated["metric"].where(~counted, "psnr_db")])
    checked, published_held = here["difference"].notna(), sign * np.array(theirs) > 0
    ends = zip(sign * here["low"], sign * here["high"], strict=True)
    judged = pd.Series([verdict(*both) for both in ends], dtype=object).where(checked)
    orderings = stated[["claim", *_PLACE]].join(here)
    orderings = orderings.assign(verdict=judged, published_difference=theirs, published_held=published_held)
    counts = pd.DataFrame(
        {
            "orderings": checked,
            **{name: judged == name for name in VERDICTS},
            "without_interval": checked & here["low"].isna(),
            "few_patients": here["few_patients"].fillna(False).astype(bool),
            "stated": True,
            "published_held": published_held,
        }
    )
    whole = claims().merge(counts.groupby(stated["claim"]).sum(), left_on="claim", right_index=True)
    own = dict(list(orderings.groupby("claim")))
    rows = whole.to_dict("records")
    whole["verdict"] = [_verdict(row, own[row["claim"]], compared, anatomies) for row in rows]
    whole["size"] = [_size(row, own[row["claim"]]) for row in rows]
    return whole[list(CLAIM_COLUMNS)], orderings[list(CLAIM_ORDERING_COLUMNS)]


def _same_anatomies(anatomies: Sequence[str]) -> bool:
    """Whether they are the paper's own: averages over others do not compare."""
    return set(anatomies) == set(anatomies_of(published()))


def _parameter_cells(table: pd.DataFrame) -> dict[Any, float]:
    """Values as `unimri.evaluation.averages.cells` gives them, without acceleration and anatomy."""
    rows = table.to_dict("records")
    return {("", row["method"], metric, ""): float(row[metric]) for row in rows for metric in row if metric != "method"}


def _differences(stated: pd.DataFrame, values: Mapping[str, Mapping[Any, float]]) -> list[float]:
    """Above minus below of each ordering, by the cells of its table."""
    found = []
    for row in stated.to_dict("records"):
        acceleration, metric, anatomy = row["acceleration"] if row["anatomy"] else "", row["metric"], row["anatomy"]
        above, below = ((acceleration, row[side], metric, anatomy) for side in ("above", "below"))
        limit = {("", _LIMIT, metric, ""): row["size"]}
        found.append(rounded_difference({**values[row["table"]], **limit}, above, below))
    return found


def _verdict(claim: Mapping[Any, Any], own: pd.DataFrame, compared: pd.DataFrame, anatomies: Sequence[str]) -> str:
    if claim["orderings"]:
        return _judged(claim)
    accelerations, metrics, columns = (set(own[name]) for name in ("acceleration", "metric", "anatomy"))
    if not accelerations & set(compared["acceleration"]):
        return "not checked here (its accelerations are others)"
    if not metrics & set(compared["metric"]):
        return "not checked here (its metrics are not in the table)"
    if not columns & {*anatomies, AVERAGE}:
        return "not checked here (its anatomies are others)"
    if columns == {AVERAGE} and not _same_anatomies(anatomies):
        return "not checked here (its average is over other anatomies)"
    if claim["table"] == "table_s2":
        return "not checked here (its layers were not distilled)"
    return "not checked here (its methods are not in the table)"


def _judged(claim: Mapping[Any, Any]) -> str:
    """All orderings must be supported, and one that is contradicted refutes the claim; how many are which is said."""
    found = [name for name in VERDICTS for _ in range(claim[name])]
    state = next((name for name in (CONTRADICTED, UNDECIDED) if claim[name]), SUPPORTED)
    text = state if len(found) == 1 else f"{state} ({tally(found)})"
    return text + (f"; {claim['without_interval']} without an interval" if claim["without_interval"] else "")


def _size(claim: Mapping[Any, Any], own: pd.DataFrame) -> str:
    """Our differences beside the size that is claimed, in words; empty for a limit and when none is claimed."""
    if math.isnan(claim["size"]) or claim["table"] == "parameters":
        return ""
    unit, known = metric_of(own["metric"].iloc[0]).unit, own.dropna(subset="difference").to_dict("records")
    shown = [f"{decimals(row['difference'], signed=True)} {unit} ({row['acceleration']:g}×)" for row in known]
    return f"claimed about {decimals(claim['size'], 1, signed=True)} {unit}; here {', '.join(shown) or 'not known'}"


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
        "What the paper states (Liu et al., MICCAI 2021), as orderings of its tables' rows. An ordering is supported "
        f"when its whole {statistics.percent} interval over patients is on its side of zero, contradicted when all of "
        "it is on the other, and undecided when it holds zero. A claim is contradicted when one of its orderings is, "
        "supported when all are, and else undecided. One that could be checked in part counts as far as it could.",
        *_few(found),
        _claims_table(found),
        *_notes(found),
        *_failed(orderings, statistics),
    ]
    write_text(output / "claims.md", "\n\n".join(sections) + "\n")


def summary(found: pd.DataFrame) -> str:
    """Say in one line how many of the claims came out; of a frame with the columns `CLAIM_COLUMNS`."""
    states = [state_of(text) for text in found["verdict"]]
    unchecked = len(found) - sum(state in VERDICTS for state in states)
    more = f"; {unchecked} could not be checked here" if unchecked else ""
    return f"The paper's claims, by the intervals of their comparisons: {tally(states)}{more}."


def state_of(text: str) -> str:
    """The verdict at the beginning of a claim's words, or 'not checked'; other words as they are."""
    return next((state for state in (*VERDICTS, NOT_CHECKED) if text.startswith(state)), text)


def read_summary(folder: Path) -> str:
    """The line of `summary` from the `claims.csv` in a folder of tables.

    Raises
    ------
    UnimriError : when the file cannot be read.
    """
    return summary(read_frame(folder / "claims.csv", CLAIM_COLUMNS, "a list of claims"))


def _few(found: pd.DataFrame) -> list[str]:
    few, checked = int(found["few_patients"].sum()), int(found["orderings"].sum())
    without = int(found["without_interval"].sum())
    alone = [f"**No interval**: {without} of the {checked} orderings have none ({NO_INTERVAL}), and are undecided."]
    if not few:
        return alone if without else []
    return [
        *(alone if without else []),
        f"**Few patients**: {few} of the {checked} orderings rest on fewer than {FEW_PATIENTS} test patients of an "
        "anatomy. Their intervals are too narrow, and what they support or contradict here says little.",
    ]


def _claims_table(found: pd.DataFrame) -> str:
    header = [
        "Claim",
        "Where",
        "The paper states",
        "Verdict",
        *map(str.capitalize, VERDICTS),
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
                *(f"{row[name]} of {row['orderings']}" if row["orderings"] else "–" for name in VERDICTS),
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
    order = [CONTRADICTED, UNDECIDED]
    failed = orderings[orderings["verdict"].isin(order) & (orderings["anatomy"] != "")]
    failed = failed.sort_values("verdict", key=lambda column: column.map(order.index), kind="stable")
    names = failed.groupby(_PLACE, sort=False)["claim"].agg(", ".join)
    failed = failed.drop_duplicates(_PLACE)
    if failed.empty:
        return []
    rows = [
        [
            f"{row['acceleration']:g}×",
            metric_of(row["metric"]).title,
            row["anatomy"],
            f"{_label(row['above'])} over {_label(row['below'])}",
            row["verdict"],
            interval_number(row["difference"], row["low"], row["high"], 3) + ("°" if row["few_patients"] else ""),
            decimals(row["published_difference"], signed=True),
            names[tuple(row[key] for key in _PLACE)],
        ]
        for row in failed.head(_ROWS).to_dict("records")
    ]
    header = ["", "Metric", "Anatomy", "Ordering", "Verdict", f"Here [{statistics.percent}]", "In the paper", "Claims"]
    more = [f"{len(failed) - _ROWS} more are in `claims_orderings.csv`."] if len(failed) > _ROWS else []
    return [
        "## Orderings that are contradicted or undecided",
        f"° fewer than {FEW_PATIENTS} patients.",
        markdown_table(header, rows, text_columns=5),
        *more,
    ]


def _label(row: str) -> str:
    """What a row of Table 1 or S2 is called."""
    return TITLES.get(row) or ("no layer" if row == "none" else f"layer {row}")
