"""A folder for each patient, with a `.npy` file for each volume: (slices, rows, columns), real or complex."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.data.read.error import ReadError
from unimri.data.read.files import files_below, nothing_found
from unimri.data.read.own import OwnReader
from unimri.data.scan import Scan


class NpyFolder(OwnReader):
    """Finds `<patient>/<volume>.npy`."""

    format: Literal["npy-folder"] = "npy-folder"
    suffix: str = Field(".npy", description="end of the files' names")

    def find(self, folder: Path) -> list[Scan]:
        scans = []
        for path in files_below(folder):
            place = path.relative_to(folder)
            if path.name.endswith(self.suffix) and len(place.parts) > 1:
                scans.append(self.open_scan(place.parts[0], place.as_posix(), (path,)))
        if not scans:
            raise nothing_found(folder, f"patient's folder with a file *{self.suffix}")
        return scans

    def open_scan(self, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
        return Scan(patient, name, sources, read=partial(read, sources[0]))


def read(path: Path) -> NDArray[np.float32]:
    """Slices as magnitude; what cannot be read is a ReadError, which names no patient beside the path."""
    try:
        volume = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise ReadError(path, "is no whole .npy file", "save it again") from fault
    if volume.ndim != 3:
        raise ReadError(path, f"has {volume.ndim} axes", "save it as (slices, rows, columns)")
    return np.abs(volume).astype(np.float32)
