"""Medical Segmentation Decathlon: one task's folder (http://medicaldecathlon.com)."""

from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field

from unimri.core.errors import UnimriError
from unimri.core.settings import Settings
from unimri.data.read.files import check_folder, nothing_found
from unimri.data.read.nifti_file import read_slices, slice_orientation, stem
from unimri.data.scan import Scan


class DecathlonSettings(Settings):
    format: Literal["decathlon"] = "decathlon"
    channel: int = Field(
        0, ge=0, description="Which channel of a 4D file to read; in Task05_Prostate 0 is T2 and 1 is ADC."
    )


def find(folder: Path, settings: DecathlonSettings) -> list[Scan]:
    """Find the files of `imagesTr` and `imagesTs`; labels are left out. Each file is a patient.

    Raises
    ------
    UnimriError
        When the folder is missing, empty, has no dataset.json or holds no such file.
    """
    check_folder(folder)
    if not (folder / "dataset.json").is_file():
        raise UnimriError(f"{folder}: found no dataset.json; give the folder of one task, such as Task05_Prostate")
    files = [path for images in ("imagesTr", "imagesTs") for path in sorted(folder.glob(f"{images}/*.nii.gz"))]
    scans = [
        open_scan(settings, stem(path), path.relative_to(folder).as_posix(), (path,))
        for path in files
        if not path.name.startswith(".")
    ]
    if not scans:
        raise nothing_found(folder, "Decathlon image (imagesTr/*.nii.gz, imagesTs/*.nii.gz)")
    return scans


def open_scan(settings: DecathlonSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """The scan whose sources are known; the rest as `find` gives it."""
    return Scan(
        patient,
        name,
        sources,
        partial(read_slices, sources[0], channel=settings.channel),
        orientation=partial(slice_orientation, sources[0]),
    )
