"""The readers by name: `format` in the settings chooses."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from unimri.data.read import acdc, chaos_mr, decathlon, dicom, fastmri_h5, ismrmrd, nifti
from unimri.data.read.acdc import AcdcSettings
from unimri.data.read.chaos_mr import ChaosMrSettings
from unimri.data.read.decathlon import DecathlonSettings
from unimri.data.read.dicom import DicomSettings
from unimri.data.read.fastmri_h5 import FastmriH5Settings
from unimri.data.read.ismrmrd import IsmrmrdSettings
from unimri.data.read.nifti import NiftiSettings
from unimri.data.scan import Scan

ReaderSettings = Annotated[
    AcdcSettings
    | ChaosMrSettings
    | DecathlonSettings
    | DicomSettings
    | FastmriH5Settings
    | IsmrmrdSettings
    | NiftiSettings,
    Field(discriminator="format"),
]


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
    match settings:
        case AcdcSettings():
            return acdc.find(folder, settings)
        case ChaosMrSettings():
            return chaos_mr.find(folder, settings)
        case DecathlonSettings():
            return decathlon.find(folder, settings)
        case DicomSettings():
            return dicom.find(folder, settings)
        case FastmriH5Settings():
            return fastmri_h5.find(folder, settings)
        case IsmrmrdSettings():
            return ismrmrd.find(folder, settings)
        case NiftiSettings():
            return nifti.find(folder, settings)
