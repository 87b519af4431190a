"""Series of DICOM images: their headers, which files they are, their order, their volume."""

import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from os.path import commonpath
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian
from tqdm import tqdm

from unimri.core import artifacts
from unimri.core.errors import AGAIN, ReadError, unreadable
from unimri.io.dicom.groups import functional_group, is_enhanced
from unimri.io.dicom.kinds import check_kind
from unimri.io.isolated import isolated
from unimri.io.volume import (
    FOREIGN,
    MAX_DEFLATE_RATIO,
    Passed,
    Plane,
    check_fetched,
    describe,
    excluded,
    has_suffix,
    turn_affine,
)

Key = TypeVar("Key", bound=Hashable)

# Folders of masks are told by these names alone: names of series that end with `_seg` are common on scanners. The raw
# images of a BIDS data set lie in `sourcedata`.
_NO_IMAGES = (
    "derivatives",
    "label",
    "labels",
    "labelstr",
    "labelsts",
    "mask",
    "masks",
    "segmentation",
    "segmentations",
)

_BY_NAME = "images without a position or number of their own are in the order of their file names"
_JOINED = "each image has a series UID of its own: they were taken for one stack"
_SINGLE = "is one of several series of one image in its folder, which may be one stack"
_DIVIDED = "its series UID is that of other images, too, of another folder, session or person: they were kept apart"

# What finding reads of a header.
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "SeriesNumber",
    "SeriesDescription",
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

# Of elements, in bytes: larger ones, most often pixels, stay in the file until they are asked for.
DEFERRED = 4096

# Of a file that is damaged in whatever way, and the mend of one that is not what it was.
UNREADABLE = "cannot be parsed as DICOM"
CHANGED = "leave the input as it is while it is read"

# Deflated images shrink to a third, and masked ones to a few hundredths: bytes that any may become, and for each byte.
_INFLATED, _MAX_INFLATED = 2**26, 32

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
    """What grouping and ordering need to know of one file; blank where the file does not say.

    Attributes
    ----------
    shape : rows and columns.
    title : number and description of the series.
    person : name and date of birth. They never make a patient, since spellings differ, but show a series to be of two.
    note : what was assumed of the series.
    """

    path: Path
    patient: str
    study: str
    series: str
    instance: str
    frames: tuple[Frame, ...]
    shape: tuple[Any, Any] = (None, None)
    title: tuple[str, str] = ("", "")
    person: tuple[str, str] = ("", "")
    note: str = ""

    @property
    def spot(self) -> tuple[Any, ...]:
        """What no two images of a series have in common: position, direction and number."""
        first = self.frames[0]
        return first.position, first.orientation, first.number, len(self.frames)


@dataclass(frozen=True)
class Series:
    """The files of one series, each once, in the order of their images, what was assumed, and why it is of no use."""

    paths: tuple[Path, ...]
    note: str = ""
    fault: ReadError | None = None


def read_header(path: Path) -> Header | None:
    """Read the header of a DICOM image; None for a file that is no DICOM or no image (SEG, PR, SR, DICOMDIR).

    A file without the DICOM preamble counts when it starts like a data set and has a SOP class and pixel
    data. It is parsed in another process, see `isolated`.

    Raises
    ------
    ReadError : when a file that says it is DICOM, by its name or preamble, cannot be parsed, when an image has no
        pixels, or when its header tells of another number of frames than the file can hold or describes.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise unreadable(path, error, "cannot be opened", "check its permissions and the disk") from error
    if not has_suffix(path, FOREIGN):
        check_fetched(path, start)
    says_dicom = start[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    # Groups 0002 and 0008 come first in a data set: without the check, any file would be parsed to its end.
    if not says_dicom and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return None
    return isolated(path, UNREADABLE, _parsed_header, path, says_dicom)


def image_header(path: Path) -> Header:
    """The same of a file that was an image before."""
    header = read_header(path)
    if header is None:
        raise ReadError(path, "is no DICOM image any more", CHANGED)
    return header


def _parsed_header(path: Path, name: Path, says_dicom: bool) -> Header | None:
    """What `read_header` gives of a file that it calls `name`; it runs in another process."""
    try:
        with path.open("rb") as file:
            size, deflated = os.fstat(file.fileno()).st_size, is_deflated(file, path)
            # Deferring leaves the pixels unread and still shows that there are some; of a deflated file they would be
            # looked for as if it were not.
            defer = None if deflated else DEFERRED
            file.seek(0)
            dataset: Any = pydicom.dcmread(file, force=True, defer_size=defer, specific_tags=_TAGS)
            kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
            known = UID(kind or "").name
            if kind and known != kind and "Image Storage" not in known:
                return None
            header = header_of(name, dataset, size * (MAX_DEFLATE_RATIO if deflated else 1))
    except ReadError:
        raise
    # pydicom raises whatever its parsers meet in a damaged file.
    except Exception as error:
        if says_dicom:
            raise unreadable(path, error, UNREADABLE) from error
        return None
    if "PixelData" not in dataset or not (kind or says_dicom):
        if says_dicom and not kind:
            raise ReadError(path, UNREADABLE, AGAIN)
        if says_dicom and known != kind:
            raise ReadError(path, "has no pixel data", AGAIN)
        return None
    return header


def is_deflated(file: BinaryIO, path: Path) -> bool:
    """Whether a file is deflated as a whole, as its meta information says.

    Raises
    ------
    ReadError : when more would come out of it than of any image: pydicom inflates all that there is.
    """
    file.seek(128)
    at, syntax = (132 if file.read(4) == b"DICM" else 0), b""
    # Elements of group 2 have explicit representations, and those of bytes a length of four bytes.
    while file.seek(at) == at and (head := file.read(12))[:2] == b"\x02\x00":
        long = head[4:6] in (b"OB", b"OW", b"SQ", b"UN", b"UT")
        length = int.from_bytes(head[8:12] if long else head[6:8], "little")
        at += 12 if long else 8
        if head[2:4] == b"\x10\x00":
            file.seek(at)
            syntax = file.read(min(length, 64)).strip(b"\x00 ")
        at += length
    if syntax != DeflatedExplicitVRLittleEndian.encode():
        return False
    file.seek(at)
    inflater, left = zlib.decompressobj(-zlib.MAX_WBITS), _INFLATED + _MAX_INFLATED * os.fstat(file.fileno()).st_size
    while packed := inflater.unconsumed_tail or file.read(2**16):
        left -= len(inflater.decompress(packed, 2**20))
        if left < 0:
            raise ReadError(path, "would unpack to more than an image can", "remove it, or store it uncompressed")
    return True


def header_of(path: Path, dataset: Any, size: int) -> Header:
    """The header of a parsed file.

    Parameters
    ----------
    path : the file, as the header and its frames are to name it.
    dataset : what pydicom parsed, with `_TAGS` at least.
    size : the most bytes that the file can hold, unpacked.

    Raises
    ------
    ReadError : when it tells of another number of frames than the file can hold or describes.
    Exception : whatever pydicom meets in a damaged file.
    """
    number = _number(dataset)
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
                number=number,
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
        shape=(dataset.get("Rows"), dataset.get("Columns")),
        title=(_text(dataset, "SeriesNumber"), _text(dataset, "SeriesDescription")),
        person=(_text(dataset, "PatientName"), _text(dataset, "PatientBirthDate")),
    )


def _text(dataset: Any, keyword: str) -> str:
    """An element as text, also where it is not of its type; blank where there is none."""
    try:
        return str(dataset.get(keyword) or "").strip()
    except Exception:
        return bytes(dataset.get_item(keyword).value).decode("latin-1").strip(" \0")


def _number(dataset: Any) -> int:
    """InstanceNumber, also where words stand around it; 0 where there is none."""
    found = re.fullmatch(r"([+-]?\d{1,18})(?:\.0*)?", text := _text(dataset, "InstanceNumber"))
    found = found or re.search(r"(\d{1,18})", text)
    return int(found[1]) if found else 0


def _least_bytes(dataset: Any) -> float:
    """That a frame takes in the file."""
    if UID(dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)).is_encapsulated:
        return _LEAST_BYTES
    return (dataset.get("Rows") or 1) * (dataset.get("Columns") or 1) * (dataset.get("BitsAllocated") or 8) / 8


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    return tuple(float(x) for x in values) if values and len(values) == count else None


def find_series(
    root: Path, files: Iterable[Path], key: Callable[[Header], Key], title: str | None = "DICOM headers"
) -> tuple[dict[Key, Series], list[ReadError], list[Passed]]:
    """Group the DICOM images among some files into series, by their headers; names and extensions do not matter.

    UIDs are not trusted blindly, since programs that anonymise often spoil them. Only what has the content of another
    image is its copy. A stack whose images have each a series UID of its own is one series. A series UID that several
    folders have for different images at the same places is several; and where these are the first folders below the
    root and all files have one PatientID, it names nobody: it is taken for blank.

    Parameters
    ----------
    root, files : the input, and files that are it or lie below it.
    key : what the images of one series have in common.
    title : of the progress bar; None shows none.

    Returns
    -------
    The series; the faults of the files that say that they are DICOM and cannot be parsed; and what is no image, or a
    copy of one.
    """
    headers: list[Header] = []
    faults: list[ReadError] = []
    passed: list[Passed] = []
    for path in tqdm(list(files), desc=title, unit="file", disable=True if title is None else None):
        other = excluded(root, path, _NO_IMAGES)
        try:
            header = read_header(path) if other is None else None
        except ReadError as fault:
            faults.append(fault)
            continue
        if header is not None:
            headers.append(header)
        else:
            passed.append(other or Passed(path, "is no DICOM image"))
    headers, copies = _without_copies(headers)
    series: defaultdict[Key, list[Header]] = defaultdict(list)
    for header in _divided(root, _joined(headers)):
        series[key(header)].append(header)
    return {name: _in_order(own) for name, own in series.items()}, faults, passed + copies


def _without_copies(headers: list[Header]) -> tuple[list[Header], list[Passed]]:
    """Take out the images that have UID, place, number and pixels of another."""
    headers = sorted(headers, key=lambda header: header.path)
    often = Counter(header.instance for header in headers)
    seen: set[Hashable] = set()
    kept, copies = [], []
    for header in headers:
        # Without a UID, equal images are told by their bytes alone.
        if often[header.instance] > 1 and header.frames:
            content = (header.instance, header.spot if header.instance else None, _content(header))
            if content in seen:
                copies.append(Passed(header.path, "is a copy of an image that is used"))
                continue
            seen.add(content)
        kept.append(header)
    return kept, copies


def _content(header: Header) -> str:
    """Digest of an image: of its stored pixels, else of the file."""
    if header.instance:
        # Whoever reads the image tells what is wrong.
        with suppress(ReadError):
            return isolated(header.path, UNREADABLE, _digest)
    try:
        return artifacts.sha256(header.path)
    except OSError:
        return str(header.path)


def _digest(path: Path) -> str:
    """Of an image's stored pixels; it runs in another process."""
    dataset = pydicom.dcmread(path, force=True, specific_tags=["PixelData"])
    return sha256(dataset["PixelData"].value).hexdigest()


def _joined(headers: list[Header]) -> list[Header]:
    """Give one series to stacks whose images have each one of their own."""
    alone = Counter((header.patient, header.study, header.series) for header in headers)
    stacks: defaultdict[Hashable, list[Header]] = defaultdict(list)
    for header in headers:
        if alone[header.patient, header.study, header.series] == 1 and header.series and len(header.frames) == 1:
            turned = header.frames[0].orientation
            direction = None if turned is None else tuple(round(x, 2) for x in turned)
            stacks[header.path.parent, header.patient, header.shape, header.title, direction].append(header)
    first: dict[Path, Header] = {}
    single: set[Path] = set()
    for own in stacks.values():
        studies = len({header.study for header in own})
        frames = [header.frames[0] for header in own]
        places = _distances(frames) or [float(frame.number) for frame in frames]
        if len(own) > 1 and len(set(places)) == len(own) and studies in (1, len(own)):
            first |= {header.path: own[0] for header in own}
        elif len(own) > 1:
            single |= {header.path for header in own}
    return [
        replace(header, study=one.study, series=one.series, note=_JOINED)
        if (one := first.get(header.path)) is not None
        else replace(header, note=_SINGLE if header.path in single else "")
        for header in headers
    ]


def _divided(root: Path, headers: list[Header]) -> list[Header]:
    """Give series of their own to sessions and persons with the series UID of another, and to folders that have
    different images at the same places of one.
    """
    series: defaultdict[tuple[str, str], defaultdict[Hashable, list[Header]]] = defaultdict(lambda: defaultdict(list))
    for header in headers:
        uid = header.series or str(header.path.parent)
        series[header.patient, uid][header.study, header.person].append(header)
    found: list[Header] = []
    distrusted = False
    for sharing in series.values():
        divided = [_apart(own) for own in sharing.values()]
        parts = [part for apart in divided for part in apart]
        for number, part in enumerate(parts, start=1):
            name = part[0].series if len(parts) == 1 else f"{part[0].series}:{number}"
            note = part[0].note if len(parts) == 1 else _DIVIDED
            found += [replace(header, series=name, note=note) for header in part]
        for apart in divided:
            distrusted |= len({part[0].path.relative_to(root).parts[:1] for part in apart}) > 1
    if distrusted and len({header.patient for header in headers}) == 1:
        found = [replace(header, patient="") for header in found]
    return found


def _apart(headers: list[Header]) -> list[list[Header]]:
    """Divide the images of a series by folders, where different ones in several folders have the same place."""
    folders: defaultdict[Hashable, set[Path]] = defaultdict(set)
    for header in headers:
        folders[header.spot].add(header.path.parent)
    if all(len(own) == 1 for own in folders.values()):
        return [headers]
    above = Path(commonpath([header.path.parent for header in headers]))
    parts: defaultdict[tuple[str, ...], list[Header]] = defaultdict(list)
    for header in headers:
        parts[header.path.parent.relative_to(above).parts[:1]].append(header)
    return [own for _, part in sorted(parts.items()) for own in _apart(part)]


def _in_order(headers: list[Header]) -> Series:
    frames = ordered(headers)
    # An image may be in several files, and a file hold several.
    paths = tuple(dict.fromkeys(frame.path for frame in frames))
    placed = [header for header in headers if header.frames[0].position is not None]
    # Echoes and times have a number of their own, or none and at least a UID. Else they may be two patients' images.
    numbered = len({header.frames[0].number for header in placed}) > 1
    alike = Counter(header.spot if numbered else (header.instance or header.path, header.spot) for header in placed)
    if max(alike.values(), default=0) > 1:
        what = "begins a series with different images of one position and number"
        return Series(paths, fault=ReadError(paths[0], what, "give each patient, or each echo, a folder of its own"))
    fault = _kind_fault(paths[0])
    if fault is not None:
        return Series(paths, fault=fault)
    notes = [next((header.note for header in headers if header.note), "")]
    distances = _distances(frames) or [0.0] * len(frames)
    ties = pairwise(zip(distances, frames, strict=True))
    if any((a, one.number) == (b, two.number) and one.path != two.path for (a, one), (b, two) in ties):
        notes.append(_BY_NAME)
    return Series(paths, "; ".join(note for note in notes if note))


def _kind_fault(path: Path) -> ReadError | None:
    """What `check_kind` finds wrong with an image, so that it is told before any pixel is read."""
    try:
        isolated(path, UNREADABLE, _check_kind)
    except ReadError as fault:
        return fault
    return None


def _check_kind(path: Path) -> None:
    """`check_kind` of a file; it runs in another process."""
    try:
        dataset: Any = pydicom.dcmread(path, force=True, stop_before_pixels=True)
        check_kind(dataset, int(dataset.get("NumberOfFrames") or 1), path)
    except ReadError:
        raise
    # Whoever reads the image tells what else is wrong.
    except Exception:
        pass


def ordered(headers: Iterable[Header]) -> list[Frame]:
    """Order the images of a series by position along their common normal, then by instance and frame number.

    Images that share a position (echoes, times) are all kept. Without positions, or when the images are not
    parallel (localisers), the numbers alone order them, and without these the names of the files, 2 before 10.
    """
    frames = [frame for header in headers for frame in header.frames]
    distances = _distances(frames) or [0.0] * len(frames)
    return [
        frame
        for _, frame in sorted(
            zip(distances, frames, strict=True),
            key=lambda pair: (pair[0], pair[1].number, _natural(pair[1].path), pair[1].index),
        )
    ]


def _natural(path: Path) -> list[list[Any]]:
    """A path by which 2 comes before 10."""
    return [[int(word) if word.isdigit() else word for word in re.split("([0-9]+)", part)] for part in path.parts]


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
