"""What phantoms are drawn on and with, and what every phantom is; their outlines are `unimri.data.phantoms.shapes`.

`Plane` is the slice that is imaged, in mm; `Canvas` is what tissue is painted on; `Noise` gives texture, folds and the
shading of receive coils; `Phantom` is one simulated patient of one anatomy, a function of place, contrast and time.
"""

import tomllib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

from unimri.data.phantoms.shapes import Points, closed_curve, ellipse, open_curve

Image = NDArray[np.float32]
# Tissue may be computed in double precision on the way; the canvas keeps single.
Field = NDArray[np.floating[Any]]
Window = tuple[slice, slice]

# Sub-pixels a side when an outline is rasterised: edges then carry the partial volume of a real pixel.
_SUBPIXELS = 3
# The mean over a cell of the sum of squared cubic B-spline weights: what of the variance is left.
_BSPLINE_POWER = 151 / 315
_UPSAMPLING = 4


@dataclass(frozen=True)
class Pose:
    """How a patient is built and lies in the scanner.

    Attributes
    ----------
    angle : rotation in the plane, radians.
    shift : displacement (x, y), mm.
    stretch : size (x, y) relative to the model's.
    bends : amplitude (mm), wavelength (mm) and phase (radians) of the sinusoids that bend x along y, x along
        x, y along x and y along y; float64 (4, 3).
    """

    angle: float
    shift: tuple[float, float]
    stretch: tuple[float, float]
    bends: NDArray[np.float64] = field(repr=False)

    @classmethod
    def draw(
        cls,
        rng: np.random.Generator,
        angle: float,
        shift: float,
        stretch: float,
        bend: float,
        wavelength: float,
    ) -> "Pose":
        """Draw a pose: normal with the given standard deviations, but bends of at most `bend` mm."""
        size = rng.normal(1, stretch)
        bends = np.stack(
            [
                rng.uniform(-bend, bend, 4),
                wavelength * rng.uniform(0.8, 1.3, 4),
                rng.uniform(0, 2 * np.pi, 4),
            ],
            axis=1,
        )
        return cls(
            angle=float(np.clip(rng.normal(0, angle), -2.5 * angle, 2.5 * angle)),
            shift=(float(rng.normal(0, shift)), float(rng.normal(0, shift))),
            stretch=(float(size * rng.normal(1, stretch / 2)), float(size * rng.normal(1, stretch / 2))),
            bends=bends,
        )

    def _wave(self, which: int, along: NDArray[np.float64]) -> NDArray[np.float64]:
        amplitude, wavelength, phase = self.bends[which]
        wave: NDArray[np.float64] = amplitude * np.sin(2 * np.pi * along / wavelength + phase)
        return wave

    def to_scanner(self, points: Points) -> Points:
        """Take anatomical points (n, 2), x and y in mm, to the scanner's frame."""
        x, y = points[:, 0] * self.stretch[0], points[:, 1] * self.stretch[1]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        u, v = cosine * x - sine * y + self.shift[0], sine * x + cosine * y + self.shift[1]
        return np.stack([u + self._wave(0, v) + self._wave(1, u), v + self._wave(2, u) + self._wave(3, v)], axis=1)

    def to_anatomy(self, u: NDArray[np.float64], v: NDArray[np.float64]) -> tuple[Image, Image]:
        """Take the scanner's grid (columns u, rows v, mm) to anatomical x and y, float32 (rows, columns).

        Undoes `to_scanner` to first order in the bends, which is closer than a pixel.
        """
        row, column = v[:, None], u[None, :]
        u2: Image = (column - self._wave(0, row) - self._wave(1, column) - self.shift[0]).astype(np.float32)
        v2: Image = (row - self._wave(2, column) - self._wave(3, row) - self.shift[1]).astype(np.float32)
        cosine, sine = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        x = ((cosine * u2 + sine * v2) / np.float32(self.stretch[0])).astype(np.float32, copy=False)
        y = ((cosine * v2 - sine * u2) / np.float32(self.stretch[1])).astype(np.float32, copy=False)
        return x, y


@dataclass(frozen=True)
class Plane:
    """The grid of one slice: `rows` x `columns` pixels of `spacing` mm, at height `z` mm of a patient."""

    rows: int
    columns: int
    spacing: float
    z: float
    pose: Pose

    @cached_property
    def _anatomical(self) -> tuple[Image, Image]:
        u = (np.arange(self.columns, dtype=np.float64) - (self.columns - 1) / 2) * self.spacing
        v = (np.arange(self.rows, dtype=np.float64) - (self.rows - 1) / 2) * self.spacing
        return self.pose.to_anatomy(u, v)

    @property
    def x(self) -> Image:
        """Anatomical x of every pixel, mm, rightwards, float32 (rows, columns)."""
        return self._anatomical[0]

    @property
    def y(self) -> Image:
        """Anatomical y of every pixel, mm, downwards, float32 (rows, columns)."""
        return self._anatomical[1]

    def inside(self, distance: Field, edge: float | None = None) -> Image:
        """Turn a distance from an edge (mm, positive inside) into cover, 0 to 1, over `edge` mm (a pixel)."""
        scaled = distance / np.float32(edge or self.spacing) + np.float32(0.5)
        cover: Image = np.clip(scaled, 0, 1, dtype=np.float32)
        return cover

    def raster(
        self, points: Points, width: float | None = None, soft: float = 0.0, closed: bool = True
    ) -> tuple[Window, Image] | None:
        """Rasterise an outline: filled, or as a line of `width` mm.

        Returns
        -------
        The window that holds the outline and the cover of its pixels, float32, 0 to 1; None when it lies
        outside.
        """
        pixels = self.pose.to_scanner(points) / self.spacing + ((self.columns - 1) / 2, (self.rows - 1) / 2)
        margin = 2 + 3 * soft / self.spacing + (width or 0) / self.spacing
        left, top = np.maximum(np.floor(pixels.min(axis=0) - margin).astype(int), 0)
        right, bottom = np.minimum(np.ceil(pixels.max(axis=0) + margin).astype(int) + 1, (self.columns, self.rows))
        if right <= left or bottom <= top:
            return None
        drawing = Pillow.new("L", (int(right - left) * _SUBPIXELS, int(bottom - top) * _SUBPIXELS))
        corners = (((pixels - (left, top)) + 0.5) * _SUBPIXELS - 0.5).ravel().tolist()
        level = 255
        if width is None:
            ImageDraw.Draw(drawing).polygon(corners, fill=level)
        else:
            wanted = width / self.spacing * _SUBPIXELS
            # A line thinner than a sub-pixel loses strength instead of width, as partial volume does.
            level = round(255 * min(wanted, 1.0))
            if closed:
                corners += corners[:2]
            ImageDraw.Draw(drawing).line(corners, fill=level, width=max(1, round(wanted)), joint="curve")
        cover = np.asarray(drawing.reduce(_SUBPIXELS), dtype=np.float32) / np.float32(255)
        if soft:
            cover = scipy.ndimage.gaussian_filter(cover, soft / self.spacing, truncate=3)
        return (slice(int(top), int(bottom)), slice(int(left), int(right))), cover

    def mask(self, points: Points, soft: float = 0.0) -> Image:
        """Cover of a filled outline on the whole plane, float32 (rows, columns), 0 to 1."""
        cover = np.zeros((self.rows, self.columns), np.float32)
        if (drawn := self.raster(points, soft=soft)) is not None:
            cover[drawn[0]] = drawn[1]
        return cover


class Canvas:
    """A slice while it is painted, tissue over tissue.

    Attributes
    ----------
    plane : what is imaged.
    signal : noiseless signal, float32 (rows, columns); negative where fat opposes water in an out-of-phase
        picture.
    labels : the structures that ground truth names, uint8 (rows, columns), 0 elsewhere.
    """

    def __init__(self, plane: Plane) -> None:
        self.plane = plane
        self.signal: Image = np.zeros((plane.rows, plane.columns), np.float32)
        self.labels: NDArray[np.uint8] = np.zeros((plane.rows, plane.columns), np.uint8)

    def paint(
        self, cover: Field, signal: float | Field, label: int | None = None, window: Window | None = None
    ) -> None:
        """Lay tissue of `signal`, one value or one a pixel of the plane, over what is there."""
        area = window or (slice(None), slice(None))
        under = self.signal[area]
        tissue = signal[area] if isinstance(signal, np.ndarray) else np.float32(signal)
        under += cover * (tissue - under)
        if label is not None:
            self.labels[area][cover > 0.5] = label

    def fill(self, points: Points, signal: float | Field, label: int | None = None, soft: float = 0.0) -> None:
        """Paint the inside of an outline, (n, 2) x and y in mm."""
        if (drawn := self.plane.raster(points, soft=soft)) is not None:
            self.paint(drawn[1], signal, label, drawn[0])

    def stroke(
        self, points: Points, width: float, signal: float | Field, closed: bool = False, soft: float = 0.0
    ) -> None:
        """Paint a line of `width` mm through points, (n, 2) x and y in mm."""
        if (drawn := self.plane.raster(points, width=width, soft=soft, closed=closed)) is not None:
            self.paint(drawn[1], signal, window=drawn[0])


def _bspline_taps(positions: NDArray[np.float64], cells: int) -> tuple[NDArray[np.intp], Image]:
    """Cells and periodic cubic B-spline weights, (positions, 4) each, of positions given in cells."""
    whole = np.floor(positions)
    t = positions - whole
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    neighbours = (whole[:, None].astype(np.intp) + np.arange(-1, 3)) % cells
    return neighbours, (np.stack(taps, axis=1) / 6).astype(np.float32)


@lru_cache(maxsize=64)
def _grid_weights(count: int, spacing: float, scale: float, cells: int) -> "scipy.sparse.csr_array":
    # Cached, since the slices of a volume share their grid. Sparse, since only four weights a row are not
    # zero, and since the last bits of a dense product would depend on the number of threads.
    positions = (np.arange(count, dtype=np.float64) - (count - 1) / 2) * (spacing / scale)
    neighbours, weights = _bspline_taps(positions, cells)
    return scipy.sparse.csr_array((weights.ravel(), neighbours.ravel(), np.arange(0, 4 * count + 1, 4)), (count, cells))


def _spline(rows: "scipy.sparse.csr_array", layer: Image, columns: "scipy.sparse.csr_array") -> Image:
    """Interpolate a layer to the grid that the weights of its rows and columns stand for."""
    sampled: Image = np.ascontiguousarray((columns @ np.ascontiguousarray((rows @ layer).T)).T)
    return sampled


class Noise:
    """A smooth random field in three dimensions: zero mean, unit variance, periodic far beyond the picture.

    Parameters
    ----------
    rng : draws the field.
    scale : size of one cell in mm along (z, y, x), or one number for all; details are about two cells wide.
    cells : cells before the field repeats in y and x.
    layers : cells before it repeats in z.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        scale: float | tuple[float, float, float],
        cells: int = 64,
        layers: int = 12,
    ) -> None:
        self.scale = scale if isinstance(scale, tuple) else (scale, scale, scale)
        lattice = rng.standard_normal((layers, cells, cells), dtype=np.float32)
        self.lattice: Image = lattice / np.float32(_BSPLINE_POWER**1.5)

    def _layer(self, z: float) -> Image:
        neighbours, weights = _bspline_taps(np.array([z / self.scale[0]]), self.lattice.shape[0])
        layer: Image = np.zeros(self.lattice.shape[1:], np.float32)
        for neighbour, weight in zip(neighbours[0], weights[0], strict=True):
            layer += weight * self.lattice[neighbour]
        return layer

    def on(self, plane: Plane) -> Image:
        """Sample on the plane's own grid, float32 (rows, columns); separable, hence cheap."""
        _, dy, dx = self.scale
        cells = self.lattice.shape[1]
        rows = _grid_weights(plane.rows, plane.spacing, dy, cells)
        columns = _grid_weights(plane.columns, plane.spacing, dx, cells)
        return _spline(rows, self._layer(plane.z), columns)

    def at(self, x: Image, y: Image, z: float) -> Image:
        """Sample at any coordinates in mm, float32 of their shape: along fibres, around a surface."""
        _, dy, dx = self.scale
        cells = self.lattice.shape[1]
        # Spline onto a finer lattice first: linear interpolation of that is smooth enough and far faster.
        finer = _grid_weights(cells * _UPSAMPLING, 1 / _UPSAMPLING, 1.0, cells)
        layer = _spline(finer, self._layer(z), finer)
        origin = (cells * _UPSAMPLING - 1) / 2
        coordinates = np.stack([y * (_UPSAMPLING / dy) + origin, x * (_UPSAMPLING / dx) + origin])
        sampled: Image = scipy.ndimage.map_coordinates(layer, coordinates, order=1, mode="grid-wrap", output=np.float32)
        return sampled


def signals_by_contrast(
    contrasts: tuple[str, ...], tissues: dict[str, tuple[float, ...]]
) -> dict[str, dict[str, float]]:
    """Turn a table with a row for each tissue and a column for each contrast into signals by contrast."""
    return {
        contrast: {tissue: row[column] for tissue, row in tissues.items()} for column, contrast in enumerate(contrasts)
    }


class Phantom(ABC):
    """One simulated patient. Equal generators give equal patients.

    A class gives the first five attributes itself, or names a `table` that has them.

    Attributes
    ----------
    layout : name of the file layout in which this anatomy's real data set comes; see `simulate.LAYOUTS`.
    tissues : relative signal of each tissue, by contrast: the contrasts this anatomy is scanned with, in
        order.
    field_of_view : width of the picture, mm.
    coverage : lowest and highest slice, mm.
    sagittal : whether slices stand sagittal (columns run from front to back) rather than axial.
    textures, outlines, layers : of the table, by name; see `draw_noise`, `outline` and `paint_layers`.
    pose : how this patient is built and lies.
    """

    layout: ClassVar[str]
    tissues: ClassVar[dict[str, dict[str, float]]]
    field_of_view: ClassVar[float]
    coverage: ClassVar[tuple[float, float]]
    sagittal: ClassVar[bool] = False
    textures: ClassVar[dict[str, dict[str, Any]]]
    outlines: ClassVar[dict[str, list[list[float]]]]
    layers: ClassVar[dict[str, list[dict[str, Any]]]]
    pose: Pose

    def __init_subclass__(cls, table: str | None = None) -> None:
        """Take the attributes from a file beside this module: TOML, with a row for each tissue."""
        if table is not None:
            content = tomllib.loads((Path(__file__).parent / table).read_text(encoding="utf-8"))
            cls.tissues = signals_by_contrast(tuple(content.pop("contrasts")), content.pop("tissues"))
            for name, value in content.items():
                setattr(cls, name, value)

    def __init__(self, rng: np.random.Generator) -> None:
        # Relaxation times differ between people, so a tissue is lighter or darker in all contrasts of a
        # patient.
        names = sorted({tissue for table in self.tissues.values() for tissue in table})
        self._tint = {name: float(np.clip(rng.normal(1, 0.06), 0.85, 1.15)) for name in names}

    def draw_noise(self, rng: np.random.Generator) -> dict[str, Noise]:
        """Draw a noise for each texture of the table, in its order; a row has what `Noise` takes."""
        return {name: Noise(rng, **own | {"scale": tuple(own["scale"])}) for name, own in self.textures.items()}

    def outline(self, name: str, growth: float = 0.0) -> Points:
        """Corners of an outline of the table, (n, 2) x and y in mm.

        A row of the table is a corner, `[x, y]`, or `[x, y, dx, dy]` where it moves by (dx, dy) times `growth`.
        """
        corners = np.array([[*row, 0.0, 0.0][:4] for row in self.outlines[name]])
        return corners[:, :2] + growth * corners[:, 2:]

    def paint_layers(self, canvas: Canvas, name: str, tissues: Mapping[str, float | Field], side: int = 1) -> None:
        """Paint layers of the table, which are alike in all patients, over what is there.

        Parameters
        ----------
        tissues : signal, one value or one a pixel, of the tissues that they name.
        side : -1 for their mirror images.

        A row of the table has a `tissue`, maybe a `shade` that its signal is multiplied by, `soft` edges (mm), and an
        `ellipse` (x, y, rx, ry, and angle and power as in `ellipse`), a `closed` curve or an `open` one, which is as
        wide as its `width`.
        """
        for layer in self.layers[name]:
            signal = tissues[layer["tissue"]] * layer.get("shade", 1)
            if "open" in layer:
                canvas.stroke(open_curve(layer["open"]) * (side, 1), layer["width"], signal, soft=layer["soft"])
            elif "closed" in layer:
                canvas.fill(closed_curve(layer["closed"]) * (side, 1), signal, soft=layer["soft"])
            else:
                x, y, *shape = layer["ellipse"]
                canvas.fill(ellipse((side * x, y), *shape), signal, soft=layer["soft"])

    def signals(self, contrast: str) -> dict[str, float]:
        """Give this patient's signal of each tissue in a contrast."""
        return {tissue: value * self._tint[tissue] for tissue, value in self.tissues[contrast].items()}

    @abstractmethod
    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw one noiseless slice.

        Parameters
        ----------
        plane : the grid and the height.
        contrast : one of `tissues`.
        phase : time in the cardiac cycle, 0 (end of diastole) to 1; anatomies that do not beat ignore it.
        """
