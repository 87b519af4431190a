"""Any folder of files of one format: DICOM, NIfTI, fastMRI's HDF5, ISMRMRD."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.data.layouts.base import PatientPattern, Reader, patient_by_pattern
from unimri.io import fastmri, ismrmrd, nifti
from unimri.io.dicom.header import Header
from unimri.io.dicom.series import find_series, read_series, series_orientation
from unimri.io.errors import ReadError
from unimri.io.files import files_below, nothing_found
from unimri.io.hdf5 import UNREADABLE, find_hdf5
from unimri.io.isolated import isolated
from unimri.io.planes import Plane
from unimri.io.volume import Scan


class DicomReader(Reader):
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
        if not series and not faults:
            raise nothing_found(folder, "DICOM image")
        scans = [Scan(f"{patient}/{name}", paths, patient=patient) for (patient, name), paths in series.items()]
        for fault in faults:
            place = fault.path.relative_to(folder)
            patient = patient_by_pattern(place, self.patient_pattern) or place.parts[0]
            scans.append(Scan(place.as_posix(), (fault.path,), fault, patient))
        return sorted(scans, key=lambda scan: (scan.patient, scan.name))

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return read_series(paths, self.plane)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return series_orientation(paths, self.plane)


class NiftiReader(Reader):
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
        if not scans:
            raise nothing_found(folder, "NIfTI file (.nii, .nii.gz) that is not excluded")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return nifti.read_slices(paths[0], self.plane)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        return nifti.slice_orientation(paths[0], self.plane)


class FastmriReader(Reader):
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
        if not scans:
            raise nothing_found(folder, "fastMRI file (.h5) of the acquisitions that are asked for")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, fastmri.read_slices, self.use)


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
        if not scans:
            raise nothing_found(folder, "ISMRMRD file (.h5)")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        return isolated(paths[0], UNREADABLE, ismrmrd.read_slices)


def _hdf5_scans(
    folder: Path, title: str, named: Callable[[Path], str | None], by_header: bool, pattern: str | None
) -> list[Scan]:
    """The `.h5` files below `folder`, each a volume.

    `named` gives the patient whom a file's header names, blank when it names none; None when the file is not wanted.
    It runs in another process, see `isolated`.
    """
    scans = []
    for path, found in find_hdf5(files_below(folder), title, named):
        name, matched = path.relative_to(folder).as_posix(), patient_by_pattern(path.relative_to(folder), pattern)
        if isinstance(found, ReadError):
            scans.append(Scan(name, (path,), found, matched or name))
        else:
            scans.append(Scan(name, (path,), patient=matched or (found if by_header else "") or name))
    return scans
