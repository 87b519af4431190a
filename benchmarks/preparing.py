"""Preparation in slices a second of one core, against the bare decode by pydicom or nibabel, in one run.

    python benchmarks/preparing.py [--patients 6]

Made-up series and volumes of 320 x 320 pixels, 12 bit, in the page cache; preparation crops to 320, so that nothing is
resized, and reads, checks, scales, hashes and writes. Peak memory is compared with that of half as many volumes.
"""

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.read.dicom import DicomSettings
from unimri.data.read.nifti import NiftiSettings
from unimri.data.read.registry import ReaderSettings

SIZE, SLICES = 320, 32


def write_dicom(folder: Path, patients: int, rng: np.random.Generator) -> None:
    for patient in range(patients):
        (folder / f"{patient}").mkdir(parents=True)
        for number in range(SLICES):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
            meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
            dataset.PatientID, dataset.SeriesInstanceUID = str(patient), f"1.2.{patient}"
            dataset.InstanceNumber = number
            dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
            dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
            dataset.Rows = dataset.Columns = SIZE
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
            dataset.PixelData = rng.integers(0, 4096, (SIZE, SIZE), dtype=np.uint16).tobytes()
            dataset.save_as(folder / f"{patient}" / f"{number}.dcm", enforce_file_format=True)


def write_nifti(folder: Path, patients: int, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for patient in range(patients):
        # Smooth enough for gzip to find something, as in a scan.
        volume = np.cumsum(rng.integers(-2, 3, (SIZE, SIZE, SLICES)), axis=0).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / f"{patient}.nii.gz")


def decode_dicom(folder: Path) -> None:
    for path in folder.rglob("*.dcm"):
        _ = pydicom.dcmread(path).pixel_array


def decode_nifti(folder: Path) -> None:
    for path in folder.rglob("*.nii.gz"):
        np.asarray(nib.load(path).dataobj)


def prepared(folder: Path, reader: ReaderSettings, output: Path) -> None:
    preparation = PreparationSettings(image_size=SIZE, crop=SIZE)
    prepare("brain", folder, PreparationTask(reader=reader, fit="crop", preparation=preparation), output, 0)


def best(run, *arguments) -> float:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run(*arguments)
        times.append(time.perf_counter() - start)
    return min(times)


def peak(folder: Path, reader: ReaderSettings, output: Path) -> int:
    tracemalloc.start()
    prepared(folder, reader, output)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=6)
    patients = parser.parse_args().patients
    formats = {
        "DICOM": (write_dicom, decode_dicom, DicomSettings()),
        "NIfTI": (write_nifti, decode_nifti, NiftiSettings()),
    }
    for name, (write, decode, reader) in formats.items():
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            for part, count in (("once", patients), ("twice", 2 * patients)):
                write(root / part, count, np.random.default_rng(0))
            slices = patients * SLICES
            bare = slices / best(decode, root / "once")
            ours = slices / best(prepared, root / "once", reader, root / "out")
            memory = [peak(root / part, reader, root / "out") for part in ("once", "twice")]
        print(
            f"{name}: bare decode {bare:.0f} slices/s, preparation {ours:.0f} slices/s, ratio {ours / bare:.2f}; "
            f"peak memory {memory[0] / 2**20:.0f} MiB, of twice as many volumes {memory[1] / memory[0]:.2f} times that"
        )


if __name__ == "__main__":
    main()
