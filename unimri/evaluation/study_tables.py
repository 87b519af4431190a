"""The tables of the studies beside Table 1, from the scores, and Table S2."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import write_csv
from unimri.evaluation.averages import AVERAGE, DECIMALS, table_columns, wide
from unimri.evaluation.markdown import beside_table, column_names, heading_of, metrics_in_words, metrics_table
from unimri.evaluation.paper import beside, published
from unimri.evaluation.scores import as_trained, aspin_of, learnt_in
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
    kinds = scores["condition"]
    tried = scores[(kinds != AS_TRAINED) & kinds.map(lambda name: aspin_of(name) is None and learnt_in(name) is None)]
    both = pd.concat([_as_trained_beside(tried, scores), tried], ignore_index=True)
    both = both.assign(
        trained=[f"{acceleration:g}x" for acceleration in both["acceleration"]],
        sampling=both["acceleration"].map({value: rank for rank, value in enumerate(tried["acceleration"].unique())}),
        row=both["method"].map({key: rank for rank, key in enumerate(tried["method"].unique())}),
        further=both["condition"] != AS_TRAINED,
    ).sort_values(["sampling", "row", "further"], kind="stable")
    return wide(both, ["trained", "condition", "method"], anatomies, metrics)


def aspin_matrix_table(scores: pd.DataFrame, anatomies: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Means by anatomy of the slices and by whose ASPIN was used.

    Returns
    -------
    frame with the columns acceleration, metric, anatomy, aspin, value and difference (to the anatomy's own ASPIN).
    """
    others = scores.assign(aspin=scores["condition"].map(aspin_of)).dropna(subset="aspin")
    own = _as_trained_beside(others, scores)
    scores = pd.concat([own.assign(aspin=own["anatomy"]), others])
    means = scores.groupby(["acceleration", "anatomy", "aspin"])[list(metrics)].mean()
    rows = []
    for acceleration in sorted(scores["acceleration"].unique()):
        for metric in metrics:
            of_rate = means.loc[acceleration, metric]
            for anatomy in anatomies:
                for aspin in anatomies:
                    value = of_rate[anatomy, aspin]
                    rows.append((acceleration, metric, anatomy, aspin, value, value - of_rate[anatomy, anatomy]))
    return pd.DataFrame(rows, columns=["acceleration", "metric", "anatomy", "aspin", "value", "difference"])


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
    known = {"proposed": "aspin/all", "independent": "scratch/all"}
    chosen = (scores["condition"] == AS_TRAINED) & (
        scores["method"].isin(list(known)) | scores["method"].str.contains("/")
    )
    scores = scores[chosen]
    named = scores["method"].replace(known).str.split("/", expand=True)
    table = wide(
        scores.assign(method=named[0], patients=named[1]), ["acceleration", "method", "patients"], anatomies, metrics
    )
    order = table["patients"].replace("all", np.inf).astype(float)
    place = table["metric"].map({metric: place for place, metric in enumerate(metrics)})
    return table.assign(order=order, place=place).sort_values(
        ["acceleration", "place", "method", "order"], kind="stable", ignore_index=True
    )[["acceleration", "metric", "method", "patients", *anatomies, AVERAGE]]


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
    return wide(scores[scores["condition"] == AS_TRAINED], ["mask", "acceleration", "method"], anatomies, metrics)


STUDIES: dict[StudyName, Callable[[pd.DataFrame, Sequence[str], Sequence[str]], pd.DataFrame]] = {
    "robustness": robustness_table,
    "aspin_matrix": aspin_matrix_table,
    "adaptation": adaptation_table,
    "forgetting": forgetting_table,
    "masks": masks_table,
}


def write_study_tables(
    studies: Mapping[StudyName, Sequence[str]],
    scores: pd.DataFrame,
    other_masks: Sequence[Path],
    methods: Sequence[str],
    metrics: MetricSettings,
    output: Path,
) -> None:
    """Write the studies' tables as `{study}.csv` to a folder.

    Parameters
    ----------
    studies : the anatomies that are columns, by study.
    scores : one row a slice, from `unimri.metrics.score.read_scores`.
    other_masks : files of those with the masks that the study of masks has beside the experiment's own.
    methods : the rows of Table 1, of which the study of masks is.
    metrics : how the scores were computed; forgetting is in PSNR whatever is in Table 1.

    Raises
    ------
    UnimriError : from `read_scores`.
    """
    for study, anatomies in studies.items():
        own = scores
        if study == "masks":
            own = as_trained(pd.concat([scores, read_scores(other_masks, metrics)], ignore_index=True), methods)
        table = STUDIES[study](own, anatomies, table_columns(metrics))
        write_csv(output / f"{study}.csv", table)


def _as_trained_beside(tried: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """What the same methods score as trained on the slices that have been tried."""
    place = ["acceleration", "seed", "method", "anatomy", "volume", "slice"]
    return scores[scores["condition"] == AS_TRAINED].merge(tried[place].drop_duplicates(), on=place)


def layer_rows(configured: int) -> dict[str, str]:
    """The methods of Table 1 that are rows of Table S2, by key; `configured` is the layer that Proposed distils."""
    return {"without_distillation": NONE, "proposed": str(configured)}


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
    known = layer_rows(configured)
    names = {key: known.get(key) or str(layer_of(key)) for key in table["method"] if key in known or layer_of(key)}
    rows = table[table["method"].isin(list(names))].replace({"method": names})
    layer = rows["method"].replace(NONE, "0").astype("int64")
    place = rows["metric"].map({metric: place for place, metric in enumerate(table["metric"].unique())})
    rows = rows.assign(layer=layer, place=place).sort_values(["acceleration", "place", "layer"])
    return rows.drop(columns=["layer", "place"]).reset_index(drop=True)


def published_s2() -> pd.DataFrame:
    """The paper's Table S2 with Table 1's columns, as `table_s2` gives ours."""
    return published("table_s2").rename(columns={LAYER: "method"})


def write_table_s2(table: pd.DataFrame, anatomies: Mapping[str, str], metrics: Sequence[str], output: Path) -> None:
    """Write `table_s2.csv`, `table_s2_published.csv` and `table_s2.md` to a folder.

    Parameters
    ----------
    table : from `table_s2`.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    metrics : columns of the table's metrics, in order.
    """
    compared = beside(table, published_s2())
    write_csv(output / "table_s2.csv", table.rename(columns={"method": LAYER}))
    write_csv(output / "table_s2_published.csv", compared.rename(columns={"method": LAYER}))
    labels = {name: "w/o MD" if name == NONE else f"layer {name}" for name in table["method"].unique()}
    sections = [
        "# Table S2. Which layer to distil",
        f"## {heading_of(anatomies)}",
        f"{metrics_in_words(metrics)}, as in Table 1. The best of each column at each acceleration is bold.",
        metrics_table(table, column_names(anatomies), labels, "Distilled"),
        *beside_table(compared, labels, anatomies),
    ]
    write_text(output / "table_s2.md", "\n\n".join(sections) + "\n")
