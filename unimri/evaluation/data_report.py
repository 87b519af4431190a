"""What was trained and tested on: counts by split, what was left out, histograms of intensity, contact sheets."""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unimri.core.artifacts import check_noted, write_text
from unimri.core.text import markdown_table, write_csv
from unimri.data.store import SPLITS, PreparedData
from unimri.deploy.figure import FONT_SIZE, Grid, save_figure, show_image

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
        check_noted(prepared.folder / "skipped.csv")
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


def histogram_figure(histograms: Mapping[str, NDArray[np.float64]], output: Path) -> None:
    """Draw histograms of intensity, one line each, on a logarithmic scale.

    Parameters
    ----------
    histograms : by title, fractions of pixels in equal parts of [0, 1].
    output : the PNG to write.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    for title, fractions in histograms.items():
        axes.stairs(fractions, np.linspace(0, 1, len(fractions) + 1), label=title.replace("$", r"\$"), linewidth=1.2)
    axes.set(yscale="log", xlim=(0, 1), xlabel="intensity, of the volume's maximum", ylabel="fraction of pixels")
    axes.legend(fontsize=FONT_SIZE - 1, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, output)


def picture_data(data: PreparedData, output: Path) -> None:
    """Draw the middle slice of up to 24 volumes of an anatomy, with the split that each is in."""
    pictures, titles = [], []
    for split in SPLITS:
        slices = data.split(split)
        for _, _, numbers in list(slices.volumes())[:8]:
            pictures.append(slices[int(numbers[len(numbers) // 2])])
            titles.append(split)
    contact_sheet(np.stack(pictures), titles, output)


def contact_sheet(slices: NDArray[np.floating[Any]], titles: Sequence[str], output: Path) -> None:
    """Draw slices side by side, each on its own grey scale from 0 to its maximum.

    Parameters
    ----------
    slices : real (S, n, n), magnitude.
    titles : one for each slice.
    output : the PNG to write.

    Raises
    ------
    ValueError : when there is not one title for each slice, or no slice.
    """
    if len(slices) != len(titles) or not len(slices):
        raise ValueError(f"{len(slices)} slices need as many titles, and at least one; got {len(titles)}")
    # As many as a page is wide.
    columns = min(len(slices), 5)
    grid = Grid(columns, math.ceil(len(slices) / columns), max(slices.shape[1:]), top=0.3, gap_above=0.22)
    for number, (image, title) in enumerate(zip(slices, titles, strict=True)):
        axes = grid.axes(*divmod(number, columns))
        show_image(axes, image, cmap="gray", vmin=0.0, vmax=float(image.max()) or 1.0)
        axes.set_title(title, fontsize=FONT_SIZE, pad=3, parse_math=False)
    save_figure(grid.figure, output)


def write_data_report(folders: Mapping[str, Path], origins: Mapping[str, str], tables: Path, figures: Path) -> None:
    """Write `data.csv` and `data.md` to a folder, and to another `histograms.png` and `{anatomy}.png`, a contact sheet.

    Parameters
    ----------
    folders : prepared data by anatomy.
    origins : "simulated" or "real" by anatomy.
    tables, figures : the folders.

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
    histograms = {titles[anatomy]: histogram(prepared) for anatomy, prepared in data.items()}
    histogram_figure(histograms, figures / "histograms.png")
    for anatomy, prepared in data.items():
        picture_data(prepared, figures / f"{anatomy}.png")


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
