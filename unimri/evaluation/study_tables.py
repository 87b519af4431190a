"""The tables of the studies beside Table 1: means of the scores that `robustness`, `forgetting` and `run` wrote."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from unimri.core.errors import UnimriError
from unimri.core.text import exact_changes, write_csv
from unimri.evaluation.averages import AVERAGE, FORGETTING_COLUMNS, MATRIX_COLUMNS, ROBUSTNESS_COLUMNS
from unimri.metrics.score import Score, read_scores

StudyName = Literal["robustness", "aspin_matrix", "adaptation", "forgetting", "masks"]


def robustness_table(files: Iterable[Path], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds: trained (the sampling), condition, method, metric, anatomies, average."""
    scores = _read(files, ROBUSTNESS_COLUMNS)
    trained = [f"{acceleration:g}x" for acceleration in scores["acceleration"]]
    return _wide(scores.assign(trained=trained), ["trained", "condition", "method"], anatomies)


def aspin_matrix_table(files: Iterable[Path], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means by anatomy of the slices and by whose ASPIN was used.

    Returns
    -------
    frame with the columns acceleration, metric, anatomy, aspin, value and difference (to the anatomy's own ASPIN).
    """
    scores = _read(files, MATRIX_COLUMNS)
    means = scores.groupby(["acceleration", "anatomy", "aspin"])[list(Score._fields)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in Score._fields:
            of_rate = means.loc[acceleration, metric]
            for anatomy in anatomies:
                for aspin in anatomies:
                    value = of_rate[anatomy, aspin]
                    rows.append((acceleration, metric, anatomy, aspin, value, value - of_rate[anatomy, anatomy]))
    return pd.DataFrame(rows, columns=["acceleration", "metric", "anatomy", "aspin", "value", "difference"])


def adaptation_table(files: Iterable[Path], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means on new anatomies by how they were learnt and from how many patients.

    Parameters
    ----------
    files : metrics CSVs whose method is `{way}/{patients}`, and those of Proposed and Independent, which are the ASPIN
        and the network from scratch on all patients.
    anatomies : the new ones.

    Returns
    -------
    frame with the columns acceleration, metric, way, patients (a number or `all`, text), the anatomies, average.
    """
    scores = read_scores(files)
    known = {"proposed": "aspin/all", "independent": "scratch/all"}
    named = scores["method"].replace(known).str.split("/", expand=True)
    table = _wide(scores.assign(way=named[0], patients=named[1]), ["acceleration", "way", "patients"], anatomies)
    order = table["patients"].replace("all", np.inf).astype(float)
    return table.assign(order=order).sort_values(
        ["acceleration", "metric", "way", "order"], kind="stable", ignore_index=True
    )[["acceleration", "metric", "way", "patients", *anatomies, AVERAGE]]


def forgetting_table(files: Iterable[Path], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means over seeds of `unimri.evaluation.averages.FORGETTING_COLUMNS`, and the largest of the largest changes.

    Returns
    -------
    frame with the columns acceleration, way, new, anatomy, before, after, difference (dB), largest_pixel_change.
    """
    keys = ["acceleration", "way", "new", "anatomy"]
    scores = _read(files, FORGETTING_COLUMNS)
    grouped = scores.groupby(keys, sort=False)
    table = grouped[["before", "after"]].mean()
    table["difference"] = table["after"] - table["before"]
    table["largest_pixel_change"] = grouped["largest_pixel_change"].max()
    return exact_changes(table.reset_index())


def masks_table(files: Iterable[Path], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds: mask, acceleration, method, metric, anatomies, average."""
    return _wide(read_scores(files), ["mask", "acceleration", "method"], anatomies)


STUDIES: dict[StudyName, Callable[[Iterable[Path], Sequence[str]], pd.DataFrame]] = {
    "robustness": robustness_table,
    "aspin_matrix": aspin_matrix_table,
    "adaptation": adaptation_table,
    "forgetting": forgetting_table,
    "masks": masks_table,
}


def write_study_table(study: StudyName, files: Iterable[Path], anatomies: Sequence[str], output: Path) -> None:
    """Write a study's table as CSV.

    Raises
    ------
    UnimriError : when a file is missing or damaged.
    """
    write_csv(output, STUDIES[study](files, anatomies))


def _wide(scores: pd.DataFrame, keys: list[str], anatomies: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds, an anatomy a column, in the order in which the keys first appear."""
    long = scores.melt([*keys, "anatomy"], list(Score._fields), "metric")
    means = long.groupby([*keys, "metric", "anatomy"], sort=False)["value"].mean().unstack("anatomy")
    table = means.reindex(columns=list(anatomies))
    table[AVERAGE] = table.mean(axis=1, skipna=False)
    first = pd.MultiIndex.from_frame(long[[*keys, "metric"]].drop_duplicates())
    return table.reindex(first).round(6).rename_axis(columns=None).reset_index()


def _read(files: Iterable[Path], columns: Sequence[str]) -> pd.DataFrame:
    text = dict.fromkeys(("condition", "method", "anatomy", "aspin", "way", "new", "volume"), str)
    frames = []
    for path in files:
        try:
            frame = pd.read_csv(path, dtype=text, keep_default_na=False)
        except (OSError, ValueError) as fault:
            raise UnimriError(f"{path}: cannot be read ({fault}); make it again") from None
        if list(frame.columns) != list(columns) or frame.empty:
            raise UnimriError(f"{path}: does not hold the columns {', '.join(columns)}; make it again")
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
