"""Table 1 from metrics CSVs: the numbers, and the files that hold them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from unimri.artifacts import write_text
from unimri.errors import UnimriError
from unimri.evaluation import paper
from unimri.evaluation.layout import AVERAGE, KEYS, METRIC_LABELS, anatomies_of, best, cells
from unimri.evaluation.markdown import column_names, heading_of, table1_markdown
from unimri.evaluation.methods import METHODS, method
from unimri.evaluation.metrics import METRICS, MetricSettings, read_scores
from unimri.evaluation.orderings import orderings
from unimri.evaluation.text import spread_number, write_csv

DEVIATION = "table1_deviation.csv"


def table1(scores: pd.DataFrame, anatomies: Sequence[str]) -> pd.DataFrame:
    """Average the scores as Table 1 does, over the seeds too.

    Parameters
    ----------
    scores : one row a slice and seed, from `unimri.evaluation.metrics.read_scores`.
    anatomies : names of the anatomies, in the order of the columns.

    Returns
    -------
    frame with the columns acceleration, method, metric, one for each anatomy, and average. An anatomy's value
    is the mean over all its test slices and seeds; `average` is the mean over the anatomies of the row; both to six
    decimals. NaN where a method has no scores of an anatomy, and then in that row's average as well.

    Raises
    ------
    UnimriError : when a method is unknown, an anatomy is unknown, has no scores or has the name of another
        column, a slice is scored twice, or methods or seeds were scored on different slices of an anatomy: their
        means would not compare.
    """
    _check(scores, anatomies)
    means = scores.groupby(["acceleration", "method", "anatomy"])[list(METRICS)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in METRICS:
            wide = means.loc[acceleration, metric].unstack("anatomy")
            for key in (known.key for known in METHODS if known.key in wide.index):
                values = wide.loc[key].reindex(list(anatomies))
                rows.append([acceleration, key, metric, *values, values.mean(skipna=False)])
    # Rounded as the scores are: the order in which they were read must not decide a tie.
    return pd.DataFrame(rows, columns=[*KEYS, *anatomies, AVERAGE]).round(6)


def seed_tables(scores: pd.DataFrame, anatomies: Sequence[str]) -> dict[int, pd.DataFrame]:
    """Table 1 of each seed alone, by seed; see `table1`."""
    return {seed: table1(scores[scores["seed"] == seed], anatomies) for seed in sorted(scores["seed"].unique())}


def deviations(tables: Sequence[pd.DataFrame], table: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation (n - 1) over the seeds of each value of Table 1, in its shape; NaN for one seed.

    Parameters
    ----------
    tables : of each seed, from `seed_tables`.
    table : of all seeds, from `table1`.
    """
    deviation = pd.concat(tables).groupby(list(KEYS), sort=False).std(ddof=1)
    return deviation.reindex(pd.MultiIndex.from_frame(table[list(KEYS)])).round(6).reset_index()[list(table.columns)]


def _check(scores: pd.DataFrame, anatomies: Sequence[str]) -> None:
    for anatomy in anatomies:
        if anatomy in (*KEYS, AVERAGE):
            raise UnimriError(f"anatomy {anatomy!r} has the name of a column of Table 1; choose another name")
    for key in scores["method"].unique():
        method(key)
    if unknown := sorted(set(scores["anatomy"]) - set(anatomies)):
        raise UnimriError(f"scores of unknown anatomies: {', '.join(unknown)}; allowed: {', '.join(anatomies)}")
    if missing := [anatomy for anatomy in anatomies if not (scores["anatomy"] == anatomy).any()]:
        raise UnimriError(f"no scores of: {', '.join(missing)}; evaluate them, or leave them out of the table")
    identity = ["acceleration", "seed", "method", "anatomy", "volume", "slice"]
    if (twice := scores.duplicated(identity)).any():
        row = scores.loc[twice, identity].iloc[0]
        raise UnimriError(
            f"anatomy {row['anatomy']}, volume {row['volume']}, slice {row['slice']} is scored twice for "
            f"{row['method']} at {row['acceleration']:g}x, seed {row['seed']}; give each metrics file once"
        )
    for name, rows in scores.groupby("anatomy"):
        slices = {
            group: frozenset(zip(part["volume"], part["slice"], strict=True))
            for group, part in rows.groupby(["acceleration", "method", "seed"])
        }
        first = next(iter(slices))
        for group, scored in slices.items():
            if scored != slices[first]:
                names = [f"{key} at {acceleration:g}x (seed {seed})" for acceleration, key, seed in (first, group)]
                raise UnimriError(
                    f"anatomy {name}: {names[0]} and {names[1]} were scored on different slices; "
                    "evaluate them again on one test split"
                )


def sample_sizes(scores: pd.DataFrame, anatomies: Sequence[str]) -> pd.DataFrame:
    """Count what the means are over: a frame with the columns anatomy (str), volumes and slices (int)."""
    slices = scores[["anatomy", "volume", "slice"]].drop_duplicates().groupby("anatomy")
    return pd.DataFrame(
        {
            "anatomy": list(anatomies),
            "volumes": slices["volume"].nunique().reindex(list(anatomies)).to_numpy(),
            "slices": slices.size().reindex(list(anatomies)).to_numpy(),
        }
    )


def write_tables(
    score_files: Iterable[Path], anatomies: Mapping[str, str], metrics: MetricSettings, output: Path
) -> None:
    """Write `table1.csv`, `table1_deviation.csv`, `table1.md` and `orderings.csv`.

    `table1.csv` has the columns of the published table: acceleration, method, metric, the anatomies, average; and so
    has `table1_deviation.csv`, which is empty of numbers when there is one seed.

    Parameters
    ----------
    score_files : metrics CSVs, from `unimri.evaluation.metrics.write_scores`.
    anatomies : for each anatomy, in the order of the columns, whether its data are 'simulated' or 'real'.
    metrics : how the scores were computed.
    output : the folder to write to.

    Raises
    ------
    UnimriError : from `read_scores` and `table1`, or when an anatomy's data are neither simulated nor real.
    """
    heading_of(anatomies)
    scores = read_scores(score_files)
    table = table1(scores, list(anatomies))
    published = paper.published()
    by_seed = seed_tables(scores, list(anatomies))
    compared = orderings(table, published, list(by_seed.values()))
    deviation = deviations(list(by_seed.values()), table)
    write_csv(output / "table1.csv", table)
    write_csv(output / DEVIATION, deviation)
    write_csv(output / "orderings.csv", compared)
    sizes = sample_sizes(scores, list(anatomies))
    write_text(
        output / "table1.md",
        table1_markdown(table, deviation, list(by_seed), sizes, compared, published, anatomies, metrics),
    )


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
            [known.label]
            + [
                " / ".join(text(acceleration, known.key, metric, column) for metric in METRIC_LABELS)
                for column in columns
            ]
            for known in METHODS
            if known.key in methods
        ]
        blocks.append(tabulate(rows, headers=[f"{acceleration:g}x", *names], disable_numparse=True))
    return "\n\n".join(blocks)
