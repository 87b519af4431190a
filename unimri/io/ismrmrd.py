"""ISMRMRD: raw Cartesian acquisitions of any vendor, 2D or 3D, one line of k-space each (https://ismrmrd.github.io).

The files are read with h5py: the `ismrmrd` package opens them for writing, follows links and reads each line twice.
Reconstructions are written as fastMRI's: ISMRMRD's own images would need a header for each, with positions that not all
converters fill in, and fewer tools read them than read one dataset.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import h5py
import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import AGAIN, ReadError
from unimri.core.stacks import Slices
from unimri.io.fastmri import ENDS as HDF5_ENDS
from unimri.io.fastmri import (
    UNREADABLE,
    dataset,
    find_hdf5,
    matrix,
    member,
    number_at,
    open_hdf5,
    parse_header,
    pixels_wanted,
    points_wanted,
    text_at,
)
from unimri.io.fastmri import (
    write as write,
)
from unimri.io.isolated import isolated
from unimri.io.layout import MAX_READ, transform_partitions
from unimri.io.notes import note
from unimri.io.volume import Found, Negatives, check_kspace, check_size, magnitude
from unimri.physics.acquisition import Acquisition, image_of

ENDS = (".mrd", *HDF5_ENDS)
GROUP = "dataset"
ELSEWHERE = "reconstruct it with its vendor's software and give the images"
UNDERSAMPLED = "remove it: only fully sampled scans have a ground truth"

# Bits of an acquisition's flags as ISMRMRD numbers them, from 1.
CALIBRATION, CALIBRATION_AND_IMAGING, REVERSE = 20, 21, 22
# Noise, navigator, phase correction, feedback, dummies, surface coil correction, phase stabilisation.
NO_IMAGE = (19, 23, 24, 26, 27, 28, 29, 30, 31)
COMPRESSED = (53, 54, 55, 56)

# Counters that make an image of their own, slowest first. Averages are averaged; segments share an image.
COUNTERS = ("slice", "phase", "contrast", "set", "repetition")

# How many more lines may lie on one side of the centre than on the other: an even number of them gives 1, and
# some scanners' rounding another.
ASYMMETRY = 2
# The most that zeros around may enlarge what was measured.
MAX_PADDING = 16
# Their heads take 1.4 GB.
MAX_LINES = 2**22


def find(root: Path, files: Sequence[Path]) -> Found:
    """The files that have ISMRMRD's group and header; see `unimri.io.formats.Format`."""
    return find_hdf5(root, files, ENDS, "ISMRMRD headers", _has_acquisitions, "has no group with ISMRMRD's header")


def _has_acquisitions(path: Path) -> str | None:
    """Blank for a file that has a group with ISMRMRD's header, else None. It runs in another process."""
    with open_hdf5(path) as file:
        return "" if _groups(file, path) else None


def read(paths: tuple[Path, ...], negatives: Negatives = "refuse") -> Acquisition:
    """Read a file in another process, and make the truth of a complete one; faults are those of `read_file`."""
    return isolated(paths[0], UNREADABLE, read_file).with_truth()


def read_file(path: Path) -> Acquisition:
    """Read the k-space of a file, fully sampled or not; images, averages and what is left out as in `read_slices`.

    Of an asymmetric echo, the points of the readout that are missing are rows left out where no line of phase encoding
    is, and else stay zero; a note says so. A grid that is larger than what the scan was to measure has lines of zeros
    that are padding: it is complete when every line between the encoding's limits was measured, and these lie around
    the centre. Call it by way of `read`.

    Partitions of a 3D scan are transformed to slices, and those that the header's reconSpace has not are left out.

    Raises
    ------
    ReadError : as `read_slices` does, but for lines and points that are missing; and when a slice is empty.
    """
    with open_hdf5(path) as file:
        lines, header, size = _parts(file, path)
        layout = _layout(lines, header, path, partial=True)
        kspace = _stack(lines, layout, path)
    check_kspace(kspace, path)
    rows, columns = layout.grid
    size = (min(rows, size[0]), min(columns, size[1]))
    # Of an image all partitions have the same lines, but for padding and corners that are cut off.
    sampled = layout.sampled.reshape(-1, layout.partitions, columns).any(1)
    mask = np.tile(np.ones_like(sampled) if layout.complete else sampled, (layout.wanted, 1))
    if (mask == mask[0]).all():
        mask = mask[:1]
    if layout.whole_echo:
        return Acquisition(kspace, mask, "columns", size)
    missing = f"{rows - layout.readout.length} of {rows} points of the readout were not measured (asymmetric echo)"
    if not layout.complete:
        note(path, f"{missing}, and stay zero")
        return Acquisition(kspace, mask, "columns", size)
    note(path, f"{missing}: taken for rows left out")
    measured = np.zeros((1, rows), np.bool_)
    measured[0, layout.readout.place] = True
    return Acquisition(kspace, measured, "rows", size)


def patient_of(path: Path) -> str:
    """The patient whom a file's header names, blank where it names none.

    Raises
    ------
    ReadError : when the file is damaged or has no header.
    """
    with open_hdf5(path) as file:
        return text_at(_header(file, path), "subjectInformation/patientID")


def read_slices(path: Path) -> NDArray[np.float32]:
    """Read the images of a file, one at a time: k-space of one image is in memory (of 3D, of one coil).

    Each slice (or partition), heart phase, contrast, set and repetition is an image, ordered by these counters. Lines
    that were measured several times (averages) are averaged. Lines that are no image (noise, navigators, phase
    correction, calibration alone) and those of a second encoding are left out. K-space is filled with zeros
    to the header's encodedSpace; the image is cropped to its reconSpace (see `pixels_wanted`), which takes the
    oversampling of the readout away, and coils are combined by root sum of squares.

    Returns
    -------
    (images, rows, columns), float32, magnitude on the scale of the raw data; rows run along the readout.

    Raises
    ------
    ReadError : when the file is damaged or cut short; when it is not Cartesian, of several 3D slabs, undersampled
        (parallel imaging, partial Fourier, partial echo), compressed or read backwards (EPI); or when values are not
        finite or all equal.
    """
    with open_hdf5(path) as file:
        lines, header, size = _parts(file, path)
        layout = _layout(lines, header, path)
        stack = _kspaces(lines, layout, path) if layout.partitions == 1 else _stack(lines, layout, path)
        images = [image_of(kspace, size) for kspace in stack]
    return magnitude(np.stack(images), path)


def _parts(file: Any, path: Path) -> tuple[Any, Element, tuple[int, int]]:
    """Acquisitions, header, and pixels of the image."""
    header = _header(file, path)
    if text_at(header, "encoding/trajectory").lower() != "cartesian":
        raise ReadError(path, "is not Cartesian", ELSEWHERE)
    lines = dataset(_group(file, path), "data", path)
    if lines is None or lines.ndim != 1:
        raise ReadError(path, "has no acquisitions", "check the folder and the format")
    if others := len(_groups(file, path, every=True)) - 1:
        note(path, f"its group `{GROUP}` is read, and {others} other(s) with a scan of their own are passed over")
    return lines, header, pixels_wanted(header, matrix(header, "encodedSpace", path), path)


def _groups(file: Any, path: Path, every: bool = False) -> list[str]:
    """Names of the groups with a header of ISMRMRD's: the one that its library makes, else, or for `every`, all."""
    own = [GROUP] if member(file, GROUP, path) is not None and not every else []
    names = own or [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
    groups = ((name, member(file, name, path)) for name in names)
    return [name for name, group in groups if isinstance(group, h5py.Group) and member(group, "xml", path) is not None]


def _group(file: Any, path: Path) -> Any:
    names = _groups(file, path)
    if len(names) > 1:
        raise ReadError(path, f"has {len(names)} scans, each in a group", "save each to a file of its own")
    group = member(file, names[0] if names else GROUP, path)
    if not isinstance(group, h5py.Group):
        raise ReadError(path, f"has no group `{GROUP}`", "check the folder and the format")
    return group


def _header(file: Any, path: Path) -> Element:
    stored = dataset(_group(file, path), "xml", path)
    if stored is None:
        raise ReadError(path, "has no header", "check the folder and the format")
    return parse_header(stored, path)


class _Span(NamedTuple):
    """The measured points first..last of an axis, the first of which lies at `start` of the grid."""

    first: int
    last: int
    start: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    @property
    def place(self) -> slice:
        return slice(self.start, self.start + self.length)


def _is_centred(first: int, last: int, centre: int) -> bool:
    return abs((centre - first) - (last - centre)) <= ASYMMETRY


def _span(first: int, last: int, centre: int, grid: int, path: Path, partial: bool = False) -> _Span:
    """Put points of which `centre` is DC on a grid of `grid` points whose DC is at grid // 2."""
    span = _Span(first, last, grid // 2 - (centre - first))
    if not partial and not _is_centred(first, last, centre):
        raise ReadError(path, "is undersampled (partial Fourier or partial echo)", UNDERSAMPLED)
    if span.length < 1 or span.start < 0 or span.start + span.length > grid:
        raise ReadError(path, "its points do not fit the header's encodedSpace", "export the file again")
    return span


@dataclass(frozen=True)
class _Layout:
    """Which line belongs where.

    Attributes
    ----------
    numbers : of the lines among the file's acquisitions.
    images : the image, and of it the partition, that each belongs to: image * partitions + partition.
    columns : the place of each on the grid.
    coils, samples : of each line.
    grid : points along readout and phase encoding.
    readout : where the samples go.
    partitions : of a 3D scan's grid; 1 of a 2D scan.
    wanted : how many of these, in the middle, the header's image has.
    sampled : (images * partitions, phase encoding), the lines that were measured.
    complete : see `read_file`.
    whole_echo : whether as many points were read on either side of the readout's centre.
    """

    numbers: NDArray[np.intp]
    images: NDArray[np.intp]
    columns: NDArray[np.int_]
    coils: int
    samples: int
    grid: tuple[int, int]
    readout: _Span
    partitions: int
    wanted: int
    sampled: NDArray[np.bool_]
    complete: bool
    whole_echo: bool


def _layout(stored: Any, header: Element, path: Path, partial: bool = False) -> _Layout:
    """Lay out the lines; ones that are missing, or parts of them, raise ReadError unless `partial`."""
    numbers, heads = _imaging(stored, path)
    first = heads[0]
    for name in ("number_of_samples", "active_channels", "center_sample", "discard_pre", "discard_post"):
        if (heads[name] != first[name]).any():
            raise ReadError(path, "its lines differ in length, centre or number of coils", "export the file again")
    coils, samples = int(first["active_channels"]), int(first["number_of_samples"])
    if 8 * coils * samples * len(heads) > path.stat().st_size:
        raise ReadError(path, "declares more points than the file can hold", AGAIN)
    x, y = matrix(header, "encodedSpace", path)
    # Converters that do not know the centre leave 0, which no full echo can have.
    centre = int(first["center_sample"]) or samples // 2
    begin, end = int(first["discard_pre"]), samples - 1 - int(first["discard_post"])
    readout, whole_echo = _span(begin, end, centre, x, path, partial), _is_centred(begin, end, centre)
    steps = heads["idx"]["kspace_encode_step_1"].astype(int)
    phase, centred = _phase(header, steps, y, path, partial)
    keys = np.stack([heads["idx"][name] for name in COUNTERS], axis=1)
    images, image_of_line = np.unique(keys, axis=0, return_inverse=True)
    z = max(1, number_at(header, "encoding/encodedSpace/matrixSize/z", path))
    if z > 1 and np.ptp(keys[:, 0]):
        raise ReadError(path, "is of several 3D slabs", "save each to a file of its own")
    steps_2 = heads["idx"]["kspace_encode_step_2"].astype(int)
    # That no partition is missing is known when all are there.
    partition, _ = _phase(header, steps_2, z, path, partial=True, number=2)
    if coils * x * y > MAX_READ or x * y * z > MAX_PADDING * readout.length * phase.length * partition.length:
        raise ReadError(path, "its header's encodedSpace is too large", "export the file again")
    # Images of 2D are made one at a time, where no k-space is asked for.
    check_size((len(images), z, coils if partial or z > 1 else 1, x, y), path)
    planes = image_of_line * z + partition.start + steps_2 - partition.first
    columns = phase.start + steps - phase.first
    sampled = np.zeros((len(images) * z, y), np.bool_)
    sampled[planes, columns] = True
    # That every line is there, before the first is read.
    complete = int(sampled.reshape(len(images), z, y).any(1).sum()) == len(images) * phase.length
    if not complete and not partial:
        raise ReadError(path, "is undersampled (lines are missing)", UNDERSAMPLED)
    wanted = min(z, max(1, points_wanted(header, "z", z, path))) if z > 1 else 1
    complete = complete and centred
    return _Layout(numbers, planes, columns, coils, samples, (x, y), readout, z, wanted, sampled, complete, whole_echo)


def _stack(stored: Any, layout: _Layout, path: Path) -> Slices:
    """K-space of all images, (wanted partitions * images, coils, readout, phase encoding), read once."""
    z, coils = layout.partitions, layout.coils
    images = len(layout.sampled) // z
    records = Slices.new((z * images * coils, *layout.grid), np.complex64)
    for number, plane in enumerate(_kspaces(stored, layout, path)):
        image, partition = divmod(number, z)
        for coil, own in enumerate(plane):
            records[(partition * images + image) * coils + coil] = own
    if z > 1:
        transform_partitions(records, z, images, coils, path)
    records.shape = (z * images, coils, *layout.grid)
    if layout.wanted == z:
        return records
    note(path, f"{z - layout.wanted} of {z} slices at both ends are oversampling, and left out")
    first = (z - layout.wanted) // 2 * images
    kept = Slices.new((layout.wanted * images, *records.shape[1:]), np.complex64)
    for number in range(len(kept)):
        kept[number] = records[first + number]
    return kept


def _kspaces(stored: Any, layout: _Layout, path: Path) -> Iterator[NDArray[np.complex64]]:
    """K-space of one image after the other: (coils, readout, phase encoding), filled with zeros."""
    data, readout = stored.fields("data"), layout.readout
    for image in range(len(layout.sampled)):
        kspace = np.zeros((layout.coils, *layout.grid), np.complex64)
        counts = np.zeros(layout.grid[1], np.float32)
        for line in np.flatnonzero(layout.images == image):
            values = data[layout.numbers[line]]
            if values.size != 2 * layout.coils * layout.samples:
                raise ReadError(path, "a line has another length than its header says", AGAIN)
            measured = values.view(np.complex64).reshape(layout.coils, layout.samples)
            column = layout.columns[line]
            kspace[:, readout.place, column] += measured[:, readout.first : readout.last + 1]
            counts[column] += 1
        kspace[:, :, layout.sampled[image]] /= counts[layout.sampled[image]]
        yield kspace


def _imaging(stored: Any, path: Path) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Numbers and heads of the lines that images are made of."""
    kind = stored.dtype
    # HDF5 may crash on a type that damage has made of a line's.
    if (
        kind.names is None
        or not {"head", "data"} <= set(kind.names)
        or h5py.check_vlen_dtype(kind["data"]) != np.float32
    ):
        raise ReadError(path, "its acquisitions are not laid out as ISMRMRD's", AGAIN)
    if stored.size > MAX_LINES:
        raise ReadError(path, f"declares more than {MAX_LINES} acquisitions", "divide the file into volumes")
    heads = stored.fields("head")[:]
    calibration = _flagged(heads, CALIBRATION) & ~_flagged(heads, CALIBRATION_AND_IMAGING)
    numbers = np.flatnonzero(~_flagged(heads, *NO_IMAGE) & ~calibration & (heads["encoding_space_ref"] == 0))
    heads = heads[numbers]
    if not len(heads):
        raise ReadError(path, "has no lines of an image", "check that the scan is whole")
    if _flagged(heads, REVERSE).any():
        raise ReadError(path, "has lines that are read backwards", ELSEWHERE)
    if _flagged(heads, *COMPRESSED).any():
        raise ReadError(path, "has compressed lines", "export the file again without compression")
    return numbers, heads


def _flagged(heads: NDArray[Any], *bits: int) -> NDArray[np.bool_]:
    flagged: NDArray[np.bool_] = heads["flags"] & np.uint64(sum(1 << (bit - 1) for bit in bits)) > 0
    return flagged


def _phase(
    header: Element, steps: NDArray[np.int_], y: int, path: Path, partial: bool, number: int = 1
) -> tuple[_Span, bool]:
    """The lines (of phase encoding `number` 2, partitions) that an image must have, and whether they are centred.

    They are those of the header's limits, else those that occur.
    """
    limits = f"encoding/encodingLimits/kspace_encoding_step_{number}"
    first, last, centre = int(steps.min()), int(steps.max()), y // 2
    if text_at(header, f"{limits}/maximum"):
        stated = (number_at(header, f"{limits}/{name}", path) for name in ("minimum", "maximum", "center"))
        first, last, centre = stated
        if steps.min() < first or steps.max() > last:
            raise ReadError(path, "has lines outside the header's encodingLimits", "export the file again")
    return _span(first, last, centre, y, path, partial), _is_centred(first, last, centre)
