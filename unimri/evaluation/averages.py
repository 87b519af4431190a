"""Means of scores over slices, seeds and anatomies: the layout of Table 1, and what follows from it alone."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from unimri.core.errors import UnimriError
from unimri.core.text import in_file
from unimri.metrics.base import CONVENTIONS, MetricSettings, in_convention, scored_metrics, table_metrics
from unimri.metrics.score import IDENTITY, SLICE
from unimri.training.methods import METHODS, method, place_of

KEYS = ("acceleration", "method", "metric")
"""The columns that name a row of a table; the others are anatomies, and `average`."""

AVERAGE = "average"

DECIMALS = 12
"""Of means, before a file's own: the order in which scores were read must not decide a tie."""

Cell = tuple[float, str, str, str]
"""Acceleration, method, metric, and anatomy or `average`."""


def anatomies_of(table: pd.DataFrame) -> list[str]:
    """Anatomies of a table, in its order."""
    return [column for column in table.columns if column not in (*KEYS, AVERAGE)]


def cells(table: pd.DataFrame) -> dict[Cell, float]:
    """Values of a table by their cell; NaN where the table has none."""
    rows = list(table[list(KEYS)].itertuples(index=False, name=None))
    return {
        (acceleration, method, metric, column): float(value)
        for column in (*anatomies_of(table), AVERAGE)
        if column in table
        for (acceleration, method, metric), value in zip(rows, table[column], strict=True)
    }


def read_frame(path: Path, columns: Sequence[str], what: str) -> pd.DataFrame:
    """Read a CSV of the tables' folder; nothing but an empty cell is missing.

    Parameters
    ----------
    columns : that it must have.
    what : is in it, for errors.

    Raises
    ------
    UnimriError : when it cannot be read or lacks a column.
    """
    try:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as fault:
        raise UnimriError(f"{path}: cannot be read as {what} ({fault}); write the tables again") from None
    if missing := [column for column in columns if column not in frame]:
        raise UnimriError(f"{path}: lacks the column(s) {', '.join(missing)}; write the tables again")
    return frame


def table_columns(settings: MetricSettings) -> list[str]:
    """The columns of Table 1's metrics, in its order."""
    return [metric.column for metric in table_metrics(settings)]


def of_table1(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of Table 1's methods, of averages of any."""
    return table[table["method"].isin([known.key for known in METHODS])].reset_index(drop=True)


def averages(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Average scores as Table 1 does, over the seeds too, of any method and any of their columns.

    Parameters
    ----------
    scores : one row a slice, or a volume, and seed.
    anatomies : names of the anatomies, in the order of the columns.
    metrics : columns of it; they become the names in the column `metric`, in this order. Missing values are left out.

    Returns
    -------
    frame with the columns acceleration, method, metric, one for each anatomy, and average; after Table 1's methods the
    layers that were distilled, in their order. An anatomy's value is the mean over all its test slices and seeds;
    `average` is the mean over the anatomies of the row. NaN where a method has no scores of an anatomy, and then in
    that row's average as well. Values are those that a file has, so that what shows them and what reads them agree.
    """
    return as_in_file(_means(scores, anatomies, metrics), [*anatomies, AVERAGE])


def as_in_file(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """A table with the values in some columns that reading its CSV gives."""
    return table.assign(**{name: table[name].map(lambda value: float(in_file(value))) for name in columns})


def _means(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    means = scores.groupby(["acceleration", "method", "anatomy"])[list(metrics)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in metrics:
            wide = means.loc[acceleration, metric].unstack("anatomy")
            for key in sorted(wide.index, key=place_of):
                values = wide.loc[key].reindex(list(anatomies))
                rows.append([acceleration, key, metric, *values, values.mean(skipna=False)])
    return pd.DataFrame(rows, columns=[*KEYS, *anatomies, AVERAGE]).round(DECIMALS)


def seed_tables(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> dict[int, pd.DataFrame]:
    """Averages of each seed alone, by seed; arguments as of `averages`."""
    seeds = sorted(scores["seed"].unique())
    return {seed: averages(scores[scores["seed"] == seed], anatomies, metrics) for seed in seeds}


def deviations(tables: Sequence[pd.DataFrame], table: pd.DataFrame) -> pd.DataFrame:
    """Standard deviation (n - 1) over the seeds of each value of Table 1, in its shape; NaN for one seed.

    Parameters
    ----------
    tables : of each seed, from `seed_tables`.
    table : Table 1, of all seeds.
    """
    deviation = pd.concat(tables).groupby(list(KEYS), sort=False).std(ddof=1)
    return deviation.reindex(pd.MultiIndex.from_frame(table[list(KEYS)])).round(6).reset_index()[list(table.columns)]


def check_scores(scores: pd.DataFrame, anatomies: Sequence[str]) -> None:
    """Raise UnimriError unless the scores make a table whose means compare.

    They do not when a method is unknown, there are several masks, an anatomy is unknown, has no scores or has the name
    of another column, a slice is scored twice, or methods or seeds were scored on different slices of an anatomy.
    """
    for anatomy in anatomies:
        if anatomy in (*KEYS, AVERAGE):
            raise UnimriError(f"anatomy {anatomy!r} has the name of a column of Table 1; choose another name")
    for key in scores["method"].unique():
        method(key)
    if len(masks := sorted(scores["mask"].unique())) > 1:
        raise UnimriError(f"scores of several masks: {', '.join(masks)}; give those of one")
    if unknown := sorted(set(scores["anatomy"]) - set(anatomies)):
        raise UnimriError(f"scores of unknown anatomies: {', '.join(unknown)}; allowed: {', '.join(anatomies)}")
    if missing := [anatomy for anatomy in anatomies if not (scores["anatomy"] == anatomy).any()]:
        raise UnimriError(f"no scores of: {', '.join(missing)}; score them, or leave them out of the table")
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
                    "score them again on one test split"
                )


def sample_sizes(scores: pd.DataFrame, anatomies: Sequence[str]) -> pd.DataFrame:
    """Count what the means are over: a frame with the columns anatomy (str), patients, volumes, slices."""
    slices = scores[["anatomy", "patient", "volume", "slice"]].drop_duplicates().groupby("anatomy")
    return pd.DataFrame(
        {
            "anatomy": list(anatomies),
            "patients": slices["patient"].nunique().reindex(list(anatomies)).to_numpy(),
            "volumes": slices["volume"].nunique().reindex(list(anatomies)).to_numpy(),
            "slices": slices.size().reindex(list(anatomies)).to_numpy(),
        }
    )


def wide(scores: pd.DataFrame, keys: Sequence[str], anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds, an anatomy a column, in the order in which the keys first appear."""
    long = scores.melt([*keys, "anatomy"], list(metrics), "metric")
    means = long.groupby([*keys, "metric", "anatomy"], sort=False)["value"].mean().unstack("anatomy")
    table = means.reindex(columns=list(anatomies))
    table[AVERAGE] = table.mean(axis=1, skipna=False)
    first = pd.MultiIndex.from_frame(long[[*keys, "metric"]].drop_duplicates())
    table = table.reindex(first).round(DECIMALS).rename_axis(columns=None).reset_index()
    return as_in_file(table, [*anatomies, AVERAGE])


CONVENTION = "convention"


def in_conventions(
    scores: pd.DataFrame, volumes: pd.DataFrame, settings: MetricSettings | None = None
) -> dict[str, tuple[pd.DataFrame, list[str]]]:
    """Scores as each of `unimri.metrics.base.CONVENTIONS` has them, and its metrics, by its name.

    Arguments are as of `conventions`. Metrics have the columns that Table 1 calls them by; a volume is one slice.
    """
    scored = scored_metrics(settings or MetricSettings())
    found = {}
    for convention in CONVENTIONS:
        # Ratios after the others.
        applied = sorted(in_convention(scored, convention).items(), key=lambda own: own[1].relative)
        columns = {column: metric.column for column, metric in applied}
        own = volumes.assign(slice=0) if convention.whole else scores
        own = own[[*IDENTITY, SLICE, *columns]].rename(columns=columns)
        found[convention.name] = own, list(columns.values())
    return found


def conventions(
    scores: pd.DataFrame, volumes: pd.DataFrame, anatomies: Sequence[str], settings: MetricSettings | None = None
) -> pd.DataFrame:
    """Average scores in each convention of `unimri.metrics.base.CONVENTIONS`, so that papers can be compared with.

    - `unit_range`: that of Table 1, a fixed data range; means over slices.
    - `slice_maximum`: the range is each fully sampled slice's maximum, NMSE is of a slice; means over the slices that
      are not all zero.
    - `volume_maximum`: fastMRI's, the range is each fully sampled volume's maximum, PSNR and NMSE are of whole volumes;
      means over volumes.

    NMSE has no range, so `unit_range` has none of its own, and of no other ratio.

    Parameters
    ----------
    scores, volumes : from `unimri.metrics.score.read_scores` and `read_volume_scores`.
    anatomies : in the order of the columns.
    settings : with which was scored; None: as by default.

    Returns
    -------
    frame with the columns convention, acceleration, method, metric (psnr_db, ssim_percent, nmse, and what else was
    scored), the anatomies and average; as `averages`.
    """
    applied = in_conventions(scores, volumes, settings)
    tables = {name: _means(own, anatomies, metrics) for name, (own, metrics) in applied.items()}
    return pd.concat(tables, names=[CONVENTION]).reset_index(CONVENTION).reset_index(drop=True)
