"""ACDC: cardiac cine, one 4D file a patient (https://www.creatis.insa-lyon.fr/Challenge/acdc)."""

import re
from functools import partial
from pathlib import Path
from typing import Literal

from unimri.core.settings import Settings
from unimri.data.read.files import files_below, nothing_found
from unimri.data.read.nifti_file import read_slices, slice_orientation
from unimri.data.scan import Scan


class AcdcSettings(Settings):
    format: Literal["acdc"] = "acdc"


def find(folder: Path, settings: AcdcSettings) -> list[Scan]:
    """Find `patientNNN/patientNNN_4d.nii.gz` below `folder`; frames and their labels are left out.

    The files may lie deeper (`training/patient001/...`), as the challenge's own archive has them. A slice is
    one position at one time of the heartbeat.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds no such file.
    """
    scans = [
        open_scan(settings, path.parent.name, path.relative_to(folder).as_posix(), (path,))
        for path in files_below(folder)
        if re.fullmatch(r"patient\d+", path.parent.name) and path.name == f"{path.parent.name}_4d.nii.gz"
    ]
    if not scans:
        raise nothing_found(folder, "ACDC scan (patientNNN/patientNNN_4d.nii.gz)")
    return scans


def open_scan(settings: AcdcSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(
        patient,
        name,
        sources,
        partial(read_slices, sources[0]),
        orientation=partial(slice_orientation, sources[0]),
    )
