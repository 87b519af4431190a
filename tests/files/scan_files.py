"""Small scans and raw data, written with pydicom, nibabel, h5py and ismrmrd: once for all tests."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from unimri.io.volume import Provenance

MADE = Provenance("distilled/layer3", "brain", 4.0, True, "0.1.0")
"""What is said of a reconstruction."""

PRIVATE = Provenance("distilled/layer3", "brain", 4.0, True, "0.1.0", deidentify=True)

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
    """K-space whose values are all different."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def ramp(*shape: int) -> NDArray[np.int16]:
    """An array whose values are all different."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def image_of(kspace: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Magnitude by numpy of (slices, rows, columns), or root sum of squares of (slices, coils, rows, columns)."""
    axes = (-2, -1)
    images = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace.astype(complex), axes), norm="ortho"), axes)
    return np.abs(images) if kspace.ndim == 3 else np.sqrt((np.abs(images) ** 2).sum(axis=1))


def write_nifti(path: Path, array: NDArray[Any], affine: NDArray[np.float64] | None = None) -> Path:
    """Write an array as NIfTI; its affine is the identity unless given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


def write_image(
    path: Path,
    pixels: NDArray[np.uint16 | np.int16],
    preamble: bool = True,
    syntax: UID = ExplicitVRLittleEndian,
    edit: Callable[[Any], None] | None = None,
    **header: Any,
) -> Path:
    """Write one DICOM image, of several frames when it has three axes, signed when its dtype is.

    Keywords are header elements, and None leaves an element out.
    """
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
        "PixelData": pixels.astype(pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<")).tobytes(),
        **header,
    }
    for keyword, value in elements.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if edit is not None:
        edit(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    if preamble:
        dataset.save_as(path, enforce_file_format=True)
    else:
        del dataset.file_meta
        dataset.save_as(path, implicit_vr=True, little_endian=True)
    return path


def write_series(
    folder: Path,
    names: Sequence[str] = ("IM1.dcm", "IM2.dcm", "IM3.dcm"),
    shape: tuple[int, int] = (12, 10),
    **header: Any,
) -> list[Path]:
    """Write an axial series whose slice k has the value k + 1 in all pixels but its first, which is 0."""
    paths = []
    for k, name in enumerate(names):
        pixels = np.full(shape, k + 1, np.uint16)
        pixels[0, 0] = 0
        place = {
            "ImagePositionPatient": [0, 0, 3.0 * k],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "InstanceNumber": k + 1,
        }
        paths.append(write_image(folder / name, pixels, **{**place, **header}))
    return paths


# What a scanner writes beside the pixels.
SCANNER: Mapping[str, Any] = {
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "PatientName": "Other^Ann",
    "FrameOfReferenceUID": "1.2.3.9",
    "SeriesNumber": 5,
    "SeriesDescription": "t2_tse_tra",
    "PixelSpacing": [0.5, 0.75],
    "BitsStored": 12,
}


def write_oblique(
    folder: Path, pixels: NDArray[Any], edit: Callable[[Any], None] | None = None, **header: Any
) -> list[Path]:
    """Write an oblique series of (slices, rows, columns); names and numbers run against the positions."""
    paths = []
    for k, image in enumerate(pixels):
        place = {
            "InstanceNumber": len(pixels) - k,
            "ImageOrientationPatient": TILTED,
            "ImagePositionPatient": [round(float(x), 5) for x in 4.0 * k * NORMAL],
        }
        paths.append(write_image(folder / f"{len(pixels) - k}", image, edit=edit, **{**SCANNER, **place, **header}))
    return paths


def item(**elements: Any) -> Dataset:
    """An item of a DICOM sequence."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def write_enhanced(path: Path, pixels: NDArray[Any], slopes: Sequence[float]) -> Path:
    """Write (frames, rows, columns) as one enhanced file, whose frames have these slopes and run backwards."""
    frames = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, -3.0 * k])],
            FrameContentSequence=[item(StackID="Ann", InStackPositionNumber=k + 1)],
            PixelValueTransformationSequence=[item(RescaleSlope=slope, RescaleIntercept=0, RescaleType="normalized")],
            MRImageFrameTypeSequence=[item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"])],
        )
        for k, slope in enumerate(slopes)
    ]
    shared = item(
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=3)],
    )
    header = {
        "SOPClassUID": EnhancedMRImageStorage,
        "PerFrameFunctionalGroupsSequence": frames,
        "SharedFunctionalGroupsSequence": [shared],
    }
    return write_image(path, pixels, **{**SCANNER, **header})


def header_of(rows: int, columns: int, x: int, y: int, limits: str = "") -> str:
    """An ISMRMRD header of k-space with `rows` x `columns` points, whose image has x * y pixels."""
    return HEADER.format(rows=rows, columns=columns, x=x, y=y, limits=limits)


def write_fastmri(
    path: Path, attributes: Mapping[str, Any] | None = None, compression: str | None = None, **datasets: Any
) -> Path:
    """Write a file with fastMRI's datasets; None leaves one out.

    The header asks for 8 x 6 pixels of 16 x 10 unless `ismrmrd_header` is given; `compression` is of k-space.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for key, value in ({"ismrmrd_header": header_of(16, 10, 8, 6)} | datasets).items():
            if key == "kspace" and compression is not None:
                file.create_dataset(key, data=value, chunks=(1, *value.shape[1:]), compression=compression)
            elif value is not None:
                file.create_dataset(key, data=value)
        file.attrs.update({"patient_id": "p1"} | dict(attributes or {}))
    return path


def write_matlab(path: Path, **variables: NDArray[Any]) -> Path:
    """Write variables as MATLAB's v7.3 does: axes reversed, complex numbers in pairs, 512 bytes before HDF5's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            stored = value.T
            if np.iscomplexobj(value):
                stored = np.empty(value.T.shape, [("real", np.float32), ("imag", np.float32)])
                stored["real"], stored["imag"] = value.T.real, value.T.imag
            file.create_dataset(name, data=stored, compression="gzip")
            file[name].attrs["MATLAB_class"] = np.bytes_("single")
    with path.open("r+b") as block:
        block.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 .".ljust(116))
    return path


def line(
    values: NDArray[np.complex64], flags: tuple[int, ...] = (), head: dict[str, int] | None = None, **counters: int
) -> Any:
    """One ISMRMRD acquisition of (coils, readout)."""
    acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(values))
    acquisition.center_sample = values.shape[-1] // 2
    for name, value in (head or {}).items():
        setattr(acquisition, name, value)
    for name, value in counters.items():
        setattr(acquisition.idx, name, value)
    for flag in flags:
        acquisition.set_flag(flag)
    return acquisition


def write_lines(path: Path, lines: Iterable[Any], header: str | bytes, group: str | None = None) -> Path:
    """Write ISMRMRD acquisitions in their order; with a `group` into the file that is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with ismrmrd.Dataset(str(path), group or "dataset", mode="a" if group else "w") as file:
        file.write_xml_header(header)
        for acquisition in lines:
            file.append_acquisition(acquisition)
    return path


def write_ismrmrd(
    path: Path,
    kspace: NDArray[np.complex64],
    header: str,
    steps: Sequence[int] | NDArray[np.int_] | Mapping[int, Sequence[int]] | None = None,
    group: str | None = None,
) -> Path:
    """Write (slices, coils, rows, columns), of whose columns only `steps` are measured: of all, or of each slice."""
    every = range(kspace.shape[-1]) if steps is None else steps
    chosen = every if isinstance(every, Mapping) else dict.fromkeys(range(len(kspace)), every)
    lines = (
        line(kspace[number, :, :, step], slice=number, kspace_encode_step_1=int(step))
        for number, own in chosen.items()
        for step in own
    )
    return write_lines(path, lines, header, group)
