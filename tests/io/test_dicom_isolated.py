"""DICOM is parsed and decoded in another process alone, and a few frames at a time."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from damage import crash, hang
from pydicom.uid import JPEG2000Lossless, RLELossless
from scan_files import MADE, PRIVATE, write_enhanced, write_image, write_oblique

from unimri.core.errors import ReadError
from unimri.data.layouts import DicomReader
from unimri.io import isolated
from unimri.io.dicom import format as dicom_format
from unimri.io.dicom import pixels as dicom_pixels
from unimri.io.dicom import series as dicom_series
from unimri.io.formats import find_sources

RAMP = np.arange(3 * 6 * 7, dtype=np.uint16).reshape(3, 6, 7)


@pytest.fixture
def worker(monkeypatch):
    worker = isolated.Worker(seconds=3)
    monkeypatch.setattr(isolated, "_WORKER", worker)
    yield worker
    worker.close()


def refused(*_, **__):
    raise AssertionError("parsed here")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("provenance", [MADE, PRIVATE])
def test_nothing_is_parsed_or_decoded_in_the_program_itself(tmp_path, monkeypatch, provenance, compressed):
    paths = [write_enhanced(tmp_path / "in" / "a", RAMP, [1, 2, 4]), *write_oblique(tmp_path / "other", RAMP)]
    for path in paths if compressed else []:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless)
        dataset.save_as(path)
    shutil.copy(paths[1], tmp_path / "other" / "copy")
    for module, name in (
        (pydicom, "dcmread"),
        (pydicom.filereader, "read_dataset"),
        (dicom_pixels, "get_decoder"),
        (pydicom.Dataset, "save_as"),
        (pydicom.Dataset, "__getitem__"),
    ):
        monkeypatch.setattr(module, name, refused)
    (source,) = find_sources(tmp_path / "in")
    images = source.read().images
    np.testing.assert_array_equal(images, RAMP[::-1] * np.array([4, 2, 1])[:, None, None])
    (written,) = source.write(images, tmp_path / "out", provenance)
    (again,) = find_sources(tmp_path / "out")
    np.testing.assert_array_equal(again.read().images, images)
    reader = DicomReader()
    (scan,) = reader.find(tmp_path / "other")
    np.testing.assert_array_equal(reader.read_scan(scan), RAMP)
    assert reader.orientation(scan.paths)
    monkeypatch.undo()
    assert pydicom.dcmread(written).pixel_array.shape == RAMP.shape


@pytest.mark.parametrize("fault", [crash, hang])
def test_a_header_that_crashes_or_hangs_the_parser_is_told_of_its_file(tmp_path, monkeypatch, worker, fault):
    a, b = (write_image(tmp_path / name, np.ones((4, 5), np.uint16)) for name in ("a.dcm", "b.dcm"))
    monkeypatch.setattr(dicom_series, "_parsed_header", fault)
    faults = [scan.fault for scan in DicomReader().find(tmp_path)]
    assert [(fault.path, fault.reason) for fault in faults] == [(one, "cannot be parsed as DICOM") for one in (a, b)]
    monkeypatch.undo()
    assert [scan.fault for scan in DicomReader().find(tmp_path)] == [None]


def test_a_header_that_crashes_the_writer_is_told_and_leaves_nothing(tmp_path, monkeypatch, worker):
    write_oblique(tmp_path / "in", RAMP)
    (source,) = find_sources(tmp_path / "in")
    images = source.read().images
    monkeypatch.setattr(dicom_format, "header_bytes", crash)
    with pytest.raises(ReadError, match="its header cannot be read and written again") as told:
        source.write(images, tmp_path / "out", MADE)
    assert told.value.path == source.paths[0]
    assert not (tmp_path / "out").exists()


def test_the_file_of_a_series_that_is_cut_short_is_named(tmp_path):
    paths = write_oblique(tmp_path / "in", np.ones((3, 40, 50), np.uint16))
    (source,) = find_sources(tmp_path / "in")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    with pytest.raises(ReadError, match="more voxels than the file holds") as told:
        source.read()
    assert told.value.path == paths[1]


def test_one_run_gives_a_study_one_new_uid_whatever_becomes_of_the_process(tmp_path, worker):
    uids = set()
    for number in range(2):
        write_oblique(tmp_path / f"in{number}", RAMP)
        (source,) = find_sources(tmp_path / f"in{number}")
        written = source.write(source.read().images, tmp_path / f"out{number}", PRIVATE)
        uids |= {pydicom.dcmread(path).StudyInstanceUID for path in written}
        worker.close()
    assert len(uids) == 1


# Of the program and of the process that reads for it.
PROGRAM = """
import re, sys
from pathlib import Path
from unimri.io import isolated
from unimri.io.formats import find_sources
from unimri.io.volume import Provenance
(source,) = find_sources(Path(sys.argv[1]))
images = source.open().images
source.write(images, Path(sys.argv[2]), Provenance("distilled/layer3", "brain", 4.0, True, "0.1.0"))
for process in ("self", isolated._WORKER._process._process.pid):
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open(f"/proc/{process}/status").read())[1])
"""


def peaks(folder: Path, frames: int, compressed: bool) -> np.ndarray:
    """The most memory, in bytes, that reading and writing a file of many frames takes in either process."""
    image = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512) // 70
    path = write_image(folder / str(frames) / "a.dcm", np.stack([image] * frames))
    if compressed:
        dataset = pydicom.dcmread(path)
        dataset.compress(JPEG2000Lossless)
        dataset.save_as(path)
    command = [sys.executable, "-c", PROGRAM, path.parent, folder / f"{frames}-out"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    (written,) = (folder / f"{frames}-out").iterdir()
    new = pydicom.dcmread(written)
    assert new.NumberOfFrames == frames
    assert (new.pixel_array == image).all()
    return np.array(run.stdout.split(), np.int64) * 1024


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")
@pytest.mark.parametrize("compressed", [False, True])
def test_many_frames_take_no_more_memory_than_few(tmp_path, compressed):
    few, many = peaks(tmp_path, 40, compressed), peaks(tmp_path, 160, compressed)
    # 60 MB as they are stored, 120 MB as float32.
    assert (many - few < 30 * 2**20).all()
