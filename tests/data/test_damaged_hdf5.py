"""HDF5 files whose bytes were changed: the HDF5 library itself crashes, hangs and asks for memory, and we do not."""

import time
from collections.abc import Callable
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pandas as pd
import pytest
from damage import crash, crash_at_b
from unimri.data.read import fastmri_h5, isolated
from unimri.data.read import ismrmrd as ismrmrd_reader
from unimri.data.read.error import ReadError
from unimri.data.read.fastmri_h5 import FastmriH5Settings
from unimri.data.read.ismrmrd import IsmrmrdSettings
from unimri.data.read.registry import ReaderSettings, find_scans

from unimri.core.errors import UnimriError
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.split import SPLITS
from unimri.data.store import PreparedData

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientID>p1</patientID></subjectInformation>
<encoding>
<encodedSpace><matrixSize><x>16</x><y>10</y><z>1</z></matrixSize></encodedSpace>
<reconSpace><matrixSize><x>8</x><y>6</y><z>1</z></matrixSize></reconSpace>
<trajectory>cartesian</trajectory>
</encoding></ismrmrdHeader>"""
MUTATIONS, SECONDS = 200, 10


def noise(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def write_fastmri(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=noise(3, 16, 10), chunks=(1, 16, 10), compression="gzip")
        file.create_dataset("ismrmrd_header", data=HEADER)
        file.attrs.update({"acquisition": "AXT1", "patient_id": "p1"})


def write_ismrmrd(path: Path) -> None:
    kspace = noise(2, 3, 16, 10)
    with ismrmrd.Dataset(str(path), mode="w") as file:
        file.write_xml_header(HEADER)
        for number, step in np.ndindex(2, 10):
            acquisition = ismrmrd.Acquisition.from_array(np.ascontiguousarray(kspace[number, :, :, step]))
            acquisition.idx.slice, acquisition.idx.kspace_encode_step_1 = number, step
            file.append_acquisition(acquisition)


FORMATS = [(FastmriH5Settings(), fastmri_h5, write_fastmri), (IsmrmrdSettings(), ismrmrd_reader, write_ismrmrd)]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.2:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        changed[place] = rng.integers(256)
    return bytes(changed)


@pytest.mark.parametrize(("settings", "_", "write"), FORMATS, ids=["fastmri-h5", "ismrmrd"])
def test_no_damage_to_a_file_gives_more_than_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: ReaderSettings, _: object, write: Callable[[Path], None]
) -> None:
    # Long enough to import torch while others work too.
    worker = isolated.Worker(seconds=10)
    monkeypatch.setattr(isolated, "_WORKER", worker)
    path = tmp_path / "a.h5"
    write(path)
    whole = path.read_bytes()
    (scan,) = find_scans(tmp_path, settings)
    expected = scan.read()
    rng, faults, read = np.random.default_rng(0), [], 0
    end = time.monotonic() + SECONDS
    while len(faults) + read < MUTATIONS and time.monotonic() < end:
        path.write_bytes(mutated(whole, rng))
        (scan,) = find_scans(tmp_path, settings)
        try:
            volume = scan.read()
        except UnimriError as fault:
            faults.append(str(fault))
        else:
            assert np.isfinite(volume).all()
            read += 1
    assert min(len(faults), read) > 3
    assert all(fault.startswith(f"{path}: ") and "\n" not in fault for fault in faults)
    path.write_bytes(whole)
    (scan,) = find_scans(tmp_path, settings)
    np.testing.assert_array_equal(scan.read(), expected)
    worker.close()


@pytest.mark.parametrize(("settings", "reader", "write"), FORMATS, ids=["fastmri-h5", "ismrmrd"])
@pytest.mark.parametrize("function", ["patient_of", "read_slices"])
def test_a_crash_in_finding_and_in_reading_is_told(tmp_path, monkeypatch, settings, reader, write, function):
    write(tmp_path / "a.h5")
    monkeypatch.setattr(reader, function, crash)
    (scan,) = find_scans(tmp_path, settings)
    assert (scan.fault is not None) == (function == "patient_of")
    with pytest.raises(ReadError, match=r"a\.h5: cannot be read as HDF5; "):
        scan.read()


def test_a_crash_leaves_a_shard_that_is_being_written_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    for name in "abcd":
        write_fastmri(tmp_path / "raw" / f"{name}.h5")
    task = PreparationTask(
        reader=FastmriH5Settings(patient="file"),
        fit="crop",
        preparation=PreparationSettings(image_size=8, crop=8, on_error="skip"),
    )
    monkeypatch.setattr(fastmri_h5, "read_slices", crash_at_b)
    prepare("knee", tmp_path / "raw", task, tmp_path / "out", 0)
    assert pd.read_csv(tmp_path / "out" / "skipped.csv")["reason"].tolist() == ["cannot be read as HDF5"]
    prepared = PreparedData(tmp_path / "out")
    assert len(prepared.manifest) == 3
    for split in SPLITS:
        slices = prepared.split(split).batch([0, 1]).ravel()
        np.testing.assert_allclose(slices, np.arange(128) / 127, atol=0.5 / 65535 + 1e-7)
