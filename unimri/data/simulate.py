"""Simulated data sets: the archives of fastMRI, CHAOS, ACDC and the Decathlon, as a user has them after downloading.

Raw data are `unimri.data.simulate_kspace`'s.
Equal seeds give equal bytes. One DICOM series is a file a slice.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, MRImageStorage, generate_uid
from tqdm import tqdm

from unimri.core.artifacts import replacing
from unimri.core.errors import UnimriError
from unimri.data.phantoms.cardiac import END_SYSTOLE
from unimri.data.phantoms.phantom import Phantom
from unimri.data.scanner import SimulationSettings, Volume, patients, phantoms, scan, stream

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


def _patients(settings: SimulationSettings, seed: int) -> Iterator[tuple[int, Phantom, int]]:
    """Each patient's number, from 0, phantom, and columns of the pictures where all of a patient have the same."""
    sizes = settings.matrix_sizes
    for number, phantom in patients(settings, seed):
        yield number, phantom, sizes[number % len(sizes)]


def write_fastmri(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """fastMRI's DICOM archives: a folder a patient, a folder a series, file names out of order.

    Writes `<root>/<patient>/<series>/*.dcm`; see `LAYOUTS`.
    """
    for patient, phantom, _ in _patients(settings, seed):
        rng = stream(seed, settings.anatomy, "protocol", patient)
        contrasts = rng.permutation(list(phantom.tissues)).tolist()
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
                axes=axes(phantom.sagittal, tilt),
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

    Writes `<root>/<number>/{T1DUAL,T2SPIR}/{DICOM_anon,Ground}/...`; see `LAYOUTS`.
    """
    folder_number = 0
    for patient, phantom, size in _patients(settings, seed):
        # Folder numbers have holes, as in the archive, where the other numbers went to the challenge's test.
        folder_number += int(stream(seed, settings.anatomy, "folder", patient).integers(1, 4))
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
                axes=axes(phantom.sagittal),
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


_GROUPS = ("NOR", "MINF", "DCM", "HCM", "RV")
# Rows over columns of the matrices that ACDC has most of.
_ASPECTS = (27 / 32, 7 / 8, 29 / 32, 1.0)
# Every sixth patient is of the archive's test part, whose labels were kept back: who that is must not depend
# on how many there are.
_TEST_EVERY = 6
# What macOS leaves beside each file when it packs an archive: an AppleDouble header with two empty entries.
_APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \x00\x02" + b"\x00\x00\x00\x09" + bytes(178)


def write_acdc(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """ACDC: a folder a patient with the 4D cine, the two labelled frames and `Info.cfg`.

    Writes `<root>/patient001/{patient001_4d.nii.gz,...,Info.cfg}`; see `LAYOUTS`.
    """
    for patient, phantom, columns in _patients(settings, seed):
        (contrast,) = phantom.tissues
        rng = stream(seed, settings.anatomy, "series", patient)
        rows = 2 * round(columns * float(rng.choice(_ASPECTS)) / 2)
        volume = scan(phantom, contrast, (rows, columns), settings.slices, settings.noise, rng, settings.frames)
        cine = np.rint(volume.magnitude * rng.uniform(200, 1500)).astype(np.int16)

        name = f"patient{patient + 1:03d}"
        folder = root / name
        interval = rng.uniform(0.75, 1.1) / settings.frames
        write_nifti(folder / f"{name}_4d.nii.gz", cine, volume.spacing, volume.gap, interval)
        diastole, systole = 1, 1 + round(END_SYSTOLE * settings.frames) % settings.frames
        for frame in sorted({diastole, systole}):
            stem = f"{name}_frame{frame:02d}"
            write_nifti(folder / f"{stem}.nii.gz", cine[frame - 1], volume.spacing, volume.gap)
            write_nifti(folder / f"{stem}_gt.nii.gz", volume.labels[frame - 1], volume.spacing, volume.gap)
        (folder / "Info.cfg").write_text(
            f"ED: {diastole}\nES: {systole}\nGroup: {rng.choice(_GROUPS)}\nHeight: {rng.normal(170, 9):.1f}\n"
            f"NbFrame: {settings.frames}\nWeight: {rng.normal(76, 12):.1f}\n",
            encoding="utf-8",
        )
        yield


def write_decathlon(settings: SimulationSettings, root: Path, seed: int) -> Iterator[None]:
    """The Medical Segmentation Decathlon's Task05: 4D NIfTI files, their list and stray files of macOS.

    Writes `<root>/{dataset.json,imagesTr,labelsTr,imagesTs}`; see `LAYOUTS`.
    """
    contrasts = list(phantoms()[settings.anatomy].tissues)
    training: list[dict[str, str]] = []
    test: list[str] = []
    for patient, phantom, size in _patients(settings, seed):
        channels = []
        for contrast in contrasts:
            rng = stream(seed, settings.anatomy, "series", patient, contrast)
            volume = scan(phantom, contrast, (size, size), settings.slices, settings.noise, rng)
            # Whole numbers, since the files were DICOM before; each channel has its own scale.
            channels.append(np.rint(volume.magnitude[0] * rng.uniform(600, 2200)))
        name = f"{settings.anatomy}_{patient:02d}.nii.gz"
        below = "imagesTs" if patient % _TEST_EVERY == _TEST_EVERY - 1 else "imagesTr"
        _write_beside_junk(root / below / name, np.stack(channels), volume.spacing, volume.gap)
        if below == "imagesTr":
            _write_beside_junk(root / "labelsTr" / name, volume.labels[0], volume.spacing, volume.gap)
            training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        else:
            test.append(f"./imagesTs/{name}")
        yield
    # This list alone changes when patients are added.
    content = {
        "name": settings.anatomy.upper(),
        "description": f"Simulated {settings.anatomy} in the Decathlon's layout",
        "reference": "unimri simulation",
        "licence": "none: simulated",
        "release": "1.0",
        "tensorImageSize": "4D",
        "modality": {str(number): contrast for number, contrast in enumerate(contrasts)},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "numTraining": len(training),
        "numTest": len(test),
        "training": training,
        "test": test,
    }
    (root / "dataset.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    (root / "._dataset.json").write_bytes(_APPLE_DOUBLE)


def _write_beside_junk(path: Path, pictures: NDArray[Any], spacing: float, gap: float) -> None:
    write_nifti(path, pictures.astype(np.float32), spacing, gap)
    path.with_name(f"._{path.name}").write_bytes(_APPLE_DOUBLE)


def write_nifti(path: Path, pictures: NDArray[Any], spacing: float, gap: float, interval: float = 0.0) -> None:
    """Write a stack of pictures.

    Parameters
    ----------
    path : `.nii.gz`; equal pictures give equal bytes: nibabel stores neither name nor time.
    pictures : axial, (slices, rows, columns) or (n, slices, rows, columns); the file's axes are
        (rows, columns, slices[, n]).
    spacing, gap : size of a pixel and distance of slices, mm.
    interval : seconds between the pictures of the fourth axis.
    """
    axes = (1, 2, 0) if pictures.ndim == 3 else (2, 3, 1, 0)
    # Rows run to the back and columns to the patient's left, both against NIfTI's axes; slices run upwards.
    affine = np.array([[0, -spacing, 0, 0], [-spacing, 0, 0, 0], [0, 0, gap, 0], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(pictures.transpose(axes), affine)
    image.header.set_xyzt_units("mm", "sec")
    if pictures.ndim == 4:
        image.header.set_zooms((spacing, spacing, gap, interval))
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)


Layout = Callable[[SimulationSettings, Path, int], Iterator[None]]
"""Writes every patient of a data set into a folder, with a seed, and yields after each, for a progress bar."""

LAYOUTS: dict[str, Layout] = {
    "fastmri-dicom": write_fastmri,
    "acdc": write_acdc,
    "chaos-mr": write_chaos,
    "decathlon": write_decathlon,
}
"""The file layouts of the real data sets, by name."""


def layout_of(anatomy: str) -> str:
    """Give the name of the layout in which an anatomy is simulated, such as "fastmri-dicom"."""
    return phantoms()[anatomy].layout


def simulate(settings: SimulationSettings, output: Path, seed: int) -> None:
    """Write what a user would have on disk after downloading an anatomy's real data set, whole or not at all.

    Parameters
    ----------
    settings : which anatomy and how much of it; with `kspace`, raw data are written instead.
    output : the folder to write; what stood there before is replaced.
    seed : equal seeds give equal bytes, and each patient's files depend only on the seed and the patient's
        number, not on how many there are. At least 0.

    Raises
    ------
    UnimriError : when a phantom of another package asks for a layout that there is not.
    """
    layout = layout_of(settings.anatomy)
    write: Layout
    if settings.kspace is not None:
        # Not before: it loads torch.
        from unimri.data.simulate_kspace import write_kspace

        write = write_kspace
    elif layout in LAYOUTS:
        write = LAYOUTS[layout]
    else:
        raise UnimriError(
            f"phantom {settings.anatomy}: its layout is {layout!r}; allowed: {', '.join(LAYOUTS)}; correct its package"
        )
    with replacing(output) as temporary:
        temporary.mkdir()
        written = write(settings, temporary, seed)
        # disable=None: no bar where there is no terminal to draw it on.
        for _ in tqdm(written, settings.anatomy, settings.patients, unit="patient", disable=None):
            pass
