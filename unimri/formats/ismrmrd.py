"""ISMRMRD: raw 2D Cartesian acquisitions, fully sampled or not."""

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from unimri.data.read.hdf5_file import UNREADABLE, member, open_hdf5
from unimri.data.read.ismrmrd import GROUP, read_kspace
from unimri.data.read.isolated import isolated
from unimri.formats.hdf5_sources import find_hdf5
from unimri.formats.kspace import check_values, truth_of
from unimri.formats.reconstruction_h5 import write_reconstruction
from unimri.formats.scan import Found, KSpace, Made

name = "ismrmrd"
accepts = "ISMRMRD raw data (.h5)"
suffixes = (".h5",)


def find(root: Path, files: Sequence[Path]) -> list[Found]:
    """The files that have ISMRMRD's group and header; see `Format.find`."""
    return find_hdf5(root, files, "ISMRMRD headers", has_acquisitions)


def has_acquisitions(path: Path) -> bool:
    """Whether a file has ISMRMRD's group with a header. It runs in another process."""
    with open_hdf5(path) as file:
        group = member(file, GROUP, path)
        return isinstance(group, h5py.Group) and member(group, "xml", path) is not None


def read(paths: tuple[Path, ...]) -> KSpace:
    """Read a file; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file)


def write(paths: tuple[Path, ...], images: NDArray[np.float32], target: Path, made: Made) -> list[Path]:
    """Write `reconstruction` as for fastMRI; see `write_reconstruction`.

    ISMRMRD's own images would need a header for each, with positions that not all converters fill in, and fewer tools
    read them than read one dataset.
    """
    return write_reconstruction(images, target, made)


def read_file(path: Path) -> KSpace:
    """Read the k-space of a file; what is an image, and what is left out, as in the reader. It runs in another process.

    Raises
    ------
    ReadError
        As `unimri.data.read.ismrmrd.read_kspace`, and when values are not finite or empty.
    """
    scan = read_kspace(path)
    check_values(scan.kspace, path)
    rows, columns = scan.kspace.shape[-2:]
    size = min(rows, scan.size[0]), min(columns, scan.size[1])
    truth = truth_of(scan.kspace, size) if scan.complete else None
    sampled = scan.sampled[0] if (scan.sampled == scan.sampled[0]).all() else scan.sampled
    # One coil has no axis of its own in the other formats either.
    kspace = scan.kspace[:, 0] if scan.kspace.shape[1] == 1 else scan.kspace
    return KSpace(kspace, None if scan.complete else sampled, "columns", scan.complete, size, truth)
