"""The tables of the studies beside Table 1, from the scores, and Table S2."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import write_csv
from unimri.evaluation.averages import AVERAGE, DECIMALS, Cell, table_columns, wide
from unimri.evaluation.markdown import beside_table, column_names, heading_of, metrics_in_words, metrics_table
from unimri.evaluation.paper import beside, published
from unimri.evaluation.scores import as_trained, aspin_of, learnt_in
from unimri.evaluation.statistics import CLEAR, StatisticsSettings, leads
from unimri.metrics.base import MetricSettings
from unimri.metrics.score import AS_TRAINED, CHANGE, read_scores
from unimri.training.methods import layer_of

StudyName = Literal["robustness", "aspin_matrix", "adaptation", "forgetting", "masks"]

NONE = "none"
"""The row of Table S2 without distillation."""

LAYER = "distilled_layer"
"""Its column of layers."""


def robustness_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds: trained (the sampling), condition, method, metric, anatomies, average.

    Of the condition 'as trained' those slices count that the others have.
    """
    return wide(_tried(scores), ["trained", "condition", "method"], anatomies, metrics)


def _tried(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that it is of, in the order of its rows."""
    kinds = scores["condition"]
    tried = scores[(kinds != AS_TRAINED) & kinds.map(lambda name: aspin_of(name) is None and learnt_in(name) is None)]
    both = pd.concat([_as_trained_beside(tried, scores), tried], ignore_index=True)
    return both.assign(
        trained=[f"{acceleration:g}x" for acceleration in both["acceleration"]],
        sampling=both["acceleration"].map({value: rank for rank, value in enumerate(tried["acceleration"].unique())}),
        row=both["method"].map({key: rank for rank, key in enumerate(tried["method"].unique())}),
        further=both["condition"] != AS_TRAINED,
    ).sort_values(["sampling", "row", "further"], kind="stable")


def aspin_matrix_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means by anatomy of the slices and by whose ASPIN was used.

    Returns
    -------
    frame with the columns acceleration, metric, anatomy, aspin, value and difference (to the anatomy's own ASPIN).
    """
    scores = _with_aspins(scores)
    means = scores.groupby(["acceleration", "anatomy", "method"])[list(metrics)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in metrics:
            of_rate = means.loc[acceleration, metric]
            for anatomy in anatomies:
                for aspin in anatomies:
                    value = of_rate[anatomy, aspin]
                    rows.append((acceleration, metric, anatomy, aspin, value, value - of_rate[anatomy, anatomy]))
    return pd.DataFrame(rows, columns=["acceleration", "metric", "anatomy", "aspin", "value", "difference"])


def _with_aspins(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that it is of; the method is whose ASPIN was used."""
    others = scores.assign(aspin=scores["condition"].map(aspin_of)).dropna(subset="aspin")
    own = _as_trained_beside(others, scores)
    return pd.concat([own.assign(method=own["anatomy"]), others.assign(method=others["aspin"])])


def adaptation_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means on new anatomies by how they were learnt and from how many patients.

    Parameters
    ----------
    scores : of methods `{how}/{patients}`, and of Proposed and Independent, which are the ASPIN and the network from
        scratch on all patients; of others, which are left out.
    anatomies : the new ones.
    metrics : columns of the scores, in order.

    Returns
    -------
    frame with the columns acceleration, metric, method, patients (a number or `all`, text), the anatomies, average.
    """
    table = wide(_adapted(scores), ["acceleration", "method", "patients"], anatomies, metrics)
    order = table["patients"].replace("all", np.inf).astype(float)
    place = table["metric"].map({metric: place for place, metric in enumerate(metrics)})
    return table.assign(order=order, place=place).sort_values(
        ["acceleration", "place", "method", "order"], kind="stable", ignore_index=True
    )[["acceleration", "metric", "method", "patients", *anatomies, AVERAGE]]


def _adapted(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that it is of."""
    known = {"proposed": "aspin/all", "independent": "scratch/all"}
    chosen = (scores["condition"] == AS_TRAINED) & (
        scores["method"].isin(list(known)) | scores["method"].str.contains("/")
    )
    scores = scores[chosen]
    named = scores["method"].replace(known).str.split("/", expand=True)
    return scores.assign(method=named[0], patients=named[1])


def forgetting_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """What old anatomies' test splits score before and after a new one was learnt, and how far any pixel changed.

    Returns
    -------
    frame with the columns acceleration, method (how it was learnt: `aspin`, `finetuned`), new (what), anatomy (the old
    one), before, after (mean PSNR in dB, over slices and then over seeds), difference (dB), largest_pixel_change (of
    any seed, on the slices' scale of [0, 1]).
    """
    after = scores.assign(new=scores["condition"].map(learnt_in)).dropna(subset="new")
    own = ["acceleration", "seed", "anatomy"]
    first = scores[(scores["condition"] == AS_TRAINED) & (scores["method"] == "proposed")]
    before = first.groupby(own)["psnr_db"].mean().round(DECIMALS).rename("before")
    found = after.groupby([*own, "method", "new"], sort=False)
    means = found.agg(after=("psnr_db", "mean"), largest_pixel_change=(CHANGE, "max")).reset_index()
    means = means.round({"after": DECIMALS}).join(before, on=own)
    means["method"] = means["method"].replace("proposed", "aspin/all").str.removesuffix("/all")
    grouped = means.groupby(["acceleration", "method", "new", "anatomy"], sort=False)
    table = grouped[["before", "after"]].mean()
    table["difference"] = table["after"] - table["before"]
    table[CHANGE] = grouped[CHANGE].max()
    return table.reset_index()


def masks_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means over slices and seeds: mask, acceleration, method, metric, anatomies, average."""
    return wide(_of_masks(scores), ["mask", "acceleration", "method"], anatomies, metrics)


def _of_masks(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that it is of."""
    return scores[scores["condition"] == AS_TRAINED]


STUDIES: dict[StudyName, Callable[[pd.DataFrame, Sequence[str], Sequence[str]], pd.DataFrame]] = {
    "robustness": robustness_table,
    "aspin_matrix": aspin_matrix_table,
    "adaptation": adaptation_table,
    "forgetting": forgetting_table,
    "masks": masks_table,
}

# Of tables with a best of each column: the scores of the rows that are compared, and within what they are.
_COMPARED: dict[StudyName, tuple[Callable[[pd.DataFrame], pd.DataFrame], tuple[str, ...]]] = {
    "robustness": (_tried, ("trained", "condition")),
    "aspin_matrix": (_with_aspins, ()),
    "adaptation": (_adapted, ("patients",)),
    "masks": (_of_masks, ("mask",)),
}


def write_study_tables(
    studies: Mapping[StudyName, Sequence[str]],
    scores: pd.DataFrame,
    other_masks: Sequence[Path],
    methods: Sequence[str],
    metrics: MetricSettings,
    statistics: StatisticsSettings,
    output: Path,
) -> dict[str, pd.DataFrame]:
    """Write the studies' tables as `{study}.csv` to a folder, and compare the best of their columns with the next best.

    Parameters
    ----------
    studies : the anatomies that are columns, by study.
    scores : one row a slice, from `unimri.metrics.score.read_scores`.
    other_masks : files of those with the masks that the study of masks has beside the experiment's own.
    methods : the rows of Table 1, of which the study of masks is.
    metrics : how the scores were computed; forgetting is in PSNR whatever is in Table 1.
    statistics : how intervals are made.

    Returns
    -------
    frames from `unimri.evaluation.statistics.leads`, by study.

    Raises
    ------
    UnimriError : from `read_scores`.
    """
    columns = table_columns(metrics)
    found: dict[str, pd.DataFrame] = {}
    for study, anatomies in studies.items():
        own = scores
        if study == "masks":
            own = as_trained(pd.concat([scores, read_scores(other_masks, metrics)], ignore_index=True), methods)
        write_csv(output / f"{study}.csv", STUDIES[study](own, anatomies, columns))
        if study in _COMPARED:
            chosen, within = _COMPARED[study]
            found[study] = leads(chosen(own), anatomies, columns, statistics, within)
    return found


def _as_trained_beside(tried: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What the same methods score as trained on the slices that have been tried."""
    place = ["acceleration", "seed", "method", "anatomy", "volume", "slice"]
    return scores[scores["condition"] == AS_TRAINED].merge(tried[place].drop_duplicates(), on=place)


def layer_rows(configured: int) -> dict[str, str]:
    """The methods of Table 1 that are rows of Table S2, by key; `configured` is the layer that Proposed distils."""
    return {"without_distillation": NONE, "proposed": str(configured)}


def layer_names(methods: Iterable[str], configured: int) -> dict[str, str]:
    """What Table S2 calls those of some methods that are its rows, by key."""
    known = layer_rows(configured)
    return {key: known.get(key) or str(layer_of(key)) for key in methods if key in known or layer_of(key)}


def table_s2(table: pd.DataFrame, configured: int) -> pd.DataFrame:
    """Give Table S2: w/o MD, Proposed and every other layer that was distilled.

    Parameters
    ----------
    table : averages of all methods, from `unimri.evaluation.averages.averages`.
    configured : the layer that Proposed distils.

    Returns
    -------
    frame with Table 1's columns, in whose column `method` stands the layer ('none', '1', ...); rows by acceleration,
    metric, layer.
    """
    names = layer_names(table["method"], configured)
    rows = table[table["method"].isin(list(names))].replace({"method": names})
    layer = rows["method"].replace(NONE, "0").astype("int64")
    place = rows["metric"].map({metric: place for place, metric in enumerate(table["metric"].unique())})
    rows = rows.assign(layer=layer, place=place).sort_values(["acceleration", "place", "layer"])
    return rows.drop(columns=["layer", "place"]).reset_index(drop=True)


def published_s2() -> pd.DataFrame:
    """The paper's Table S2 with Table 1's columns, as `table_s2` gives ours."""
    return published("table_s2").rename(columns={LAYER: "method"})


def write_table_s2(
    table: pd.DataFrame, anatomies: Mapping[str, str], metrics: Sequence[str], clear: Collection[Cell], output: Path
) -> None:
    """Write `table_s2.csv`, `table_s2_published.csv` and `table_s2.md` to a folder.

    Parameters
    ----------
    table : from `table_s2`.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    metrics : columns of the table's metrics, in order.
    clear : the cells that are bold, from `unimri.evaluation.statistics.clear_cells`.
    """
    compared = beside(table, published_s2())
    write_csv(output / "table_s2.csv", table.rename(columns={"method": LAYER}))
    write_csv(output / "table_s2_published.csv", compared.rename(columns={"method": LAYER}))
    labels = {name: "w/o MD" if name == NONE else f"layer {name}" for name in table["method"].unique()}
    sections = [
        "# Table S2. Which layer to distil",
        f"## {heading_of(anatomies)}",
        f"{metrics_in_words(metrics)}, as in Table 1. The best of each column at each acceleration is bold {CLEAR}.",
        metrics_table(table, column_names(anatomies), labels, "Distilled", clear),
        *beside_table(compared, labels, anatomies),
    ]
    write_text(output / "table_s2.md", "\n\n".join(sections) + "\n")
