"""CHAOS: abdominal MR of healthy volunteers (https://chaos.grand-challenge.org)."""

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from unimri.core.settings import Settings
from unimri.data.read.dicom_header import read_header
from unimri.data.read.dicom_series import read_series, series_orientation, sources_of
from unimri.data.read.error import ReadError
from unimri.data.read.files import check_folder, files_below, nothing_found
from unimri.data.scan import Scan, unreadable

Sequence = Literal["InPhase", "OutPhase", "T2SPIR"]

FOLDERS: dict[Sequence, str] = {
    "InPhase": "T1DUAL/DICOM_anon/InPhase",
    "OutPhase": "T1DUAL/DICOM_anon/OutPhase",
    "T2SPIR": "T2SPIR/DICOM_anon",
}


class ChaosMrSettings(Settings):
    format: Literal["chaos-mr"] = "chaos-mr"
    sequences: list[Sequence] = Field(
        default_factory=lambda: list(FOLDERS),
        min_length=1,
        description="Which sequences to read; each is a volume.",
    )


def find(folder: Path, settings: ChaosMrSettings) -> list[Scan]:
    """Find the sequences of each patient `N`; the `Ground` labels are left out.

    The folder is the challenge's `MR` or lies anywhere above it, as with both `Train_Sets/MR/N` and
    `Test_Sets/MR/N`: the challenge gives each number once. A patient who lacks one of the sequences has fewer
    volumes. A DICOM file that cannot be parsed makes `read` of its sequence raise.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds no such sequence.
    """
    check_folder(folder)
    patients = {below.parent for name in ("T1DUAL", "T2SPIR") for below in folder.rglob(name)}
    scans = [
        scan
        for patient in sorted(patients)
        for sequence in FOLDERS
        if sequence in settings.sequences and (patient / FOLDERS[sequence]).is_dir()
        for scan in _sequence(settings, patient, sequence, folder)
    ]
    if not scans:
        wanted = ", ".join(f"N/{FOLDERS[sequence]}" for sequence in settings.sequences)
        raise nothing_found(folder, f"CHAOS MR sequence ({wanted})")
    return scans


def _sequence(settings: ChaosMrSettings, patient: Path, sequence: Sequence, folder: Path) -> list[Scan]:
    name = f"{patient.relative_to(folder).as_posix()}/{sequence}"
    headers = []
    # The two echoes of T1DUAL may share a series, so the folder and not the header says what is one volume.
    for path in files_below(patient / FOLDERS[sequence]):
        try:
            header = read_header(path)
        except ReadError as fault:
            return [unreadable(patient.name, name, fault)]
        if header is not None:
            headers.append(header)
    return [open_scan(settings, patient.name, name, sources_of(headers))] if headers else []


def open_scan(settings: ChaosMrSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(
        patient,
        name,
        sources,
        partial(read_series, sources),
        orientation=partial(series_orientation, sources),
    )
