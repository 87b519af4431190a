"""The readers by name: `format` in the settings chooses."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from unimri.core.plugins import READER_GROUP, load_plugins, one_of
from unimri.core.settings import Settings
from unimri.data.read import acdc, chaos_mr, decathlon, dicom, fastmri_h5, ismrmrd, nifti
from unimri.data.read.acdc import AcdcSettings
from unimri.data.read.chaos_mr import ChaosMrSettings
from unimri.data.read.decathlon import DecathlonSettings
from unimri.data.read.dicom import DicomSettings
from unimri.data.read.fastmri_h5 import FastmriH5Settings
from unimri.data.read.ismrmrd import IsmrmrdSettings
from unimri.data.read.nifti import NiftiSettings
from unimri.data.read.own import OwnReader
from unimri.data.scan import Scan

_BUILT_IN = (
    AcdcSettings,
    ChaosMrSettings,
    DecathlonSettings,
    DicomSettings,
    FastmriH5Settings,
    IsmrmrdSettings,
    NiftiSettings,
)
_FORMATS = [name for kind in _BUILT_IN for name in get_args(kind.model_fields["format"].annotation)]
_OWN = load_plugins(READER_GROUP, OwnReader, _FORMATS, "format")

if TYPE_CHECKING:
    ReaderSettings = Settings
else:
    ReaderSettings = one_of((*_BUILT_IN, *_OWN.values()), "format")
"""Settings of any reader: `{format: NAME, ...}`."""


class ReaderChoice(Settings):
    """A reader's settings on their own."""

    reader: ReaderSettings


class Reader(Protocol):
    """What a reader's module offers. `Any`: each takes its own settings."""

    def find(self, folder: Path, settings: Any) -> list[Scan]: ...

    def open_scan(self, settings: Any, patient: str, name: str, sources: tuple[Path, ...]) -> Scan: ...


class _Itself:
    """A reader from outside, whose settings do what a module does here."""

    def find(self, folder: Path, settings: OwnReader) -> list[Scan]:
        return settings.find(folder)

    def open_scan(self, settings: OwnReader, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
        return settings.open_scan(patient, name, sources)


READERS: dict[type, Reader] = {
    AcdcSettings: acdc,
    ChaosMrSettings: chaos_mr,
    DecathlonSettings: decathlon,
    DicomSettings: dicom,
    FastmriH5Settings: fastmri_h5,
    IsmrmrdSettings: ismrmrd,
    NiftiSettings: nifti,
} | dict.fromkeys(_OWN.values(), _Itself())


def find_scans(folder: Path, settings: ReaderSettings) -> list[Scan]:
    """Find the scans of a data set, without reading their voxels.

    Parameters
    ----------
    folder : where the data set lies, laid out as its publisher does.
    settings : the settings of one reader; their class chooses it.

    Returns
    -------
    At least one scan, in an order that depends on names and headers alone.

    Raises
    ------
    UnimriError
        When the folder is missing, empty or holds nothing of the format. Faults of one scan come from its
        `read`.
    """
    return READERS[type(settings)].find(folder, settings)


def open_scan(settings: ReaderSettings, patient: str, name: str, sources: tuple[Path, ...]) -> Scan:
    """A scan that `find_scans` found earlier, from what is known of it: its attributes are given back.

    Parameters
    ----------
    settings : as it was found with.
    patient, name, sources : see `Scan`.
    """
    return READERS[type(settings)].open_scan(settings, patient, name, sources)
