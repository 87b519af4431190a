"""Smooth random fields: tissue texture, folds, and the shading of receive coils."""

from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

from unimri.data.simulate.phantoms.canvas import Plane

Image = NDArray[np.float32]

# The mean over a cell of the sum of squared cubic B-spline weights: what of the variance is left.
_BSPLINE_POWER = 151 / 315
_UPSAMPLING = 4


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
