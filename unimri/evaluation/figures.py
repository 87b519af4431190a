"""Figures as PNG files, from artifacts. No state of pyplot, no dates, so that equal input is equal bytes.

`title` is the figure's, and `output` the PNG to write.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

from unimri.core.artifacts import check_noted, replacing
from unimri.core.errors import UnimriError
from unimri.core.settings import Settings
from unimri.core.text import decimals
from unimri.data.store import PreparedData
from unimri.deploy.figure import (
    BETTER,
    FONT_SIZE,
    PAPER_INCHES,
    SMALLEST,
    WORSE,
    reconstruction_figure,
    save_figure,
    write_title,
)
from unimri.evaluation.reconstructions import Kept
from unimri.metrics.base import MetricSettings, metric_of
from unimri.metrics.score import AS_TRAINED, score_slice
from unimri.physics.masks import Masks, load_masks
from unimri.training.methods import ADAPTATIONS, method

HISTORY_COLUMNS = ("step", "train_loss", "validation_psnr_db")

_DPI = 200

# Side by side on a page's width.
_PANELS = 3


class Shown(Settings):
    """What the figure of an anatomy is of: kept reconstructions, the data that they were made from, their origin."""

    reconstructions: Path
    data: Path
    simulated: bool


class FiguresTask(Settings):
    """Figures of one sampling.

    Attributes
    ----------
    anatomies : of each a slice by every method.
    methods : keys, in the order of those figures.
    seed : of their trainings.
    metrics : how the scores in them are computed.
    histories : `history.csv` of each training, by the title of its stage and the name of the training.
    title : of the figure of curves.
    acceleration : of the sampling; studies' tables have others too.
    studies : tables of studies, and the titles of their figures.
    masks : artifacts of masks, whose pictures lie beside them.
    """

    anatomies: dict[str, Shown]
    methods: list[str]
    seed: int
    metrics: MetricSettings
    histories: dict[str, dict[str, Path]]
    title: str
    acceleration: float
    studies: dict[Literal["adaptation", "aspin_matrix"], tuple[Path, str]]
    masks: list[Path]


def draw_figures(task: FiguresTask, folder: Path) -> None:
    """Draw `{anatomy}.png`, with its `.npz`, `curves.png` and `{study}.png` in a folder, and masks beside their files.

    Raises
    ------
    UnimriError : when an input is missing, damaged or does not fit.
    """
    for anatomy in task.anatomies:
        picture_methods(task, anatomy, folder / f"{anatomy}.png")
    histories = {
        stage: {name: _history(path) for name, path in paths.items()} for stage, paths in task.histories.items()
    }
    curves_figure(histories, task.title, folder / "curves.png")
    for study, (table, title) in task.studies.items():
        draw_study(table, task.acceleration, title, folder / f"{study}.png")
    for mask in task.masks:
        picture_masks(mask, mask.with_suffix(".png"))


def picture_methods(task: FiguresTask, anatomy: str, output: Path) -> None:
    """Draw the middle slice of the middle test volume as each method reconstructs it; its images go to a `.npz`.

    No network is loaded.

    Parameters
    ----------
    output : the PNG to write. Its `.npz` holds `truth`, float32 (n, n), `images`, float32 (methods, n, n), and
        `about`, JSON text: methods, labels, scores (PSNR in dB, SSIM in percent), simulated, title.

    Raises
    ------
    UnimriError : when an input is missing or does not fit.
    """
    shown = task.anatomies[anatomy]
    slices = PreparedData(shown.data).split("test")
    volumes = sorted((volume, numbers) for volume, _, numbers in slices.volumes())
    own = volumes[len(volumes) // 2][1]
    middle = int(own[len(own) // 2])
    truth = slices[middle]
    images, scores = {}, {}
    with Kept(shown.reconstructions) as kept:
        kept.check(shown.data)
        for key in task.methods:
            label = method(key).title
            images[label] = kept.images(kept.find(key, task.seed, AS_TRAINED), slice(middle, middle + 1))[0]
            scores[label] = score_slice(truth, images[label], task.metrics)
        title = f"{kept.about.anatomy}, {kept.about.acceleration:g}x"
    reconstruction_figure(truth, images, scores, title, output, simulated=shown.simulated)
    about = {
        "methods": task.methods,
        "labels": list(images),
        "scores": [list(score) for score in scores.values()],
        "simulated": shown.simulated,
        "title": title,
    }
    with replacing(output.with_suffix(".npz")) as temporary:
        np.savez(temporary, truth=truth, images=np.stack(list(images.values())), about=np.array(json.dumps(about)))


def _history(path: Path) -> pd.DataFrame:
    check_noted(path)
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as fault:
        raise UnimriError(f"{path}: not the history of a training ({fault}); train it again") from None


def draw_study(table: Path, acceleration: float, title: str, output: Path) -> None:
    """Draw one acceleration of `adaptation.csv` or `aspin_matrix.csv`, in the first of its metrics.

    Raises
    ------
    UnimriError : when the table is missing, is damaged, or has no such acceleration.
    """
    try:
        frame = pd.read_csv(table, dtype={"patients": str}, keep_default_na=False, na_values=[""])
        rows = frame[frame["acceleration"] == acceleration]
        rows = rows[rows["metric"] == next(iter(rows["metric"]), "")]
    except (OSError, ValueError, KeyError) as fault:
        raise UnimriError(f"{table}: cannot be read ({fault}); make it again") from None
    if rows.empty:
        raise UnimriError(f"{table}: has no rows at {acceleration:g}x; make it again")
    (adaptation_figure if "patients" in rows else matrix_figure)(rows, title, output)


def picture_masks(path: Path, output: Path) -> None:
    """Draw an artifact of masks.

    Raises
    ------
    UnimriError : when it is missing or damaged.
    """
    masks = load_masks(path)
    mask_figure(masks, f"{masks.acceleration:g}x: {masks.achieved_acceleration:.2f}x kept", output)


def mask_figure(masks: Masks, title: str, output: Path) -> None:
    """Draw the first mask as a picture of k-space, and how densely the lines are sampled.

    Parameters
    ----------
    masks : of one acceleration, as drawn.
    """
    count, size = masks.masks.shape
    first = masks.masks[0]
    figure = Figure(figsize=(7.2, 3.5), dpi=_DPI)
    write_title(figure, title)
    frequency = np.arange(size) - size // 2
    edges = (frequency[0] - 0.5, frequency[-1] + 0.5)
    picture = figure.add_axes((0.07, 0.145, 0.34, 0.70))
    columns = masks.axis == "columns"
    picture.imshow(
        np.broadcast_to(first if columns else first[:, np.newaxis], (size, size)),
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=(*edges, *edges),
    )
    kept = int(first.sum())
    which = f"mask 1 of {count}: " if count > 1 else ""
    picture.set_title(f"{which}{kept} of {size} lines, {size / max(kept, 1):.2f}×", fontsize=FONT_SIZE)
    labels = ("phase-encoding line, relative to DC", "readout")
    picture.set_xlabel(labels[0 if columns else 1], fontsize=FONT_SIZE)
    picture.set_ylabel(labels[1 if columns else 0], fontsize=FONT_SIZE)
    (picture.set_yticks if columns else picture.set_xticks)([])
    picture.tick_params(labelsize=SMALLEST)

    axes = figure.add_axes((0.53, 0.145, 0.44, 0.70))
    density = masks.masks.mean(axis=0, dtype=np.float64)
    label = f"mean of {count} masks"
    if count == 1:
        # One mask is 0 or 1 at every line, which is no density yet.
        width = size / 32
        density = gaussian_filter1d(density, width, mode="nearest")
        label = f"Gaussian mean of the mask, σ = {width:g} lines"
        axes.vlines(frequency[first], 0, 0.03, color="0.35", lw=0.8, label="lines kept")
    axes.plot(frequency, density, color="C0", lw=1.4, label=label)
    nominal = masks.acceleration
    axes.axhline(1 / nominal, color="C3", lw=0.9, ls="--", label=f"1 / {nominal:g}, nominal")
    axes.set(xlim=edges, ylim=(0, 1.25), yticks=np.linspace(0, 1, 6))
    axes.set_title("sampling density", fontsize=FONT_SIZE)
    axes.set_xlabel("phase-encoding line, relative to DC", fontsize=FONT_SIZE)
    axes.set_ylabel("fraction of lines kept", fontsize=FONT_SIZE)
    axes.tick_params(labelsize=SMALLEST)
    axes.legend(fontsize=SMALLEST, frameon=False, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, output)


def curves_figure(stages: Mapping[str, Mapping[str, pd.DataFrame]], title: str, output: Path) -> None:
    """Draw the training curves of each stage, three side by side: loss above, validation PSNR below, against steps.

    Parameters
    ----------
    stages : by the stage's title, in the order of the columns: by the name of a training, a frame with at least the
        columns `HISTORY_COLUMNS`. A value that is missing in a row is left out of its curve.

    Raises
    ------
    UnimriError : when a history lacks a column.
    """
    for stage, histories in stages.items():
        for name, history in histories.items():
            if missing := [column for column in HISTORY_COLUMNS if column not in history]:
                raise UnimriError(f"history of {stage}, {name}: lacks the column(s) {', '.join(missing)}; train again")
    across = min(len(stages), _PANELS)
    blocks = [list(stages.items())[start : start + across] for start in range(0, len(stages), across)]
    lines = sum(max(len(histories) for _, histories in block) for block in blocks)
    size = (PAPER_INCHES * max(across, 2) / _PANELS, 2.7 * len(blocks) + 0.16 * lines + 0.3)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    grid = figure.subplots(2 * len(blocks), across, sharey="row", squeeze=False)
    every = [history for histories in stages.values() for history in histories.values()]
    logarithmic = all((history["train_loss"].dropna() > 0).all() for history in every)
    for number, block in enumerate(blocks):
        upper, lower = grid[2 * number], grid[2 * number + 1]
        for above, below, (stage, histories) in zip(upper, lower, block, strict=False):
            below.sharex(above)
            _curves(above, below, stage, histories)
        for axes in (*upper[len(block) :], *lower[len(block) :]):
            axes.set_visible(False)
        if logarithmic:
            upper[0].set_yscale("log")
        upper[0].set_ylabel("training loss", fontsize=SMALLEST)
        lower[0].set_ylabel("validation PSNR (dB)", fontsize=SMALLEST)
    figure.suptitle(title, fontsize=FONT_SIZE + 1, parse_math=False)
    save_figure(figure, output)


def _curves(above: Axes, below: Axes, stage: str, histories: Mapping[str, pd.DataFrame]) -> None:
    """One stage: training loss above, validation below, and the names of the trainings under them."""
    for axes, value in zip((above, below), HISTORY_COLUMNS[1:], strict=True):
        for number, history in enumerate(histories.values()):
            known = history[["step", value]].dropna()
            # A second round of the ten colours is dashed.
            style, marker = ("-", "--", ":")[number // 10 % 3], "o" if len(known) == 1 else ""
            axes.plot(known["step"], known[value], style, marker=marker, ms=3, color=f"C{number % 10}", lw=1.2)
        axes.tick_params(labelsize=SMALLEST, which="both")
        axes.grid(visible=True, color="0.9", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    above.tick_params(labelbottom=False)
    above.set_title(stage, fontsize=FONT_SIZE, parse_math=False)
    below.set_xlabel("step", fontsize=SMALLEST)
    # Below the axes, where it hides no curve.
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.26), "borderaxespad": 0}
    legend = below.legend(below.lines, list(histories), fontsize=SMALLEST, frameon=False, handlelength=1.2, **place)
    for text in legend.get_texts():
        text.set_parse_math(False)


def adaptation_figure(table: pd.DataFrame, title: str, output: Path) -> None:
    """Draw a metric against the number of training patients, one panel an anatomy, one curve a method of learning it.

    Parameters
    ----------
    table : rows of one acceleration and one metric, from `unimri.evaluation.study_tables.adaptation_table`.
    """
    anatomies = [
        name for name in table.columns if name not in ("acceleration", "metric", "method", "patients", "average")
    ]
    counts = sorted({int(count) for count in table["patients"] if count != "all"})
    places = [*map(str, counts), "all"]
    across, down = min(len(anatomies), _PANELS), math.ceil(len(anatomies) / _PANELS)
    size = (PAPER_INCHES * max(across, 2) / _PANELS, 2.5 * down + 0.8)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes in panels[len(anatomies) :]:
        axes.set_visible(False)
    for axes, anatomy in zip(panels, anatomies, strict=False):
        for number, row in enumerate(ADAPTATIONS):
            values = table[table["method"] == row.key].set_index("patients")[anatomy].reindex(places)
            axes.plot(range(len(places)), values, marker="o", ms=4, lw=1.4, color=f"C{number}", label=row.title)
        axes.set_xticks(range(len(places)), places)
        axes.set_title(anatomy, fontsize=FONT_SIZE, parse_math=False)
        axes.set_xlabel("training patients", fontsize=SMALLEST)
        axes.tick_params(labelsize=SMALLEST)
        axes.grid(visible=True, color="0.9", lw=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel(f"test {metric_of(table['metric'].iloc[0]).heading}", fontsize=SMALLEST)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=SMALLEST, frameon=False)
    figure.suptitle(title, fontsize=FONT_SIZE + 1, parse_math=False)
    save_figure(figure, output)


def matrix_figure(table: pd.DataFrame, title: str, output: Path) -> None:
    """Draw a metric of each anatomy (rows) with each ASPIN (columns), coloured by the difference to the own one.

    What is worse than the own one has the colour of what is worse.

    Parameters
    ----------
    table : rows of one acceleration and one metric, from `unimri.evaluation.study_tables.aspin_matrix_table`.
    """
    names, metric = list(dict.fromkeys(table["anatomy"])), metric_of(table["metric"].iloc[0])
    numbers, losses = (
        table.pivot(index="anatomy", columns="aspin", values=column)
        .reindex(index=names, columns=names)
        .to_numpy(np.float64)
        for column in ("value", "difference")
    )
    size = (min(0.85 * len(names) + 2.0, PAPER_INCHES), 0.7 * len(names) + 1.3)
    figure = Figure(figsize=size, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    largest = max(float(np.nanmax(np.abs(losses))), 1e-6)
    ends = [WORSE, "white", BETTER]
    colours = LinearSegmentedColormap.from_list("gain", ends[::-1] if metric.lower_is_better else ends)
    shown = axes.imshow(losses, cmap=colours, vmin=-largest, vmax=largest, aspect="auto")
    for row in range(len(names)):
        for column in range(len(names)):
            loss = losses[row, column]
            text = decimals(numbers[row, column], metric.decimals)
            if row != column:
                text += f"\n({decimals(loss, metric.decimals, signed=True)})"
            ink = "white" if abs(loss) > 0.6 * largest else "black"
            axes.text(column, row, text, ha="center", va="center", fontsize=SMALLEST, color=ink)
    axes.set_xticks(range(len(names)), names, fontsize=SMALLEST)
    axes.set_yticks(range(len(names)), names, fontsize=SMALLEST)
    axes.set_xlabel("ASPIN of", fontsize=FONT_SIZE)
    axes.set_ylabel("slices of", fontsize=FONT_SIZE)
    axes.set_title(title, fontsize=FONT_SIZE + 1, parse_math=False)
    bar = figure.colorbar(shown)
    bar.set_label(
        f"{metric.title} minus that of the own ASPIN{f' ({metric.unit})' if metric.unit else ''}",
        fontsize=SMALLEST,
    )
    bar.ax.tick_params(labelsize=SMALLEST)
    save_figure(figure, output)
