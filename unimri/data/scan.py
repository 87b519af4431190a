"""What every reader gives: scans, found first and read one at a time, so that memory stays bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scan:
    """One volume of one patient, not yet read.

    Attributes
    ----------
    patient : the source's own name for the patient. It groups scans and never leaves `prepare`: artifacts hold a key.
    name : the source's own name for the volume, unique within a dataset; never leaves `prepare` either.
    sources : the files that the volume is read from.
    read : gives the slices, float32 (slices, rows, columns), magnitude on the scanner's own scale, ordered by position
        (cine: by position, then time). Raises UnimriError, naming the file, when they cannot be read.
    """

    patient: str
    name: str
    sources: tuple[Path, ...]
    read: Callable[[], NDArray[np.float32]]
