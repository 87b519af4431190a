"""fastMRI's k-space files, single-coil and multi-coil, with a mask or fully sampled (https://fastmri.med.nyu.edu)."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import AGAIN, ReadError
from unimri.io.hdf5 import (
    MAX_READ,
    UNREADABLE,
    as_complex64,
    dataset,
    find_hdf5,
    is_complex,
    matrix,
    member,
    open_hdf5,
    parse_header,
    text_attribute,
    write_reconstruction,
)
from unimri.io.isolated import isolated
from unimri.io.volume import Scan, acquired, as_float32, check_size, magnitude
from unimri.physics.acquisition import Acquisition, image_of

Use = Literal["reconstruction", "kspace"]

# Single-coil files hold both, and the first is made from their own k-space.
RECONSTRUCTIONS = ("reconstruction_esc", "reconstruction_rss")


def find(root: Path, files: Sequence[Path]) -> list[Scan]:
    """The files that have a `kspace`; see `unimri.io.formats.Format`."""
    return find_hdf5(root, files, "fastMRI headers", _has_kspace)


def _has_kspace(path: Path) -> str | None:
    """Blank for a file that has a `kspace` of its own, else None. It runs in another process."""
    with open_hdf5(path) as file:
        return None if member(file, "kspace", path) is None else ""


def read(paths: tuple[Path, ...]) -> Acquisition:
    """Read a file in another process, and make the truth of a complete one; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file).with_truth()


def read_file(path: Path) -> Acquisition:
    """Read k-space, `mask` and the fully sampled reconstruction of a file. Call it by way of `read`.

    The image's size is that of the file's own reconstruction; without one, it is that of `read_slices`. A file without
    `mask` is complete when it has no lines of zeros; those at the edges are padding when there is a reconstruction
    beside them.

    Raises
    ------
    ReadError : when the file is damaged or cut short, takes values from other files, has shapes that do not fit each
        other, or values that are not finite or empty.
    """
    with open_hdf5(path) as file:
        stored = _kspace_dataset(file, path)
        check_size(stored.shape, path)
        kspace = np.empty(stored.shape, np.complex64)
        for index in range(len(kspace)):
            kspace[index] = as_complex64(stored[index])
        rows, columns = kspace.shape[-2:]
        truth = _reconstruction(file, path)
        if truth is not None and len(truth) != len(kspace):
            raise ReadError(
                path, "its reconstruction has another number of slices than its k-space", "remove one of them"
            )
        truth = None if truth is None else magnitude(truth, path)
        given = dataset(file, "mask", path)
        mask = None if given is None else given[...]
        if truth is not None and truth.shape[1] <= rows and truth.shape[2] <= columns:
            size = truth.shape[1], truth.shape[2]
        else:
            # A truth that is larger than k-space has other pixels.
            truth, size = None, _image_size(file, rows, columns, path)
    size = (min(rows, size[0]), min(columns, size[1]))
    kspace = kspace.reshape(len(kspace), -1, rows, columns)
    return acquired(kspace, mask, path, size, truth, padded=truth is not None)


write = write_reconstruction


def patient_of(path: Path, acquisitions: list[str] | None) -> str | None:
    """The patient whom a file's header names, blank where it names none; None for a file of another acquisition.

    Raises
    ------
    ReadError : when the file is damaged.
    """
    with open_hdf5(path) as file:
        # Both attributes are read of every file, so that a damaged one is told whatever is asked for.
        acquisition, named = text_attribute(file, "acquisition"), text_attribute(file, "patient_id")
    return named if acquisitions is None or acquisition in acquisitions else None


def read_slices(path: Path, use: Use = "reconstruction") -> NDArray[np.float32]:
    """Read the images of a file, one at a time: the k-space of all coils and slices is never in memory.

    From k-space: the centred orthonormal inverse transform, cropped to the centre that the header's
    reconSpace says, then magnitude or root sum of squares, as fastMRI's own code does. Where the scan has
    fewer columns than that, both axes are cropped to the columns. Without a header half the readout is kept,
    since fastMRI's readouts are sampled twice as densely as the image needs.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the file's own scale; rows run along the readout.

    Raises
    ------
    ReadError : when the file is damaged or cut short, is undersampled (has a `mask`), lacks what `use` needs, takes
        values from other files, has another number of axes, or when values are not finite or all equal.
    """
    with open_hdf5(path) as file:
        if dataset(file, "mask", path) is not None:
            raise ReadError(
                path, "is undersampled (it has a `mask`)", "remove it: only fully sampled files have a ground truth"
            )
        volume = _reconstruction(file, path) if use == "reconstruction" else None
        if volume is None:
            found = _kspace_dataset(file, path)
            rows, columns = found.shape[-2:]
            size = _image_size(file, rows, columns, path)
            slices = (as_complex64(slice_).reshape(-1, rows, columns) for slice_ in found)
            volume = np.stack([image_of(slice_, size) for slice_ in slices])
    return magnitude(volume, path)


def _reconstruction(file: Any, path: Path) -> NDArray[np.float32] | None:
    """The file's own reconstruction, (slices, rows, columns), on its own scale; None where it has none.

    Raises
    ------
    ReadError : when it has another number of axes or no real numbers.
    """
    present = (dataset(file, name, path) for name in RECONSTRUCTIONS)
    found = next((stored for stored in present if stored is not None), None)
    if found is None:
        return None
    if found.ndim != 3:
        raise ReadError(path, f"its reconstruction has {found.ndim} axes", "give one of (slices, rows, columns)")
    if found.dtype.kind not in "fiu":
        raise ReadError(path, "its reconstruction holds no real numbers", "use `use: kspace`")
    volume = np.empty(found.shape, np.float32)
    for index in range(len(volume)):
        volume[index] = as_float32(found[index])
    return volume


def _kspace_dataset(file: Any, path: Path) -> Any:
    """The k-space of an open file, not yet read: (slices, rows, columns) or (slices, coils, rows, columns).

    Raises
    ------
    ReadError : when there is none, when it is not complex or has another number of axes, or when one slice is too
        large.
    """
    found = dataset(file, "kspace", path)
    if found is None:
        raise ReadError(path, "has no k-space that images could be made of", "check the folder and the format")
    if found.ndim not in (3, 4):
        raise ReadError(
            path,
            f"its k-space has {found.ndim} axes",
            "give (slices, rows, columns) or (slices, coils, rows, columns)",
        )
    if not is_complex(found.dtype):
        raise ReadError(path, "its k-space is not complex", "give complex64 numbers")
    if prod(found.shape[1:]) > MAX_READ:
        raise ReadError(path, "one slice of its k-space is too large", AGAIN)
    return found


def _image_size(file: Any, rows: int, columns: int, path: Path) -> tuple[int, int]:
    """Rows and columns of the image that k-space of `rows` x `columns` gives; see `read_slices`.

    Raises
    ------
    ReadError : when the header is there and does not say.
    """
    stored = dataset(file, "ismrmrd_header", path)
    if stored is None:
        return (rows + 1) // 2, columns
    x, y = matrix(parse_header(stored, path), "reconSpace", path)
    return (x, y) if y <= columns else (columns, columns)
