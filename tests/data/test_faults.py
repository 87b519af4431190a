"""A table of bad inputs: each is reported by its file's name or left out with a reason, in bounded memory and time."""

import gzip
import json
import os
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from scan_files import write_image, write_nifti

from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import DicomReader, NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.store import PreparedData

MEMORY = 64 * 2**20
SECONDS = 20


def _dicom(**header):
    """Change elements of a good file; None takes one out."""

    def spoil(path: Path) -> None:
        dataset = dcmread(path)
        for keyword, value in header.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        dataset.save_as(path)

    return spoil


def _pixels(value: int):
    def spoil(path: Path) -> None:
        dataset = dcmread(path)
        dataset.PixelData = np.full((20, 20), value, "<u2").tobytes()
        dataset.save_as(path)

    return spoil


def _cut(fraction: float):
    def spoil(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * fraction)])

    return spoil


def _bytes(content: bytes):
    return lambda path: path.write_bytes(content)


def _voxels(make: Callable[[np.ndarray], np.ndarray]):
    def spoil(path: Path) -> None:
        array = np.random.default_rng(0).uniform(1, 9, (20, 20, 2)).astype(np.float32)
        nib.save(nib.Nifti1Image(make(array), np.eye(4)), path)

    return spoil


def _with_value(value: float):
    def make(array: np.ndarray) -> np.ndarray:
        array[3, 4, 1] = value
        return array

    return _voxels(make)


def _header(offset: int, packed: bytes):
    """Overwrite bytes of a NIfTI-1 header."""

    def spoil(path: Path) -> None:
        content = bytearray(gzip.decompress(path.read_bytes()))
        content[offset : offset + len(packed)] = packed
        path.write_bytes(gzip.compress(bytes(content)))

    return spoil


def _colours(path: Path) -> None:
    colours = np.zeros((20, 20, 2), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colours, np.eye(4)), path)


def _forbid(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.chmod(0)


DICOM = {
    "zero bytes": _bytes(b""),
    "text": _bytes(b"this is no scan, it is only called one\n" * 20),
    "preamble alone": _bytes(b"\0" * 128 + b"DICM"),
    "preamble and noise": _bytes(b"\0" * 128 + b"DICM" + np.random.default_rng(0).bytes(5000)),
    **{f"cut at {tenth} tenths": _cut(tenth / 10) for tenth in range(1, 10)},
    "cut by one byte": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "no pixel data": _dicom(PixelData=None),
    "no rows": _dicom(Rows=None),
    "more rows than pixels": _dicom(Rows=40),
    "huge declared size": _dicom(Rows=65535, Columns=65535),
    "zero columns": _dicom(Columns=0),
    "no bits": _dicom(BitsAllocated=None),
    "odd bits": _dicom(BitsAllocated=13),
    "colour": _dicom(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
    "wrong photometric interpretation": _dicom(PhotometricInterpretation="PALETTE COLOR"),
    "unknown photometric interpretation": _dicom(PhotometricInterpretation="SEPIA"),
    "constant": _pixels(7),
    "infinite slope": _dicom(RescaleSlope="1e300", RescaleIntercept="0"),
    "slope of words": lambda path: path.write_bytes(
        (_dicom(RescaleSlope="1.5", RescaleIntercept="0")(path), path.read_bytes())[1].replace(b"1.5 ", b"one ")
    ),
}
NIFTI = {
    "zero bytes": _bytes(b""),
    "no gzip": _bytes(b"this is no scan"),
    "gzip of text": _bytes(gzip.compress(b"this is no scan" * 100)),
    **{f"cut at {tenth} tenths": _cut(tenth / 10) for tenth in range(1, 10)},
    "gzip tail cut": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "wrong checksum": lambda path: path.write_bytes(path.read_bytes()[:-8] + b"\1\2\3\4\5\6\7\10"),
    "NaN": _with_value(np.nan),
    "infinity": _with_value(np.inf),
    "constant": _voxels(np.ones_like),
    "zeros": _voxels(np.zeros_like),
    "negative": _voxels(np.negative),
    "one pixel": _voxels(lambda array: array[:1, :1, :1]),
    "five axes": _voxels(lambda array: np.stack([np.stack([array, array], -1)] * 2, -1)),
    "one axis": _voxels(lambda array: array[:, 0, 0]),
    "colours": _colours,
    "wrong magic": _header(344, b"abc\0"),
    "no axes": _header(40, struct.pack("<h", 0)),
    "negative axis": _header(42, struct.pack("<h", -5)),
    "axis of nothing": _header(42, struct.pack("<h", 0)),
    "huge declared size": _header(40, struct.pack("<5h", 4, 32767, 32767, 32767, 32767)),
    "unknown type": _header(70, struct.pack("<h", 777)),
    "data before the header": _header(108, struct.pack("<f", -400.0)),
    "no permission": _forbid,
}
# These cannot be told from good files, or are mended by the reader.
FINE = {
    "big endian": _voxels(lambda array: array.astype(">f4")),
    "infinite scale, which means none": _header(112, struct.pack("<f", np.inf)),
    "integers": _voxels(lambda array: array.astype(np.int16)),
}


def _good_dicom(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    for patient in range(4):
        path = folder / f"P{patient}" / "a.dcm"
        pixels = rng.integers(0, 999, (20, 20)).astype(np.uint16)
        write_image(path, pixels, PatientID=f"P{patient}", SeriesInstanceUID=f"1.{patient}")
    return path


def _good_nifti(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    for patient in range(4):
        array = rng.uniform(1, 9, (20, 20, 2)).astype(np.float32)
        path = write_nifti(folder / f"P{patient}" / "a.nii.gz", array)
    return path


def _prepare(folder: Path, reader, on_error: str) -> Path:
    output = folder.parent / on_error
    preparation = PreparationSettings(image_size=16, crop=16, on_error=on_error)
    prepare("hip", folder, PreparationTask(reader=reader, fit="crop", preparation=preparation), output, 0)
    return output


def _check(folder: Path, bad: Path, reader) -> None:
    start = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(UnimriError) as raised:
            _prepare(folder, reader, "fail")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY
    assert str(raised.value).startswith(f"{bad}: ")
    assert "; " in str(raised.value), "the mend is missing"
    assert not (folder.parent / "fail").exists()
    output = _prepare(folder, reader, "skip")
    assert PreparedData(output).manifest["patient"].nunique() == 3
    (skipped,) = pd.read_csv(output / "skipped.csv").to_dict("records")
    assert skipped["reason"] in str(raised.value)
    assert bad.name not in skipped["reason"]
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("spoil", DICOM.values(), ids=DICOM.keys())
def test_a_bad_dicom_is_reported_or_left_out(tmp_path, spoil):
    bad = _good_dicom(tmp_path / "raw")
    spoil(bad)
    _check(tmp_path / "raw", bad, DicomReader())


@pytest.mark.parametrize("spoil", NIFTI.values(), ids=NIFTI.keys())
def test_a_bad_nifti_is_reported_or_left_out(tmp_path, spoil):
    bad = _good_nifti(tmp_path / "raw")
    spoil(bad)
    _check(tmp_path / "raw", bad, NiftiReader())


@pytest.mark.parametrize("change", FINE.values(), ids=FINE.keys())
def test_an_unusual_nifti_is_used(tmp_path, change):
    change(_good_nifti(tmp_path / "raw"))
    assert len(PreparedData(_prepare(tmp_path / "raw", NiftiReader(), "fail")).manifest) == 4


def test_mixed_sizes_in_a_series_are_reported(tmp_path):
    bad = _good_dicom(tmp_path / "raw").with_name("b.dcm")
    pixels = np.arange(30 * 30, dtype=np.uint16).reshape(30, 30)
    write_image(bad, pixels, PatientID="P3", SeriesInstanceUID="1.3", InstanceNumber=9)
    _check(tmp_path / "raw", bad, DicomReader())


def test_links_back_and_pipes_are_passed_over_and_noted(tmp_path):
    folder = tmp_path / "raw"
    _good_nifti(folder)
    (folder / "P0" / "circle").symlink_to(folder)
    (folder / "P1" / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "P3" / "pipe.nii")
    output = _prepare(folder, NiftiReader(), "fail")
    assert len(PreparedData(output).manifest) == 4
    reasons = pd.read_csv(output / "skipped.csv")["reason"]
    assert sorted(reason.split(" ")[2] for reason in reasons) == ["link", "link", "pipe,"]


@pytest.mark.parametrize("name", ["nowhere.nii", "folder"])
def test_a_link_that_leads_nowhere_is_a_fault(tmp_path, name):
    """Its scan was lost without a word before."""
    folder = tmp_path / "raw"
    bad = _good_nifti(folder)
    bad.unlink()
    bad.parent.rmdir()
    link = folder / name
    link.symlink_to(folder / "nothing")
    _check(folder, link, NiftiReader())


def test_a_link_to_itself_is_a_fault(tmp_path):
    folder = tmp_path / "raw"
    bad = _good_nifti(folder)
    bad.unlink()
    bad.symlink_to(bad)
    _check(folder, bad, NiftiReader())


def test_a_file_that_goes_away_while_others_are_read_is_reported(tmp_path):
    bad = _good_nifti(tmp_path / "raw")
    scans = NiftiReader().find(tmp_path / "raw")
    bad.unlink()
    with pytest.raises(ReadError, match=r"a\.nii\.gz: is missing; check the path"):
        NiftiReader().read_scan(scans[-1])


def test_a_disk_that_fills_up_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    _good_nifti(tmp_path / "raw")
    write = h5py.Dataset.__setitem__
    written = []

    def full(self, *arguments):
        if len(written) == 2:
            raise OSError(28, "Can't write data (file write failed)")
        written.append(write(self, *arguments))

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    with pytest.raises(UnimriError, match=r"shard-000\.h5: cannot be written: no space left on device; free"):
        _prepare(tmp_path / "raw", NiftiReader(), "skip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """Bytes of one good file of each format."""
    folder = tmp_path_factory.mktemp("whole")
    array = np.random.default_rng(0).uniform(1, 9, (12, 12, 2)).astype(np.float32)
    nib.save(nib.Nifti1Image(array, np.eye(4)), folder / "a.nii")
    return {"a.nii": (folder / "a.nii").read_bytes()}


def _survives(folder: Path, reader) -> None:
    """Reading gives an image or the project's own error, and nothing else."""
    try:
        for scan in reader.find(folder):
            volume = reader.read_scan(scan)
            assert volume.ndim == 3
            assert np.isfinite(volume).all()
    except UnimriError:
        pass


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8)
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _mutated(content: bytes, changes: list[tuple[int, int]], until: int) -> bytes:
    mutated = bytearray(content)
    for place, value in changes:
        mutated[place % min(until, len(mutated))] = value
    return bytes(mutated)


@FUZZ
@given(changes=CHANGES)
def test_no_damage_to_a_nifti_header_crashes_the_reader(tmp_path, whole, changes):
    (tmp_path / "raw").mkdir(exist_ok=True)
    (tmp_path / "raw" / "a.nii").write_bytes(_mutated(whole["a.nii"], changes, 352))
    for plane in ("native", "coronal"):
        _survives(tmp_path / "raw", NiftiReader(plane=plane))


@FUZZ
@given(changes=CHANGES)
def test_no_damage_to_a_dicom_header_crashes_the_reader(tmp_path, changes):
    path = tmp_path / "raw" / "a.dcm"
    if not path.parent.exists():
        pixels = np.arange(100, dtype=np.uint16).reshape(10, 10)
        geometry = {"ImagePositionPatient": [0, 0, 1], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        write_image(tmp_path / "whole.dcm", pixels, InstanceNumber=1, RescaleSlope="2", **geometry)
        path.parent.mkdir()
    path.write_bytes(_mutated((tmp_path / "whole.dcm").read_bytes(), changes, 10**6))
    _survives(tmp_path / "raw", DicomReader())


def test_a_killed_preparation_leaves_nothing_that_looks_whole(tmp_path):
    rng = np.random.default_rng(0)
    for patient in range(40):
        write_nifti(tmp_path / "raw" / f"P{patient}" / "a.nii.gz", rng.uniform(1, 9, (96, 96, 8)).astype(np.float32))
    task = {"reader": {"format": "nifti"}, "fit": "resize", "preparation": {"image_size": 64}}
    command = [sys.executable, "-m", "unimri.cli", "prepare", "hip", str(tmp_path / "raw"), "0"]
    command += ["--settings", json.dumps(task), "--output", str(tmp_path / "out")]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not list(tmp_path.glob(".partial-*/.partial-*")):
        assert running.poll() is None
        time.sleep(0.01)
    running.kill()
    running.wait()
    assert not (tmp_path / "out").exists()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert len(PreparedData(tmp_path / "out").manifest) == 40
