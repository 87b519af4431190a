"""What every reader does last: make the values magnitudes that can be trusted."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.data.read.error import ReadError

# 8 GiB as float32: far above any clinical volume, far below what a damaged header can declare.
MAX_VOXELS = 2**31

# The most that deflate can shrink data: a declared size above it cannot be in the file.
MAX_DEFLATE_RATIO = 1032


def check_size(shape: tuple[int, ...], path: Path) -> None:
    """Raise ReadError, before anything is allocated, when a header declares an impossible volume."""
    if not shape or min(shape) < 1:
        raise ReadError(path, "declares a volume without voxels", "the header is damaged: export the file again")
    voxels = 1
    for length in shape:
        voxels *= int(length)
    if voxels > MAX_VOXELS:
        raise ReadError(
            path,
            f"declares {voxels} voxels, more than the {MAX_VOXELS} that are allowed",
            "the header is damaged, or the file must be divided into volumes",
        )


def as_float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """Cast real values to float32; those beyond its range become infinite, which `magnitude` refuses."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def magnitude(volume: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Magnitude of a volume, with the values that no reconstruction can use refused.

    Parameters
    ----------
    volume : (slices, rows, columns), real or complex.
    path : the file to name in a fault.

    Returns
    -------
    (slices, rows, columns), float32, finite, >= 0, on the scale of `volume`. The sign goes because a
    reconstructed magnitude image has none: negative values come from rescaling or from interpolation in the
    scanner.

    Raises
    ------
    ReadError
        When a value is not finite in float32, or all values are equal.
    """
    result = as_float32(np.abs(volume) if np.iscomplexobj(volume) else volume)
    smallest = result.min()
    # Each pass over a volume counts in the time of a preparation, and most scans have no negative value.
    if smallest < 0:
        result = np.abs(result)
        smallest = result.min()
    largest = result.max()
    # NaN goes through both.
    if not (np.isfinite(smallest) and np.isfinite(largest)):
        raise ReadError(path, "has NaN or infinite values", "mend or remove the file")
    if smallest == largest:
        raise ReadError(path, "all values of the volume are equal", "remove the volume: it holds no image")
    return result
