"""The checklist of the paper's claims, as files and as one line."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.errors import UnimriError
from unimri.evaluation.claims import CLAIM_COLUMNS
from unimri.evaluation.layout import METRIC_LABELS
from unimri.evaluation.markdown import heading_of
from unimri.evaluation.statistics import FEW_PATIENTS, StatisticsSettings
from unimri.evaluation.text import interval_number, markdown_table, write_csv
from unimri.training.methods import METHODS

_LABELS = {known.key: known.title for known in METHODS}
_ROWS = 40
_COUNTS = ("held", "supported", "contradicted")


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
    found, orderings : from `unimri.evaluation.claims.check_claims`.
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
    path = folder / "claims.csv"
    try:
        found = pd.read_csv(path, keep_default_na=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise UnimriError(f"{path}: cannot be read as a list of claims ({fault}); write the tables again") from None
    if missing := [column for column in CLAIM_COLUMNS if column not in found]:
        raise UnimriError(f"{path}: lacks the column(s) {', '.join(missing)}; write the tables again")
    return summary(found)


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
            METRIC_LABELS[row["metric"]],
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
    return _LABELS.get(row) or ("no layer" if row == "none" else f"layer {row}")
