"""Arrays of k-space whose axes have names: where a scan's points lie in one, and how they become an acquisition."""

from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from unimri.core.errors import AGAIN, ReadError
from unimri.core.settings import Settings
from unimri.core.stacks import Slices
from unimri.io.notes import note
from unimri.io.volume import acquired, check_size, magnitude
from unimri.physics.acquisition import Acquisition, MaskError, check_partitions

# What one read may take, 2 GiB as complex64: 64 coils with 2048 x 2048 points each.
MAX_READ = 2**28

# Names of the two halves of a complex number; h5py itself knows the first pair, for floats.
HALVES = (("r", "i"), ("real", "imag"))

Space = Literal["slice", "row", "column"]
Frame = Literal["time", "echo", "set"]
Axis = Literal["slice", "row", "column", "coil", "average", "time", "echo", "set"]
Place = Literal["centre", "first"]

# In the order in which ISMRMRD's images come, too.
FRAMES: tuple[Frame, ...] = get_args(Frame)


class Layout(Settings):
    """Where the points of k-space lie in an array."""

    dataset: str = Field("kspace", min_length=1, description="Name of the array in its file; groups before it, with /.")
    axes: tuple[Axis, ...] = Field(
        ("slice", "coil", "row", "column"),
        description="What the array's axes are, the slowest first: row (readout) and column (phase encoding) of an "
        "image, slice, coil, average, and time, echo or set, each of which has images of its own.",
    )
    numbers: Literal["complex", "interleaved", "parts"] = Field(
        "complex",
        description="How numbers are stored: complex (or a pair of real and imaginary part); interleaved: real and "
        "imaginary parts alternate along the coils; parts: on one more axis of two, the last.",
    )
    image: tuple[Space, ...] = Field(
        ("slice",),
        description="Axes along which values are of the image already, and not of k-space. Without slice, the slices "
        "are partitions of a 3D scan; with row or column, k-space is hybrid.",
    )
    dc: Place = Field("centre", description="Where DC lies along the axes of k-space: at n // 2, or first.")
    origin: Place = Field(
        "centre",
        description="Which pixel the transform counts from: n // 2, or the first, as numpy.fft.ifft2 alone does.",
    )
    padded: bool = Field(
        False, description="Whether lines of zeros at one edge are padding, and not lines left out (partial Fourier)."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.axes)) < len(self.axes) or len(set(self.image)) < len(self.image):
            raise ValueError("names an axis twice")
        if not {"row", "column"} <= set(self.axes):
            raise ValueError("needs the axes row and column")
        if not set(self.image) - {"slice"} <= set(self.axes):
            raise ValueError("has an axis of the image that is none of the array")
        if self.numbers == "interleaved" and "coil" not in self.axes:
            raise ValueError("has numbers interleaved along the coils, and no coil among its axes")
        return self

    def fault(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[str, str] | None:
        """What is wrong with an array of this shape and type, and the mend; None where nothing is."""
        expected = len(self.axes) + (self.numbers == "parts")
        words = ", ".join((*self.axes, "real and imaginary part") if self.numbers == "parts" else self.axes)
        if len(shape) != expected:
            return f"its k-space has {len(shape)} axes", f"give ({words}), or name its axes in the layout"
        if self.numbers == "complex" and not is_complex(dtype):
            return "its k-space is not complex", "give complex64 numbers, or say in the layout how they are stored"
        if self.numbers != "complex" and dtype.kind not in "fiu":
            return "its k-space holds no real numbers", "say in the layout how they are stored"
        if self.numbers == "parts" and shape[-1] != 2:
            return f"its k-space has {shape[-1]} parts of each number", "give two on the last axis"
        if self.numbers == "interleaved" and shape[self.axes.index("coil")] % 2:
            return "its k-space has an odd number of real and imaginary parts", AGAIN
        return None


class Points(Protocol):
    """An array whose parts are read when they are asked for, by an index for each axis."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, index: tuple[int | slice, ...]) -> Any: ...


def read_points(array: Points, layout: Layout, path: Path, size: tuple[int, int] | None = None) -> Acquisition:
    """The acquisition that an array holds, one image in memory at a time; of a 3D scan, all partitions of one coil.

    Images are sorted by slice, then time, echo and set. Averages are averaged, point by point where they were measured.
    Partitions of 3D are transformed (orthonormal) to slices, which needs all of them.

    Parameters
    ----------
    array : complex, or real as `layout` says.
    layout : where what lies in it.
    path : the file to name in a fault or a note.
    size : see `Acquisition`.

    Raises
    ------
    ReadError : when shape or type are not those of the layout, the array is too large, partitions of a 3D scan or
        points of its lines are missing, or see `unimri.io.volume.acquired`.
    """
    if fault := layout.fault(array.shape, array.dtype):
        raise ReadError(path, *fault)
    check_size(array.shape, path)
    counts = dict(zip(layout.axes, array.shape, strict=False))
    coils = counts.get("coil", 1) // (2 if layout.numbers == "interleaved" else 1)
    rows, columns = counts["row"], counts["column"]
    if coils * rows * columns > MAX_READ:
        raise ReadError(path, "one slice of its k-space is too large", AGAIN)
    slices, frames = counts.get("slice", 1), prod(counts.get(axis, 1) for axis in FRAMES)
    records = Slices.new((slices * frames * coils, rows, columns), np.complex64)
    for number, image in enumerate(_images(array, layout, counts)):
        for coil, own in enumerate(image):
            records[number * coils + coil] = own
    if "slice" not in layout.image and slices > 1:
        transform_partitions(records, slices, frames, coils, path, layout.dc, layout.origin)
    records.shape = (slices * frames, coils, rows, columns)
    if counts.get("average", 1) > 1:
        note(path, f"its {counts['average']} averages are averaged where they were measured")
    told = [f"{counts[axis]} of {axis}" for axis in FRAMES if counts.get(axis, 1) > 1]
    if told:
        note(path, f"images of their own: {', '.join(told)}, for each of {slices} slices")
    return acquired(records, None, path, size, padded=layout.padded)


def _images(array: Points, layout: Layout, counts: dict[Axis, int]) -> Iterator[NDArray[np.complex64]]:
    """One image's k-space after the other, (coils, rows, columns)."""
    counted: tuple[Axis, ...] = ("slice", *FRAMES)
    for place in product(*(range(counts.get(axis, 1)) for axis in counted)):
        at: dict[Axis, int] = dict(zip(counted, place, strict=True))
        if "average" not in counts:
            yield _image(array, layout, at)
            continue
        total: Any = 0
        measured: Any = 0
        for average in range(counts["average"]):
            own = _image(array, layout, {**at, "average": average})
            total, measured = total + own, measured + (own != 0).any(0)
        yield total / np.maximum(measured, 1).astype(np.float32)


def _image(array: Points, layout: Layout, at: dict[Axis, int]) -> NDArray[np.complex64]:
    """K-space at one place of all axes but coil, row and column: (coils, rows, columns), centred and orthonormal."""
    left = [axis for axis in layout.axes if axis not in at]
    index: list[int | slice] = [at.get(axis, slice(None)) for axis in layout.axes]
    if layout.numbers == "parts":
        index.append(slice(None))
    values = np.asarray(array[tuple(index)])
    if layout.numbers == "complex":
        values = as_complex64(values)
    if layout.numbers == "parts":
        values = _complex(values[..., 0], values[..., 1])
    if "coil" in left:
        values = np.moveaxis(values, left.index("coil"), 0)
        left = ["coil", *(axis for axis in left if axis != "coil")]
    else:
        values = values[None]
    if layout.numbers == "interleaved":
        values = _complex(values[::2], values[1::2])
    if left.index("row") > left.index("column"):
        values = values.swapaxes(-1, -2)
    with np.errstate(invalid="ignore"):
        for name, axis in (("row", -2), ("column", -1)):
            values = _to_kspace(values, axis, layout, name in layout.image)
    return np.ascontiguousarray(values, np.complex64)


def _to_kspace(values: NDArray[Any], axis: int, layout: Layout, is_image: bool) -> NDArray[Any]:
    """Bring one axis to k-space whose DC and whose image's origin are at n // 2."""
    if is_image:
        return np.fft.fftshift(np.fft.fft(np.fft.ifftshift(values, axis), axis=axis, norm="ortho"), axis)
    if layout.dc == "first":
        values = np.fft.fftshift(values, axis)
    if layout.origin == "first":
        # The shift theorem: the pixel that was the first becomes pixel n // 2.
        length = values.shape[axis]
        turns = (np.arange(length) - length // 2) * (length // 2) / length
        values = values * np.moveaxis(np.exp(2j * np.pi * turns).astype(np.complex64)[:, None, None], 0, axis)
    return values


def transform_partitions(
    records: Slices,
    slices: int,
    frames: int,
    coils: int,
    path: Path,
    dc: Place = "centre",
    origin: Place = "centre",
) -> None:
    """Transform the partitions of a 3D scan to slices, in place: the orthonormal inverse transform.

    Parameters
    ----------
    records : complex64 (slices * frames * coils, rows, columns), the coils fastest.
    path : the file to name in a fault.
    dc, origin : see `Layout`.

    Raises
    ------
    ReadError : when partitions are missing, or lines of some partitions and not of others.
    """
    for frame in range(frames):
        rows, columns = (np.zeros((slices, length), np.bool_) for length in records.shape[1:])
        for number in range(slices):
            for coil in range(coils):
                measured = records[(number * frames + frame) * coils + coil] != 0
                rows[number] |= measured.any(1)
                columns[number] |= measured.any(0)
        try:
            check_partitions(rows)
            check_partitions(columns)
        except MaskError as error:
            mend = "only 3D scans that leave out whole phase-encoding lines, the same in all partitions, can be used"
            raise ReadError(path, "points and not whole lines of its partitions were measured", mend) from error
        for coil in range(coils):
            numbers = [(number * frames + frame) * coils + coil for number in range(slices)]
            values = records[numbers]
            values = values if dc == "first" else np.fft.ifftshift(values, 0)
            values = np.fft.ifft(values, axis=0, norm="ortho")
            values = values if origin == "first" else np.fft.fftshift(values, 0)
            for number, own in zip(numbers, values, strict=True):
                records[number] = own


def whole_images(scan: Acquisition, path: Path) -> NDArray[np.float32]:
    """Images of a fully sampled scan, (slices, rows, columns), for a data set.

    Raises
    ------
    ReadError : when lines are left out, or `magnitude` refuses the values.
    """
    if not scan.complete:
        raise ReadError(path, "is undersampled", "remove it: only whole scans have a ground truth")
    return magnitude(scan.with_truth().truth, path)


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether values of `dtype` can be read as complex numbers."""
    if dtype.names is None:
        return dtype.kind == "c"
    return dtype.names in HALVES and all(dtype[name].kind in "fiu" for name in dtype.names)


def as_complex64(values: NDArray[Any]) -> NDArray[np.complex64]:
    """Cast values for which `is_complex` holds; those beyond float32's range become infinite."""
    if values.dtype.names is not None:
        real, imaginary = values.dtype.names
        return _complex(values[real], values[imaginary])
    with np.errstate(over="ignore"):
        return values.astype(np.complex64, copy=False)


def _complex(real: NDArray[Any], imaginary: NDArray[Any]) -> NDArray[np.complex64]:
    result = np.empty(real.shape, np.complex64)
    with np.errstate(over="ignore"):
        result.real, result.imag = real, imaginary
    return result
