"""NIfTI: 2D, 3D and 4D files, written back with the header that they had."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from unimri.core.artifacts import replacing
from unimri.data.read import nifti_file
from unimri.data.read.error import ReadError
from unimri.data.read.nifti import NiftiSettings, excluded
from unimri.formats.hdf5_sources import name_below
from unimri.formats.scan import Found, Images, Made

name = "nifti"
accepts = "NIfTI files (.nii, .nii.gz)"
suffixes = (".nii", ".nii.gz")

# Integers that NIfTI has, from narrow to wide. A reconstruction is not negative, but what is stored of it may be.
_INTEGERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32)

_LABELS = NiftiSettings().exclude


def find(root: Path, files: Sequence[Path]) -> list[Found]:
    """The NIfTI files; see `Format.find`. Of a folder, those that the reader takes for label maps are passed over."""
    found = []
    for path in files:
        if path.name.lower().endswith(suffixes) and (path == root or not excluded(path.relative_to(root), _LABELS)):
            found.append(Found(name_below(root, path), (path,)))
    return found


def read(paths: tuple[Path, ...]) -> Images:
    """Read the slices as they are stored; see `unimri.data.read.nifti_file.read_slices`, and for faults."""
    return Images(nifti_file.read_slices(paths[0]))


def write(paths: tuple[Path, ...], images: NDArray[np.float32], target: Path, made: Made) -> list[Path]:
    """Write a file with the input's shape, affine and header.

    The input's type and scale are kept, and integers rounded, where they can hold the values; else the next wider
    integer is taken, or float32. `descrip` says what was made. With `made.deidentify` the header's other texts and its
    extensions are cleared.

    Raises
    ------
    ReadError
        When the input has changed since it was read.
    """
    path = paths[0]
    source = nifti_file.load(path)
    volume = _stored_order(images, source.shape, path)
    header = source.header.copy()
    slope, inter = float(source.dataobj.slope), float(source.dataobj.inter)
    present = header.get_data_dtype()
    if present.kind in "iu":
        stored = np.rint((volume.astype(np.float64) - inter) / slope)
        dtype = _dtype(present, stored)
    else:
        dtype = np.dtype(np.float32) if present.kind == "c" else present
        stored = (volume.astype(np.float64) - inter) / slope
    if dtype.kind != present.kind and dtype.kind == "f":
        slope, inter, stored = 1.0, 0.0, volume.astype(np.float64)
    header.set_data_dtype(dtype)
    header["descrip"] = made.short.encode("ascii", "replace")[:79]
    if made.deidentify:
        for field in ("aux_file", "db_name", "intent_name"):
            if field in header:
                header[field] = b""
        header.extensions.clear()
    # None: the affine stays in the header as it was coded there.
    image = type(source)(stored.astype(dtype), None, header)
    # An image forgets the scale of the header that it is given.
    image.header.set_slope_inter(slope, inter)
    with replacing(target) as temporary:
        nib.save(image, temporary)
    return [target]


def _stored_order(images: NDArray[np.float32], shape: tuple[int, ...], path: Path) -> NDArray[np.float32]:
    """Undo the order of `read_slices`: (slices and times, rows, columns) to the file's shape."""
    rows, columns, slices, times = (*shape, 1, 1)[:4] if len(shape) < 4 else (*shape[:3], int(np.prod(shape[3:])))
    if images.shape != (slices * times, rows, columns):
        raise ReadError(path, "has another shape than its reconstruction", "leave the input as it is while it is read")
    return images.reshape(slices, times, rows, columns).transpose(2, 3, 0, 1).reshape(shape)


def _dtype(present: np.dtype[Any], stored: NDArray[np.float64]) -> np.dtype[Any]:
    """The integer type, not narrower than the present one, that holds all values; float32 where none does."""
    low, high = stored.min(), stored.max()
    wider = [np.dtype(kind) for kind in _INTEGERS if np.dtype(kind).itemsize >= present.itemsize]
    for dtype in (present, *wider):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype.newbyteorder(present.byteorder)
    return np.dtype(np.float32)
