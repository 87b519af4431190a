"""Which patient a file belongs to, by where it lies."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field


def _compiles(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"is no regular expression ({error})") from None
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
