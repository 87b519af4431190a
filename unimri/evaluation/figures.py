"""Figures as PNG files. No state of pyplot, no dates, so that equal input is equal bytes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.metrics.base import metric_of
from unimri.physics.masks import Masks

HISTORY_COLUMNS = ("step", "train_loss", "validation_psnr_db")

ERROR_MAP = "inferno"
"""One hue, even steps of lightness, black at zero: an error map that also reads in grey."""

_MARK = "#ffd23f"
_PANEL_INCHES = 1.7
_MIN_PANEL_PIXELS = 320
_FONT_SIZE = 9
_DPI = 200


def reconstruction_figure(
    truth: NDArray[np.floating[Any]],
    reconstructions: Mapping[str, NDArray[np.floating[Any]]],
    scores: Mapping[str, tuple[float, float]],
    title: str,
    output: Path,
    *,
    simulated: bool,
    error_max: float | None = None,
) -> None:
    """Draw one slice by every method, as the paper's Figure 2: image, zoomed patch, error map.

    The images share one grey scale, [0, the truth's 99.8th percentile]. The patch is the square of a quarter
    of the side where the truth varies most, away from the image's border. The error maps,
    |reconstruction - truth|, share one scale.

    Parameters
    ----------
    truth : real (n, n), the fully sampled magnitude.
    reconstructions : by label, in the order of the columns: real (n, n), magnitude.
    scores : by the same labels: PSNR in dB and SSIM in percent.
    title : what the slice is.
    output : the PNG to write.
    simulated : whether the slice is simulated; the title then says so.
    error_max : upper end of the error maps' scale; by default the largest over methods, without the worst
        one, of the 99.9th percentile of the error. The worst is zero filling, and its errors would hide all
        others.

    Raises
    ------
    ValueError : when shapes differ or a label has no score.
    """
    if any(image.shape != truth.shape for image in reconstructions.values()):
        raise ValueError(f"every reconstruction must have the truth's shape {truth.shape}")
    if missing := [label for label in reconstructions if label not in scores]:
        raise ValueError(f"no scores of {', '.join(missing)}")
    errors = {label: np.abs(image - truth) for label, image in reconstructions.items()}
    error_max = (error_limit(list(errors.values())) if error_max is None else error_max) or 1e-6
    grey: dict[str, Any] = {"cmap": "gray", "vmin": 0.0, "vmax": grey_limit(truth)}

    grid = _Grid(columns=1 + len(errors), rows=3, side=max(truth.shape), top=0.55, right=0.75)
    figure = grid.figure
    _title(figure, f"{title} (simulated)" if simulated else title)
    row, column, side = _most_varied_patch(truth)
    patch = (slice(row, row + side), slice(column, column + side))
    for number, (label, image) in enumerate({"Truth": truth, **reconstructions}.items()):
        whole, zoomed = grid.axes(0, number), grid.axes(1, number)
        _picture(whole, image, **grey)
        whole.set_title(label, fontsize=_FONT_SIZE, pad=3, parse_math=False)
        whole.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=_MARK, lw=1))
        _picture(zoomed, image[patch], **grey)
        for spine in zoomed.spines.values():
            spine.set(visible=True, edgecolor=_MARK, linewidth=1)
        if number:
            psnr, ssim = scores[label]
            _corner_text(whole, f"{psnr:.2f} dB\n{ssim:.2f} %")
            shown = grid.axes(2, number)
            mappable = _picture(shown, errors[label], cmap=ERROR_MAP, vmin=0.0, vmax=error_max)
    if errors:
        clipped = any(float(error.max()) > error_max for error in errors.values())
        bar = figure.colorbar(mappable, cax=grid.bar(2), extend="max" if clipped else "neither")
        bar.ax.tick_params(labelsize=_FONT_SIZE - 2)
        grid.note(2, 0, "|reconstruction − truth|,\none scale for all")
    _save(figure, output)


def grey_limit(truth: NDArray[np.floating[Any]]) -> float:
    """Upper end of the grey scale that a slice and its reconstructions share; the lower one is zero."""
    return float(np.percentile(truth, 99.8)) or 1.0


def error_limit(errors: Sequence[NDArray[np.floating[Any]]]) -> float:
    """Upper end of the scale that error maps share: the largest 99.9th percentile, without the worst method's."""
    highs = sorted(float(np.percentile(error, 99.9)) for error in errors)
    return highs[-2] if len(highs) > 1 else highs[-1]


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
    # About 3 : 2, which is near a page's width and a screen's.
    columns = min(len(slices), math.ceil(math.sqrt(1.5 * len(slices))))
    grid = _Grid(columns, math.ceil(len(slices) / columns), max(slices.shape[1:]), top=0.3, gap_above=0.22)
    for number, (image, title) in enumerate(zip(slices, titles, strict=True)):
        axes = grid.axes(*divmod(number, columns))
        _picture(axes, image, cmap="gray", vmin=0.0, vmax=float(image.max()) or 1.0)
        axes.set_title(title, fontsize=_FONT_SIZE - 1, pad=3, parse_math=False)
    _save(grid.figure, output)


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
    axes.legend(fontsize=_FONT_SIZE - 1, frameon=False)
    _open_frame(axes)
    _save(figure, output)


def mask_figure(masks: Masks, title: str, output: Path) -> None:
    """Draw the first mask as a picture of k-space, and how densely the lines are sampled.

    Parameters
    ----------
    masks : of one acceleration, as drawn.
    title : what the masks are.
    output : the PNG to write.
    """
    count, size = masks.masks.shape
    first = masks.masks[0]
    figure = Figure(figsize=(7.2, 3.5), dpi=_DPI)
    _title(figure, title)
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
    picture.set_title(f"{which}{kept} of {size} lines, {size / max(kept, 1):.2f}×", fontsize=_FONT_SIZE)
    labels = ("phase-encoding line, relative to DC", "readout")
    picture.set_xlabel(labels[0 if columns else 1], fontsize=_FONT_SIZE)
    picture.set_ylabel(labels[1 if columns else 0], fontsize=_FONT_SIZE)
    (picture.set_yticks if columns else picture.set_xticks)([])
    picture.tick_params(labelsize=_FONT_SIZE - 1)

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
    axes.set_title("sampling density", fontsize=_FONT_SIZE)
    axes.set_xlabel("phase-encoding line, relative to DC", fontsize=_FONT_SIZE)
    axes.set_ylabel("fraction of lines kept", fontsize=_FONT_SIZE)
    axes.tick_params(labelsize=_FONT_SIZE - 1)
    axes.legend(fontsize=_FONT_SIZE - 2, frameon=False, loc="upper right")
    _open_frame(axes)
    _save(figure, output)


def curves_figure(stages: Mapping[str, Mapping[str, pd.DataFrame]], title: str, output: Path) -> None:
    """Draw the training curves of all stages side by side: training loss above, validation PSNR below, against steps.

    Parameters
    ----------
    stages : by the stage's title, in the order of the columns: by the name of a training, a frame with at least the
        columns `HISTORY_COLUMNS`. A value that is missing in a row is left out of its curve.
    title : of the figure.
    output : the PNG to write.

    Raises
    ------
    UnimriError : when a history lacks a column.
    """
    for stage, histories in stages.items():
        for name, history in histories.items():
            if missing := [column for column in HISTORY_COLUMNS if column not in history]:
                raise UnimriError(f"history of {stage}, {name}: lacks the column(s) {', '.join(missing)}; train again")
    longest = max(len(histories) for histories in stages.values())
    figure = Figure(figsize=(2.3 * len(stages) + 0.5, 4.2 + 0.14 * longest), dpi=_DPI, layout="constrained")
    grid = figure.subplots(2, len(stages), sharex="col", sharey="row", squeeze=False)
    for column, (stage, histories) in enumerate(stages.items()):
        for row, value in enumerate(HISTORY_COLUMNS[1:]):
            axes = grid[row, column]
            for number, history in enumerate(histories.values()):
                known = history[["step", value]].dropna()
                # A second round of the ten colours is dashed.
                style, marker = ("-", "--", ":")[number // 10 % 3], "o" if len(known) == 1 else ""
                axes.plot(known["step"], known[value], style, marker=marker, ms=3, color=f"C{number % 10}", lw=1.2)
            axes.tick_params(labelsize=_FONT_SIZE - 2, which="both")
            axes.grid(visible=True, color="0.9", lw=0.6)
            axes.set_axisbelow(True)
            _open_frame(axes)
        grid[0, column].set_title(stage, fontsize=_FONT_SIZE, parse_math=False)
        grid[1, column].set_xlabel("step", fontsize=_FONT_SIZE - 1)
        lower = grid[1, column]
        # Below the axes, where it hides no curve.
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.22), "borderaxespad": 0}
        legend = lower.legend(lower.lines, list(histories), fontsize=_FONT_SIZE - 2.5, frameon=False, **place)
        for text in legend.get_texts():
            text.set_parse_math(False)
    every = [history for histories in stages.values() for history in histories.values()]
    if all((history["train_loss"].dropna() > 0).all() for history in every):
        grid[0, 0].set_yscale("log")
    grid[0, 0].set_ylabel("training loss", fontsize=_FONT_SIZE - 1)
    grid[1, 0].set_ylabel("validation PSNR (dB)", fontsize=_FONT_SIZE - 1)
    figure.suptitle(title, fontsize=_FONT_SIZE + 1, parse_math=False)
    _save(figure, output)


ADAPTATION_LABELS = {
    "aspin": "S4: new ASPIN alone",
    "finetuned": "fine-tuning of the whole network",
    "scratch": "training from scratch",
}


def adaptation_figure(table: pd.DataFrame, title: str, output: Path) -> None:
    """Draw a metric against the number of training patients, one panel an anatomy, one curve a method of learning it.

    Parameters
    ----------
    table : rows of one acceleration and one metric, from `unimri.evaluation.study_tables.adaptation_table`.
    title : of the figure.
    output : the PNG to write.
    """
    anatomies = [
        name for name in table.columns if name not in ("acceleration", "metric", "method", "patients", "average")
    ]
    counts = sorted({int(count) for count in table["patients"] if count != "all"})
    places = [*map(str, counts), "all"]
    figure = Figure(figsize=(2.6 * len(anatomies) + 0.4, 3.3), dpi=_DPI, layout="constrained")
    for axes, anatomy in zip(figure.subplots(1, len(anatomies), squeeze=False)[0], anatomies, strict=True):
        for number, (how, label) in enumerate(ADAPTATION_LABELS.items()):
            values = table[table["method"] == how].set_index("patients")[anatomy].reindex(places)
            axes.plot(range(len(places)), values, marker="o", ms=4, lw=1.4, color=f"C{number}", label=label)
        axes.set_xticks(range(len(places)), places)
        axes.set_title(anatomy, fontsize=_FONT_SIZE, parse_math=False)
        axes.set_xlabel("training patients", fontsize=_FONT_SIZE - 1)
        axes.tick_params(labelsize=_FONT_SIZE - 2)
        axes.grid(visible=True, color="0.9", lw=0.6)
        axes.set_axisbelow(True)
        _open_frame(axes)
    figure.axes[0].set_ylabel(f"test {metric_of(table['metric'].iloc[0]).heading}", fontsize=_FONT_SIZE - 1)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=_FONT_SIZE - 1, frameon=False)
    figure.suptitle(title, fontsize=_FONT_SIZE + 1, parse_math=False)
    _save(figure, output)


def matrix_figure(table: pd.DataFrame, title: str, output: Path) -> None:
    """Draw a metric of each anatomy (rows) with each ASPIN (columns), coloured by the difference to the own one.

    What is worse than the own one is red.

    Parameters
    ----------
    table : rows of one acceleration and one metric, from `unimri.evaluation.study_tables.aspin_matrix_table`.
    title : of the figure.
    output : the PNG to write.
    """
    names, metric = list(dict.fromkeys(table["anatomy"])), metric_of(table["metric"].iloc[0])
    numbers, losses = (
        table.pivot(index="anatomy", columns="aspin", values=column)
        .reindex(index=names, columns=names)
        .to_numpy(np.float64)
        for column in ("value", "difference")
    )
    figure = Figure(figsize=(0.85 * len(names) + 2.0, 0.7 * len(names) + 1.3), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    largest = max(float(np.nanmax(np.abs(losses))), 1e-6)
    shown = axes.imshow(
        losses, cmap="RdBu_r" if metric.lower_is_better else "RdBu", vmin=-largest, vmax=largest, aspect="auto"
    )
    for row in range(len(names)):
        for column in range(len(names)):
            loss = losses[row, column]
            digits = metric.decimals
            text = f"{numbers[row, column]:.{digits}f}" + ("" if row == column else f"\n({loss:+.{digits}f})")
            dark = abs(loss) > 0.6 * largest
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(names)), names, fontsize=_FONT_SIZE - 1)
    axes.set_yticks(range(len(names)), names, fontsize=_FONT_SIZE - 1)
    axes.set_xlabel("ASPIN of", fontsize=_FONT_SIZE)
    axes.set_ylabel("slices of", fontsize=_FONT_SIZE)
    axes.set_title(title, fontsize=_FONT_SIZE + 1, parse_math=False)
    bar = figure.colorbar(shown)
    bar.set_label(
        f"{metric.title} minus that of the own ASPIN{f' ({metric.unit})' if metric.unit else ''}",
        fontsize=_FONT_SIZE - 1,
    )
    bar.ax.tick_params(labelsize=_FONT_SIZE - 2)
    _save(figure, output)


class _Grid:
    """Square panels, of such a size that each image pixel covers a whole number of the figure's pixels."""

    def __init__(
        self, columns: int, rows: int, side: int, top: float, right: float = 0.06, gap_above: float = 0.0
    ) -> None:
        dpi = math.ceil(_MIN_PANEL_PIXELS / side) * side / _PANEL_INCHES

        def whole_pixels(inches: float) -> float:
            return round(inches * dpi) / dpi

        self.left, self.top = whole_pixels(0.06), whole_pixels(top)
        self.column_step = whole_pixels(_PANEL_INCHES + 0.06)
        self.row_step = whole_pixels(_PANEL_INCHES + 0.06 + gap_above)
        self.width = self.left + (columns - 1) * self.column_step + _PANEL_INCHES + whole_pixels(right)
        self.height = self.top + (rows - 1) * self.row_step + _PANEL_INCHES + self.left
        self.figure = Figure(figsize=(self.width, self.height), dpi=dpi)

    def _box(self, row: int, column: int) -> tuple[float, float]:
        x = self.left + column * self.column_step
        y = self.height - self.top - _PANEL_INCHES - row * self.row_step
        return x, y

    def axes(self, row: int, column: int) -> Axes:
        x, y = self._box(row, column)
        size = (_PANEL_INCHES / self.width, _PANEL_INCHES / self.height)
        return self.figure.add_axes((x / self.width, y / self.height, *size))

    def bar(self, row: int) -> Axes:
        """Axes of a colour bar to the right of a row."""
        _, y = self._box(row, 0)
        x = self.width - 0.67
        return self.figure.add_axes((x / self.width, y / self.height, 0.12 / self.width, _PANEL_INCHES / self.height))

    def note(self, row: int, column: int, text: str) -> None:
        """Write in the middle of a panel that has no picture."""
        x, y = self._box(row, column)
        half = _PANEL_INCHES / 2
        self.figure.text(
            (x + half) / self.width,
            (y + half) / self.height,
            text,
            ha="center",
            va="center",
            fontsize=_FONT_SIZE - 1,
        )


def _picture(axes: Axes, image: NDArray[Any], **scale: Any) -> Any:
    shown = axes.imshow(image, interpolation="nearest", aspect="equal", **scale)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return shown


def _corner_text(axes: Axes, text: str) -> None:
    axes.text(
        0.03,
        0.97,
        text,
        transform=axes.transAxes,
        va="top",
        color="white",
        fontsize=_FONT_SIZE - 2,
        linespacing=1.1,
        # Readable on bright tissue as well as on background.
        path_effects=[withStroke(linewidth=1.5, foreground="black")],
    )


def _most_varied_patch(image: NDArray[np.floating[Any]]) -> tuple[int, int, int]:
    """Row, column and side of the square, a quarter of the image's side, with the highest local variance.

    Its centre lies in the middle half of the image: the strongest edges are those of skin against air.
    """
    side = min(max(8, min(image.shape) // 4), *image.shape)
    values = image.astype(np.float64)
    variance = uniform_filter(values**2, side) - uniform_filter(values, side) ** 2
    height, width = image.shape
    middle = variance[height // 4 : height - height // 4, width // 4 : width - width // 4]
    row, column = np.unravel_index(int(np.argmax(middle)), middle.shape)
    # The filter's window at i starts at i - side // 2.
    top = int(np.clip(row + height // 4 - side // 2, 0, height - side))
    left = int(np.clip(column + width // 4 - side // 2, 0, width - side))
    return top, left, side


def _open_frame(axes: Axes) -> None:
    axes.spines["top"].set_visible(False)
    axes.spines["right"].set_visible(False)


def _title(figure: Figure, title: str) -> None:
    height = float(figure.get_figheight())
    figure.text(0.5, 1 - 0.09 / height, title, ha="center", va="top", fontsize=_FONT_SIZE + 1, parse_math=False)


def _save(figure: Figure, output: Path) -> None:
    FigureCanvasAgg(figure)
    with replacing(output) as temporary:
        # matplotlib would write its version into the file.
        figure.savefig(temporary, format="png", metadata={"Software": None})
