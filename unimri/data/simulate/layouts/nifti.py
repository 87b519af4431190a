"""Writing NIfTI files as ITK writes what was DICOM: first axis along the columns, both axes of the picture negated."""

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray


def write_nifti(
    path: Path, pictures: NDArray[np.generic], spacing: float, gap: float, interval: float = 0.0
) -> None:
    """Write a stack of pictures.

    Parameters
    ----------
    path : `.nii.gz`; the same pictures give the same bytes (nibabel stores neither name nor time when it compresses).
    pictures : (slices, rows, columns), or (n, slices, rows, columns); the file's axes are (columns, rows, slices[, n]).
    spacing, gap : size of a pixel and distance of slices, mm.
    interval : seconds between the pictures of the fourth axis.
    """
    array = np.ascontiguousarray(np.transpose(pictures))
    image = nibabel.Nifti1Image(array, np.diag([-spacing, -spacing, gap, 1.0]))
    image.header.set_xyzt_units("mm", "sec")
    if array.ndim == 4:
        image.header.set_zooms((spacing, spacing, gap, interval))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
