"""Data sets of public challenges, as their archives lay them out."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.errors import UnimriError
from unimri.data.layouts.base import Reader
from unimri.io import nifti
from unimri.io.dicom.series import find_series, read_series, series_orientation
from unimri.io.files import check_folder, files_below, nothing_found
from unimri.io.volume import Scan


class AcdcReader(Reader):
    """ACDC: cardiac cine, one 4D file a patient (https://www.creatis.insa-lyon.fr/Challenge/acdc)."""

    format: Literal["acdc"] = "acdc"

    def find(self, folder: Path) -> list[Scan]:
        """Find `patientNNN/patientNNN_4d.nii.gz` below `folder`; frames and their labels are left out.

        The files may lie deeper (`training/patient001/...`), as the challenge's own archive has them. A slice is
        one position at one time of the heartbeat.
        """
        scans = [
            Scan(path.relative_to(folder).as_posix(), (path,), patient=path.parent.name)
            for path in files_below(folder)
            if re.fullmatch(r"patient\d+", path.parent.name) and path.name == f"{path.parent.name}_4d.nii.gz"
        ]
        if not scans:
            raise nothing_found(folder, "ACDC scan (patientNNN/patientNNN_4d.nii.gz)")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0])

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


class DecathlonReader(Reader):
    """Medical Segmentation Decathlon: one task's folder (http://medicaldecathlon.com)."""

    format: Literal["decathlon"] = "decathlon"
    channel: int = Field(
        0, ge=0, description="Which channel of a 4D file to read; in Task05_Prostate 0 is T2 and 1 is ADC."
    )

    def find(self, folder: Path) -> list[Scan]:
        """Find the files of `imagesTr` and `imagesTs`; labels are left out. Each file is a patient."""
        check_folder(folder)
        if not (folder / "dataset.json").is_file():
            raise UnimriError(f"{folder}: found no dataset.json; give the folder of one task, such as Task05_Prostate")
        files = [path for images in ("imagesTr", "imagesTs") for path in sorted(folder.glob(f"{images}/*.nii.gz"))]
        scans = [
            Scan(path.relative_to(folder).as_posix(), (path,), patient=path.name.removesuffix(".nii.gz"))
            for path in files
            if not path.name.startswith(".")
        ]
        if not scans:
            raise nothing_found(folder, "Decathlon image (imagesTr/*.nii.gz, imagesTs/*.nii.gz)")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], channel=self.channel)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


Sequence = Literal["InPhase", "OutPhase", "T2SPIR"]

FOLDERS: dict[Sequence, str] = {
    "InPhase": "T1DUAL/DICOM_anon/InPhase",
    "OutPhase": "T1DUAL/DICOM_anon/OutPhase",
    "T2SPIR": "T2SPIR/DICOM_anon",
}


class ChaosReader(Reader):
    """CHAOS: abdominal MR of healthy volunteers (https://chaos.grand-challenge.org)."""

    format: Literal["chaos-mr"] = "chaos-mr"
    sequences: list[Sequence] = Field(
        default_factory=lambda: list(FOLDERS),
        min_length=1,
        description="Which sequences to read; each is a volume.",
    )

    def find(self, folder: Path) -> list[Scan]:
        """Find the sequences of each patient `N`; the `Ground` labels are left out.

        The folder is the challenge's `MR` or lies anywhere above it, as with both `Train_Sets/MR/N` and
        `Test_Sets/MR/N`: the challenge gives each number once. A patient who lacks one of the sequences has fewer
        volumes. A DICOM file that cannot be parsed is a fault of its sequence.
        """
        check_folder(folder)
        patients = {below.parent for name in ("T1DUAL", "T2SPIR") for below in folder.rglob(name)}
        scans = [
            scan
            for patient in sorted(patients)
            for sequence in FOLDERS
            if sequence in self.sequences and (patient / FOLDERS[sequence]).is_dir()
            for scan in _sequence(patient, sequence, folder)
        ]
        if not scans:
            wanted = ", ".join(f"N/{FOLDERS[sequence]}" for sequence in self.sequences)
            raise nothing_found(folder, f"CHAOS MR sequence ({wanted})")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths)


def _sequence(patient: Path, sequence: Sequence, folder: Path) -> list[Scan]:
    name = f"{patient.relative_to(folder).as_posix()}/{sequence}"
    # The two echoes of T1DUAL may share a series, so the folder and not the header says what is one volume.
    series, faults = find_series(files_below(patient / FOLDERS[sequence]), lambda header: ("", ""), title=None)
    if faults:
        return [Scan(name, (faults[0].path,), faults[0], patient.name)]
    return [Scan(name, paths, patient=patient.name) for paths in series.values()]
