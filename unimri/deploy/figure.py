"""One slice by several methods as a PNG, and what other figures are drawn with.

No state of pyplot, no dates, so that equal input is equal bytes.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from unimri.core.artifacts import replacing
from unimri.core.text import decimals

ERROR_MAP = "inferno"
"""One hue, even steps of lightness, black at zero: an error map that also reads in grey."""

FONT_SIZE = 9
SMALLEST = 8
"""Of every text, in points, on paper: no figure is wider than `PAPER_INCHES`."""
PAPER_INCHES = 7.3
"""The width of a printed page's text: A4 without its margins."""

BETTER, WORSE, UNDECIDED = "#0072b2", "#b34700", "#8a8f98"
"""One pair of colours in all figures and on the page, told apart by those who confuse red and green."""

_MARK = "#ffd23f"
_PANEL_INCHES = 1.25
_COLUMNS = 5
_ROWS = 3
_MIN_PANEL_PIXELS = 320


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

    blocks = math.ceil((1 + len(errors)) / _COLUMNS)
    columns = min(1 + len(errors), _COLUMNS)
    grid = Grid(columns, _ROWS * blocks, max(truth.shape), top=0.55, right=0.68, block=_ROWS)
    figure = grid.figure
    write_title(figure, f"{title} (simulated)" if simulated else title)
    row, column, side = most_varied_patch(truth)
    patch = (slice(row, row + side), slice(column, column + side))
    for number, (label, image) in enumerate({"Truth": truth, **reconstructions}.items()):
        block, place = divmod(number, _COLUMNS)
        first = _ROWS * block
        whole, zoomed = grid.axes(first, place), grid.axes(first + 1, place)
        show_image(whole, image, **grey)
        whole.set_title(label, fontsize=FONT_SIZE, pad=3, parse_math=False)
        whole.add_patch(Rectangle((column - 0.5, row - 0.5), side, side, fill=False, edgecolor=_MARK, lw=1))
        show_image(zoomed, image[patch], **grey)
        for spine in zoomed.spines.values():
            spine.set(visible=True, edgecolor=_MARK, linewidth=1)
        if number:
            psnr, ssim = scores[label]
            _corner_text(whole, f"{decimals(psnr)} dB\n{decimals(ssim)} %")
            shown = grid.axes(first + 2, place)
            mappable = show_image(shown, errors[label], cmap=ERROR_MAP, vmin=0.0, vmax=error_max)
    if errors:
        clipped = any(float(error.max()) > error_max for error in errors.values())
        for block in range(blocks):
            axes = grid.bar(_ROWS * block + 2)
            bar = figure.colorbar(mappable, cax=axes, extend="max" if clipped else "neither")
            bar.ax.tick_params(labelsize=SMALLEST)
        grid.note(2, 0, "|reconstruction − truth|,\none scale for all")
    save_figure(figure, output)


def grey_limit(truth: NDArray[np.floating[Any]]) -> float:
    """Upper end of the grey scale that a slice and its reconstructions share; the lower one is zero."""
    return float(np.percentile(truth, 99.8)) or 1.0


def error_limit(errors: Sequence[NDArray[np.floating[Any]]]) -> float:
    """Upper end of the scale that error maps share: the largest 99.9th percentile, without the worst method's."""
    highs = sorted(float(np.percentile(error, 99.9)) for error in errors)
    return highs[-2] if len(highs) > 1 else highs[-1]


def most_varied_patch(image: NDArray[np.floating[Any]]) -> tuple[int, int, int]:
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


class Grid:
    """Square panels, of such a size that each image pixel covers a whole number of the figure's pixels."""

    def __init__(
        self,
        columns: int,
        rows: int,
        side: int,
        top: float,
        right: float = 0.06,
        gap_above: float = 0.0,
        block: int | None = None,
    ) -> None:
        dpi = math.ceil(_MIN_PANEL_PIXELS / side) * side / _PANEL_INCHES

        def whole_pixels(inches: float) -> float:
            return round(inches * dpi) / dpi

        self.left, self.top = whole_pixels(0.06), whole_pixels(top)
        self.column_step = whole_pixels(_PANEL_INCHES + 0.06)
        self.row_step = whole_pixels(_PANEL_INCHES + 0.06 + gap_above)
        # Each `block` of rows has titles of its own.
        self.block, self.block_gap = block or rows, whole_pixels(0.25)
        gaps = (rows - 1) // self.block * self.block_gap
        self.width = self.left + (columns - 1) * self.column_step + _PANEL_INCHES + whole_pixels(right)
        self.height = self.top + (rows - 1) * self.row_step + gaps + _PANEL_INCHES + self.left
        self.figure = Figure(figsize=(self.width, self.height), dpi=dpi)

    def _box(self, row: int, column: int) -> tuple[float, float]:
        x = self.left + column * self.column_step
        y = self.height - self.top - _PANEL_INCHES - row * self.row_step - row // self.block * self.block_gap
        return x, y

    def axes(self, row: int, column: int) -> Axes:
        x, y = self._box(row, column)
        size = (_PANEL_INCHES / self.width, _PANEL_INCHES / self.height)
        return self.figure.add_axes((x / self.width, y / self.height, *size))

    def bar(self, row: int) -> Axes:
        """Axes of a colour bar to the right of a row."""
        _, y = self._box(row, 0)
        x = self.width - 0.62
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
            fontsize=SMALLEST,
        )


def show_image(axes: Axes, image: NDArray[Any], **scale: Any) -> Any:
    """Draw an image (H, W) without ticks and frame; `scale` is of `Axes.imshow`."""
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
        fontsize=SMALLEST,
        linespacing=1.1,
        # Readable on bright tissue as well as on background.
        path_effects=[withStroke(linewidth=1.5, foreground="black")],
    )


def write_title(figure: Figure, title: str) -> None:
    """Write a figure's title along its upper edge."""
    height = float(figure.get_figheight())
    figure.text(0.5, 1 - 0.09 / height, title, ha="center", va="top", fontsize=FONT_SIZE + 1, parse_math=False)


def save_figure(figure: Figure, output: Path) -> None:
    """Write a figure as PNG: whole or not at all, without date and version."""
    FigureCanvasAgg(figure)
    with replacing(output) as temporary:
        # matplotlib would write its version into the file.
        figure.savefig(temporary, format="png", metadata={"Software": None})
