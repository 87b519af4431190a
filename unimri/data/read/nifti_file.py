"""Slices out of one NIfTI file."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from isal.isal_zlib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from unimri.data.read.error import AGAIN, ReadError
from unimri.data.read.magnitude import MAX_DEFLATE_RATIO, as_float32, check_size, magnitude
from unimri.data.read.planes import Plane, describe, turn, turn_affine


def stem(path: Path) -> str:
    """File name without `.nii` or `.nii.gz`."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def read_slices(path: Path, plane: Plane = "native", channel: int | None = None) -> NDArray[np.float32]:
    """Read the slices of a 3D or 4D NIfTI file.

    Parameters
    ----------
    path : `.nii` or `.nii.gz`.
    plane : "native" takes the third axis of the file as slices, the first as rows and the second as columns,
        as they are stored. The others turn the volume, by its affine and to the nearest axis, so that slices
        lie in the plane; nothing is interpolated.
    channel : which index of the fourth axis to read; None reads all.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the file's own scale; 4D: by position, then by the fourth
    axis.

    Raises
    ------
    ReadError
        When the file is damaged or cut short, holds colours, has not 3 or 4 axes or not that channel, or when
        its values are not finite or all equal.
    """
    with _telling(path), _opened(path) as image:
        _check(image, path)
        data = _channel(image, channel, path)
        while data.ndim > 3 and data.shape[-1] == 1:
            data = data[..., 0]
        if data.ndim == 2:
            data = data[..., np.newaxis]
        if data.ndim not in (3, 4):
            raise ReadError(path, f"has {data.ndim} axes", "give a 3D or 4D file")
        data = np.moveaxis(data, 2, 0) if plane == "native" else turn(data, image.affine, plane, path)
        if data.ndim == 4:  # (slices, rows, columns, times)
            data = np.moveaxis(data, 3, 1)
            data = data.reshape(-1, *data.shape[2:])
    return magnitude(np.ascontiguousarray(data), path)


def slice_orientation(path: Path, plane: Plane = "native") -> str:
    """How the slices of `read_slices` lie in the body; see `planes.describe`.

    Raises
    ------
    ReadError
        When the header cannot be read.
    """
    with _telling(path):
        stored = nib.load(path).affine
    if plane != "native":
        return describe(turn_affine(stored, plane, path))
    affine = np.eye(4)
    # Slices are the third axis, rows the first.
    affine[:3, :3] = stored[:3, [2, 0, 1]]
    return describe(affine)


def load(path: Path) -> Any:
    """The image as nibabel gives it, its voxels not yet read: header, affine, shape, dtype and scale.

    Raises
    ------
    ReadError
        When the header cannot be read.
    """
    with _telling(path):
        return nib.load(path)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if path.suffix != ".gz":
        yield nib.load(path)
        return
    with path.open("rb") as file:
        # igzip takes a short file of something else for one that ends too early.
        if file.read(2) not in (b"\x1f\x8b", b""):
            raise gzip.BadGzipFile
    # Gunzip is most of the time that a compressed file takes; this one is twice as fast as Python's.
    with igzip.open(path) as file:
        # The header's size, which begins it, tells the two versions apart.
        second = 540 in (int.from_bytes(file.peek(4)[:4], order) for order in ("little", "big"))
        yield (nib.Nifti2Image if second else nib.Nifti1Image).from_stream(file)
        # Only at its end does gzip compare the checksum.
        while file.read(2**20):
            pass


@contextmanager
def _telling(path: Path) -> Iterator[None]:
    try:
        yield
    except gzip.BadGzipFile as error:
        raise ReadError(path, "is not gzip, as its name says", AGAIN) from error
    except (EOFError, IsalError) as error:  # type: ignore[misc]  # isal has no types
        raise ReadError(path, "the compressed data end too early", AGAIN) from error
    except FileNotFoundError as error:
        raise ReadError(path, "no such file", "check the path") from error
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, ValueError, OverflowError) as error:
        raise ReadError(path, "cannot be read as NIfTI", AGAIN) from error


def _check(image: Any, path: Path) -> None:
    dtype = image.get_data_dtype()
    if dtype.fields is not None:
        raise ReadError(path, "holds colours", "give a magnitude image")
    check_size(image.shape, path)
    stored = int(np.prod(image.shape, dtype=np.int64)) * dtype.itemsize
    if stored > path.stat().st_size * (MAX_DEFLATE_RATIO if path.suffix == ".gz" else 1):
        raise ReadError(
            path,
            "declares more voxels than the file can hold",
            AGAIN,
        )


def _channel(image: Any, channel: int | None, path: Path) -> NDArray[Any]:
    if channel is None:
        data = np.asarray(image.dataobj)
    else:
        channels = image.shape[3] if len(image.shape) > 3 else 1
        if not 0 <= channel < channels:
            raise ReadError(path, f"has {channels} channel(s), none with number {channel}", "set another `channel`")
        data = np.asarray(image.dataobj[..., channel] if len(image.shape) > 3 else image.dataobj)
    # One cast here, so that turning and checking never hold float64.
    return data if np.iscomplexobj(data) else as_float32(data)
