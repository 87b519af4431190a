"""Averages of scores over slices, seeds and anatomies, as in Table 1."""

from collections.abc import Sequence

import pandas as pd

from unimri.core.errors import UnimriError
from unimri.evaluation.layout import AVERAGE, KEYS
from unimri.evaluation.metrics import METRICS
from unimri.training.methods import METHODS, method, place_of


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
    UnimriError : when a method is unknown, there are several masks, an anatomy is unknown, has no scores or has the
        name of another column, a slice is scored twice, or methods or seeds were scored on different slices of an
        anatomy: their means would not compare.
    """
    check_scores(scores, anatomies)
    table = averages(scores, anatomies, METRICS)
    return table[table["method"].isin([known.key for known in METHODS])].reset_index(drop=True)


def averages(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str], decimals: int = 6) -> pd.DataFrame:
    """Average scores as `table1` does, of any method and any of their columns.

    Parameters
    ----------
    scores : one row a slice, or a volume, and seed.
    metrics : columns of it; they become the names in the column `metric`, in this order. Missing values are left out.
    decimals : of the averages.

    Returns
    -------
    as `table1`, and after its methods the layers that were distilled, in their order.
    """
    means = scores.groupby(["acceleration", "method", "anatomy"])[list(metrics)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in metrics:
            wide = means.loc[acceleration, metric].unstack("anatomy")
            for key in sorted(wide.index, key=place_of):
                values = wide.loc[key].reindex(list(anatomies))
                rows.append([acceleration, key, metric, *values, values.mean(skipna=False)])
    # Rounded as the scores are: the order in which they were read must not decide a tie.
    return pd.DataFrame(rows, columns=[*KEYS, *anatomies, AVERAGE]).round(decimals)


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


def check_scores(scores: pd.DataFrame, anatomies: Sequence[str]) -> None:
    """Raise UnimriError unless the scores make a table whose means compare; see `table1`."""
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
