"""Any folder of NIfTI files."""

from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from unimri.core.settings import Settings
from unimri.data.read.files import files_below, nothing_found
from unimri.data.read.grouping import PatientPattern, patient_by_pattern
from unimri.data.read.nifti_file import read_slices, slice_orientation
from unimri.data.read.planes import Plane
from unimri.data.scan import Scan


class NiftiSettings(Settings):
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
        default_factory=lambda: ["._*", "*_gt*", "*label*", "*_seg*", "*-seg*", "seg", "segmentation*"],
        description="Patterns of names of files or folders that are no scans; case does not matter.",
    )


def find(folder: Path, settings: NiftiSettings) -> list[Scan]:
    """Find the `.nii` and `.nii.gz` files below `folder`; each is a volume.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds no such file.
    """
    scans = []
    for path in files_below(folder):
        place = path.relative_to(folder)
        if path.name.endswith((".nii", ".nii.gz")) and not excluded(place, settings.exclude):
            grouped = settings.patient == "folder" and len(place.parts) > 1
            patient = patient_by_pattern(place, settings.patient_pattern) or (
                place.parts[0] if grouped else place.as_posix()
            )
            scans.append(open_scan(settings, patient, place.as_posix(), (path,)))
    if not scans:
        raise nothing_found(folder, "NIfTI file (.nii, .nii.gz) that is not excluded")
    return scans


def open_scan(settings: NiftiSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(
        patient,
        name,
        sources,
        partial(read_slices, sources[0], settings.plane),
        orientation=partial(slice_orientation, sources[0], settings.plane),
    )


def excluded(place: Path, patterns: list[str]) -> bool:
    """Whether a part of a path below the root matches a pattern; case does not matter."""
    return any(fnmatch(part.lower(), pattern.lower()) for part in place.parts for pattern in patterns)
