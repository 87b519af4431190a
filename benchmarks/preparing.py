"""Preparation in slices a second of one core, against the bare decode by pydicom or nibabel, in one run.

    python benchmarks/preparing.py [--patients 6] [--dicom FOLDER]

Made-up series and volumes of 320 x 320 pixels, 12 bit, in the page cache; preparation crops to 320, so that nothing is
resized. "shard" reads, checks, scales, hashes and writes; "index" reads headers. Peak memory, without that of the
processes that read, is compared with that of half as many volumes. Made-up headers have 16 elements, those of scanners
100 and more: `--dicom` takes a real folder.
"""

import argparse
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import psutil
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from unimri.data.index import Index, index_scans
from unimri.data.layouts import DicomReader, NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare_shard
from unimri.data.reader import Reader

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
        nib.save(nib.Nifti1Image(volume - volume.min(), np.eye(4)), folder / f"{patient}.nii.gz")


def decode_dicom(files: list[Path]) -> None:
    for path in files:
        _ = pydicom.dcmread(path).pixel_array


def decode_nifti(files: list[Path]) -> None:
    for path in files:
        np.asarray(nib.load(path).dataobj)


def cpu_seconds() -> float:
    """CPU time of this process and all below it, those that ended too: scans are read in processes of their own."""
    own = psutil.Process()
    return float(sum(sum(process.cpu_times()[:4]) for process in (own, *own.children(recursive=True))))


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds; each the least of five runs, since other work on the machine only adds to them."""
    times = []
    for _ in range(5):
        cpu, wall = cpu_seconds(), time.perf_counter()
        run()
        times.append((cpu_seconds() - cpu, time.perf_counter() - wall))
    # The system counts in ticks of 10 ms.
    return max(0.01, min(cpu for cpu, _ in times)), min(wall for _, wall in times)


def peak(run: Callable[[], object]) -> int:
    tracemalloc.start()
    run()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def measure(name: str, folder: Path, reader: Reader, decode: Callable, twice: Path | None, out: Path) -> None:
    size = PreparationSettings(image_size=SIZE, crop=SIZE)
    task = PreparationTask(reader=reader, fit="crop", preparation=size)

    def index(of: Path) -> list[Index]:
        return index_scans("brain", of, task.index(), 0)

    def shard(of: Path, indices: list[Index]) -> None:
        prepare_shard(indices[0], of, task.shard(), out / "shard-000.h5")

    indices = index(folder)
    files = [folder / source for entry in indices[0].entries for source in entry.sources]
    shard(folder, indices)
    with h5py.File(out / "shard-000.h5") as file:
        slices = len(file["slices"])
    bare = seconds(lambda: decode(files))
    print(f"{name}: {len(files)} files, {slices} slices; bare decode {slices / bare[0]:.0f} slices a CPU second")
    indexing, reading = seconds(lambda: index(folder)), seconds(lambda: shard(folder, indices))
    both = indexing[0] + reading[0], indexing[1] + reading[1]
    for title, (cpu, wall) in (("shard", reading), ("index", indexing), ("both", both)):
        print(
            f"  {title:5s} {slices / cpu:6.0f} slices a CPU second, {bare[0] / cpu:.2f} of bare decode"
            f"   (wall: {slices / wall:.0f}, {bare[1] / wall:.2f})"
        )
    if twice is not None:
        doubled = index(twice)
        ratio = peak(lambda: shard(twice, doubled)) / peak(lambda: shard(folder, indices))
        print(f"  peak memory of twice as many volumes: {ratio:.2f} times that of once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--dicom", type=Path, help="measure a folder of real DICOM files too")
    arguments = parser.parse_args()
    formats = {
        "DICOM": (write_dicom, decode_dicom, DicomReader()),
        "NIfTI": (write_nifti, decode_nifti, NiftiReader()),
    }
    for name, (write, decode, reader) in formats.items():
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            for part, count in (("once", arguments.patients), ("twice", 2 * arguments.patients)):
                write(root / part, count, np.random.default_rng(0))
            measure(f"simulated {name}", root / "once", reader, decode, root / "twice", root / "out")
    if arguments.dicom:
        with tempfile.TemporaryDirectory() as temporary:
            reader = DicomReader(patient="folder")
            measure("real DICOM", arguments.dicom, reader, decode_dicom, None, Path(temporary))


if __name__ == "__main__":
    main()
