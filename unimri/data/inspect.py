"""What a data set holds, and what would be left out and why: a look before anything is written."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from unimri.core.settings import parse_settings
from unimri.data.read.error import ReadError
from unimri.data.read.registry import ReaderChoice, ReaderSettings, find_scans


class Finding(NamedTuple):
    """One scan, or why it would be left out.

    Attributes
    ----------
    patient, volume : the source's own names: for whoever may see the scans, and for no artifact.
    files : how many it is read from.
    shape : slices, rows, columns; None when the scan cannot be used.
    orientation : how the slices lie in the body, as `planes.describe` says; blank when it is not known.
    largest : value, on the scanner's own scale; None likewise.
    fault : why it cannot be used, and the mend; blank when it can.
    """

    patient: str
    volume: str
    files: int
    shape: tuple[int, int, int] | None
    orientation: str
    largest: float | None
    fault: str


def parse_reader(text: str) -> ReaderSettings:
    """A reader's settings from its name, such as dicom, or from JSON.

    Raises
    ------
    UnimriError
        When there is no such reader, or a setting is wrong.
    """
    named = text if text.lstrip().startswith("{") else json.dumps({"format": text})
    return parse_settings(ReaderChoice, f'{{"reader": {named}}}', "--reader").reader


def inspect(folder: Path, reader: ReaderSettings) -> Iterator[Finding]:
    """Find and read each scan of a data set as `prepare` would; nothing is written.

    Raises
    ------
    UnimriError
        When nothing is found.
    """
    for scan in tqdm(find_scans(folder, reader), desc="inspect", unit="volume", disable=None):
        files = len(scan.sources)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                slices, orientation = scan.read(), scan.orientation()
        except ReadError as fault:
            yield Finding(scan.patient, scan.name, files, None, "", None, str(fault))
        else:
            shape = slices.shape[0], slices.shape[1], slices.shape[2]
            yield Finding(scan.patient, scan.name, files, shape, orientation, float(slices.max()), "")
