"""Arrays of k-space in HDF5 and MATLAB's v7.3: layouts of public data sets by themselves, any other by its settings.

A layout that is known is a row of `KNOWN`, told by names and shapes. Files are opened as fastMRI's are: in a process of
its own, within the same bounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import AGAIN, ReadError
from unimri.io import fastmri
from unimri.io.fastmri import (
    UNREADABLE,
    dataset,
    find_hdf5,
    member,
    open_hdf5,
    parse_header,
    pixels_wanted,
)
from unimri.io.fastmri import write as write
from unimri.io.isolated import isolated
from unimri.io.layout import Axis, Layout, read_points, whole_images
from unimri.io.volume import Found, Negatives, has_suffix
from unimri.physics.acquisition import Acquisition

MATLAB = (".mat",)
ENDS = (*MATLAB, *fastmri.ENDS)

_SAVE = "save it with -v7.3: older MATLAB files are not read"


@dataclass(frozen=True)
class Known:
    """The layout of a data set's files.

    Attributes
    ----------
    names : of the array that holds the k-space; the first that is there.
    layout : of that array. An array with fewer axes lacks the first ones.
    fits : whether a file with that array is of the data set, by its other members: `fits(file, array, path)`.
    refused : why files of the data set cannot be used, and the mend.
    """

    names: tuple[str, ...]
    layout: Layout
    fits: Callable[[Any, Any, Path], bool]
    refused: tuple[str, str] | None = None


def _has(*names: str, axes: int) -> Callable[[Any, Any, Path], bool]:
    def fits(file: Any, array: Any, path: Path) -> bool:
        return array.ndim == axes and all(member(file, name, path) is not None for name in names)

    return fits


def _is_calgary(file: Any, array: Any, path: Path) -> bool:
    real = array.ndim == 4 and array.dtype.kind == "f" and array.shape[-1] % 2 == 0
    return real and member(file, "ismrmrd_header", path) is None


def _is_matlab(file: Any, array: Any, path: Path) -> bool:
    # `kspace` is a common name. MATLAB and hdf5storage give what they write an attribute with its class.
    return array.dtype.names == ("real", "imag") and (array.name != "/kspace" or "MATLAB_class" in array.attrs)


# MATLAB's first axis is the last of HDF5's.
_CMR: tuple[Axis, ...] = ("time", "slice", "coil", "column", "row")

KNOWN = {
    # (x, ky, kz, coils), transformed along x; real and imaginary parts alternate; an image is numpy.fft.ifft2 alone,
    # over ky and kz, and the last part of kz was not measured, of the reference neither:
    # github.com/rmsouza01/MC-MRI-Rec, JNotebooks/getting-started and reference, Modules/data_generator.py. DC is at
    # n // 2, where the masks have their disc: github.com/NKI-AI/direct, CalgaryCampinasMaskFunc.
    "calgary-campinas": Known(
        ("kspace",),
        Layout(axes=("slice", "row", "column", "coil"), numbers="interleaved", origin="first", padded=True),
        _is_calgary,
    ),
    # (x, ky, kz, echoes, coils), transformed along x, with `maps` and `target`: github.com/StanfordMIMI/skm-tea,
    # DATASET.md. Centred, as SigPy's transforms are, which made the targets.
    "skm-tea": Known(
        ("kspace",),
        Layout(axes=("slice", "row", "column", "echo", "coil")),
        _has("maps", "target", axes=5),
    ),
    # Scans of diffusion, github.com/cai2r/fastMRI_prostate, fastmri_prostate/data/mri_data.py: load_file_dwi.
    "fastmri-prostate-dwi": Known(
        ("kspace",),
        Layout(axes=("average", "slice", "coil", "row", "column")),
        _has("calibration_data", "coil_sens_maps", axes=5),
        ("is a diffusion scan, read on the ramps of an EPI", "give its images: ramps are not regridded here"),
    ),
    # Three averages, of which two have the odd lines and one the even; with `calibration_data` and a header:
    # the same repository, load_file_T2 and reconstruction/t2/prostate_t2_recon.py.
    "fastmri-prostate": Known(
        ("kspace",),
        Layout(axes=("average", "slice", "coil", "row", "column")),
        _has("calibration_data", "ismrmrd_header", axes=5),
    ),
    # MATLAB's (kx, ky, coils, slices, time), a pair `real`, `imag` of each number; single-coil files have no axis of
    # coils: github.com/CmrxRecon/CMRxRecon, CMRxRecon/ChallengeDataFormat/Format_cine.txt (2023);
    # github.com/CmrxRecon/CMRxRecon2024, ChallengeDataFormat/Format_Task2.txt (`kus`);
    # cmrxrecon.github.io/2025/Data.html (`kspace`).
    "cmrxrecon": Known(
        (*(f"kspace_{part}" for part in ("full", "sub04", "sub08", "sub10")), "kus", "kspace"),
        Layout(axes=_CMR),
        _is_matlab,
    ),
    "cmrxrecon-single": Known(
        tuple(f"kspace_single_{part}" for part in ("full", "sub04", "sub08", "sub10")),
        Layout(axes=tuple(axis for axis in _CMR if axis != "coil")),
        _is_matlab,
    ),
}


def with_layout(layout: Layout) -> Any:
    """This module's functions for files of one layout, whatever they look like."""
    return SimpleNamespace(find=partial(find, layout=layout), read=partial(read, layout=layout), write=write)


def find(root: Path, files: Sequence[Path], layout: Layout | None = None) -> Found:
    """The files of a known layout, or those that have the array of `layout`; see `unimri.io.formats.Format`.

    Without a layout, a damaged HDF5 file that does not say by its name that it is MATLAB's is left to other formats.
    """
    probe = partial(_probe, layout=layout)
    found = find_hdf5(root, files, ENDS, "headers of arrays", probe, "has no array of a known layout")
    if layout is None:
        found = found._replace(
            scans=[one for one in found.scans if one.fault is None or has_suffix(one.paths[0], MATLAB)]
        )
    return found


def _probe(path: Path, layout: Layout | None) -> str | None:
    """Blank for a file that is wanted, else None. It runs in another process."""
    _check_matlab(path)
    with open_hdf5(path) as file:
        return None if _array(file, layout, path) is None else ""


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse", layout: Layout | None = None) -> Acquisition:
    """Read a file in another process, and make the truth of a complete one; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file, layout).with_truth()


def read_slices(path: Path, layout: Layout | None = None) -> NDArray[np.float32]:
    """The images of a fully sampled file, float32 (slices, rows, columns), magnitude on its own scale.

    Raises
    ------
    ReadError : as `read_file` does; when lines are left out, or all values are equal.
    """
    return whole_images(read_file(path, layout), path)


def read_file(path: Path, layout: Layout | None = None) -> Acquisition:
    """Read the k-space of a file. Call it by way of `read`.

    Images are cropped to the size that an ISMRMRD header in the file asks for, where there is one.

    Parameters
    ----------
    layout : None: of those that are known.

    Raises
    ------
    ReadError : when the file is damaged or cut short, takes values from other files, is of no known layout, or see
        `unimri.io.layout.read_points`.
    """
    _check_matlab(path)
    with open_hdf5(path) as file:
        found = _array(file, layout, path)
        if found is None:
            raise ReadError(
                path, "has no k-space of a known layout", "say by a layout how its array is called and laid out"
            )
        array, own, refused = found
        if refused:
            raise ReadError(path, *refused)
        header, size = dataset(file, "ismrmrd_header", path), None
        if header is not None and own.fault(array.shape, array.dtype) is None:
            grid = array.shape[own.axes.index("row")], array.shape[own.axes.index("column")]
            size = pixels_wanted(parse_header(header, path), grid, path)
        return read_points(array, own, path, size)


def _array(file: Any, layout: Layout | None, path: Path) -> tuple[Any, Layout, tuple[str, str] | None] | None:
    """An open file's array of k-space, not yet read, its layout and why it is refused; None where there is none."""
    if layout is not None:
        *groups, name = layout.dataset.split("/")
        group = file
        for step in groups:
            group = member(group, step, path)
            if not isinstance(group, h5py.Group):
                return None
        array = dataset(group, name, path)
        return None if array is None else (array, layout, None)
    for known in KNOWN.values():
        there = [name for name in known.names if isinstance(member(file, name, path), h5py.Dataset)]
        array = dataset(file, there[0], path) if there else None
        if array is not None and known.fits(file, array, path):
            # MATLAB leaves axes of length 1 out at their end.
            own = known.layout.model_copy(update={"axes": known.layout.axes[-array.ndim :]})
            return array, own, known.refused
    return None


def _check_matlab(path: Path) -> None:
    if has_suffix(path, MATLAB):
        with path.open("rb") as file:
            start = file.read(128)
        if start.startswith(b"MATLAB 5.0"):
            raise ReadError(path, "is a MATLAB file of an older version", _SAVE)
        if len(start) < 128:
            raise ReadError(path, "is no MATLAB file", AGAIN)
