"""What was trained and tested on: counts by split, what was left out, histograms of intensity."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unimri.core.artifacts import write_text
from unimri.core.text import markdown_table, write_csv
from unimri.data.store import SPLITS, PreparedData
from unimri.evaluation.figures import histogram_figure

BINS = 64
_BATCH = 256


def counts(data: Mapping[str, PreparedData]) -> pd.DataFrame:
    """Count patients, volumes and slices.

    Returns
    -------
    frame with the columns anatomy, split (train, validation, test), patients, volumes, slices; every split of every
    anatomy has a row.
    """
    rows = []
    for anatomy, prepared in data.items():
        for split in SPLITS:
            of_split = prepared.manifest[prepared.manifest["split"] == split]
            sizes = of_split["patient"].nunique(), len(of_split), int(of_split["slices"].sum())
            rows.append((anatomy, split, *sizes))
    return pd.DataFrame(rows, columns=["anatomy", "split", "patients", "volumes", "slices"])


def left_out(data: Mapping[str, PreparedData]) -> pd.DataFrame:
    """Count the volumes that were left out: columns anatomy, reason, volumes; no row when none was."""
    rows = []
    for anatomy, prepared in data.items():
        reasons = pd.read_csv(prepared.folder / "skipped.csv", dtype=str)["reason"].value_counts().sort_index()
        rows += [(anatomy, reason, int(count)) for reason, count in reasons.items()]
    return pd.DataFrame(rows, columns=["anatomy", "reason", "volumes"])


def histogram(data: PreparedData) -> NDArray[np.float64]:
    """Fraction of the training slices' pixels in each of `BINS` equal parts of [0, 1]."""
    slices = data.split("train")
    total = np.zeros(BINS)
    for start in range(0, len(slices), _BATCH):
        batch = slices.batch(np.arange(start, min(start + _BATCH, len(slices))))
        total += np.histogram(batch, bins=BINS, range=(0, 1))[0]
    return total / total.sum()


def write_data_report(folders: Mapping[str, Path], origins: Mapping[str, str], tables: Path, figure: Path) -> None:
    """Write `data.csv` and `data.md` to a folder, and a picture of the histograms.

    Parameters
    ----------
    folders : prepared data by anatomy.
    origins : "simulated" or "real" by anatomy.
    tables : folder of the tables.
    figure : the PNG to write.

    Raises
    ------
    UnimriError
        When prepared data are missing or damaged.
    """
    # From disk: the report looks at each slice once.
    data = {anatomy: PreparedData(folder, memory_limit=0) for anatomy, folder in folders.items()}
    table, skipped = counts(data), left_out(data)
    write_csv(tables / "data.csv", table)
    write_text(tables / "data.md", _markdown(table, skipped, origins))
    titles = {anatomy: f"{anatomy} ({origins[anatomy]})" for anatomy in data}
    histogram_figure({titles[anatomy]: histogram(prepared) for anatomy, prepared in data.items()}, figure)


def _markdown(table: pd.DataFrame, skipped: pd.DataFrame, origins: Mapping[str, str]) -> str:
    with (files("unimri.evaluation") / "published" / "counts.csv").open(encoding="utf-8") as file:
        paper = pd.read_csv(file, index_col="anatomy")["slices"]
    rows = []
    for anatomy, origin in origins.items():
        own = table[table["anatomy"] == anatomy].set_index("split")
        cells = [" / ".join(str(own.loc[split, column]) for column in own.columns[1:]) for split in SPLITS]
        published = f"{paper[anatomy]:,}" if anatomy in paper.index else "–"
        rows.append([anatomy, origin, *cells, f"{own['slices'].sum():,}", published])
    header = ["anatomy", "data", *SPLITS, "slices", "the paper's slices"]
    parts = ["# Data", "Patients / volumes / slices of each split.", markdown_table(header, rows, 2)]
    if len(skipped):
        reasons = [[str(row.anatomy), str(row.reason), str(row.volumes)] for row in skipped.itertuples()]
        parts += ["Left out:", markdown_table(["anatomy", "reason", "volumes"], reasons, 2)]
    else:
        parts.append("No volume was left out.")
    return "\n\n".join(parts) + "\n"
