"""Smooth random fields: tissue texture, folds, and the shading of receive coils."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from unimri.data.simulate.phantoms.canvas import Plane

Image = NDArray[np.float32]

# The mean over a cell of the sum of squared cubic B-spline weights: what interpolation leaves of the variance.
_BSPLINE_POWER = 151 / 315
_UPSAMPLING = 4


def _bspline_weights(positions: NDArray[np.float64], cells: int) -> Image:
    """Periodic cubic B-spline weights, float32 (positions, cells), of positions given in cells."""
    whole = np.floor(positions).astype(int)
    t = positions - whole
    taps = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((len(positions), cells), np.float32)
    for offset, tap in enumerate(taps):
        weights[np.arange(len(positions)), (whole + offset - 1) % cells] = tap / 6
    return weights


@lru_cache(maxsize=64)
def _grid_weights(count: int, spacing: float, scale: float, cells: int) -> Image:
    # Slices of a volume share their grid, so all but the first take the weights from the cache.
    return _bspline_weights((np.arange(count) - (count - 1) / 2) * spacing / scale, cells)


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
        self.lattice = lattice / np.float32(_BSPLINE_POWER**1.5)

    def _layer(self, z: float) -> Image:
        layers = self.lattice.shape[0]
        weights = _bspline_weights(np.array([z / self.scale[0]]), layers)[0]
        layer: Image = np.tensordot(weights, self.lattice, axes=1)
        return layer

    def on(self, plane: Plane) -> Image:
        """Sample on the plane's own grid, float32 (rows, columns); separable, hence cheap."""
        _, dy, dx = self.scale
        cells = self.lattice.shape[1]
        rows = _grid_weights(plane.rows, plane.spacing, dy, cells)
        columns = _grid_weights(plane.columns, plane.spacing, dx, cells)
        return rows @ self._layer(plane.z) @ columns.T

    def at(self, x: Image, y: Image, z: float) -> Image:
        """Sample at any coordinates in mm, float32 of the shape of `x` and `y`: along fibres, around a surface."""
        _, dy, dx = self.scale
        cells = self.lattice.shape[1]
        # Spline onto a finer lattice first: linear interpolation of that is smooth enough and several times faster.
        finer = _grid_weights(cells * _UPSAMPLING, 1 / _UPSAMPLING, 1.0, cells)
        layer = finer @ self._layer(z) @ finer.T
        origin = (cells * _UPSAMPLING - 1) / 2
        coordinates = np.stack([y * (_UPSAMPLING / dy) + origin, x * (_UPSAMPLING / dx) + origin])
        sampled: Image = map_coordinates(layer, coordinates, order=1, mode="grid-wrap", output=np.float32)
        return sampled
