"""Pictures as text in the page: PNG files as they are, slices and error maps as small PNGs, a forest plot as SVG."""

import base64
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from unimri.core.errors import UnimriError
from unimri.core.text import decimals
from unimri.deploy.figure import BETTER, ERROR_MAP, UNDECIDED, WORSE, error_limit, grey_limit
from unimri.evaluation.statistics import CONTRADICTED, SUPPORTED
from unimri.report.tables import Row, metric_of, metric_title, read_number
from unimri.training.methods import method

# A forest plot is as wide as the page's text, and no wider.
_COLUMNS = 4
_COLOURS = {SUPPORTED: BETTER, CONTRADICTED: WORSE}


@dataclass(frozen=True)
class Picture:
    """A picture in the page.

    Attributes
    ----------
    key : its name in the page.
    source : a data URI.
    title, alt, caption : its words.
    width, height : in pixels.
    """

    key: str
    source: str
    title: str
    alt: str
    caption: str
    width: int
    height: int


def picture_file(path: Path, key: str, title: str, alt: str, caption: str) -> Picture:
    """Give a PNG file of the results, as it is.

    Raises
    ------
    UnimriError : when it is no PNG.
    """
    again = "delete it and run snakemake again"
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError) as fault:
        raise UnimriError(f"{path}: cannot be read as PNG ({type(fault).__name__}); {again}") from None
    return Picture(key, _uri("image/png", content), title, alt, caption, width, height)


def comparison(path: Path, key: str) -> dict[str, Any]:
    """Give what the slider shows of one slice.

    Parameters
    ----------
    path : NPZ with truth (n, n), images (M, n, n), and the JSON text `about`.
    key : its name in the page.

    Returns
    -------
    key, title and simulated; the size n; names, images, errors and scores, the truth first, for each of which errors
    and scores are empty text. Images share one grey scale and error maps one scale, those of the figures.

    Raises
    ------
    UnimriError : when the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            truth, images = content["truth"].astype(np.float64), content["images"].astype(np.float64)
            about = json.loads(str(content["about"]))
        labels, scores = list(about["labels"]), [(float(psnr), float(ssim)) for psnr, ssim in about["scores"]]
        title, simulated = str(about["title"]), bool(about["simulated"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as fault:
        reason = " ".join(str(fault).split())
        raise UnimriError(f"{path}: not the slices of a figure ({reason}); delete it and run snakemake again") from None
    if images.shape != (len(labels), *truth.shape) or len(scores) != len(labels) or truth.ndim != 2 or not labels:
        raise UnimriError(f"{path}: its arrays and labels do not fit together; delete it and run snakemake again")
    errors = [np.abs(image - truth) for image in images]
    grey, limit = grey_limit(truth), error_limit(errors) or 1e-6
    return {
        "key": key,
        "title": title,
        "simulated": simulated,
        "size": int(truth.shape[1]),
        "names": ["Truth", *labels],
        "images": [_slice(image, grey) for image in (truth, *images)],
        "errors": ["", *(_error_map(error, limit) for error in errors)],
        "scores": [
            "",
            *(f"{decimals(psnr)}\N{NO-BREAK SPACE}dB, {decimals(ssim)}\N{NO-BREAK SPACE}%" for psnr, ssim in scores),
        ],
        "limit": f"{limit:.2g}",
    }


def forest(rows: Sequence[Row], path: Path) -> str:
    """Draw Proposed minus each other method, one panel a method, one line an anatomy, with a line at zero.

    What is supported has the colour of what is better, what is contradicted that of what is worse, the rest is grey; a
    dot is hollow when fewer than six patients stand behind it.

    Parameters
    ----------
    rows : of `comparisons.csv`, at one acceleration, in one metric.
    path : of that table, for errors.

    Returns
    -------
    an SVG as a data URI. No date and no random name, so that equal rows are equal text.
    """
    others = list(dict.fromkeys(row["other"] for row in rows))
    anatomies = list(dict.fromkeys(row["anatomy"] for row in rows))
    columns = min(len(others), _COLUMNS)
    lines = math.ceil(len(others) / columns)
    size = (1.6 * columns + 0.9, lines * (0.25 * len(anatomies) + 0.6) + 0.3)
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
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "unimri", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return _uri("image/svg+xml", stream.getvalue())


def _panel(axes: Axes, rows: Sequence[Row], anatomies: Sequence[str], path: Path) -> None:
    axes.axvline(0, color="0.2", lw=0.8)
    for row in rows:
        place = anatomies.index(row["anatomy"])
        middle, low, high = (read_number(row, name, path) for name in ("difference", "low", "high"))
        known = not (math.isnan(low) or math.isnan(high))
        colour = _COLOURS.get(row.get("verdict", ""), UNDECIDED)
        if known:
            axes.plot([low, high], [place, place], color=colour, lw=1.6, solid_capstyle="butt")
        face = "white" if row.get("few_patients") == "True" else colour
        axes.plot([middle], [place], "o" if known else "x", color=colour, markerfacecolor=face, ms=4)
    axes.grid(visible=True, axis="x", color="0.92", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, length=2)
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _levels(image: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    return np.round(255 * np.clip(image / limit, 0, 1)).astype(np.uint8)


def _slice(image: NDArray[np.float64], limit: float) -> str:
    return _png(Image.fromarray(_levels(image, limit)))


def _error_map(error: NDArray[np.float64], limit: float) -> str:
    shown = Image.fromarray(_levels(error, limit)).convert("P")
    colours = mpl.colormaps[ERROR_MAP](np.arange(256), bytes=True)[:, :3]
    shown.putpalette(colours.astype(np.uint8).tobytes())
    return _png(shown)


def _png(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return _uri("image/png", stream.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
