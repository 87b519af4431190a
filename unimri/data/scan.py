"""What every reader gives: scans, found first and read one at a time, so that memory stays bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from unimri.data.read.error import ReadError


@dataclass(frozen=True)
class Scan:
    """One volume of one patient, not yet read.

    Attributes
    ----------
    patient : the source's own name for the patient. It groups scans and stays private: artifacts hold a key.
    name : the source's own name for the volume, unique within a dataset; private too.
    sources : the files that the volume is read from.
    read : gives the slices, float32 (slices, rows, columns), magnitude on the scanner's own scale, ordered by position
        (cine: by position, then time). Raises ReadError, naming the file, when they cannot be read.
    fault : what `read` will raise, where finding the scan has already shown that it cannot be read.
    orientation : says how the slices that `read` gives lie in the body, as `unimri.data.read.planes.describe` does;
        blank where the format does not say.
    """

    patient: str
    name: str
    sources: tuple[Path, ...]
    read: Callable[[], NDArray[np.float32]]
    fault: ReadError | None = None
    orientation: Callable[[], str] = str


def unreadable(patient: str, name: str, fault: ReadError) -> Scan:
    """A scan that raises `fault` when it is read."""

    def read() -> NoReturn:
        raise fault

    return Scan(patient=patient, name=name, sources=(fault.path,), read=read, fault=fault)
