"""Table 1 as markdown: our numbers, what their order is, and the paper's numbers apart from them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from unimri.errors import UnimriError
from unimri.evaluation.layout import AVERAGE, KEYS, METRIC_LABELS, anatomies_of, best, cells
from unimri.evaluation.methods import METHODS, method
from unimri.evaluation.metrics import MetricSettings
from unimri.evaluation.orderings import summary
from unimri.evaluation.paper import comparable
from unimri.evaluation.text import markdown_table, number, spread_number


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


def table1_markdown(
    table: pd.DataFrame,
    deviation: pd.DataFrame,
    seeds: Sequence[int],
    sizes: pd.DataFrame,
    compared: pd.DataFrame,
    published: pd.DataFrame,
    anatomies: Mapping[str, str],
    metrics: MetricSettings,
) -> str:
    """Give `table1.md`.

    Parameters
    ----------
    table : from `unimri.evaluation.tables.table1`.
    deviation : from `unimri.evaluation.tables.deviations`.
    seeds : of the trainings.
    sizes : from `unimri.evaluation.tables.sample_sizes`.
    compared : from `unimri.evaluation.orderings.orderings`.
    published : the paper's Table 1.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    metrics : how PSNR and SSIM were computed.

    Raises
    ------
    UnimriError : when an anatomy's data are neither simulated nor real.
    """
    rates = " and ".join(f"{acceleration:g}×" for acceleration in table["acceleration"].unique())
    note = (
        "PSNR in dB and SSIM in %, of the magnitude of each slice (volumes scaled to [0, 1]; "
        f"{metrics.description}), mean over all test slices of an anatomy; average: mean over the "
        "anatomies. The best of each column at each acceleration is bold."
    )
    if len(seeds) > 1:
        note += (
            f" Every training was run with {len(seeds)} seeds ({', '.join(map(str, seeds))}): mean ± standard "
            "deviation over them, on one division of the patients and one mask."
        )
    controls = [known for known in METHODS if not known.in_paper and (table["method"] == known.key).any()]
    for control in controls:
        note += (
            f' "{control.label}" is a control that the paper does not have: w/o MD, trained on for as many '
            "steps as Proposed has more, without the distillation term."
        )
    sections = [
        f"# Table 1. Quantitative comparison under acceleration rates of {rates}",
        f"## {heading_of(anatomies)}",
        note,
        _metrics_table(table, column_names(anatomies), deviation),
        "What the means are over:",
        markdown_table(
            ["anatomy", "data", "test volumes", "test slices"],
            [
                [anatomy, anatomies[anatomy], str(volumes), str(slices)]
                for anatomy, volumes, slices in sizes.itertuples(index=False)
            ],
            text_columns=2,
        ),
        "## Does the paper's ordering come out?",
        *_ordering_sections(compared),
        *_published_sections(comparable(published, list(table["acceleration"].unique()), list(anatomies))),
    ]
    return "\n\n".join(sections) + "\n"


def _metrics_table(table: pd.DataFrame, names: Mapping[str, str], deviation: pd.DataFrame | None = None) -> str:
    """Give the paper's shape: a block for each acceleration, the columns of PSNR beside those of SSIM."""
    columns = [column for column in table.columns if column not in KEYS]
    header = ["", "Method"]
    header += [f"{label} {names.get(column, column)}" for label in METRIC_LABELS.values() for column in columns]
    values, highest = cells(table), best(table)
    spread = {} if deviation is None else cells(deviation)
    rows = []
    for acceleration in table["acceleration"].unique():
        methods = set(table.loc[table["acceleration"] == acceleration, "method"])
        present = [known for known in METHODS if known.key in methods]
        for known in present:
            row = [f"{acceleration:g}×" if known is present[0] else "", known.label]
            for metric in METRIC_LABELS:
                for column in columns:
                    cell = (acceleration, known.key, metric, column)
                    mark = "**" if cell in highest else ""
                    row.append(spread_number(values[cell], spread.get(cell, float("nan")), mark))
            rows.append(row)
    return markdown_table(header, rows, text_columns=2)


def _ordering_sections(compared: pd.DataFrame) -> list[str]:
    sections = [summary(compared)]
    papers = compared["published_held"].fillna(False).astype(bool)
    extra = compared["published_held"].isna()
    for rows, title in (
        (papers, "The paper's orderings that did not come out:"),
        (extra, "Comparisons that the paper does not make, in which Proposed is not above:"),
    ):
        failed = compared[rows & ~compared["held"]]
        if not failed.empty:
            sections += [title, _failed_table(failed)]
    return sections


def _failed_table(failed: pd.DataFrame) -> str:
    header = [
        "",
        "Metric",
        "Anatomy",
        "Against",
        "Proposed",
        "The other",
        "Difference",
        "Seeds in which it held",
        "The paper's difference",
    ]
    return markdown_table(
        header,
        [
            [
                f"{row['acceleration']:g}×",
                METRIC_LABELS[row["metric"]],
                row["anatomy"],
                method(row["other"]).label,
                number(row["proposed_value"]),
                number(row["other_value"]),
                # Two decimals would show the closest of the failures as 0.00.
                f"{row['difference']:+.4f}",
                f"{row['held_seeds']} of {row['seeds']}",
                "–" if pd.isna(row["published_difference"]) else f"{row['published_difference']:+.2f}",
            ]
            for _, row in failed.iterrows()
        ],
        text_columns=4,
    )


def _published_sections(paper: pd.DataFrame) -> list[str]:
    heading = "## The paper's published numbers, on its own data"
    if paper.empty or not anatomies_of(paper):
        return [heading, "The paper has none of these anatomies at these accelerations."]
    note = (
        "Liu et al., MICCAI 2021, Table 1, as printed, for the anatomies and accelerations above. Other data "
        "and other masks: not to be compared with ours number by number."
    )
    return [heading, note, _metrics_table(paper, {})]
