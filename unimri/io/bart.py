"""BART's arrays of Cartesian k-space: `.cfl` holds complex64 in Fortran's order, `.hdr` the dimensions as text.

Which dimension is what stands in github.com/mrirecon/bart, src/misc/mri.h; how the files are written in python/cfl.py.
K-space of BART is centred and orthonormal, as `bart fft -u` and all its reconstructions take it.
"""

from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unimri.core.artifacts import replacing
from unimri.core.errors import AGAIN, ReadError, UnimriError, check_file, unreadable
from unimri.core.stacks import Stack
from unimri.io.isolated import isolated
from unimri.io.layout import FRAMES, Axis, Layout, read_points, whole_images
from unimri.io.volume import APART, LABELS, Found, Negatives, Passed, Provenance, Scan, excluded, has_suffix, name_below
from unimri.physics.acquisition import Acquisition

ENDS = (".cfl",)
UNREADABLE = "cannot be read as BART's array"

# READ, PHS1, PHS2, COIL, TE, TIME, TIME2, SLICE and AVG of mri.h. PHS2 is a 3D scan's second phase encoding.
_PARTITIONS, _SLICES = 2, 13
_AXES: dict[int, Axis] = {
    **{0: "row", 1: "column", _PARTITIONS: "slice", 3: "coil", 5: "echo", 10: "time", 11: "set"},
    **{_SLICES: "slice", 14: "average"},
}

# BART has 16 dimensions; its header also names commands and files, in some kB.
_MOST, _MAX_HEADER = 16, 2**20

_DIMENSIONS = "# Dimensions"


def find(root: Path, files: Sequence[Path]) -> Found:
    """The `.cfl` files, each with its `.hdr`, but for masks by their names; see `unimri.io.formats.Format`."""
    found, known = Found([], []), set(files)
    for path in files:
        if not has_suffix(path, ENDS):
            continue
        if other := excluded(root, path, (*LABELS, *APART)):
            found.passed.append(other)
            continue
        header, fault = _header(path), None
        try:
            _dimensions(path)
        except ReadError as error:
            fault = error
        paths = (path, header) if header.is_file() else (path,)
        found.scans.append(Scan(name_below(root, path), paths, fault))
        if header in known:
            found.passed.append(Passed(header, "is the header of an array", companion=True))
    return found


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Acquisition:
    """Read an array in another process, and make the truth of a complete one; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file).with_truth()


def read_slices(path: Path) -> NDArray[np.float32]:
    """The images of a fully sampled array, float32 (slices, rows, columns), magnitude on its own scale.

    Raises
    ------
    ReadError : as `read_file` does; when lines are left out, or all values are equal.
    """
    return whole_images(read_file(path), path)


def read_file(path: Path) -> Acquisition:
    """Read the k-space of a `.cfl`. Call it by way of `read`.

    Echoes, times (dimensions 10 and 11) and slices are images of their own, averages are averaged, and dimension 2 is
    transformed: see `unimri.io.layout.read_points`.

    Raises
    ------
    ReadError : when there is no `.hdr` with its dimensions, these are not the size of the file, or are of no Cartesian
        k-space; and see `read_points`.
    """
    kept = _kept(_dimensions(path), path)
    shape = tuple(length for _, length in kept)
    array = np.memmap(path, "<c8", "r", shape=shape, order="F")
    axes = tuple(_AXES[number] for number, _ in kept)
    layout = Layout(axes=axes, image=() if _PARTITIONS in dict(kept) else ("slice",))
    return read_points(array, layout, path)


def write(paths: tuple[Path, ...], images: Stack, target: Path, provenance: Provenance) -> list[Path]:
    """Write a pair of `.cfl` and `.hdr` with the dimensions of the input, without coils and averages.

    The header says nothing but these: BART has no place for more, and the input's own may name folders.

    Raises
    ------
    UnimriError : when the header's place is taken.
    """
    header = _header(target)
    if header.exists():
        raise UnimriError(f"{header}: is there already; give another output")
    lengths = dict(_kept(_dimensions(paths[0]), paths[0]))
    dimensions = [lengths.get(number, 1) if _AXES.get(number) not in ("coil", "average") else 1 for number in range(16)]
    dimensions[:2] = images.shape[1:]
    counted = [number for number in sorted(lengths) if _AXES[number] not in ("row", "column", "coil", "average")]
    order: list[Axis] = [axis for axis in ("slice", *FRAMES) if axis in {_AXES[number] for number in counted}]
    counts = {_AXES[number]: lengths[number] for number in counted}
    with replacing(target) as content, replacing(header) as words:
        words.write_text(f"{_DIMENSIONS}\n{' '.join(map(str, dimensions))}\n", encoding="ascii")
        with content.open("wb") as file:
            # The last dimension is the slowest in the file.
            for place in product(*(range(lengths[number]) for number in reversed(counted))):
                at = dict(zip((_AXES[number] for number in reversed(counted)), place, strict=True))
                image = 0
                for axis in order:
                    image = image * counts[axis] + at[axis]
                file.write(np.ascontiguousarray(images[image].T, "<c8").tobytes())
    return [target, header]


def _header(path: Path) -> Path:
    """The `.hdr` beside a `.cfl`, in the case that it has."""
    beside = path.with_suffix(".hdr")
    return path.with_suffix(".HDR") if path.suffix == ".CFL" and not beside.exists() else beside


def _dimensions(path: Path) -> tuple[int, ...]:
    """The dimensions that the header gives, as many values as the file has.

    Raises
    ------
    ReadError : when there is no header or it gives none, or the file has another size.
    """
    header = _header(path)
    if not header.exists():
        raise ReadError(path, "lacks its header", f"put {header.suffix} beside it, as BART writes both")
    check_file(header)
    try:
        with header.open("rb") as file:
            lines = file.read(_MAX_HEADER).decode("ascii", "replace").splitlines()
        size = path.stat().st_size
    except OSError as error:
        raise unreadable(path, error, UNREADABLE) from error
    words: list[str] = []
    with suppress(ValueError, IndexError):
        words = lines[lines.index(_DIMENSIONS) + 1].split()
    # Of a few digits: more mean damage.
    if not 2 <= len(words) <= _MOST or not all(word.isdigit() and word.isascii() and len(word) < 10 for word in words):
        raise ReadError(path, "has no dimensions in its header", "write both files again")
    dimensions = tuple(map(int, words))
    if 8 * prod(dimensions) != size or not size:
        raise ReadError(path, "has another size than its header says", AGAIN)
    return dimensions


def _kept(dimensions: tuple[int, ...], path: Path) -> list[tuple[int, int]]:
    """Numbers and lengths of the dimensions that count: rows and columns, and those that are longer than 1."""
    kept: list[tuple[int, Any]] = []
    for number, length in enumerate(dimensions):
        if number < 2 or length > 1:
            kept.append((number, length))
            if number not in _AXES:
                mend = "give k-space: dimensions 0 to 3, 5, 10, 11, 13 and 14 of BART"
                raise ReadError(path, f"has {length} values along dimension {number}", mend)
    if {_PARTITIONS, _SLICES} <= dict(kept).keys():
        raise ReadError(path, "is of several 3D slabs", "write each slab to a file of its own: `bart slice 13 ...`")
    return kept
