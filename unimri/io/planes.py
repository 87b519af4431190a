"""Turning a volume so that its slices lie in a plane of the body."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from nibabel.affines import obliquity
from nibabel.orientations import aff2axcodes, apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from unimri.core.errors import ReadError

Plane = Literal["native", "axial", "coronal", "sagittal"]

# Where slice number, row and column grow towards, as radiologists look at the plane: the patient's left on
# the right of the image, anterior or superior up, sagittal views from the left. The slices then run along the
# normal that the DICOM reader sorts by.
AXES = {"axial": ("S", "P", "L"), "coronal": ("P", "I", "L"), "sagittal": ("R", "I", "P")}
# The two ends of the body's axes.
_ENDS = {end: axis for axis in ("LR", "PA", "IS") for end in axis}

# How far, in degrees, the axes may lie from the body's before a scan is called oblique.
OBLIQUE = 5.0


def describe(affine: NDArray[Any]) -> str:
    """How slices lie in the body, such as "sagittal (R I P)" or "oblique axial (S P L)".

    Parameters
    ----------
    affine : (4, 4), from indices of slice, row and column to millimetres, right-anterior-superior; only directions
        count.

    Returns
    -------
    The plane that is nearest, and where slice number, row and column grow towards (right, left, anterior, posterior,
    superior, inferior); blank when the affine gives no three directions.
    """
    if _orientation(affine) is None:
        return ""
    towards = aff2axcodes(affine)
    plane = next(name for name, axes in AXES.items() if towards[0] in _ENDS[axes[0]])
    oblique = "oblique " if np.degrees(obliquity(affine)).max() > OBLIQUE else ""
    return f"{oblique}{plane} ({' '.join(towards)})"


def turn(data: NDArray[Any], affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[Any]:
    """Turn a volume to a plane: its axes are swapped and flipped to the nearest, nothing is interpolated.

    Parameters
    ----------
    data : three axes of space, in the order of `affine`, then any others.
    affine : (4, 4), from indices to millimetres, right-anterior-superior; only directions count.
    plane : not "native".
    path : the file to name in a fault.

    Returns
    -------
    (slices, rows, columns, others), as `AXES` says; a view of `data`.

    Raises
    ------
    ReadError : when the affine gives no three directions.
    """
    turned: NDArray[Any] = apply_orientation(data, _transform(affine, plane, path))
    return turned


def turn_affine(affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[np.float64]:
    """Directions of a volume's axes after `turn`, (4, 4); parameters and faults as there."""
    turned = np.eye(4)
    for axis, (place, sign) in enumerate(_transform(affine, plane, path)):
        turned[:3, int(place)] = sign * affine[:3, axis]
    return turned


def _transform(affine: NDArray[Any], plane: Plane, path: Path) -> NDArray[Any]:
    present = _orientation(affine)
    if present is None:
        raise ReadError(path, "its header gives no orientation", "set `plane: native` or mend the header")
    transform: NDArray[Any] = ornt_transform(present, axcodes2ornt(AXES[plane]))
    return transform


def _orientation(affine: NDArray[Any]) -> NDArray[Any] | None:
    """nibabel's orientation of the axes of an affine, or None when it gives no three directions."""
    if not np.isfinite(affine).all():
        return None
    orientation: NDArray[Any] = io_orientation(affine)
    return None if np.isnan(orientation).any() else orientation
