"""NIfTI: 2D, 3D and 4D files, written back with the header that they had."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import SpooledTemporaryFile
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from isal.isal_zlib import IsalError
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import Opener
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from unimri.core.artifacts import replacing
from unimri.core.errors import AGAIN, ReadError, unreadable
from unimri.core.stacks import IN_MEMORY, Lazy, Stack, extremes
from unimri.io.volume import (
    APART,
    LABELS,
    MAX_DEFLATE_RATIO,
    Found,
    Images,
    Negatives,
    Plane,
    Provenance,
    Scan,
    as_float32,
    check_size,
    describe,
    excluded,
    has_suffix,
    magnitude,
    magnitudes,
    name_below,
    turn,
    turn_affine,
)

ENDS = (".nii", ".nii.gz")

# What says where voxels lie.
_GEOMETRY = (
    *("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("srow_x", "srow_y", "srow_z", "xyzt_units"),
)

# Integers that NIfTI has, from narrow to wide. A reconstruction is not negative, but what is stored of it may be.
_INTEGERS = (np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32)


# Of NIfTI's intents, those whose values are no intensities.
_INTENTS = {
    range(2, 25): "a map of a statistic",
    range(1002, 1004): "labels",
    range(1004, 1011): "vectors or matrices",
    range(3000, 3100): "CIFTI's grayordinates",
}


def find(root: Path, files: Sequence[Path], exclude: Sequence[str] = (*LABELS, *APART)) -> Found:
    """The NIfTI files; see `unimri.io.formats.Format`.

    Of a folder, those are passed over whose name, or that of a folder below the root, matches a pattern of `exclude`,
    as `fnmatch` has them; case does not matter.
    """
    found = Found([], [])
    for path in files:
        if has_suffix(path, ENDS):
            # Of the input itself nothing is excluded.
            other = excluded(root, path, exclude)
            if other is None:
                found.scans.append(Scan(name_below(root, path), (path,)))
            else:
                found.passed.append(other)
    return found


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Images:
    """Read the slices as they are stored, see `read_slices`, and for faults. What is packed is unpacked to the disk."""
    path = paths[0]
    with _read_errors(path):
        file: Any = path.open("rb")
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if packed:
            unpacked = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
            # At its end the checksum is compared.
            with file, igzip.open(file) as content:
                copyfileobj(content, unpacked, 2**20)
            file = unpacked
            file.seek(0)
        image = _image(file)
        _check(image, path)
        return Images(magnitudes(_Stored(image, path), path, negatives))


class _Stored(Lazy):
    """Slices of an open file in the order of `read_slices`."""

    def __init__(self, image: Any, path: Path) -> None:
        shape = (*image.shape, 1) if len(image.shape) == 2 else image.shape
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) not in (3, 4):
            raise ReadError(path, f"has {len(shape)} axes", "give a 3D or 4D file")
        self._image, self._path, self._axis = image, path, _slice_axis(shape)
        self._times = shape[3] if len(shape) > 3 else 1
        slices, (rows, columns) = shape[self._axis], np.delete(shape[:3], self._axis)
        self.shape = slices * self._times, int(rows), int(columns)

    def one(self, number: int) -> NDArray[Any]:
        place, time = divmod(number, self._times)
        index: list[Any] = [slice(None)] * 3
        index[self._axis] = place
        index = (index + [time] + [0] * len(self._image.shape))[: len(self._image.shape)]
        with _read_errors(self._path):
            data = np.asarray(self._image.dataobj[tuple(index)])
        return np.ascontiguousarray(data if np.iscomplexobj(data) else as_float32(data))


def read_slices(
    path: Path, plane: Plane = "native", channel: int | None = None, negatives: Negatives = "refuse"
) -> NDArray[np.float32]:
    """Read the slices of a 3D or 4D NIfTI file.

    Parameters
    ----------
    path : `.nii` or `.nii.gz`.
    plane : "native" takes the third axis of the file as slices, the first as rows and the second as columns, as they
        are stored; where only another axis has length 1, it is that of the one slice. The others turn the volume, by
        its affine and to the nearest axis, so that slices lie in the plane; nothing is interpolated.
    channel : which index of the fourth axis to read; None reads all.
    negatives : see `magnitude`.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the file's own scale; 4D: by position, then by the fourth
    axis.

    Raises
    ------
    ReadError : when the file is damaged or cut short, holds colours or what is no image, has not 3 or 4 axes or not
        that channel, or when `magnitude` refuses its values.
    """
    with _read_errors(path), _opened(path) as image:
        _check(image, path)
        data = _channel(image, channel, path)
        while data.ndim > 3 and data.shape[-1] == 1:
            data = data[..., 0]
        if data.ndim == 2:
            data = data[..., np.newaxis]
        if data.ndim not in (3, 4):
            raise ReadError(path, f"has {data.ndim} axes", "give a 3D or 4D file")
        if plane == "native":
            data = np.moveaxis(data, _slice_axis(data.shape), 0)
        else:
            data = turn(data, image.affine, plane, path)
        if data.ndim == 4:  # (slices, rows, columns, times)
            data = np.moveaxis(data, 3, 1)
            data = data.reshape(-1, *data.shape[2:])
    return magnitude(np.ascontiguousarray(data), path, negatives)


def _slice_axis(shape: tuple[int, ...]) -> int:
    """Of three axes of space, the one that slices lie along: the third, unless only another has length 1."""
    thin = [axis for axis, length in enumerate(shape[:3]) if length == 1]
    return thin[0] if len(thin) == 1 else 2


def axes(path: Path) -> int:
    """How many axes a file has, by its header alone.

    Raises
    ------
    ReadError : when the header cannot be read.
    """
    with _read_errors(path), _opened(path, whole=False) as image:
        return len(image.shape)


def slice_orientation(path: Path, plane: Plane = "native") -> str:
    """How the slices of `read_slices` lie in the body; see `unimri.io.volume.describe`.

    Raises
    ------
    ReadError : when the header cannot be read.
    """
    with _read_errors(path), _opened(path, whole=False) as image:
        stored, shape = image.affine, image.shape
    if plane != "native":
        return describe(turn_affine(stored, plane, path))
    affine = np.eye(4)
    slices = _slice_axis(shape)
    affine[:3, :3] = stored[:3, [slices, *(axis for axis in range(3) if axis != slices)]]
    return describe(affine)


def write(paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]:
    """Write a file with the input's shape, affine and header.

    The input's type and scale are kept, and integers rounded, where they can hold the values; else the next wider
    integer is taken, or float32. Complex images are complex64. `descrip` says what was made. With
    `provenance.deidentify` the header is a new one, of which shape, type, scale and geometry alone are the input's.

    Raises
    ------
    ReadError : when the input has changed since it was read.
    """
    path = paths[0]
    with _read_errors(path), _opened(path, whole=False) as source:
        pass
    order = _stored_order(images, source.shape, path)
    header = _named_nobody(source.header) if provenance.deidentify else source.header.copy()
    slope, inter = float(source.dataobj.slope), float(source.dataobj.inter)
    present = header.get_data_dtype()
    complex_ = np.iscomplexobj(images[0])
    whole = present.kind in "iu" and not complex_
    dtype = np.dtype(np.float32) if present.kind == "c" else present
    if whole:
        dtype = _dtype(present, np.rint((np.array(extremes(images), np.float64) - inter) / slope))
    if complex_:
        dtype = np.dtype(np.complex64)
    if complex_ or (dtype.kind != present.kind and dtype.kind == "f"):
        slope, inter, whole = 1.0, 0.0, False
    header.set_data_dtype(dtype)
    header["descrip"] = provenance.short.encode("ascii", "replace")[:79]
    # None: the affine stays in the header as it was coded there. An array of this shape takes no memory.
    image = type(source)(np.broadcast_to(np.zeros((), dtype), source.shape), None, header)
    # An image forgets the scale of the header that it is given.
    image.header.set_slope_inter(slope, inter)
    image.update_header()
    # As nibabel writes it, which would take all values at once.
    with replacing(target) as temporary, Opener(str(temporary), "wb") as file:
        image.header.write_to(file)
        file.write(bytes(image.header.get_data_offset() - file.tell()))
        for number in order:
            stored = (images[number].astype(np.complex128 if complex_ else np.float64) - inter) / slope
            file.write((np.rint(stored) if whole else stored).astype(dtype).tobytes("F"))
    return [target]


def _zero_intercept(header: Any) -> tuple[float | None, float | None]:
    """Slope and intercept, of which an intercept that is no number is taken for 0, as a slope of 0 is for none."""
    if not np.isfinite(header["scl_inter"]):
        header["scl_inter"] = 0
    return super(type(header), header).get_slope_inter()


# Not nibabel's own: those refuse such an intercept.
class _Header1(nib.Nifti1Header):  # type: ignore[misc]
    get_slope_inter = _zero_intercept


class _Header2(nib.Nifti2Header):  # type: ignore[misc]
    get_slope_inter = _zero_intercept


class _Image1(nib.Nifti1Image):  # type: ignore[misc]
    header_class = _Header1


class _Image2(nib.Nifti2Image):  # type: ignore[misc]
    header_class = _Header2


@contextmanager
def _opened(path: Path, whole: bool = True) -> Iterator[Any]:
    """An image whose values are not yet read; by its first bytes, and not its name, packed or not.

    `whole`: read what is packed to its end, after the context, since only there gzip compares the checksum.
    """
    with path.open("rb") as stored:
        packed = stored.read(2) == b"\x1f\x8b"
        stored.seek(0)
        # Gunzip is most of the time that a compressed file takes; this one is twice as fast as Python's.
        with igzip.open(stored) if packed else stored as file:
            yield _image(file)
            while whole and packed and file.read(2**20):
                pass


def _image(file: Any) -> Any:
    """An image of an open file that is not packed."""
    start = file.read(4)
    file.seek(0)
    # The header's size, which begins it, tells the two versions apart.
    second = 540 in (int.from_bytes(start, order) for order in ("little", "big"))
    # Not nibabel's choice by name and extensions: of CIFTI it makes something that is no volume.
    return (_Image2 if second else _Image1).from_file_map({"image": nib.FileHolder(fileobj=file)})


def _named_nobody(header: Any) -> Any:
    """A new header of the same shape, type and geometry: nothing else could not hold a name or a date."""
    new = type(header)(endianness=header.endianness)
    axes = int(header["dim"][0])
    new.set_data_dtype(header.get_data_dtype())
    new.set_data_shape(header.get_data_shape())
    new["pixdim"][: axes + 1] = header["pixdim"][: axes + 1]
    for field in _GEOMETRY:
        new[field] = header[field]
    return new


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, IsalError) as error:  # type: ignore[misc]  # isal has no types
        raise ReadError(path, "the compressed data end too early", AGAIN) from error
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, ValueError, OverflowError) as error:
        raise unreadable(path, error, "cannot be read as NIfTI") from error


def _check(image: Any, path: Path) -> None:
    header, intent, dtype = image.header, int(image.header["intent_code"]), image.get_data_dtype()
    wrong = next((name for codes, name in _INTENTS.items() if intent in codes), None)
    if wrong is not None:
        raise ReadError(path, f"holds {wrong}, and no image", "give the image that it was made from")
    if dtype.fields is not None:
        raise ReadError(path, "holds colours", "give a magnitude image")
    check_size(image.shape, path)
    offset = image.dataobj.offset
    if offset < header.single_vox_offset:
        raise ReadError(path, "its header is damaged: its voxels would begin inside it", "export the file again")
    with path.open("rb") as file:
        ratio = MAX_DEFLATE_RATIO if file.read(2) == b"\x1f\x8b" else 1
    stored = offset + int(np.prod(image.shape, dtype=np.int64)) * dtype.itemsize
    if stored > path.stat().st_size * ratio:
        raise ReadError(path, "declares more voxels than the file can hold", AGAIN)


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


def _stored_order(images: Stack, shape: tuple[int, ...], path: Path) -> list[int]:
    """Numbers of the slices of `read_slices`, position by position, as the file has them: one time after the other."""
    axis = _slice_axis(shape) if len(shape) > 2 else 2
    space = (*shape, 1)[:3]
    slices, (rows, columns) = space[axis], (length for place, length in enumerate(space) if place != axis)
    times = int(np.prod(shape[3:]))
    if images.shape != (slices * times, rows, columns):
        raise ReadError(path, "has another shape than its reconstruction", "leave the input as it is while it is read")
    return [place * times + time for time in range(times) for place in range(slices)]


def _dtype(present: np.dtype[Any], stored: NDArray[np.float64]) -> np.dtype[Any]:
    """The integer type, not narrower than the present one, that holds all values; float32 where none does."""
    low, high = stored.min(), stored.max()
    wider = [np.dtype(kind) for kind in _INTEGERS if np.dtype(kind).itemsize >= present.itemsize]
    for dtype in (present, *wider):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return dtype.newbyteorder(present.byteorder)
    return np.dtype(np.float32)
