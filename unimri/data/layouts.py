"""The layouts of data sets: which files are which patient's, in any folder and in public challenges' archives.

`format` in the settings chooses one by its name.
"""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.errors import UnimriError
from unimri.core.plugins import READER_GROUP, load_plugins, one_of
from unimri.core.settings import Settings, parse_settings
from unimri.data.reader import ImageReader, PatientPattern, Reader, patient_by_pattern
from unimri.io import fastmri, ismrmrd, nifti
from unimri.io.dicom.pixels import read_series
from unimri.io.dicom.series import Header, find_series, series_orientation
from unimri.io.fastmri import UNREADABLE, find_hdf5
from unimri.io.isolated import isolated
from unimri.io.volume import Plane, Scan, check_folder, files_below, nothing_found


class DicomReader(ImageReader):
    """Any folder tree with DICOM files, such as fastMRI's DICOM archives."""

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

    def find(self, folder: Path) -> list[Scan]:
        """Find the series of images below `folder`, by their headers; file names and extensions do not matter.

        What is no DICOM, and series that are no images, are passed over. A file that says it is DICOM and cannot
        be parsed becomes a scan of its own with the fault, so that whoever reads can decide to skip it.
        """

        def key(header: Header) -> tuple[str, str]:
            place = header.path.relative_to(folder)
            named = header.patient if self.patient == "header" else ""
            # Files in the root of a tree without patient names: their study is the nearest to a patient.
            alone = place.parts[0] if len(place.parts) > 1 else header.study or header.series
            patient = patient_by_pattern(place, self.patient_pattern) or named or alone
            return patient, header.series or place.parent.as_posix()

        series, faults = find_series(files_below(folder), key)
        scans = [Scan(f"{patient}/{name}", paths, patient=patient) for (patient, name), paths in series.items()]
        for fault in faults:
            place = fault.path.relative_to(folder)
            patient = patient_by_pattern(place, self.patient_pattern) or place.parts[0]
            scans.append(Scan(place.as_posix(), (fault.path,), fault, patient))
        return _some(sorted(scans, key=lambda scan: (scan.patient, scan.name)), folder, "DICOM image")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths, self.plane, self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths, self.plane)


class NiftiReader(ImageReader):
    """Any folder of NIfTI files."""

    format: Literal["nifti"] = "nifti"
    plane: Plane = Field(
        "native", description="Plane of the slices; native takes the third axis of the file as it is stored."
    )
    patient: Literal["file", "folder"] = Field(
        "folder",
        description="What makes a patient: each file, or the first folder below the root "
        "(files that lie in the root itself are each a patient).",
    )
    patient_pattern: PatientPattern = None
    exclude: list[str] = Field(
        default_factory=lambda: list(nifti.LABELS),
        description="Patterns of names of files or folders that are no scans; case does not matter.",
    )

    def find(self, folder: Path) -> list[Scan]:
        """Find the `.nii` and `.nii.gz` files below `folder`; each is a volume."""
        scans = []
        for scan in nifti.find(folder, files_below(folder), self.exclude):
            place = scan.paths[0].relative_to(folder)
            grouped = self.patient == "folder" and len(place.parts) > 1
            patient = patient_by_pattern(place, self.patient_pattern) or (place.parts[0] if grouped else scan.name)
            scans.append(Scan(scan.name, scan.paths, patient=patient))
        return _some(scans, folder, "NIfTI file (.nii, .nii.gz) that is not excluded")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], self.plane, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0], self.plane)


class FastmriReader(ImageReader):
    """fastMRI's k-space files, single-coil and multi-coil (https://fastmri.med.nyu.edu)."""

    format: Literal["fastmri-h5"] = "fastmri-h5"
    use: fastmri.Use = Field(
        "reconstruction",
        description="What to take the images from: the file's own reconstruction (where it has none, its k-space), "
        "or always its k-space.",
    )
    acquisitions: list[str] | None = Field(
        None,
        min_length=1,
        description="Which values of the attribute `acquisition` to read, such as AXT1 or CORPD_FBK; null reads all.",
    )
    patient: Literal["header", "file"] = Field(
        "header",
        description="What makes a patient: the attribute patient_id (where it is blank, the file), or each file.",
    )
    patient_pattern: PatientPattern = None

    def find(self, folder: Path) -> list[Scan]:
        """Find the `.h5` files below `folder`; each is a volume.

        Files of other acquisitions than the settings name are passed over. A file that cannot be opened becomes a
        scan with the fault.
        """
        named = partial(fastmri.patient_of, acquisitions=self.acquisitions)
        scans = _hdf5_scans(folder, "fastMRI headers", named, self.patient == "header", self.patient_pattern)
        return _some(scans, folder, "fastMRI file (.h5) of the acquisitions that are asked for")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, fastmri.read_slices, self.use, self.negatives)


class IsmrmrdReader(Reader):
    """ISMRMRD: raw Cartesian acquisitions of any vendor (https://ismrmrd.github.io)."""

    format: Literal["ismrmrd"] = "ismrmrd"
    patient: Literal["header", "file"] = Field(
        "header",
        description="What makes a patient: patientID of the header (where it is blank, the file), or each file.",
    )
    patient_pattern: PatientPattern = None

    def find(self, folder: Path) -> list[Scan]:
        """Find the `.h5` files below `folder`; each is a volume.

        A file whose header cannot be read becomes a scan with the fault.
        """
        scans = _hdf5_scans(
            folder, "ISMRMRD headers", ismrmrd.patient_of, self.patient == "header", self.patient_pattern
        )
        return _some(scans, folder, "ISMRMRD file (.h5)")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, ismrmrd.read_slices)


def _some(scans: list[Scan], folder: Path, wanted: str) -> list[Scan]:
    """Scans of a folder, at least one; `wanted` says what was looked for."""
    if not scans:
        raise nothing_found(folder, wanted)
    return scans


def _hdf5_scans(
    folder: Path, title: str, named: Callable[[Path], str | None], by_header: bool, pattern: str | None
) -> list[Scan]:
    """The `.h5` files below `folder`; `named` gives the patient whom a file's header names, see `find_hdf5`."""
    return [
        replace(
            scan,
            patient=patient_by_pattern(Path(scan.name), pattern) or (scan.patient if by_header else "") or scan.name,
        )
        for scan in find_hdf5(folder, files_below(folder), title, named)
    ]


class AcdcReader(ImageReader):
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
        return _some(scans, folder, "ACDC scan (patientNNN/patientNNN_4d.nii.gz)")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


class DecathlonReader(ImageReader):
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
        return _some(scans, folder, "Decathlon image (imagesTr/*.nii.gz, imagesTs/*.nii.gz)")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], channel=self.channel, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0])


Sequence = Literal["InPhase", "OutPhase", "T2SPIR"]

FOLDERS: dict[Sequence, str] = {
    "InPhase": "T1DUAL/DICOM_anon/InPhase",
    "OutPhase": "T1DUAL/DICOM_anon/OutPhase",
    "T2SPIR": "T2SPIR/DICOM_anon",
}


class ChaosReader(ImageReader):
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
        wanted = ", ".join(f"N/{FOLDERS[sequence]}" for sequence in self.sequences)
        return _some(scans, folder, f"CHAOS MR sequence ({wanted})")

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths, negatives=self.negatives)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths)


def _sequence(patient: Path, sequence: Sequence, folder: Path) -> list[Scan]:
    name = f"{patient.relative_to(folder).as_posix()}/{sequence}"
    # The two echoes of T1DUAL may share a series, so the folder and not the header says what is one volume.
    series, faults = find_series(files_below(patient / FOLDERS[sequence]), lambda header: ("", ""), title=None)
    if faults:
        return [Scan(name, (faults[0].path,), faults[0], patient.name)]
    return [Scan(name, paths, patient=patient.name) for paths in series.values()]


_BUILT_IN = (AcdcReader, ChaosReader, DecathlonReader, DicomReader, FastmriReader, IsmrmrdReader, NiftiReader)
_FORMATS = [name for kind in _BUILT_IN for name in get_args(kind.model_fields["format"].annotation)]
_PLUGINS = load_plugins(READER_GROUP, Reader, _FORMATS, "format")

if TYPE_CHECKING:
    ReaderSettings = Reader
else:
    ReaderSettings = one_of((*_BUILT_IN, *_PLUGINS.values()), "format")
"""Settings of any reader: `{format: NAME, ...}`."""


class ReaderChoice(Settings):
    """A reader's settings on their own."""

    reader: ReaderSettings


def parse_reader(text: str) -> Reader:
    """A reader from its name, such as dicom, or from its settings as JSON.

    Raises
    ------
    UnimriError
        When there is no such reader, or a setting is wrong.
    """
    named = text if text.lstrip().startswith("{") else json.dumps({"format": text})
    return parse_settings(ReaderChoice, f'{{"reader": {named}}}', "--reader").reader
