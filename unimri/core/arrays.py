"""NumPy's files of others: what a header declares is compared with its file before memory is taken for it."""

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from unimri.core.errors import AGAIN, ReadError, check_file, unreadable
from unimri.core.stacks import Slices, Stack

MAX_DEFLATE_RATIO = 1032
"""The most that deflate can shrink data: a declared size above it cannot be in the file."""


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except ReadError:
        raise
    except MemoryError as error:
        raise ReadError(path, "is more than the memory holds", "divide it, or free some memory") from error
    # numpy raises whatever its parsers meet in a damaged header: OverflowError, RecursionError, SyntaxError.
    except Exception as error:
        raise unreadable(path, error, "cannot be read as NumPy's arrays") from error


def npy_header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that the header of a `.npy` declares."""
    with _read_errors(path), path.open("rb") as file:
        if file.read(6) not in (b"\x93NUMPY", b""):
            raise ReadError(path, "is no NumPy array (.npy)", "write one with `numpy.save`")
        file.seek(0)
        return _parse(file)[:2]


def npz_names(path: Path) -> set[str]:
    """Names of the arrays of a `.npz`."""
    with _read_errors(path), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a `.npy`, mapped; it may be written to, in memory.

    Raises
    ------
    ReadError : when the file is missing, is no array, is cut short, or holds objects.
    """
    check_file(path)
    npy_header(path)
    with _read_errors(path):
        # Mapped, numpy compares the header with the file's length before it takes memory. torch would warn of an array
        # that cannot be written to.
        return np.load(path, mmap_mode="c", allow_pickle=False)


def read_npz(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Those of the arrays of a `.npz` that are there; faults as `read_npy`."""
    check_file(path)
    with _read_errors(path), zipfile.ZipFile(path) as archive:
        arrays = {}
        for name in names:
            if f"{name}.npy" in archive.namelist():
                _check_member(archive, f"{name}.npy", path)
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = npy.read_array(file, allow_pickle=False)
        return arrays


def npy_slices(path: Path) -> Any:
    """The array of a `.npy` of three or more axes, read slice by slice; of two, as one slice. Faults as `read_npy`."""
    array = read_npy(path)
    shape = (1, *array.shape) if array.ndim == 2 else array.shape
    if not array.flags.c_contiguous or not isinstance(array, np.memmap) or array.ndim < 2:
        return array.reshape(shape)
    # Not the mapped array: what is read of it would count as the program's memory.
    return Slices(path.open("rb"), shape, array.dtype, array.offset)


def npz_slices(path: Path, stacks: Sequence[str], whole: Sequence[str]) -> dict[str, Any]:
    """Those of the arrays of a `.npz` that are there; faults as `read_npy`.

    Parameters
    ----------
    stacks : names of arrays to read slice by slice, unpacked to the disk; of two axes as one slice.
    whole : names of others.
    """
    arrays: dict[str, Any] = read_npz(path, whole)
    with _read_errors(path), zipfile.ZipFile(path) as archive:
        for name in stacks:
            if f"{name}.npy" in archive.namelist():
                _check_member(archive, f"{name}.npy", path)
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = _unpacked(file)
    return arrays


def _unpacked(file: Any) -> Any:
    shape, dtype, by_slices = _parse(file)
    if dtype.hasobject or not by_slices or len(shape) < 2:
        file.seek(0)
        array = npy.read_array(file, allow_pickle=False)
        return array[np.newaxis] if array.ndim == 2 else array
    stack = Slices.new(shape if len(shape) > 2 else (1, *shape), dtype)
    size = prod(stack.shape[1:]) * dtype.itemsize
    for number in range(len(stack)):
        stack[number] = np.frombuffer(file.read(size), dtype).reshape(stack.shape[1:])
    return stack


def write_npy(path: Path, stack: Stack, flat: bool = False) -> None:
    """Write float32 or complex64 as `numpy.save` does, slice by slice; `flat`: one slice without an axis for it."""
    with path.open("wb") as file:
        _write(file, stack, stack.shape[1:] if flat else stack.shape)


def write_npz(path: Path, name: str, stack: Stack) -> None:
    """Write float32 or complex64 as `numpy.savez_compressed` does, slice by slice."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(f"{name}.npy", "w", force_zip64=True) as file,
    ):
        _write(file, stack, stack.shape)


def _write(file: Any, stack: Stack, shape: tuple[int, ...]) -> None:
    kind = "<c8" if np.iscomplexobj(stack[0]) else "<f4"
    npy.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    for slice_ in stack:
        file.write(np.ascontiguousarray(slice_, kind).tobytes())


def _parse(file: Any) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape and type, and whether slices lie one after the other."""
    read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read_header(file)
    if min(shape, default=0) < 0:
        raise ValueError("a negative length")
    return shape, dtype, not by_columns


def _check_member(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    """That the archive can hold what the array's header declares."""
    info = archive.getinfo(member)
    with archive.open(member) as file:
        shape, dtype, _ = _parse(file)
    stored = prod(shape) * dtype.itemsize
    if stored > info.file_size or info.file_size > path.stat().st_size * MAX_DEFLATE_RATIO:
        raise ReadError(path, "declares more values than the file can hold", AGAIN)
