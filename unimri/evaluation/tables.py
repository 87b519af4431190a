"""All tables that are made from metrics CSVs, as files; Table 1 on a terminal."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from unimri.core.artifacts import check_made, make_again, sha256, write_json, write_text
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings, differences, read_settings
from unimri.core.text import spread_number, write_csv
from unimri.evaluation import paper
from unimri.evaluation.averages import (
    AVERAGE,
    CONVENTION,
    KEYS,
    anatomies_of,
    averages,
    cells,
    check_scores,
    conventions,
    deviations,
    in_conventions,
    of_table1,
    read_frame,
    sample_sizes,
    seed_tables,
    table_columns,
)
from unimri.evaluation.claims import check_claims, claimed_pairs, read_summary, write_claims
from unimri.evaluation.markdown import TITLES, column_names, heading_of, table1_markdown
from unimri.evaluation.scores import as_trained
from unimri.evaluation.statistics import (
    CLEAR,
    LEAD_COLUMNS,
    PROPOSED_PAIRS,
    StatisticsSettings,
    clear_cells,
    compare,
    comparisons,
    leads,
)
from unimri.evaluation.study_tables import StudyName, layer_names, table_s2, write_study_tables, write_table_s2
from unimri.metrics.base import MetricSettings, metric_of
from unimri.metrics.score import read_scores, read_volume_scores, volumes_file
from unimri.training.methods import METHODS, layer_of

DEVIATION = "table1_deviation.csv"

BEST = "best.csv"
"""Beside the tables: of each of their columns the best, the next best, and how sure that is."""

ORIGINS = "origins.json"
"""Beside the tables: which anatomies in them are simulated and which real."""

MADE = "made.json"
"""Beside them: what they were made from, and their SHA-256."""


class Made(Settings):
    """What tables were made from: the configuration that they depend on, and a digest of it with what it hides.

    `files` has the SHA-256 of each table.
    """

    settings: dict[str, Any]
    digest: str
    files: dict[str, str]


def note_tables(tables: Path, settings: dict[str, Any], digest: str) -> None:
    """Write what tables were made from, and their SHA-256; see `check_tables`."""
    # Another step writes those of the data.
    own = [path for path in sorted(tables.iterdir()) if path.is_file() and path.stem not in ("data", "made")]
    files = {path.name: sha256(path) for path in own if not path.name.startswith(".")}
    write_json(tables / MADE, Made(settings=settings, digest=digest, files=files).model_dump())


def check_tables(tables: Path, settings: dict[str, Any], digest: str | None = None) -> None:
    """Raise UnimriError unless tables are those that were made, and from these settings.

    Parameters
    ----------
    settings, digest : as in `note_tables`; without a digest paths are not compared. Tables without a note are taken as
        they are.
    """
    path = tables / MADE
    if not path.is_file():
        return
    made = read_settings(Made, path, make_again(path))
    differs = differences(made.settings, settings) or (
        ["paths, which are not shown, were others"] if digest not in (None, made.digest) else []
    )
    if differs:
        more = f" (and {len(differs) - 3} more)" if len(differs) > 3 else ""
        raise UnimriError(
            f"{tables / 'table1.csv'}: was made with another configuration: {'; '.join(differs[:3])}{more}; run "
            "`snakemake` with this one to make it again, or give the configuration that it was made with"
        )
    for name, noted in made.files.items():
        check_made(tables / name, noted, make_again(tables / name))


def write_tables(
    score_files: Iterable[Path],
    methods: Sequence[str],
    anatomies: Mapping[str, str],
    metrics: MetricSettings,
    statistics: StatisticsSettings,
    parameters: pd.DataFrame,
    layer: int,
    output: Path,
    studies: Mapping[StudyName, Sequence[str]] | None = None,
    other_masks: Sequence[Path] = (),
) -> None:
    """Write Table 1 and Table S2 in all their forms, the comparisons, the conventions, the claims and the studies.

    `table1.csv` has the columns of the published table: acceleration, method, metric, the anatomies, average; and so
    has `table1_deviation.csv`, which is empty of numbers when there is one seed. `best.csv` says what is bold.

    Parameters
    ----------
    score_files : from `unimri.evaluation.scores.score`, with the volumes' CSVs beside them.
    methods : whose scores are tabulated: those of Table 1, and `layer1`, ... for Table S2.
    anatomies : for each anatomy, in the order of the columns, whether its data are 'simulated' or 'real'.
    metrics : how the scores were computed, and which are in Table 1.
    statistics : how intervals are made.
    parameters : from `unimri.evaluation.paper.parameter_table`.
    layer : that Proposed distils.
    output : the folder to write to.
    studies, other_masks : see `unimri.evaluation.study_tables.write_study_tables`.

    Raises
    ------
    UnimriError : from `read_scores` and `check_scores`, or when an anatomy's data are neither simulated nor real.
    """
    heading_of(anatomies)
    score_files = list(score_files)
    every = read_scores(score_files, metrics)
    scores = as_trained(every, methods)
    names, columns = list(anatomies), table_columns(metrics)
    check_scores(scores, names)
    layers = layer_names(methods, layer)
    best = {
        "table1": leads(scores[scores["method"].isin(TITLES)], names, columns, statistics),
        "table_s2": leads(
            scores[scores["method"].isin(layers)].replace({"method": layers}), names, columns, statistics
        ),
    }
    whole, by_seed = averages(scores, names, columns), seed_tables(scores, names, columns)
    table, published = of_table1(whole), paper.published()
    deviation = deviations([of_table1(one) for one in by_seed.values()], table)
    pairs = list(dict.fromkeys([*PROPOSED_PAIRS, *claimed_pairs(layer)]))
    found = compare(scores, whole, pairs, statistics, list(by_seed.values()))
    compared, tested = paper.orderings(found, names, published), comparisons(found, scores)
    beside = paper.beside(table, published)
    volumes = as_trained(read_volume_scores((volumes_file(path) for path in score_files), metrics), methods)
    write_csv(output / "table1.csv", table)
    write_csv(output / DEVIATION, deviation)
    write_csv(output / "table1_published.csv", beside)
    write_csv(output / "orderings.csv", compared)
    write_csv(output / "comparisons.csv", tested)
    write_csv(output / "conventions.csv", conventions(scores, volumes, names, metrics))
    write_text(
        output / "table1.md",
        table1_markdown(
            table,
            deviation,
            clear_cells(best["table1"]),
            list(by_seed),
            sample_sizes(scores, names),
            compared,
            tested,
            beside,
            anatomies,
            metrics,
            statistics,
        ),
    )
    write_table_s2(table_s2(whole, layer), anatomies, columns, clear_cells(best["table_s2"]), output)
    write_claims(*check_claims(found, parameters, names, layer), anatomies, statistics, output)
    rows = [key for key in methods if layer_of(key) is None]
    best |= write_study_tables(studies or {}, every, other_masks, rows, metrics, statistics, output)
    of_conventions = {
        name: leads(own, names, own_metrics, statistics)
        for name, (own, own_metrics) in in_conventions(scores, volumes, metrics).items()
    }
    best["conventions"] = pd.concat(of_conventions, names=[CONVENTION]).reset_index(CONVENTION)
    every_best = pd.concat(best, names=["table"]).reset_index("table")
    keys = [name for name in every_best.columns if name not in LEAD_COLUMNS]
    write_csv(output / BEST, every_best[[*keys, *LEAD_COLUMNS]])


def read_table1(path: Path) -> pd.DataFrame:
    """Read a `table1.csv` that `write_tables` wrote.

    Raises
    ------
    UnimriError : when the file cannot be read or lacks the columns of Table 1.
    """
    table = read_frame(path, [*KEYS, AVERAGE], "Table 1")
    return table.astype({"acceleration": "float64"})


def format_table1_for_terminal(folder: Path, anatomies: Mapping[str, str]) -> str:
    """Give Table 1 as plain text: a block for each acceleration, all metrics in each cell, `*` for bold.

    Parameters
    ----------
    folder : where `write_tables` wrote it.
    anatomies : for each anatomy of the table whether its data are 'simulated' or 'real'; the headings say so.

    Raises
    ------
    UnimriError : when the file cannot be read as Table 1, or an anatomy's data are neither simulated nor
        real.
    """
    frame, spread = read_table1(folder / "table1.csv"), cells(read_table1(folder / DEVIATION))
    columns = [*anatomies_of(frame), AVERAGE]
    names = [column_names(anatomies)[column] for column in columns]
    found = read_frame(folder / BEST, ["table", *LEAD_COLUMNS], "the best of each column")
    values, clear = cells(frame), clear_cells(found[found["table"] == "table1"])
    metrics = {column: metric_of(column) for column in frame["metric"].unique()}

    def text(*cell: Any) -> str:
        shown = spread_number(values[cell], spread[cell], metrics[cell[2]].decimals)
        return shown + ("*" if cell in clear else " ")

    over = "mean over test slices" + ("" if all(map(math.isnan, spread.values())) else " ± deviation over seeds")
    headings = " / ".join(metric.heading for metric in metrics.values())
    blocks = [f"Table 1. {heading_of(anatomies)}. {headings}, {over}."]
    for acceleration in frame["acceleration"].unique():
        methods = set(frame.loc[frame["acceleration"] == acceleration, "method"])
        rows = [
            [known.title]
            + [" / ".join(text(acceleration, known.key, metric, column) for metric in metrics) for column in columns]
            for known in METHODS
            if known.key in methods
        ]
        blocks.append(tabulate(rows, headers=[f"{acceleration:g}x", *names], disable_numparse=True))
    return "\n\n".join([*blocks, f"* The best of its column, {CLEAR}."])


def show_tables(results: Path, settings: dict[str, Any], digest: str) -> str:
    """Table 1 of a finished experiment as plain text, how many claims hold, and where everything lies.

    Parameters
    ----------
    settings, digest : of the configuration, see `check_tables`.

    Raises
    ------
    UnimriError : when the tables are not there, damaged, or of another configuration.
    """
    tables = results / "tables"
    # What the table was made from, and not what the configuration says by now.
    if not (tables / "table1.csv").is_file() or not (tables / ORIGINS).is_file():
        raise UnimriError(
            f"{tables / 'table1.csv'}: not there yet; run `make reproduce`, or `snakemake` with the same "
            "configuration, first"
        )
    check_tables(tables, settings, digest)
    origins = read_settings(dict[str, str], tables / ORIGINS, "make the tables again")
    return (
        f"{format_table1_for_terminal(tables, origins)}\n\n"
        f"{read_summary(tables)} {tables}/claims.md says which.\n\n"
        f"Tables: {tables}   figures: {results}/figures   models: {results}/*x/seed*   "
        f"scores a slice: {results}/*x/scores"
    )
