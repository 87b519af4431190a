"""What the formats of raw data share: masks as files hold them, lines of zeros, and the truth of complete scans."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.data.read.error import ReadError
from unimri.data.read.kspace import combined
from unimri.formats.scan import Axis

_MEND = "give one of (columns,), (rows,), (slices, lines), (rows, columns) or (slices, rows, columns)"


def check_values(kspace: NDArray[np.complex64], path: Path) -> None:
    """Raise ReadError when k-space has values that are not finite, or a slice without any."""
    for slice_ in kspace:
        if not np.isfinite(slice_).all():
            raise ReadError(path, "has NaN or infinite values", "mend or remove the file")
        if not slice_.any():
            raise ReadError(path, "a slice of its k-space is empty", "remove the slice")


def line_mask(mask: NDArray[Any], shape: tuple[int, int, int], path: Path) -> tuple[NDArray[np.bool_], Axis]:
    """Bring a file's mask to lines.

    Parameters
    ----------
    mask : numbers or bool, not zero where k-space was sampled: of lines, or of all points. Axes of length 1 do not
        count.
    shape : slices, rows, columns.
    path : the file to name in a fault.

    Returns
    -------
    (N,) or (slices, N), and what the lines are. Where a length fits both, they are columns, as fastMRI's.

    Raises
    ------
    ReadError
        When it has another shape, leaves out all of a slice, or is not one of whole lines.
    """
    slices, rows, columns = shape
    if mask.dtype.kind not in "biuf":
        raise ReadError(path, "its mask holds no numbers", _MEND)
    if not np.isfinite(mask).all():
        raise ReadError(path, "its mask has NaN or infinite values", _MEND)
    kept = mask != 0
    if kept.shape not in ((slices, rows, columns), (rows, columns)):
        kept = kept.squeeze()
    # Axes of length 1 that belong to k-space itself.
    if kept.ndim == 1 and len(kept) in (rows, columns):
        lines, axis = kept, "columns" if len(kept) == columns else "rows"
    elif kept.shape[-2:] == (rows, columns) and kept.shape in ((rows, columns), (slices, rows, columns)):
        lines, axis = _of_points(kept, path)
    elif kept.ndim == 2 and len(kept) == slices and kept.shape[1] in (rows, columns):
        lines, axis = kept, "columns" if kept.shape[1] == columns else "rows"
    else:
        raise ReadError(path, "its mask has another shape than its k-space", _MEND)
    if not lines.any(axis=-1).all():
        raise ReadError(path, "its mask keeps no line of a slice", "check the mask")
    return lines, "columns" if axis == "columns" else "rows"


def _of_points(kept: NDArray[np.bool_], path: Path) -> tuple[NDArray[np.bool_], str]:
    if (kept == kept[..., :1, :]).all():
        return kept[..., 0, :], "columns"
    if (kept == kept[..., :, :1]).all():
        return kept[..., :, 0], "rows"
    raise ReadError(path, "its mask is not one of whole lines", "only masks of phase-encoding lines can be used")


def is_whole(kspace: NDArray[np.complex64], padded: bool = False) -> bool:
    """Whether k-space has no line of zeros.

    Parameters
    ----------
    kspace : (slices, ..., rows, columns).
    padded : whether lines of zeros may lie at the edges.
    """
    for axis in (-1, -2):
        for slice_ in kspace:
            other = tuple(k for k in range(slice_.ndim) if k != slice_.ndim + axis)
            filled = np.flatnonzero((slice_ != 0).any(axis=other))
            length = kspace.shape[axis]
            inside = len(filled) == filled[-1] - filled[0] + 1 and filled[0] <= length // 2 <= filled[-1]
            if len(filled) < length and not (padded and inside):
                return False
    return True


def truth_of(kspace: NDArray[np.complex64], size: tuple[int, int] | None) -> NDArray[np.float32]:
    """Magnitude of fully sampled k-space, coils by root sum of squares: (slices, rows, columns), cropped to `size`."""
    rows, columns = kspace.shape[-2:]
    return np.stack([combined(slice_.reshape(-1, rows, columns), size or (rows, columns)) for slice_ in kspace])
