"""Data sets as their publishers lay them out, small and written with pydicom and nibabel."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, MRImageStorage, generate_uid

WriteImage = Callable[..., Path]
WriteSeries = Callable[..., list[Path]]
WriteNifti = Callable[..., Path]


@pytest.fixture
def write_image() -> WriteImage:
    """Write one DICOM image, of several frames when it has three axes, signed when its dtype is.

    Keywords are header elements, and None leaves an element out.
    """

    def write(
        path: Path,
        pixels: NDArray[np.uint16 | np.int16],
        preamble: bool = True,
        syntax: UID = ExplicitVRLittleEndian,
        **header: Any,
    ) -> Path:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = header.get("SOPClassUID", MRImageStorage)
        meta.MediaStorageSOPInstanceUID = header.setdefault("SOPInstanceUID", generate_uid())
        meta.TransferSyntaxUID = syntax
        dataset = FileDataset(str(path), {}, b"\0" * 128, meta, syntax.is_implicit_VR, syntax.is_little_endian)
        elements = {
            "SOPClassUID": MRImageStorage,
            "PatientID": "P1",
            "StudyInstanceUID": "1.2.3",
            "SeriesInstanceUID": "1.2.3.1",
            "Modality": "MR",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "NumberOfFrames": None if pixels.ndim == 2 else len(pixels),
            "Rows": pixels.shape[-2],
            "Columns": pixels.shape[-1],
            "BitsAllocated": 16,
            "BitsStored": 16,
            "HighBit": header.get("BitsStored", 16) - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"),
            "PixelData": pixels.astype(
                pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")
            ).tobytes(),
            **header,
        }
        for keyword, value in elements.items():
            if value is not None:
                setattr(dataset, keyword, value)
        path.parent.mkdir(parents=True, exist_ok=True)
        if preamble:
            dataset.save_as(path, enforce_file_format=True)
        else:
            del dataset.file_meta
            dataset.save_as(path, implicit_vr=True, little_endian=True)
        return path

    return write


@pytest.fixture
def write_series(write_image: WriteImage) -> WriteSeries:
    """Write an axial series whose slice k has the value k + 1 in all pixels but its first, which is 0."""

    def write(
        folder: Path,
        names: Sequence[str] = ("IM1.dcm", "IM2.dcm", "IM3.dcm"),
        shape: tuple[int, int] = (12, 10),
        **header: Any,
    ) -> list[Path]:
        paths = []
        for k, name in enumerate(names):
            pixels = np.full(shape, k + 1, np.uint16)
            pixels[0, 0] = 0
            position = {
                "ImagePositionPatient": [0, 0, 3.0 * k],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                "InstanceNumber": k + 1,
            }
            paths.append(write_image(folder / name, pixels, **{**position, **header}))
        return paths

    return write


@pytest.fixture
def write_nifti() -> WriteNifti:
    """Write an array as NIfTI; its affine is the identity unless given."""

    def write(path: Path, array: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        return path

    return write


@pytest.fixture
def ramp() -> Callable[..., NDArray[np.int16]]:
    """An array whose values are all different."""

    def make(*shape: int) -> NDArray[np.int16]:
        return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)

    return make
