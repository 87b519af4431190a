"""Turning a volume so that its slices lie in a plane of the body."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray

from unimri.data.read.error import ReadError

Plane = Literal["native", "axial", "coronal", "sagittal"]

# Where slice number, row and column grow towards, as radiologists look at the plane: the patient's left on
# the right of the image, anterior or superior up, sagittal views from the left. The slices then run along the
# normal that the DICOM reader sorts by.
AXES = {"axial": ("S", "P", "L"), "coronal": ("P", "I", "L"), "sagittal": ("R", "I", "P")}


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
    ReadError
        When the affine gives no three directions.
    """
    if not np.isfinite(affine).all() or np.isnan(present := io_orientation(affine)).any():
        raise ReadError(path, "its header gives no orientation", "set `plane: native` or mend the header")
    wanted = axcodes2ornt(AXES[plane])
    turned: NDArray[Any] = apply_orientation(data, ornt_transform(present, wanted))
    return turned
