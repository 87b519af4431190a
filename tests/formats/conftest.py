"""Small scans and raw data, written with pydicom, h5py and ismrmrd."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from unimri.formats.scan import Made

WriteSeries = Callable[..., list[Path]]

NORMAL = np.array([0, np.sin(0.3), np.cos(0.3)])
TILTED = [1, 0, 0, 0, round(float(np.cos(0.3)), 6), round(float(-np.sin(0.3)), 6)]
HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>Ann Other</patientName><patientID>p1</patientID></subjectInformation>
<encoding>
<encodedSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize></reconSpace>
<trajectory>cartesian</trajectory>{limits}
</encoding></ismrmrdHeader>"""


def noise(*shape: int, seed: int = 0) -> NDArray[np.complex64]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def image_of(kspace: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Magnitude, coils by root sum of squares, by numpy."""
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace.astype(complex), axes), norm="ortho"), axes)
    return np.abs(images) if kspace.ndim == 3 else np.sqrt((np.abs(images) ** 2).sum(axis=1))


@pytest.fixture
def made() -> Made:
    return Made("distilled/layer3", "brain", 4.0, True, "0.1.0")


@pytest.fixture
def private() -> Made:
    return Made("distilled/layer3", "brain", 4.0, True, "0.1.0", deidentify=True)


def _dataset(path: Path, pixels: NDArray[Any], kind: str, header: dict[str, Any]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, b"\0" * 128, meta)
    elements = {
        "SOPClassUID": kind,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "PatientName": "Other^Ann",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "FrameOfReferenceUID": "1.2.3.9",
        "SeriesNumber": 5,
        "SeriesDescription": "t2_tse_tra",
        "Modality": "MR",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "PixelSpacing": [0.5, 0.75],
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": header.get("BitsStored", 12) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.tobytes(),
        **header,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


@pytest.fixture
def write_series() -> WriteSeries:
    """Write an oblique series of (slices, rows, columns); names and numbers run against the positions."""

    def write(
        folder: Path, pixels: NDArray[Any], edit: Callable[[Any], None] | None = None, **header: Any
    ) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for k, image in enumerate(pixels):
            path = folder / f"{len(pixels) - k}"
            place = {
                "InstanceNumber": len(pixels) - k,
                "ImageOrientationPatient": TILTED,
                "ImagePositionPatient": [round(float(x), 5) for x in 4.0 * k * NORMAL],
            }
            dataset = _dataset(path, image, MRImageStorage, {**place, **header})
            if edit is not None:
                edit(dataset)
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
        return paths

    return write


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


@pytest.fixture
def write_enhanced() -> Callable[..., Path]:
    """Write (frames, rows, columns) as one enhanced file, whose frames have slopes 1, 2, ... and run backwards."""

    def write(path: Path, pixels: NDArray[Any], slopes: list[float]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = [
            _item(
                PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, -3.0 * k])],
                FrameContentSequence=[_item(StackID="Ann", InStackPositionNumber=k + 1)],
                PixelValueTransformationSequence=[
                    _item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="normalized")
                ],
                MRImageFrameTypeSequence=[_item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"])],
            )
            for k, slope in enumerate(slopes)
        ]
        shared = _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[_item(PixelSpacing=[1, 1], SliceThickness=3)],
        )
        header = {
            "NumberOfFrames": len(pixels),
            "PerFrameFunctionalGroupsSequence": frames,
            "SharedFunctionalGroupsSequence": [shared],
        }
        _dataset(path, pixels, EnhancedMRImageStorage, header).save_as(path, enforce_file_format=True)
        return path

    return write
