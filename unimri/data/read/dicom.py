"""Any folder tree with DICOM files, such as fastMRI's DICOM archives."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Literal, NoReturn

from pydantic import Field
from tqdm import tqdm

from unimri.data.read.dicom_header import Header, read_header
from unimri.data.read.dicom_series import ordered, read_series
from unimri.data.read.error import ReadError
from unimri.data.read.files import files_below, nothing_found
from unimri.data.read.grouping import PatientPattern, patient_by_pattern
from unimri.data.read.planes import Plane
from unimri.data.scan import Scan
from unimri.settings import Settings


class DicomSettings(Settings):
    format: Literal["dicom", "fastmri-dicom"] = "dicom"
    plane: Plane = Field(
        "native",
        description="Plane of the slices; native keeps the images as they were acquired. The others need a stack of "
        "images, each at a position of its own.",
    )
    patient: Literal["header", "folder"] = Field(
        "header",
        description="What makes a patient: PatientID (where it is blank, as with folder), "
        "or the first folder below the root.",
    )
    patient_pattern: PatientPattern = None


def find(folder: Path, settings: DicomSettings) -> list[Scan]:
    """Find the series of images below `folder`, by their headers; file names and extensions do not matter.

    What is no DICOM, and series that are no images, are passed over. A file that says it is DICOM and cannot
    be parsed becomes a scan of its own whose `read` raises the fault, so that whoever reads can decide to
    skip it.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds no DICOM image.
    """
    series: defaultdict[tuple[str, str], list[Header]] = defaultdict(list)
    scans = []
    for path in tqdm(files_below(folder), desc="DICOM headers", unit="file", disable=None):
        place = path.relative_to(folder)
        matched = patient_by_pattern(place, settings.patient_pattern)
        try:
            header = read_header(path)
        except ReadError as fault:
            scans.append(unreadable(path, matched or place.parts[0], place.as_posix(), fault))
            continue
        if header is not None:
            named = header.patient if settings.patient == "header" else ""
            # Files in the root of a tree without patient names: their study is the nearest to a patient.
            patient = matched or named or (place.parts[0] if len(place.parts) > 1 else header.study or header.series)
            series[patient, header.series or place.parent.as_posix()].append(header)
    if not series and not scans:
        raise nothing_found(folder, "DICOM image")
    scans += [
        series_scan(patient, f"{patient}/{name}", headers, settings.plane)
        for (patient, name), headers in series.items()
    ]
    return sorted(scans, key=lambda scan: (scan.patient, scan.name))


def series_scan(patient: str, name: str, headers: Iterable[Header], plane: Plane = "native") -> Scan:
    """The scan of a series' files."""
    frames = ordered(headers)
    sources = tuple(dict.fromkeys(frame.path for frame in frames))
    return Scan(patient=patient, name=name, sources=sources, read=partial(read_series, frames, plane))


def unreadable(path: Path, patient: str, name: str, fault: ReadError) -> Scan:
    """A scan that gives `fault` when it is read."""

    def read() -> NoReturn:
        raise fault

    return Scan(patient=patient, name=name, sources=(path,), read=read)
