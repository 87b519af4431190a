"""The data sets that come as DICOM, fastMRI's and CHAOS's, as their archives lay them out.

One series is a file a slice, the same bytes for the same input.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, generate_uid

from unimri.data.simulate.scanner import Volume, scan, stream
from unimri.data.simulate.settings import SimulationSettings, phantoms

# Which sequence a contrast belongs to, its folder below DICOM_anon, the number in its file names, and how the
# two echoes of the dual sequence interleave: the file of slice k is number k * stride + offset.
_SERIES = {
    "InPhase": ("T1DUAL", "InPhase", 4, 2, 2),
    "OutPhase": ("T1DUAL", "OutPhase", 4, 2, 1),
    "T2SPIR": ("T2SPIR", "", 2, 1, 1),
}
_TRUTH_OF = ("InPhase", "T2SPIR")
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


def write_fastmri(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """fastMRI's DICOM archives: a folder a patient, a folder a series, file names out of order.

    Writes `<root>/<patient>/<series>/*.dcm`; see `simulate.LAYOUTS`.
    """
    kind = phantoms()[settings.anatomy]
    for patient in range(settings.patients):
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        rng = stream(seed, settings.anatomy, "protocol", patient)
        contrasts = rng.permutation(list(kind.tissues)).tolist()
        tilt = float(rng.choice([0.0, rng.uniform(-0.15, 0.15)]))
        patient_id = f"SIMULATED-{settings.anatomy.upper()}-{patient + 1:04d}"
        study = f"{seed} {patient_id}"
        folder = root / f"{rng.integers(10**9, 10**10)}"
        for number in range(settings.series):
            rng = stream(seed, settings.anatomy, "series", patient, number)
            size = settings.matrix_sizes[(patient + number) % len(settings.matrix_sizes)]
            contrast = contrasts[number % len(contrasts)]
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            series = Series(
                patient_id=patient_id,
                patient_name=f"SIMULATED^{patient + 1:04d}",
                study=study,
                series=f"{study} {number}",
                number=number + 1,
                description=contrast,
                axes=axes(kind.sagittal, tilt),
            )
            numbers = np.arange(1, settings.slices + 1)
            if rng.random() < 0.3:
                numbers = numbers[::-1]
            names = _names(rng, settings.slices)
            place = folder / f"{number + 1:02d}_{rng.integers(16**6):06x}"
            write_series(series, _encoding(rng), volume, [place / name for name in names], numbers.tolist())
        yield


def _encoding(rng: np.random.Generator) -> Encoding:
    # What differs between real scanners and exports; the shares let each occur in a small data set.
    bits = int(rng.choice([12, 12, 16]))
    peak = float(rng.uniform(800, 3000) if bits == 12 else rng.uniform(4000, 28000))
    kind = rng.choice(["plain", "rescaled", "inverted"], p=[0.65, 0.23, 0.12])
    implicit = bool(rng.random() < 0.2)
    if kind == "rescaled":
        slope = float(np.round(rng.uniform(0.3, 4.0), 3))
        intercept = float(rng.choice([0.0, -np.round(20 * slope)]))
        return Encoding(bits, peak, slope, intercept, implicit=implicit)
    return Encoding(bits, peak, inverted=bool(kind == "inverted"), implicit=implicit)


def _names(rng: np.random.Generator, slices: int) -> list[str]:
    """Give file names whose alphabetical order is not that of the slices."""
    names = [f"{tag:08x}.dcm" for tag in rng.choice(16**7, slices, replace=False)]
    return names[::-1] if names == sorted(names) else names


def write_chaos(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """CHAOS's MR part: a numbered folder a patient, with its sequences and their ground truth as PNG.

    Writes `<root>/<number>/{T1DUAL,T2SPIR}/{DICOM_anon,Ground}/...`; see `simulate.LAYOUTS`.
    """
    kind = phantoms()[settings.anatomy]
    folder_number = 0
    for patient in range(settings.patients):
        # Folder numbers have holes, as in the archive, where the other numbers went to the challenge's test.
        folder_number += int(stream(seed, settings.anatomy, "folder", patient).integers(1, 4))
        phantom = kind(stream(seed, settings.anatomy, "patient", patient))
        size = settings.matrix_sizes[patient % len(settings.matrix_sizes)]
        patient_id = f"SIMULATED-{settings.anatomy.upper()}-{folder_number:04d}"
        study = f"{seed} {patient_id}"
        for number, (contrast, (sequence, below, first, stride, offset)) in enumerate(_SERIES.items()):
            rng = stream(seed, settings.anatomy, "series", patient, sequence)
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            folder = root / str(folder_number) / sequence
            # Numbers run from the top of the abdomen downwards.
            numbers = [(settings.slices - 1 - k) * stride + offset for k in range(settings.slices)]
            names = [f"IMG-{first:04d}-{n:05d}" for n in numbers]
            series = Series(
                patient_id=patient_id,
                patient_name=f"SIMULATED^{folder_number:04d}",
                study=study,
                series=f"{study} {contrast}",
                number=number + 1,
                description=f"{sequence} {contrast}" if below else sequence,
                axes=axes(kind.sagittal),
            )
            peak = float(rng.uniform(500, 2500))
            paths = [folder / "DICOM_anon" / below / f"{name}.dcm" for name in names]
            write_series(series, Encoding(12, peak), volume, paths, numbers)
            if contrast in _TRUTH_OF:
                (folder / "Ground").mkdir(parents=True)
                for name, labels in zip(names, volume.labels[0], strict=True):
                    Image.fromarray(labels).save(folder / "Ground" / f"{name}.png")
        yield


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
