"""Series of DICOM images: their headers, which files they are, their order, their volume."""

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.tag import Tag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from tqdm import tqdm

from unimri.core.errors import AGAIN, ReadError, unreadable
from unimri.io.volume import MAX_DEFLATE_RATIO, Plane, describe, turn_affine

# What finding reads of a header.
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "PixelData",
]

# By number: asked of every file, and pydicom takes longer to look a name up.
_EACH, _SHARED = Tag("PerFrameFunctionalGroupsSequence"), Tag("SharedFunctionalGroupsSequence")

_NOTHING = pydicom.Dataset()

# That a compressed frame takes: every encoding needs as much for its headers.
_LEAST_BYTES = 32


@dataclass(frozen=True)
class Frame:
    """One image: a file of its own, or a frame of a multi-frame file.

    Attributes
    ----------
    path : the file.
    index : of the frame in the file, from 0.
    number : InstanceNumber of the file; 0 where it does not say.
    position : of the first pixel's centre, in mm; None where the file does not say.
    orientation : direction of growing columns, then of growing rows; None where the file does not say.
    """

    path: Path
    index: int
    number: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None


@dataclass(frozen=True)
class Header:
    """What grouping and ordering need to know of one file; blank where the file does not say."""

    path: Path
    patient: str
    study: str
    series: str
    instance: str
    frames: tuple[Frame, ...]


def read_header(path: Path) -> Header | None:
    """Read the header of a DICOM image; None for a file that is no DICOM or no image (SEG, PR, SR, DICOMDIR).

    A file without the DICOM preamble counts when it starts like a data set and has a SOP class and pixel
    data.

    Raises
    ------
    ReadError : when a file that says it is DICOM, by its name or preamble, cannot be parsed, when an image has no
        pixels, or when its header tells of another number of frames than the file can hold or describes.
    """
    try:
        with path.open("rb") as file:
            return _read_header(path, file)
    except OSError as error:
        raise unreadable(path, error, "cannot be opened", "check its permissions and the disk") from error


def _read_header(path: Path, file: BinaryIO) -> Header | None:
    start, size = file.read(132), os.fstat(file.fileno()).st_size
    says_dicom = start[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    # Groups 0002 and 0008 come first in a data set: without the check, any file would be parsed to its end.
    if not says_dicom and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return None
    try:
        file.seek(0)
        # pydicom's warnings repeat the values of the header.
        with warnings.catch_warnings(action="ignore"):
            # Deferring leaves the pixels unread and still shows that there are some.
            dataset: Any = pydicom.dcmread(file, force=True, defer_size=4096, specific_tags=_TAGS)
            deflated = dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
            if deflated:
                # What was deferred would be looked for in the file as if it were not deflated.
                file.seek(0)
                dataset = pydicom.dcmread(file, force=True, specific_tags=_TAGS)
            kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
            name = UID(kind or "").name
            if kind and name != kind and "Image Storage" not in name:
                return None
            header = header_of(path, dataset, size * (MAX_DEFLATE_RATIO if deflated else 1))
    except ReadError:
        raise
    # pydicom raises whatever its parsers meet in a damaged file.
    except Exception as error:
        if says_dicom:
            raise ReadError(path, "cannot be parsed as DICOM", AGAIN) from error
        return None
    if not kind:
        if says_dicom:
            raise ReadError(path, "cannot be parsed as DICOM", AGAIN)
        return None
    if "PixelData" not in dataset:
        if says_dicom and name != kind:
            raise ReadError(path, "has no pixel data", AGAIN)
        return None
    return header


def is_enhanced(dataset: Any) -> bool:
    """Whether functional groups describe the frames of a file."""
    return _EACH in dataset or _SHARED in dataset


def functional_group(dataset: Any, index: int, keyword: str) -> Any:
    """The item that describes a frame of an enhanced image in one respect, or an empty dataset.

    Parameters
    ----------
    dataset : of the file.
    index : of the frame.
    keyword : of the group's sequence; what is said of the frame goes before what is said of all.
    """
    if not is_enhanced(dataset):
        return _NOTHING
    each, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
    for groups in (each[index] if each else None, shared[0] if shared else None):
        if groups is not None and groups.get(keyword):
            return groups[keyword].value[0]
    return _NOTHING


def header_of(path: Path, dataset: Any, size: int) -> Header:
    """The header of a parsed file.

    Parameters
    ----------
    path : the file.
    dataset : what pydicom parsed, with `_TAGS` at least.
    size : the most bytes that the file can hold, unpacked.

    Raises
    ------
    ReadError : when it tells of another number of frames than the file can hold or describes.
    Exception : whatever pydicom meets in a damaged file.
    """
    number = dataset.get("InstanceNumber")
    count = int(dataset.get("NumberOfFrames") or 1)
    # A damaged count must not make frames without end below.
    if count < 1 or (count > 1 and count * _least_bytes(dataset) > size):
        raise ReadError(path, "declares more frames than the file can hold", AGAIN)
    described = dataset.get("PerFrameFunctionalGroupsSequence") if is_enhanced(dataset) else None
    if described and len(described) != count:
        raise ReadError(path, "describes another number of frames than it declares", AGAIN)
    frames = []
    for index in range(count):
        plane = functional_group(dataset, index, "PlanePositionSequence")
        turned = functional_group(dataset, index, "PlaneOrientationSequence")
        frames.append(
            Frame(
                path=path,
                index=index,
                number=0 if number is None else int(number),
                position=_numbers(plane.get("ImagePositionPatient") or dataset.get("ImagePositionPatient"), 3),
                orientation=_numbers(
                    turned.get("ImageOrientationPatient") or dataset.get("ImageOrientationPatient"), 6
                ),
            )
        )
    return Header(
        path=path,
        patient=str(dataset.get("PatientID") or "").strip(),
        study=str(dataset.get("StudyInstanceUID") or ""),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        instance=str(dataset.get("SOPInstanceUID") or ""),
        frames=tuple(frames),
    )


def _least_bytes(dataset: Any) -> float:
    """That a frame takes in the file."""
    if UID(dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)).is_encapsulated:
        return _LEAST_BYTES
    return (dataset.get("Rows") or 1) * (dataset.get("Columns") or 1) * (dataset.get("BitsAllocated") or 8) / 8


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    return tuple(float(x) for x in values) if values and len(values) == count else None


def find_series(
    files: Iterable[Path], key: Callable[[Header], tuple[str, str]], title: str | None = "DICOM headers"
) -> tuple[dict[tuple[str, str], tuple[Path, ...]], list[ReadError]]:
    """Group the DICOM images among some files into series, by their headers; names and extensions do not matter.

    Parameters
    ----------
    files : what is no DICOM, and no image, is passed over.
    key : what the images of one series have in common.
    title : of the progress bar; None shows none.

    Returns
    -------
    The files of each series, each once, in the order of their images; and the faults of those that say that they are
    DICOM and cannot be parsed.
    """
    series: defaultdict[tuple[str, str], list[Header]] = defaultdict(list)
    faults: list[ReadError] = []
    for path in tqdm(list(files), desc=title, unit="file", disable=True if title is None else None):
        try:
            header = read_header(path)
        except ReadError as fault:
            faults.append(fault)
            continue
        if header is not None:
            series[key(header)].append(header)
    # An image may be in several files, and a file hold several.
    paths = {name: dict.fromkeys(frame.path for frame in ordered(headers)) for name, headers in series.items()}
    return {name: tuple(own) for name, own in paths.items()}, faults


def ordered(headers: Iterable[Header]) -> list[Frame]:
    """Order the images of a series by position along their common normal, then by instance and frame number.

    Images that share a position (echoes, times) are all kept. Without positions, or when the images are not
    parallel (localisers), the numbers alone order them. An instance that lies in several files is used once.
    """
    by_path = sorted(headers, key=lambda header: header.path)
    unique = {header.instance or str(header.path): header for header in reversed(by_path)}
    frames = [frame for header in unique.values() for frame in header.frames]
    distances = _distances(frames) or [0.0] * len(frames)
    return [
        frame
        for _, frame in sorted(
            zip(distances, frames, strict=True),
            key=lambda pair: (pair[0], pair[1].number, pair[1].path, pair[1].index),
        )
    ]


def _distances(frames: Sequence[Frame]) -> list[float] | None:
    """Position of each image along the normal in mm; None where the images do not share one."""
    positions = [frame.position for frame in frames if frame.position is not None]
    orientations = [frame.orientation for frame in frames if frame.orientation is not None]
    if len(positions) < len(frames) or len(orientations) < len(frames):
        return None
    # Scanners write a series' orientation with rounding that may differ from image to image.
    if not np.allclose(orientations, orientations[0], atol=1e-3):
        return None
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    # Rounded, so that echoes whose positions differ in the last written digit stay at one position.
    return [float(x) for x in np.round(np.asarray(positions) @ normal, 2)]


def series_orientation(paths: Sequence[Path], plane: Plane = "native") -> str:
    """How the slices of `read_series` lie in the body, by its first image; see `unimri.io.volume.describe`.

    Raises
    ------
    ReadError : when the header cannot be read.
    """
    header = read_header(paths[0])
    orientation = header.frames[0].orientation if header is not None else None
    if orientation is None:
        return ""
    affine = _directions(orientation)
    return describe(affine if plane == "native" else turn_affine(affine, plane, paths[0]))


def affine_of(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """Directions of growing slices, rows and columns, as columns of (4, 4), right-anterior-superior.

    Raises
    ------
    ReadError : when the images are not one stack, each at a place of its own.
    """
    mend = "set `plane: native`, which keeps the images as they were acquired"
    path, orientation = frames[0].path, frames[0].orientation
    distances = _distances(frames)
    if distances is None or orientation is None:
        raise ReadError(path, "begins a series whose images have no positions or are not parallel", mend)
    if len(set(distances)) < len(distances):
        raise ReadError(path, "begins a series with several images at one position", mend)
    return _directions(orientation)


def _directions(orientation: tuple[float, ...]) -> NDArray[np.float64]:
    along_columns, along_rows = np.array(orientation[:3]), np.array(orientation[3:])
    affine = np.eye(4)
    affine[:3, :3] = np.stack([np.cross(along_columns, along_rows), along_rows, along_columns], axis=1)
    # DICOM's axes grow to the left and to the back.
    affine[:2] *= -1
    return affine
