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
        return _parse(file)


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


def _parse(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    read_header = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if min(shape, default=0) < 0:
        raise ValueError("a negative length")
    return shape, dtype


def _check_member(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    """That the archive can hold what the array's header declares."""
    info = archive.getinfo(member)
    with archive.open(member) as file:
        shape, dtype = _parse(file)
    stored = prod(shape) * dtype.itemsize
    if stored > info.file_size or info.file_size > path.stat().st_size * MAX_DEFLATE_RATIO:
        raise ReadError(path, "declares more values than the file can hold", AGAIN)
