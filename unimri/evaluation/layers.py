"""Table S2 of the paper's supplement: which layer to distil."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from unimri.core.artifacts import write_text
from unimri.core.text import markdown_table, number, write_csv
from unimri.evaluation.averages import AVERAGE, anatomies_of, best, cells
from unimri.evaluation.markdown import beside_table, column_names, heading_of, metrics_in_words
from unimri.evaluation.paper import beside, published
from unimri.metrics.base import metric_of
from unimri.training.methods import layer_of

NONE = "none"
"""The row without distillation."""

LAYER = "distilled_layer"


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


def write_table_s2(table: pd.DataFrame, anatomies: Mapping[str, str], output: Path) -> None:
    """Write `table_s2.csv`, `table_s2_published.csv` and `table_s2.md` to a folder.

    Parameters
    ----------
    table : from `table_s2`.
    anatomies : for each anatomy, in order, whether its data are 'simulated' or 'real'.
    """
    compared = beside(table, published_s2())
    write_csv(output / "table_s2.csv", table.rename(columns={"method": LAYER}))
    write_csv(output / "table_s2_published.csv", compared.rename(columns={"method": LAYER}))
    labels = {name: "w/o MD" if name == NONE else f"layer {name}" for name in table["method"].unique()}
    sections = [
        "# Table S2. Which layer to distil",
        f"## {heading_of(anatomies)}",
        f"{metrics_in_words(table)}, as in Table 1. The best of each column at each acceleration is bold.",
        _table(table, column_names(anatomies), labels),
        *beside_table(compared, labels, anatomies),
    ]
    write_text(output / "table_s2.md", "\n\n".join(sections) + "\n")


def _table(table: pd.DataFrame, names: Mapping[str, str], labels: Mapping[str, str]) -> str:
    columns = [*anatomies_of(table), AVERAGE]
    header = ["", "Distilled"]
    metrics = {column: metric_of(column) for column in table["metric"].unique()}
    header += [f"{metric.title} {names[column]}" for metric in metrics.values() for column in columns]
    values, best_cells = cells(table), best(table)
    rows = []
    for acceleration in table["acceleration"].unique():
        for name, label in labels.items():
            keys = [(acceleration, name, metric, column) for metric in metrics for column in columns]
            if keys[0] in values:
                shown = [
                    number(values[key], "**" if key in best_cells else "", metrics[key[2]].decimals) for key in keys
                ]
                rows.append([f"{acceleration:g}×" if name == next(iter(labels)) else "", label, *shown])
    return markdown_table(header, rows, text_columns=2)
