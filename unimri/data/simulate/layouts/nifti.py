"""Writing stacks of pictures as NIfTI, with an affine that tells how they lie in the patient."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray


def write_nifti(path: Path, pictures: NDArray[Any], spacing: float, gap: float, interval: float = 0.0) -> None:
    """Write a stack of pictures.

    Parameters
    ----------
    path : `.nii.gz`; equal pictures give equal bytes: nibabel stores neither name nor time.
    pictures : axial, (slices, rows, columns) or (n, slices, rows, columns); the file's axes are
        (rows, columns, slices[, n]).
    spacing, gap : size of a pixel and distance of slices, mm.
    interval : seconds between the pictures of the fourth axis.
    """
    axes = (1, 2, 0) if pictures.ndim == 3 else (2, 3, 1, 0)
    # Rows run to the back and columns to the patient's left, both against NIfTI's axes; slices run upwards.
    affine = np.array([[0, -spacing, 0, 0], [-spacing, 0, 0, 0], [0, 0, gap, 0], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(pictures.transpose(axes), affine)
    image.header.set_xyzt_units("mm", "sec")
    if pictures.ndim == 4:
        image.header.set_zooms((spacing, spacing, gap, interval))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
