"""What every reader of a data set is: it says which files are which patient's. Bytes are read by `unimri.io`.

A reader from outside the package is written with this module, which loads no such package.
"""

import re
from collections import defaultdict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from unimri.core.artifacts import sha256
from unimri.core.errors import UnimriError, reading
from unimri.core.plugins import Extensible
from unimri.io.volume import Found, Negatives, Passed, Scan, Walk, nothing_found, walk

_TWIN = "its file has the same bytes as another patient's: remove the copy, or say who is a patient"

# Bytes of a file's ends that are compared first.
_END = 4096

# How BIDS names what belongs to one subject.
_SUBJECT = re.compile(r"(sub-[A-Za-z0-9]+)(?:_.*)?", re.DOTALL)


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

    def search(self, walked: Walk) -> Found:
        """Find the scans among the files below a folder, and say why others are none, as far as that is known.

        A reader that does not say has `find` alone. Whoever searches calls `find_scans`.
        """
        return Found(self.find(walked.root), [])

    def may_be(self, place: Path) -> bool:
        """Whether a path below the root, of which only the name is known, may be a scan or a folder of some."""
        return True

    def patient_at(self, place: Path) -> str:
        """The patient by a path below the root alone."""
        return patient_by_folder(place) or place.name

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
        """Read a scan that `find` gave; raises ReadError for whatever `read` raises, and what finding has shown."""
        scan.check()
        with reading(scan.paths[0]):
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


class BuiltIn(Reader):
    """A reader that knows all that lies below the root.

    Attributes
    ----------
    wanted : what it looks for, in words.
    """

    wanted: ClassVar[str]

    def find(self, folder: Path) -> list[Scan]:
        return find_scans(self, folder).scans

    def search(self, walked: Walk) -> Found:
        raise NotImplementedError


def find_scans(reader: Reader, folder: Path) -> Found:
    """Find the scans of a data set: what all that search one call.

    Every file below the folder is one of a scan's or is passed over with a reason. Links that lead nowhere and folders
    that cannot be opened, which may be scans, are scans with that fault.

    Raises
    ------
    UnimriError : when the folder is missing, empty or holds nothing of the layout.
    """
    walked = walk(folder)
    scans, told = reader.search(walked)
    passed = {one.path: one for one in (*walked.passed, *told)}
    for fault in walked.faults:
        place = fault.path.relative_to(folder)
        if fault.path.is_dir() or reader.may_be(place):
            scans = [*scans, Scan(place.as_posix(), (fault.path,), fault, reader.patient_at(place))]
        else:
            passed[fault.path] = Passed(fault.path, fault.reason)
    scans = _twins_noted(scans)
    used = {path for scan in scans for path in scan.paths}
    for path in walked.files:
        if path not in used:
            passed.setdefault(path, Passed(path, "is none of what the reader looks for"))
    found = Found(scans, [one for path, one in sorted(passed.items()) if path not in used])
    if not scans:
        wanted = reader.wanted if isinstance(reader, BuiltIn) else f"scan of {type(reader).__name__}"
        raise nothing_found(folder, wanted, found.passed)
    return found


def _twins_noted(scans: list[Scan]) -> list[Scan]:
    """Note scans of one file whose bytes are those of another patient's: a copy would be in training and in test."""
    alike = [[scan for scan in scans if scan.fault is None and len(scan.paths) == 1]]
    # Sizes, then ends of files tell nearly all apart: reading all would take as long as preparing them.
    for tell in (_size, _ends, sha256):
        apart: defaultdict[Hashable, list[Scan]] = defaultdict(list)
        for number, those in enumerate(alike):
            for scan in those:
                # Whoever reads it tells what is wrong.
                with suppress(OSError, UnimriError):
                    apart[number, tell(scan.paths[0])].append(scan)
        alike = [those for those in apart.values() if len({scan.patient for scan in those}) > 1]
    twins = {scan.name for those in alike for scan in those}
    return [
        replace(scan, note=f"{scan.note}; {_TWIN}" if scan.note else _TWIN) if scan.name in twins else scan
        for scan in scans
    ]


def _size(path: Path) -> Hashable:
    return path.stat().st_size


def _ends(path: Path) -> Hashable:
    """Bytes of a file's start, middle and end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = []
        for place in (0, size // 2, max(0, size - _END)):
            file.seek(place)
            parts.append(file.read(_END))
    return tuple(parts)


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


def patient_by_folder(place: Path, subject: bool = False) -> str:
    """The patient by the folders of a path below the root: BIDS' `sub-...`, else the first; blank in the root.

    With `subject` a file's own name counts, too, where it begins as BIDS has it.
    """
    folders = place.parts[:-1]
    for part in place.parts if subject else folders:
        if match := _SUBJECT.fullmatch(part):
            return match.group(1)
    return folders[0] if folders else ""
