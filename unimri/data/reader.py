"""What every reader of a data set is: it says which files are which patient's. Bytes are read by `unimri.io`.

A reader from outside the package is written with this module, which loads no such package.
"""

import re
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from unimri.core.plugins import Extensible
from unimri.io.volume import Negatives, Scan


class Reader(Extensible):
    """One layout of data sets: its settings, how its scans are found and how they are read.

    A reader adds `format: Literal["its-name"] = "its-name"`, settings of its own, `find` and `read`.
    """

    def find(self, folder: Path) -> list[Scan]:
        """Find the scans of a data set, without reading their voxels.

        Parameters
        ----------
        folder : where the data set lies, laid out as its publisher does.

        Returns
        -------
        At least one scan, with its patient, in an order that depends on names and headers alone. One that shows itself
        to be damaged has a `fault`.

        Raises
        ------
        UnimriError : when the folder is missing, empty or holds nothing of the layout.
        """
        raise NotImplementedError

    def read(self, paths: tuple[Path, ...]) -> NDArray[np.float32]:
        """Read the slices of a scan, maybe in another process than found it.

        Parameters
        ----------
        paths : of the scan, as `find` gave them.

        Returns
        -------
        float32 (slices, rows, columns), magnitude on the scanner's own scale, ordered by position (cine: by position,
        then time).

        Raises
        ------
        ReadError : when they cannot be read; it names the file.
        """
        raise NotImplementedError

    def read_scan(self, scan: Scan) -> NDArray[np.float32]:
        """Read a scan that `find` gave; raises ReadError as `read` does, and for what finding has shown already."""
        scan.check()
        return self.read(scan.paths)

    def orientation(self, paths: tuple[Path, ...]) -> str:
        """How the slices that `read` gives lie in the body; see `unimri.io.volume.describe`. Blank: not known."""
        return ""


class ImageReader(Reader):
    """A reader of images, whose values may be no magnitudes."""

    negatives: Negatives = Field(
        "refuse",
        description="What negative values are, beyond padding and the few that interpolation makes: refuse leaves the "
        "scan out (standardised images, real parts), clip reads them as 0, magnitude takes the sign off (signed "
        "inversion recovery).",
    )


def _compiles(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from None
    if groups != 1:
        raise ValueError(f"needs one group, (...), that is the patient, and has {groups}")
    return pattern


PatientPattern = Annotated[
    str | None,
    AfterValidator(lambda pattern: pattern if pattern is None else _compiles(pattern)),
    Field(
        description="Regular expression searched in the path below the root, with / between folders; its one group is "
        "the patient, as in '^(sub-[0-9]+)_'. It goes before `patient`; where it does not match, `patient` decides.",
    ),
]


def patient_by_pattern(place: Path, pattern: str | None) -> str | None:
    """The patient whom `pattern` finds in a path, or None.

    Parameters
    ----------
    place : path below the root of the data set.
    pattern : see `PatientPattern`; None finds nobody.
    """
    match = re.search(pattern, place.as_posix()) if pattern is not None else None
    return match.group(1) if match else None
