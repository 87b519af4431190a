"""fastMRI's k-space files, with a mask (test, challenge) or fully sampled, single-coil and multi-coil."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.data.read.error import ReadError
from unimri.data.read.fastmri_h5 import image_size, kspace_dataset, reconstruction
from unimri.data.read.hdf5_file import UNREADABLE, as_complex64, dataset, member, open_hdf5
from unimri.data.read.isolated import isolated
from unimri.data.read.magnitude import check_size, magnitude
from unimri.formats.hdf5_sources import find_hdf5
from unimri.formats.kspace import check_values, is_whole, line_mask, truth_of
from unimri.formats.reconstruction_h5 import write_reconstruction
from unimri.formats.scan import Found, KSpace, Made

name = "fastmri-h5"
accepts = "fastMRI's k-space files (.h5)"
suffixes = (".h5",)


def find(root: Path, files: Sequence[Path]) -> list[Found]:
    """The files that have a `kspace`; see `Format.find`."""
    return find_hdf5(root, files, "fastMRI headers", has_kspace)


def has_kspace(path: Path) -> bool:
    """Whether a file has a `kspace` of its own. It runs in another process."""
    with open_hdf5(path) as file:
        return member(file, "kspace", path) is not None


def read(paths: tuple[Path, ...]) -> KSpace:
    """Read a file; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file)


def write(paths: tuple[Path, ...], images: NDArray[np.float32], target: Path, made: Made) -> list[Path]:
    """Write `reconstruction`; see `write_reconstruction`."""
    return write_reconstruction(images, target, made)


def read_file(path: Path) -> KSpace:
    """Read k-space, `mask` and the fully sampled reconstruction of a file. It runs in another process.

    The image's size is that of the file's own reconstruction; without one, it is that of
    `unimri.data.read.fastmri_h5.read_slices`. A file without `mask` is complete when it has no lines of zeros; those
    at the edges are padding when there is a reconstruction beside them. Its truth is the reconstruction, else made of
    k-space.

    Raises
    ------
    ReadError
        When the file is damaged or cut short, takes values from other files, has shapes that do not fit each other,
        or values that are not finite or empty.
    """
    with open_hdf5(path) as file:
        stored = kspace_dataset(file, path)
        check_size(stored.shape, path)
        kspace = np.empty(stored.shape, np.complex64)
        for index in range(len(kspace)):
            kspace[index] = as_complex64(stored[index])
        slices, (rows, columns) = len(kspace), kspace.shape[-2:]
        truth = _truth(file, slices, path)
        mask, axis = None, "columns"
        given = dataset(file, "mask", path)
        if given is not None:
            mask, axis = line_mask(given[...], (slices, rows, columns), path)
        if truth is not None and truth.shape[1] <= rows and truth.shape[2] <= columns:
            size = truth.shape[1:]
        else:
            # A truth that is larger than k-space has other pixels.
            truth, size = None, image_size(file, rows, columns, path)
    check_values(kspace, path)
    complete = mask is None and is_whole(kspace, padded=truth is not None)
    if complete and truth is None:
        truth = truth_of(kspace, size)
    size = (min(rows, size[0]), min(columns, size[1]))
    return KSpace(kspace, mask, "columns" if axis == "columns" else "rows", complete, size, truth)


def _truth(file: Any, slices: int, path: Path) -> NDArray[np.float32] | None:
    truth = reconstruction(file, path)
    if truth is None:
        return None
    if len(truth) != slices:
        raise ReadError(path, "its reconstruction has another number of slices than its k-space", "remove one of them")
    return magnitude(truth, path)
