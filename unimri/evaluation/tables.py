"""All tables that are made from metrics CSVs, as files; Table 1 on a terminal."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from unimri.core.artifacts import write_text
from unimri.core.errors import UnimriError
from unimri.evaluation import paper
from unimri.evaluation.averages import averages, deviations, sample_sizes, seed_tables, table1
from unimri.evaluation.claims import check_claims, claimed_pairs
from unimri.evaluation.claims_report import write_claims
from unimri.evaluation.conventions import conventions, write_conventions
from unimri.evaluation.layers import table_s2, write_table_s2
from unimri.evaluation.layout import AVERAGE, KEYS, METRIC_LABELS, anatomies_of, best, cells
from unimri.evaluation.markdown import column_names, heading_of, table1_markdown
from unimri.evaluation.metrics import METRICS, MetricSettings, read_scores
from unimri.evaluation.orderings import orderings
from unimri.evaluation.statistics import StatisticsSettings, compare, comparisons, write_comparisons
from unimri.evaluation.text import spread_number, write_csv
from unimri.evaluation.volumes import read_volume_scores, volumes_file
from unimri.training.methods import METHODS

DEVIATION = "table1_deviation.csv"


def write_tables(
    score_files: Iterable[Path],
    methods: Sequence[str],
    anatomies: Mapping[str, str],
    metrics: MetricSettings,
    statistics: StatisticsSettings,
    parameters: pd.DataFrame,
    layer: int,
    output: Path,
) -> None:
    """Write Table 1 and Table S2 in all their forms, the comparisons, the conventions and the claims.

    `table1.csv` has the columns of the published table: acceleration, method, metric, the anatomies, average; and so
    has `table1_deviation.csv`, which is empty of numbers when there is one seed.

    Parameters
    ----------
    score_files : from `unimri.evaluation.scores.score`, with the volumes' CSVs beside them.
    methods : whose scores are tabulated: those of Table 1, and `layer1`, ... for Table S2.
    anatomies : for each anatomy, in the order of the columns, whether its data are 'simulated' or 'real'.
    metrics : how the scores were computed.
    statistics : how intervals are made.
    parameters : from `unimri.evaluation.parameters.parameter_table`.
    layer : that Proposed distils.
    output : the folder to write to.

    Raises
    ------
    UnimriError : from `read_scores` and `table1`, or when an anatomy's data are neither simulated nor real.
    """
    heading_of(anatomies)
    score_files = list(score_files)
    scores, names = read_scores(score_files), list(anatomies)
    table, by_seed = table1(scores, names), seed_tables(scores, names)
    whole, published = averages(scores, names, METRICS), paper.published()
    compared = orderings(table, published, list(by_seed.values()))
    deviation = deviations(list(by_seed.values()), table)
    tested = comparisons(scores, table, statistics)
    beside = paper.beside(table, published)
    volumes = read_volume_scores(volumes_file(path) for path in score_files)
    write_csv(output / "table1.csv", table)
    write_csv(output / DEVIATION, deviation)
    write_csv(output / "table1_published.csv", beside)
    write_csv(output / "orderings.csv", compared)
    write_comparisons(tested, output / "comparisons.csv")
    write_conventions(conventions(scores, volumes, names), output / "conventions.csv")
    write_text(
        output / "table1.md",
        table1_markdown(
            table,
            deviation,
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
    write_table_s2(table_s2(whole, layer), anatomies, output)
    claimed = compare(scores, whole, claimed_pairs(layer), statistics)
    write_claims(*check_claims(claimed, parameters, names, layer), anatomies, statistics, output)


def read_table1(path: Path) -> pd.DataFrame:
    """Read a `table1.csv` that `write_tables` wrote.

    Raises
    ------
    UnimriError : when the file cannot be read or lacks the columns of Table 1.
    """
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise UnimriError(f"{path}: cannot be read as Table 1 ({fault}); write the tables again") from None
    if missing := [column for column in (*KEYS, AVERAGE) if column not in table]:
        raise UnimriError(f"{path}: lacks the column(s) {', '.join(missing)}; write the tables again")
    return table.astype({"acceleration": "float64"})


def format_table1_for_terminal(folder: Path, anatomies: Mapping[str, str]) -> str:
    """Give Table 1 as plain text: a block for each acceleration, PSNR / SSIM in each cell, `*` at the best.

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
    values, highest = cells(frame), best(frame)

    def text(*cell: Any) -> str:
        return spread_number(values[cell], spread[cell]) + ("*" if cell in highest else " ")

    over = "mean over test slices" + ("" if all(map(math.isnan, spread.values())) else " ± deviation over seeds")
    blocks = [f"Table 1. {heading_of(anatomies)}. PSNR (dB) / SSIM (%), {over}; * best."]
    for acceleration in frame["acceleration"].unique():
        methods = set(frame.loc[frame["acceleration"] == acceleration, "method"])
        rows = [
            [known.title]
            + [
                " / ".join(text(acceleration, known.key, metric, column) for metric in METRIC_LABELS)
                for column in columns
            ]
            for known in METHODS
            if known.key in methods
        ]
        blocks.append(tabulate(rows, headers=[f"{acceleration:g}x", *names], disable_numparse=True))
    return "\n\n".join(blocks)
