"""A folder for each patient, with a `.npy` file for each volume: (slices, rows, columns), real or complex."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.errors import ReadError
from unimri.data.reader import Reader
from unimri.io.volume import Scan, files_below, nothing_found


class NpyFolder(Reader):
    """Finds `<patient>/<volume>.npy`."""

    format: Literal["npy-folder"] = "npy-folder"
    suffix: str = Field(".npy", description="end of the files' names")

    def find(self, folder: Path) -> list[Scan]:
        scans = []
        for path in files_below(folder):
            place = path.relative_to(folder)
            if path.name.endswith(self.suffix) and len(place.parts) > 1:
                scans.append(Scan(place.as_posix(), (path,), patient=place.parts[0]))
        if not scans:
            raise nothing_found(folder, f"patient's folder with a file *{self.suffix}")
        return scans

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        """Slices as magnitude; what cannot be read is a ReadError, which names no patient beside the path."""
        try:
            volume = np.load(paths[0], allow_pickle=False)
        except (OSError, ValueError, EOFError) as fault:
            raise ReadError(paths[0], "is no whole .npy file", "save it again") from fault
        if volume.ndim != 3:
            raise ReadError(paths[0], f"has {volume.ndim} axes", "save it as (slices, rows, columns)")
        return np.abs(volume).astype(np.float32)
