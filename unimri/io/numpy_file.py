"""NumPy arrays: complex k-space, or real images.

`.npy` holds one array, `.npz` one named `kspace`, optionally with `mask` and `truth`, or one named `images`. Of k-space
two axes are one slice, three are slices, four are slices and coils; of images two are one slice, three are slices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.core.arrays import npy_header, npy_slices, npz_names, npz_slices, write_npy, write_npz
from unimri.core.artifacts import replacing
from unimri.core.errors import ReadError
from unimri.core.stacks import Mapped, Stack
from unimri.io.volume import (
    APART,
    LABELS,
    Found,
    Images,
    Negatives,
    Passed,
    Provenance,
    Scan,
    acquired,
    check_size,
    excluded,
    has_suffix,
    magnitudes,
    name_below,
)
from unimri.physics.acquisition import Acquisition

ENDS = (".npy", ".npz")
_AXES = "give k-space of 2 to 4 axes, (slices, coils, rows, columns), or images of 2 or 3, (slices, rows, columns)"


def find(root: Path, files: Sequence[Path]) -> Found:
    """The files that hold k-space or images; see `unimri.io.formats.Format`.

    Of a folder, masks and label maps by their names and arrays of other shapes are passed over.
    """
    found = Found([], [])
    for path in files:
        if has_suffix(path, ENDS):
            place, other = name_below(root, path), excluded(root, path, (*LABELS, *APART))
            try:
                if path != root and other is None and not _is_scan(path):
                    other = Passed(path, "is an array of another shape or type than images and k-space")
                if other is None:
                    found.scans.append(Scan(place, (path,)))
                else:
                    found.passed.append(other)
            except ReadError as fault:
                found.scans.append(Scan(place, (path,), fault))
    return found


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Acquisition | Images:
    """Read a file.

    Raises
    ------
    ReadError : when it is damaged or cut short, holds objects, has shapes that are not those of the module's docstring
        or do not fit each other, or values that are not finite or all equal.
    """
    path = paths[0]
    if has_suffix(path, (".npz",)):
        content = _content(path, npz_slices(path, ("kspace", "images", "truth"), ("mask",)), negatives)
    else:
        complex_ = npy_header(path)[1].kind == "c"
        content = _content(path, {"kspace" if complex_ else "images": npy_slices(path)}, negatives)
    return content if isinstance(content, Images) else content.with_truth()


def _content(path: Path, arrays: Mapping[str, Any], negatives: Negatives) -> Acquisition | Images:
    if "kspace" not in arrays and "images" not in arrays:
        raise ReadError(path, "has no array `kspace` or `images`", "name the array when it is saved")
    values = arrays["kspace" if "kspace" in arrays else "images"]
    if not _is_shape(values.shape, values.dtype):
        raise ReadError(path, f"holds an array of {len(values.shape)} axes and type {values.dtype}", _AXES)
    check_size(values.shape, path)
    if values.dtype.kind != "c":
        return Images(magnitudes(values, path, negatives))
    rows, columns = values.shape[-2:]

    def as_coils(slice_: NDArray[Any]) -> NDArray[np.complex64]:
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(slice_, np.complex64).reshape(-1, rows, columns)

    coils = values.shape[1] if len(values.shape) > 3 else 1
    kspace = Mapped(values, as_coils, (coils, rows, columns))
    read = acquired(kspace, arrays.get("mask"), path)
    if "truth" not in arrays:
        return read
    truth = magnitudes(arrays["truth"], path, negatives)
    if truth.shape != (len(kspace), rows, columns):
        raise ReadError(path, "its truth has another shape than its k-space", "give (slices, rows, columns)")
    return replace(read, truth=truth)


def write(paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]:
    """Write float32, or complex64: an array of (slices, rows, columns), in an `.npz` named `reconstruction`.

    Where the input was one slice without an axis for it, so is the `.npy`.
    """
    with replacing(target) as temporary:
        if has_suffix(target, (".npz",)):
            write_npz(temporary, "reconstruction", images)
        else:
            flat = has_suffix(paths[0], (".npy",)) and len(npy_header(paths[0])[0]) == 2
            write_npy(temporary, images, flat)
    return [target]


def _is_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    if min(shape, default=0) < 1:
        return False
    return len(shape) in (2, 3, 4) if dtype.kind == "c" else dtype.kind in "fiu" and len(shape) in (2, 3)


def _is_scan(path: Path) -> bool:
    if path.suffix.lower() == ".npy":
        return _is_shape(*npy_header(path))
    return bool({"kspace", "images"} & npz_names(path))
