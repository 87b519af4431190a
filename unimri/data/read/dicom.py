"""Any folder tree with DICOM files, such as fastMRI's DICOM archives."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field
from tqdm import tqdm

from unimri.core.settings import Settings
from unimri.data.read.dicom_header import Header, read_header
from unimri.data.read.dicom_series import read_series, series_orientation, sources_of
from unimri.data.read.error import ReadError
from unimri.data.read.files import files_below, nothing_found
from unimri.data.read.grouping import PatientPattern, patient_by_pattern
from unimri.data.read.planes import Plane
from unimri.data.scan import Scan, unreadable


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
            scans.append(unreadable(matched or place.parts[0], place.as_posix(), fault))
            continue
        if header is not None:
            named = header.patient if settings.patient == "header" else ""
            # Files in the root of a tree without patient names: their study is the nearest to a patient.
            patient = matched or named or (place.parts[0] if len(place.parts) > 1 else header.study or header.series)
            series[patient, header.series or place.parent.as_posix()].append(header)
    if not series and not scans:
        raise nothing_found(folder, "DICOM image")
    scans += [
        open_scan(settings, patient, f"{patient}/{name}", sources_of(headers))
        for (patient, name), headers in series.items()
    ]
    return sorted(scans, key=lambda scan: (scan.patient, scan.name))


def open_scan(settings: DicomSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(
        patient,
        name,
        sources,
        partial(read_series, sources, settings.plane),
        orientation=partial(series_orientation, sources, settings.plane),
    )
