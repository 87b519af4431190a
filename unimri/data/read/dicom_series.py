"""Series of single-frame DICOM images: their headers, their order, their pixels."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_rescale
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from unimri.data.read.error import ReadError
from unimri.data.read.magnitude import as_float32, check_size, magnitude

TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelData",
]
# By implicit value representations and little-endian numbers.
_PLAIN = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}
AGAIN = "the file is damaged or cut short: copy or download it again"


@dataclass(frozen=True)
class Header:
    """What grouping and ordering need to know of one image; blank or None where the file does not say."""

    path: Path
    patient: str
    study: str
    series: str
    instance: str
    number: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None


def read_header(path: Path) -> Header | None:
    """Read the header of a DICOM image; None for a file that is no DICOM or no image (SEG, PR, SR, DICOMDIR).

    A file without the DICOM preamble counts when it starts like a data set and has a SOP class and pixel
    data.

    Raises
    ------
    ReadError
        When a file that says it is DICOM, by its name or preamble, cannot be parsed, or when an image has no
        pixels.
    """
    try:
        with path.open("rb") as file:
            start = file.read(132)
    except OSError as error:
        raise ReadError(path, "cannot be opened", "check its permissions and the disk") from error
    says_dicom = start[128:] == b"DICM" or path.suffix.lower() == ".dcm"
    # Groups 0002 and 0008 come first in a data set: without the check, any file would be parsed to its end.
    if not says_dicom and start[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08"):
        return None
    try:
        # pydicom's warnings repeat the values of the header.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Deferring leaves the pixels unread and still shows that there are some.
            dataset = pydicom.dcmread(path, force=True, defer_size=4096, specific_tags=TAGS)
            kind = dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID")
            header = _header(path, dataset)
    # pydicom raises whatever its parsers meet in a damaged file.
    except Exception as error:
        if says_dicom:
            raise ReadError(path, "cannot be parsed as DICOM", AGAIN) from error
        return None
    if not kind:
        if says_dicom:
            raise ReadError(path, "cannot be parsed as DICOM", AGAIN)
        return None
    name = UID(kind).name
    if name != kind and "Image Storage" not in name:
        return None
    if "PixelData" not in dataset:
        if says_dicom and name != kind:
            raise ReadError(path, "has no pixel data", AGAIN)
        return None
    return header


def _header(path: Path, dataset: Any) -> Header:
    number = dataset.get("InstanceNumber")
    position, orientation = dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
    return Header(
        path=path,
        patient=str(dataset.get("PatientID") or "").strip(),
        study=str(dataset.get("StudyInstanceUID") or ""),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        instance=str(dataset.get("SOPInstanceUID") or ""),
        number=0 if number is None else int(number),
        position=tuple(float(x) for x in position) if position and len(position) == 3 else None,
        orientation=tuple(float(x) for x in orientation) if orientation and len(orientation) == 6 else None,
    )


def ordered(headers: Iterable[Header]) -> list[Header]:
    """Order the images of a series by position along their common normal, then by instance number.

    Images that share a position (echoes, times) are all kept. Without positions, or when the images are not
    parallel, the instance number alone orders them. An instance that lies in several files is used once.
    """
    by_path = sorted(headers, key=lambda header: header.path)
    unique = list({header.instance or str(header.path): header for header in reversed(by_path)}.values())
    distances = _distances(unique)
    return [
        header
        for _, header in sorted(
            zip(distances, unique, strict=True), key=lambda pair: (pair[0], pair[1].number, pair[1].path)
        )
    ]


def _distances(headers: Sequence[Header]) -> list[float]:
    """Position of each image along the normal in mm; zeros where the images do not share one."""
    positions = [header.position for header in headers if header.position is not None]
    orientations = [header.orientation for header in headers if header.orientation is not None]
    if len(positions) < len(headers) or len(orientations) < len(headers):
        return [0.0] * len(headers)
    # Scanners write a series' orientation with rounding that may differ from image to image.
    if not np.allclose(orientations, orientations[0], atol=1e-3):
        return [0.0] * len(headers)
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    # Rounded, so that echoes whose positions differ in the last written digit stay at one position.
    return [float(x) for x in np.round(np.asarray(positions) @ normal, 2)]


def read_series(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Read the images of a series, in the order given.

    Rescale slope and intercept (or the modality's table) are applied. MONOCHROME1, where large values are
    dark, is turned by subtracting from the volume's maximum.

    Returns
    -------
    (slices, rows, columns), float32, magnitude on the scanner's own scale.

    Raises
    ------
    ReadError
        When an image cannot be decoded, is in colour, has several frames or another size than the first, or
        when values are not finite or all equal.
    """
    first, inverted = _read_image(paths[0])
    check_size((len(paths), *first.shape), paths[0])
    volume = np.empty((len(paths), *first.shape), dtype=np.float32)
    volume[0] = first
    for index, path in enumerate(paths[1:], start=1):
        image, _ = _read_image(path)
        if image.shape != first.shape:
            raise ReadError(
                path,
                f"has {image.shape[0]} x {image.shape[1]} pixels where its series began with "
                f"{first.shape[0]} x {first.shape[1]}",
                "move the images of another size to a series of their own, or remove them",
            )
        volume[index] = image
    if inverted:
        volume = volume.max() - volume
    return magnitude(volume, paths[0])


def _read_image(path: Path) -> tuple[NDArray[np.float32], bool]:
    """Rescaled image (rows, columns), and whether its large values are dark."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset: Any = pydicom.dcmread(path, force=True)
            photometric = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
            samples = int(dataset.get("SamplesPerPixel") or 1)
            frames = int(dataset.get("NumberOfFrames") or 1)
            rows, columns = int(dataset.Rows), int(dataset.Columns)
        except Exception as error:
            raise ReadError(path, "cannot be parsed as DICOM", AGAIN) from error
        if samples > 1 or not photometric.startswith("MONOCHROME"):
            raise ReadError(path, "is a colour image", "remove its series: only magnitude images can be used")
        if frames > 1:
            raise ReadError(
                path,
                f"holds {frames} frames",
                "convert it to single frames first, for example with dcm4che's emf2sf",
            )
        check_size((rows, columns), path)
        # A file without preamble is uncompressed and does not name its encoding; parsing has found it out.
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = _PLAIN[dataset.original_encoding]
        syntax = UID(dataset.file_meta.TransferSyntaxUID)
        try:
            pixels = as_float32(apply_rescale(dataset.pixel_array, dataset))
        except Exception as error:
            decoder = "copy it again, or install a decoder: pip install 'pylibjpeg[all]'"
            mend = decoder if syntax.is_transfer_syntax and syntax.is_compressed else AGAIN
            raise ReadError(path, "its pixel data cannot be decoded", mend) from error
    return pixels, photometric == "MONOCHROME1"
