"""Table 1 as markdown: our numbers, what their order is and how sure, and the paper's numbers beside them."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from unimri.core.errors import UnimriError
from unimri.core.text import decimals, interval_number, listed, markdown_table, spread_number
from unimri.evaluation.averages import AVERAGE, KEYS, Cell, anatomies_of, cells
from unimri.evaluation.paper import above_of, summary
from unimri.evaluation.statistics import CLEAR, FEW_PATIENTS, SUPPORTED, StatisticsSettings
from unimri.metrics.base import MetricSettings, metric_of
from unimri.training.methods import METHODS, method

TITLES = {known.key: known.title for known in METHODS}
"""What the rows of Table 1 are called, by key, in its order."""

_ALPHA = 0.05
_SAME: dict[str, Any] = {"on": ["acceleration", "metric", "anatomy", "other"], "how": "left"}


def heading_of(anatomies: Mapping[str, str]) -> str:
    """Say on which data our results are, from whether each anatomy's are 'simulated' or 'real'.

    Raises
    ------
    UnimriError : when an anatomy's data are neither.
    """
    for anatomy, data in anatomies.items():
        if data not in ("simulated", "real"):
            raise UnimriError(f"anatomy {anatomy}: data {data!r} is unknown; allowed: simulated, real")
    kinds = set(anatomies.values())
    if len(kinds) > 1:
        return "Our results, on simulated data for some anatomies and real data for others"
    return f"Our results, on {''.join(kinds)} data"


def column_names(anatomies: Mapping[str, str]) -> dict[str, str]:
    """Headings of the anatomies and of `average`; each says which data they are, where these are mixed."""
    if len(set(anatomies.values())) == 1:
        return {name: name for name in (*anatomies, AVERAGE)}
    marked = {anatomy: f"{anatomy} ({data})" for anatomy, data in anatomies.items()}
    return {**marked, AVERAGE: f"{AVERAGE} (mixed)"}


def metrics_in_words(columns: Iterable[str]) -> str:
    """The metrics of these columns with their units: PSNR in dB and SSIM in %."""
    return listed([metric_of(column).words for column in columns])


def table1_markdown(
    table: pd.DataFrame,
    deviation: pd.DataFrame,
    clear: Collection[Cell],
    seeds: Sequence[int],
    sizes: pd.DataFrame,
    compared: pd.DataFrame,
    tested: pd.DataFrame,
    published: pd.DataFrame,
    anatomies: Mapping[str, str],
    metrics: MetricSettings,
    statistics: StatisticsSettings,
) -> str:
    """Give `table1.md`.

    Parameters
    ----------
    table : from `unimri.evaluation.averages.averages`, of Table 1's methods.
    deviation : from `unimri.evaluation.averages.deviations`.
    clear : the cells that are bold, from `unimri.evaluation.statistics.clear_cells`.
    seeds : of the trainings.
    sizes : from `unimri.evaluation.averages.sample_sizes`.
    compared : from `unimri.evaluation.paper.orderings`.
    tested : from `unimri.evaluation.statistics.comparisons`.
    published : ours beside the paper's, from `unimri.evaluation.paper.beside`.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    metrics : how the metrics were computed.
    statistics : how intervals were made.

    Raises
    ------
    UnimriError : when an anatomy's data are neither simulated nor real.
    """
    rates = listed([f"{acceleration:g}×" for acceleration in table["acceleration"].unique()])
    note = (
        f"{metrics_in_words(table['metric'].unique())}, of the magnitude of each slice (volumes scaled to [0, 1]; "
        f"{', '.join(metric_of(column).describe(metrics) for column in table['metric'].unique())}), mean over all test "
        "slices of an anatomy; average: mean over the anatomies. The best of each column at each acceleration is "
        f"bold {CLEAR}."
    )
    if len(seeds) > 1:
        note += (
            f" Every training was run with {len(seeds)} seeds ({', '.join(map(str, seeds))}): mean ± standard "
            "deviation over them, on one division of the patients and one mask."
        )
    for known in METHODS:
        if not known.in_paper and (table["method"] == known.key).any():
            kind = "control" if known.kind == "control" else "classical method"
            note += f' "{known.title}" is a {kind} that the paper does not have: {known.note}.'
    sections = [
        f"# Table 1. Quantitative comparison under acceleration rates of {rates}",
        f"## {heading_of(anatomies)}",
        note,
        metrics_table(table, column_names(anatomies), TITLES, "Method", clear, deviation),
        "What the means are over:",
        markdown_table(
            ["anatomy", "data", "test patients", "test volumes", "test slices"],
            [[anatomy, anatomies[anatomy], *map(str, counts)] for anatomy, *counts in sizes.itertuples(index=False)],
            text_columns=2,
        ),
        "## Is the paper's ordering supported?",
        *_ordering_sections(compared, tested, statistics),
        *_certainty_sections(tested, column_names(anatomies), statistics),
        *beside_table(published, TITLES, anatomies),
    ]
    return "\n\n".join(sections) + "\n"


def metrics_table(
    table: pd.DataFrame,
    names: Mapping[str, str],
    labels: Mapping[str, str],
    heading: str,
    clear: Collection[Cell],
    deviation: pd.DataFrame | None = None,
) -> str:
    """Give the paper's shape: a block for each acceleration, the columns of PSNR beside those of SSIM and of others.

    Parameters
    ----------
    table : with Table 1's columns.
    names : headings of the anatomies and of `average`, from `column_names`.
    labels : what each row is called, by its `method`, in the order of the rows.
    heading : of that column.
    clear : the cells that are bold.
    deviation : of the values over the seeds, in the table's shape.
    """
    columns = [*anatomies_of(table), AVERAGE]
    metrics = {column: metric_of(column) for column in table["metric"].unique()}
    header = ["", heading, *(f"{metric.title} {names[column]}" for metric in metrics.values() for column in columns)]
    values = cells(table)
    spread = {} if deviation is None else cells(deviation)
    rows = []
    for acceleration in table["acceleration"].unique():
        methods = set(table.loc[table["acceleration"] == acceleration, "method"])
        present = [key for key in labels if key in methods]
        for key in present:
            row = [f"{acceleration:g}×" if key == present[0] else "", labels[key]]
            for metric in metrics.values():
                for column in columns:
                    cell = (acceleration, key, metric.column, column)
                    mark = "**" if cell in clear else ""
                    row.append(spread_number(values[cell], spread.get(cell, math.nan), metric.decimals, mark))
            rows.append(row)
    return markdown_table(header, rows, text_columns=2)


def _ordering_sections(compared: pd.DataFrame, tested: pd.DataFrame, statistics: StatisticsSettings) -> list[str]:
    sections = [summary(compared)]
    papers = compared["published_held"].fillna(False).astype(bool)
    extra = compared["published_held"].isna()
    for rows, title in (
        (papers, "The paper's orderings that are contradicted or undecided:"),
        (
            extra,
            "Comparisons that the paper does not make, in which it is not supported that Proposed is "
            f"{above_of(compared[extra])} the other:",
        ),
    ):
        failed = compared[rows & (compared["verdict"] != SUPPORTED)]
        if not failed.empty:
            sections += [title, _failed_table(failed.merge(tested, suffixes=("", "_tested"), **_SAME), statistics)]
    return sections


def _failed_table(failed: pd.DataFrame, statistics: StatisticsSettings) -> str:
    header = [
        "",
        "Metric",
        "Anatomy",
        "Against",
        "Verdict",
        "Proposed",
        "The other",
        f"Difference [{statistics.percent}]",
        "p, corrected",
        "Seeds in which Proposed is better",
        "The paper's difference",
    ]
    return markdown_table(
        header,
        [
            [
                f"{row['acceleration']:g}×",
                metric.title,
                row["anatomy"],
                method(row["other"]).title,
                row["verdict"],
                decimals(row["proposed_value"], metric.decimals),
                decimals(row["other_value"], metric.decimals),
                # Two decimals would show the closest of the failures as 0.00.
                interval_number(row["difference"], row["low"], row["high"], metric.decimals + 2) + _few(row),
                "–" if pd.isna(row["p_corrected"]) else f"{row['p_corrected']:.3f}",
                f"{row['better_seeds']} of {row['seeds']}",
                decimals(row["published_difference"], metric.decimals, signed=True),
            ]
            for _, row in failed.iterrows()
            for metric in [metric_of(row["metric"])]
        ],
        text_columns=5,
    )


def _few(row: pd.Series) -> str:
    return "°" if row["few_patients"] else ""


def _certainty_sections(tested: pd.DataFrame, names: Mapping[str, str], statistics: StatisticsSettings) -> list[str]:
    """The first metric only, which is PSNR by default: the others would double a long table, and are in the file."""
    if tested.empty:
        return []
    first, *others = (metric_of(column) for column in tested["metric"].unique())
    shown = tested[tested["metric"] == first.column]
    columns = [column for column in names if (shown["anatomy"] == column).any()]
    texts = {
        (row["acceleration"], row["other"], row["anatomy"]): interval_number(
            row["difference"], row["low"], row["high"], first.decimals
        )
        + ("*" if row["p_corrected"] < _ALPHA else "")
        + _few(row)
        for _, row in shown.iterrows()
    }
    rows = [
        [
            f"{acceleration:g}×",
            method(other).title,
            *(texts.get((acceleration, other, column), "–") for column in columns),
        ]
        for acceleration, other in shown[["acceleration", "other"]].drop_duplicates().to_numpy().tolist()
    ]
    drawn = "the test patients and the seeds" if (shown["seeds"] > 1).any() else "the test patients"
    unit = f", in {first.unit}" if first.unit else ""
    lower = " (lower is better)" if first.lower_is_better else ""
    further = f", which has {listed([metric.title for metric in others])} too" if others else ""
    note = (
        f"{first.title} of Proposed minus that of the other{unit}{lower}, with its {statistics.percent} bootstrap "
        f"interval over {drawn}; * p < {_ALPHA:g} in Wilcoxon's signed-rank test over patients, after Holm's "
        f"correction over all of `comparisons.csv`{further}."
    )
    if shown["few_patients"].any():
        note += (
            f" ° fewer than {FEW_PATIENTS} patients (of an average: in some anatomy): the interval is too narrow, and "
            "an anatomy's test cannot find anything."
        )
    return [
        "## How sure are the differences?",
        note,
        markdown_table(["", "Against", *(names[column] for column in columns)], rows, text_columns=2),
    ]


def beside_table(published: pd.DataFrame, labels: Mapping[str, str], anatomies: Mapping[str, str]) -> list[str]:
    """Give the sections that set our numbers beside the paper's.

    Parameters
    ----------
    published : from `unimri.evaluation.paper.beside`.
    labels : what each row is called, by its key.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    """
    heading = "## The paper's published numbers, on its own data, beside ours"
    if published.empty:
        return [heading, "The paper has none of these anatomies at these accelerations."]
    kinds = set(anatomies.values())
    whose = (
        "ours are **simulated**"
        if kinds == {"simulated"}
        else "ours are real data"
        if kinds == {"real"}
        else "some of ours are **simulated**, as the headings say"
    )
    note = (
        "Ours / the paper's (Liu et al., MICCAI 2021, as printed), and ours minus the paper's. The data differ: "
        f"{whose}, and the mask is another. The differences show how far apart the two settings are, and not how well "
        "the method was reproduced."
    )
    names = column_names(anatomies)
    columns = [column for column in names if (published["anatomy"] == column).any()]
    shown = {
        (*(row[key] for key in KEYS), row["anatomy"]): f"{decimals(row['ours'])} / {decimals(row['published'])} "
        f"({decimals(row['difference'], signed=True)})"
        for row in published.to_dict("records")
    }
    keys = published[list(KEYS)].drop_duplicates().to_numpy().tolist()
    rows = [
        [
            f"{acceleration:g}×",
            labels[key],
            metric_of(metric).title,
            *(shown.get((acceleration, key, metric, column), "–") for column in columns),
        ]
        for acceleration, key, metric in keys
    ]
    header = ["", "Method", "Metric", *(names[column] for column in columns)]
    return [heading, note, markdown_table(header, rows, text_columns=3)]
