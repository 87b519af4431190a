"""Finding the scans of a folder of HDF5 files, each of which is a volume."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from tqdm import tqdm

from unimri.data.read.error import ReadError
from unimri.data.read.files import files_below
from unimri.data.read.grouping import patient_by_pattern
from unimri.data.read.hdf5_file import UNREADABLE
from unimri.data.read.isolated import isolated
from unimri.data.scan import Scan, unreadable


class PatientSettings(Protocol):
    """What a reader's settings say about patients."""

    @property
    def patient(self) -> Literal["header", "file"]: ...

    @property
    def patient_pattern(self) -> str | None: ...


def find_hdf5(
    folder: Path,
    settings: PatientSettings,
    title: str,
    patient_of: Callable[[Path], str | None],
    opened: Callable[[str, str, Path], Scan],
) -> list[Scan]:
    """Find the `.h5` files below `folder`; one that cannot be opened becomes a scan whose `read` raises the fault.

    Parameters
    ----------
    folder : the data set.
    settings : of the reader.
    title : of the progress bar.
    patient_of : gives the patient whom a file's header names, blank when it names none; None when the file is not
        wanted. It runs in another process, see `isolated`.
    opened : makes the scan of a patient, a name and a file.

    Raises
    ------
    UnimriError
        When the folder is missing or empty.
    """
    scans = []
    files = [path for path in files_below(folder) if path.suffix == ".h5"]
    for path in tqdm(files, desc=title, unit="file", disable=None):
        place = path.relative_to(folder)
        name, patient = place.as_posix(), patient_by_pattern(place, settings.patient_pattern)
        try:
            named = isolated(path, UNREADABLE, patient_of)
        except ReadError as fault:
            scans.append(unreadable(patient or name, name, fault))
            continue
        if named is not None:
            patient = patient or (named if settings.patient == "header" else "") or name
            scans.append(opened(patient, name, path))
    return scans
