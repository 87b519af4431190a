"""Nothing that says whose scans they are comes out of the workflow."""

import io
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
import yaml
from conftest import snakemake
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

pytestmark = pytest.mark.slow

# What is searched for: in every text and every name that a user's data has. UIDs and dates get numbers of their own.
PLANTED = "Zaphod"
UID = "1.2.826.0.1.424242"
DATE = "19570314"
TEXT = {"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
# These steer the decoding of text itself.
LEFT_AS_THEY_ARE = {"SpecificCharacterSet"}


def planted_dataset() -> Dataset:
    """A data set in which every text element of the standard's dictionary holds the planted word."""
    dataset = Dataset()
    for tag, (vr, multiplicity, _, retired, keyword) in DicomDictionary.items():
        if retired or not keyword or keyword in LEFT_AS_THEY_ARE or not 0x0008 <= tag >> 16 <= 0x5000:
            continue
        assert keyword_for_tag(tag) == keyword
        if vr in TEXT and multiplicity.startswith("1"):
            setattr(
                dataset, keyword, f"{PLANTED} {keyword}"[:16] if vr in ("AE", "SH") else f"{PLANTED} {keyword}"[:64]
            )
        elif vr == "DA" and multiplicity.startswith("1"):
            setattr(dataset, keyword, DATE)
    block = dataset.private_block(0x0009, f"{PLANTED} private", create=True)
    block.add_new(0x01, "LO", f"{PLANTED} free text")
    other = Dataset()
    other.PatientID = f"{PLANTED} other"
    dataset.OtherPatientIDsSequence = [other]
    return dataset


def write_dicom(path: Path, pixels: np.ndarray, patient: int, number: int) -> None:
    dataset = planted_dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    instance = f"{UID}.{patient}.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{UID}.{patient}.1", f"{UID}.{patient}.2"
    dataset.PatientID = f"{PLANTED}{patient}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.InstanceNumber = number
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    dataset.PixelData = pixels.astype("<u2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of DICOM and one of NIfTI, three good patients each and one who cannot be read."""
    root = tmp_path_factory.mktemp("scans") / f"{PLANTED}s hospital"
    rng = np.random.default_rng(0)
    for patient in range(3):
        for number in range(2):
            pixels = rng.integers(0, 1000, (40, 40))
            write_dicom(root / "dicom" / f"{PLANTED}{patient}" / f"{PLANTED} {number}.dcm", pixels, patient, number)
        image = nib.Nifti1Image(rng.random((40, 40, 2), dtype=np.float32), np.eye(4))
        image.header["descrip"] = f"{PLANTED} {DATE}"
        image.header["aux_file"] = PLANTED
        image.header["intent_name"] = PLANTED
        image.header["db_name"] = PLANTED
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", f"{PLANTED} {UID}".encode()))
        (root / "nifti").mkdir(exist_ok=True)
        nib.save(image, root / "nifti" / f"{PLANTED}{patient}.nii.gz")
    short = root / "dicom" / f"{PLANTED}3" / f"{PLANTED}.dcm"
    write_dicom(short, np.ones((40, 40)), 3, 0)
    short.write_bytes(short.read_bytes()[:-100])
    (root / "nifti" / f"{PLANTED}3.nii.gz").write_bytes(f"{PLANTED} is no gzip".encode())
    return root


def overlay(scans: Path, folder: Path, **preparation: Any) -> Path:
    content = {
        "anatomies": {
            "brain": {"path": str(scans / "dicom"), "reader": {"format": "dicom"}},
            "prostate": {"path": str(scans / "nifti"), "reader": {"format": "nifti", "channel": None}},
            "knee": None,
            "cardiac": None,
            "abdomen": None,
        },
        "preparation": preparation,
        # They are made from prepared data alone.
        "studies": {
            "controls": [],
            "layers": [],
            "patients": [],
            "classical": [],
            "aspin_matrix": False,
            "robustness": {"accelerations": [], "masks": [], "noise": []},
        },
    }
    path = folder / "overlay.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def forms(path: Path) -> list[bytes]:
    """All that a file's bytes can be read as: as they are, UTF-16 as ASCII, unpacked, the values of HDF5."""
    content = path.read_bytes()
    found = [content]
    for beginning in re.finditer(b"\x78|\x1f\x8b", content):
        start = beginning.start()
        try:
            # Most are no beginning, which a few bytes tell.
            zlib.decompressobj(47).decompress(content[start : start + 256])
            found.append(zlib.decompressobj(47).decompress(content[start:]))
        except zlib.error:
            continue
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found += [archive.read(name) for name in archive.namelist()]
    if content.startswith(b"\x89HDF"):
        with h5py.File(path) as file:
            found += [str((key, value)).encode() for key, value in file.attrs.items()]
            file.visititems(lambda name, item: found.append(f"{name} {dict(item.attrs)}".encode()))
            found += [item[()].tobytes() for item in file.values() if isinstance(item, h5py.Dataset)]
    return found + [form.replace(b"\0", b"") for form in found]


def planted_in(folder: Path) -> list[str]:
    """Places below a folder where what was planted comes out."""
    wanted = [word.lower().encode() for word in (PLANTED, UID, DATE)]
    places = []
    for path in sorted(folder.rglob("*")):
        if any(word in str(path.relative_to(folder)).lower().encode() for word in wanted):
            places.append(f"name of {path}")
        if path.is_file() and any(word in form.lower() for form in forms(path) for word in wanted):
            places.append(str(path))
    return places


def test_the_search_finds_what_is_there(scans: Path, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", word=np.array([PLANTED]))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", data=np.frombuffer(PLANTED.encode() * 99, np.uint8), compression="gzip")
    assert len(planted_in(tmp_path)) == 2
    assert len(planted_in(scans)) > 8


def test_nothing_private_is_in_the_results(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    results = tmp_path / "results-tiny"
    run = snakemake(results, "--cores", "2", overlays=(overlay(scans, tmp_path, on_error="skip"),))
    assert run.returncode == 0, run.stderr[-3000:]
    assert (results / "tables/table1.md").is_file()
    assert len(list(results.rglob("*"))) > 100
    assert planted_in(results) == []
    for anatomy in ("brain", "prostate"):
        skipped = (results / "data" / anatomy / "skipped.csv").read_text().splitlines()
        log = (results / "logs/shard" / anatomy / "shard-000.log").read_text()
        assert len(skipped) == 2
        assert f"volume {skipped[1].split(',')[0]} is left out: " in log
    # The private folder is what joins the keys to the names, for its owner alone.
    index = tmp_path / "private-tiny/brain/shard-000.json"
    assert PLANTED in index.read_text()
    assert index.stat().st_mode & 0o077 == 0


def test_a_fault_names_the_file_to_the_user_and_not_to_the_log(scans: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("{}")
    results = tmp_path / "results-tiny"
    run = snakemake(results, "--cores", "1", "--keep-going", "--until", "shard", overlays=(overlay(scans, tmp_path),))
    assert run.returncode == 1
    assert f"{PLANTED}3/{PLANTED}.dcm: " in run.stderr
    assert f"{PLANTED}3.nii.gz: cannot be read as NIfTI" in run.stderr
    assert planted_in(results) == []
    assert "ERROR volume " in (results / "logs/shard/prostate/shard-000.log").read_text()
    assert list(results.rglob("*.h5")) == []
