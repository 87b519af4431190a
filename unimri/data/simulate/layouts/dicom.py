"""Writing one DICOM series, a file a slice, the same bytes for the same input."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, generate_uid

from unimri.data.simulate.scanner import Volume

# One date for all: a real one would say when the simulation ran and so change the bytes from run to run.
_DATE, _TIME = "20200101", "120000"


@dataclass(frozen=True)
class Encoding:
    """How a series stores its values.

    Attributes
    ----------
    bits : bits stored of the 16 allocated.
    peak : stored value, before inversion, of magnitude 1.
    slope, intercept : of the modality rescale; 1 and 0 leave its elements out.
    inverted : MONOCHROME1: the largest stored value is black.
    implicit : transfer syntax Implicit rather than Explicit VR Little Endian.
    """

    bits: int
    peak: float
    slope: float = 1.0
    intercept: float = 0.0
    inverted: bool = False
    implicit: bool = False

    def stored(self, magnitude: NDArray[np.float32]) -> NDArray[np.uint16]:
        """Give the stored values of a magnitude picture: uint16, clipped to the bits stored."""
        top = 2**self.bits - 1
        # A reader gets slope * stored + intercept: with this offset, proportional to the magnitude.
        values = np.clip(np.rint(magnitude * self.peak - self.intercept / self.slope), 0, top)
        stored: NDArray[np.uint16] = (top - values if self.inverted else values).astype(np.uint16)
        return stored


@dataclass(frozen=True)
class Series:
    """What the headers of one series say.

    Attributes
    ----------
    patient_id, patient_name : as in the header.
    study, series : text that the UIDs are derived from.
    number : SeriesNumber.
    description : SeriesDescription.
    axes : directions of rows and of columns in the patient, float64 (2, 3), unit vectors.
    """

    patient_id: str
    patient_name: str
    study: str
    series: str
    number: int
    description: str
    axes: NDArray[np.float64]


def axes(sagittal: bool, tilt: float = 0.0) -> NDArray[np.float64]:
    """Give the directions of an axial or sagittal slice, float64 (2, 3), tilted by radians about the rows."""
    row, column = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)) if sagittal else ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    normal = np.cross(row, column)
    return np.array([row, np.cos(tilt) * np.array(column) + np.sin(tilt) * normal])


def write_series(
    series: Series, encoding: Encoding, volume: Volume, paths: Sequence[Path], numbers: Sequence[int]
) -> None:
    """Write the first frame of a volume.

    Parameters
    ----------
    series, encoding : what the headers say and how values are stored.
    volume : the scan.
    paths, numbers : file and InstanceNumber of each slice, in the order of `volume.positions`.
    """
    row, column = series.axes
    normal = np.cross(row, column)
    rows, columns = volume.magnitude.shape[-2:]
    corner = -volume.spacing * ((columns - 1) / 2 * row + (rows - 1) / 2 * column)
    for index, (path, number) in enumerate(zip(paths, numbers, strict=True)):
        header = _header(series, encoding, path, number)
        stored = encoding.stored(volume.magnitude[0, index])
        position = float(volume.positions[index])
        header.ImagePositionPatient = [_decimal(value) for value in corner + position * normal]
        header.ImageOrientationPatient = [_decimal(value) for value in series.axes.ravel()]
        header.SliceLocation = _decimal(position)
        header.SliceThickness = _decimal(0.9 * volume.gap)
        header.SpacingBetweenSlices = _decimal(volume.gap)
        header.PixelSpacing = [_decimal(volume.spacing)] * 2
        header.Rows, header.Columns = rows, columns
        header.PixelData = stored.astype("<u2").tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        header.save_as(path, enforce_file_format=True)


def _header(series: Series, encoding: Encoding, path: Path, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series.series, str(number)])
    meta.TransferSyntaxUID = ImplicitVRLittleEndian if encoding.implicit else ExplicitVRLittleEndian
    header = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    header.SOPClassUID = MRImageStorage
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    header.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = _DATE
    header.StudyTime = header.SeriesTime = _TIME
    header.Modality = "MR"
    header.Manufacturer = "unimri simulation"
    header.SeriesDescription = series.description
    header.PatientName = series.patient_name
    header.PatientID = series.patient_id
    header.PatientIdentityRemoved = "YES"
    header.StudyInstanceUID = generate_uid(entropy_srcs=[series.study])
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[series.series])
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=[series.study, "frame of reference"])
    header.SeriesNumber = series.number
    header.InstanceNumber = number
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME1" if encoding.inverted else "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, encoding.bits, encoding.bits - 1
    header.PixelRepresentation = 0
    if (encoding.slope, encoding.intercept) != (1.0, 0.0):
        header.RescaleSlope, header.RescaleIntercept = _decimal(encoding.slope), _decimal(encoding.intercept)
        header.RescaleType = "US"
    return header


def _decimal(value: float) -> str:
    # At most 16 characters, the limit of the DS representation; "+ 0.0" turns -0 into 0.
    return f"{round(float(value), 6) + 0.0:.9g}"
