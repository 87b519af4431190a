"""Differences with their intervals, as a forest plot."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from unimri.report.tables import Row, metric_of, metric_title, read_number
from unimri.training.methods import method

# As wide as the page's text, and no wider.
_COLUMNS = 4
_CLEAR, _OPEN = "#1b6ca8", "#8a8f98"


def forest(rows: Sequence[Row], path: Path) -> Figure:
    """Draw Proposed minus each other method, one panel a method, one line an anatomy, with a line at zero.

    An interval that holds zero is grey; a dot is hollow when fewer than six patients stand behind it.

    Parameters
    ----------
    rows : of `comparisons.csv`, at one acceleration, in one metric.
    path : of that table, for errors.
    """
    others = list(dict.fromkeys(row["other"] for row in rows))
    anatomies = list(dict.fromkeys(row["anatomy"] for row in rows))
    columns = min(len(others), _COLUMNS)
    lines = math.ceil(len(others) / columns)
    size = (1.9 * columns + 0.9, lines * (0.25 * len(anatomies) + 0.6) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes in grid.flat[len(others) :]:
        axes.set_visible(False)
    for axes, other in zip(grid.flat, others, strict=False):
        _panel(axes, [row for row in rows if row["other"] == other], anatomies, path)
        axes.set_title(method(other).title, fontsize=9, parse_math=False)
    grid[0, 0].set_yticks(range(len(anatomies)), [name.replace("$", r"\$") for name in anatomies], fontsize=8)
    grid[0, 0].invert_yaxis()
    metric = metric_of(rows[0])
    lower = ", lower is better" if metric is not None and metric.lower_is_better else ""
    figure.supxlabel(f"Proposed minus the other, {metric_title(rows[0]['metric'])}{lower}", fontsize=8)
    return figure


def _panel(axes: Axes, rows: Sequence[Row], anatomies: Sequence[str], path: Path) -> None:
    axes.axvline(0, color="0.2", lw=0.8)
    for row in rows:
        place = anatomies.index(row["anatomy"])
        middle, low, high = (read_number(row, name, path) for name in ("difference", "low", "high"))
        known = not (math.isnan(low) or math.isnan(high))
        colour = _CLEAR if known and not low <= 0 <= high else _OPEN
        if known:
            axes.plot([low, high], [place, place], color=colour, lw=1.6, solid_capstyle="butt")
        face = "white" if row.get("few_patients") == "True" else colour
        axes.plot([middle], [place], "o" if known else "x", color=colour, markerfacecolor=face, ms=4)
    axes.grid(visible=True, axis="x", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7, length=2)
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
