"""fastMRI's k-space files, single-coil and multi-coil (https://fastmri.med.nyu.edu)."""

from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.settings import Settings
from unimri.data.read.error import AGAIN, ReadError
from unimri.data.read.files import nothing_found
from unimri.data.read.grouping import PatientPattern
from unimri.data.read.hdf5_file import (
    MAX_READ,
    UNREADABLE,
    as_complex64,
    dataset,
    is_complex,
    open_hdf5,
    text,
    text_attribute,
)
from unimri.data.read.hdf5_scans import find_hdf5
from unimri.data.read.ismrmrd_header import matrix, parse_header
from unimri.data.read.isolated import isolated
from unimri.data.read.kspace import combined
from unimri.data.read.magnitude import as_float32, magnitude
from unimri.data.scan import Scan

Use = Literal["reconstruction", "kspace"]

# Single-coil files hold both, and the first is made from their own k-space.
RECONSTRUCTIONS = ("reconstruction_esc", "reconstruction_rss")


class FastmriH5Settings(Settings):
    format: Literal["fastmri-h5"] = "fastmri-h5"
    use: Use = Field(
        "reconstruction",
        description="What to take the images from: the file's own reconstruction (where it has none, its k-space), "
        "or always its k-space.",
    )
    acquisitions: list[str] | None = Field(
        None,
        min_length=1,
        description="Which values of the attribute `acquisition` to read, such as AXT1 or CORPD_FBK; null reads all.",
    )
    patient: Literal["header", "file"] = Field(
        "header",
        description="What makes a patient: the attribute patient_id (where it is blank, the file), or each file.",
    )
    patient_pattern: PatientPattern = None


def find(folder: Path, settings: FastmriH5Settings) -> list[Scan]:
    """Find the `.h5` files below `folder`; each is a volume.

    Files of other acquisitions than the settings name are passed over. A file that cannot be opened becomes a
    scan whose `read` raises the fault.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds no such file.
    """
    scans = find_hdf5(
        folder,
        settings,
        "fastMRI headers",
        partial(patient_of, acquisitions=settings.acquisitions),
        lambda patient, name, path: open_scan(settings, patient, name, (path,)),
    )
    if not scans:
        raise nothing_found(folder, "fastMRI file (.h5) of the acquisitions that are asked for")
    return scans


def open_scan(settings: FastmriH5Settings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(patient, name, sources, partial(isolated, sources[0], UNREADABLE, read_slices, settings.use))


def patient_of(path: Path, acquisitions: list[str] | None) -> str | None:
    """The patient whom a file's header names, blank where it names none; None for a file of another acquisition.

    Raises
    ------
    ReadError
        When the file is damaged.
    """
    with open_hdf5(path) as file:
        # Both attributes are read of every file, so that a damaged one is told whatever is asked for.
        acquisition, named = text_attribute(file, "acquisition"), text_attribute(file, "patient_id")
    return named if acquisitions is None or acquisition in acquisitions else None


def read_slices(path: Path, use: Use = "reconstruction") -> NDArray[np.float32]:
    """Read the slices of a file, one at a time: the k-space of all coils and slices is never in memory.

    From k-space: the centred orthonormal inverse transform, cropped to the centre that the header's
    reconSpace says, then magnitude or root sum of squares, as fastMRI's own code does. Where the scan has
    fewer columns than that, both axes are cropped to the columns. Without a header half the readout is kept,
    since fastMRI's readouts are sampled twice as densely as the image needs.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the file's own scale; rows run along the readout.

    Raises
    ------
    ReadError
        When the file is damaged or cut short, is undersampled (has a `mask`), lacks what `use` needs, takes
        values from other files, has another number of axes, or when values are not finite or all equal.
    """
    with open_hdf5(path) as file:
        if dataset(file, "mask", path) is not None:
            raise ReadError(
                path, "is undersampled (it has a `mask`)", "remove it: only fully sampled files have a ground truth"
            )
        volume = reconstruction(file, path) if use == "reconstruction" else None
        if volume is None:
            volume = _kspace(file, path)
    return magnitude(volume, path)


def reconstruction(file: Any, path: Path) -> NDArray[np.float32] | None:
    """The file's own reconstruction, (slices, rows, columns), on its own scale; None where it has none.

    Raises
    ------
    ReadError
        When it has another number of axes or no real numbers.
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


def kspace_dataset(file: Any, path: Path) -> Any:
    """The k-space of an open file, not yet read: (slices, rows, columns) or (slices, coils, rows, columns).

    Raises
    ------
    ReadError
        When there is none, when it is not complex or has another number of axes, or when one slice is too large.
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


def _kspace(file: Any, path: Path) -> NDArray[np.float32]:
    found = kspace_dataset(file, path)
    rows, columns = found.shape[-2:]
    size = image_size(file, rows, columns, path)
    return np.stack([combined(as_complex64(slice_).reshape(-1, rows, columns), size) for slice_ in found])


def image_size(file: Any, rows: int, columns: int, path: Path) -> tuple[int, int]:
    """Rows and columns of the image that k-space of `rows` x `columns` gives; see `read_slices`.

    Raises
    ------
    ReadError
        When the header is there and does not say.
    """
    stored = dataset(file, "ismrmrd_header", path)
    if stored is None:
        return (rows + 1) // 2, columns
    x, y = matrix(parse_header(text(stored, path), path), "reconSpace", path)
    return (x, y) if y <= columns else (columns, columns)
