"""HDF5 files whose bytes were changed: the HDF5 library itself crashes, hangs and asks for memory, and we do not."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damage import crash, crash_at_b
from scan_files import header_of, noise, write_fastmri, write_ismrmrd, write_matlab

from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import ArraysReader, FastmriReader, IsmrmrdReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.reader import Reader
from unimri.data.store import SPLITS, PreparedData
from unimri.io import fastmri, hdf5_arrays, isolated
from unimri.io import ismrmrd as ismrmrd_reader
from unimri.io.layout import Layout

MUTATIONS, SECONDS = 200, 10


def fastmri_file(path: Path) -> None:
    write_fastmri(path, {"acquisition": "AXT1"}, compression="gzip", kspace=noise(3, 16, 10))


def ismrmrd_file(path: Path) -> None:
    write_ismrmrd(path, noise(2, 3, 16, 10), header_of(16, 10, 8, 6))


def matlab_file(path: Path) -> None:
    write_matlab(path, kspace_full=noise(16, 10, 3, 2))


FORMATS = [
    (FastmriReader(), fastmri, fastmri_file),
    (IsmrmrdReader(), ismrmrd_reader, ismrmrd_file),
    (ArraysReader(layout=Layout(dataset="kspace_full")), hdf5_arrays, matlab_file),
]
NAMES = ["fastmri-h5", "ismrmrd", "hdf5-kspace"]


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    if rng.random() < 0.2:
        return content[: rng.integers(len(content))]
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 9)):
        changed[place] = rng.integers(256)
    return bytes(changed)


@pytest.mark.parametrize(("settings", "_", "write"), FORMATS, ids=NAMES)
def test_no_damage_to_a_file_gives_more_than_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Reader, _: object, write: Callable[[Path], None]
) -> None:
    # Long enough to import torch on a machine that is busy many times over; that files which hang are ended after their
    # time is tested in `test_isolated.py`.
    worker = isolated.Worker(seconds=100)
    monkeypatch.setattr(isolated, "_WORKER", worker)
    path = tmp_path / "a.h5"
    write(path)
    whole = path.read_bytes()
    (scan,) = settings.find(tmp_path)
    expected = settings.read_scan(scan)
    rng, faults, read = np.random.default_rng(0), [], 0
    end = time.monotonic() + SECONDS
    # On such a machine the time may be over before there is enough to judge by.
    while len(faults) + read < MUTATIONS and (time.monotonic() < end or min(len(faults), read) <= 3):
        path.write_bytes(mutated(whole, rng))
        (scan,) = settings.find(tmp_path)
        try:
            volume = settings.read_scan(scan)
        except UnimriError as fault:
            faults.append(str(fault))
        else:
            assert np.isfinite(volume).all()
            read += 1
    assert min(len(faults), read) > 3
    assert all(fault.startswith(f"{path}: ") and "\n" not in fault for fault in faults)
    path.write_bytes(whole)
    (scan,) = settings.find(tmp_path)
    np.testing.assert_array_equal(settings.read_scan(scan), expected)
    worker.close()


@pytest.mark.parametrize(("settings", "reader", "write"), FORMATS[:2], ids=NAMES[:2])
@pytest.mark.parametrize("function", ["patient_of", "read_slices"])
def test_a_crash_in_finding_and_in_reading_is_told(tmp_path, monkeypatch, settings, reader, write, function):
    write(tmp_path / "a.h5")
    monkeypatch.setattr(reader, function, crash)
    (scan,) = settings.find(tmp_path)
    assert (scan.fault is not None) == (function == "patient_of")
    with pytest.raises(ReadError, match=r"a\.h5: cannot be read as HDF5; "):
        settings.read_scan(scan)


def test_a_crash_leaves_a_shard_that_is_being_written_as_it_is(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    for name in "abcd":
        fastmri_file(tmp_path / "raw" / f"{name}.h5")
    task = PreparationTask(
        reader=FastmriReader(patient="file"),
        fit="crop",
        preparation=PreparationSettings(image_size=8, crop=8, on_error="skip"),
    )
    monkeypatch.setattr(fastmri, "read_slices", crash_at_b)
    prepare("knee", tmp_path / "raw", task, tmp_path / "out", 0)
    assert pd.read_csv(tmp_path / "out" / "skipped.csv")["reason"].tolist() == ["cannot be read as HDF5"]
    prepared = PreparedData(tmp_path / "out")
    assert len(prepared.manifest) == 3
    for split in SPLITS:
        slices = prepared.split(split).batch([0, 1]).ravel()
        np.testing.assert_allclose(slices, np.arange(128) / 127, atol=0.5 / 65535 + 1e-7)
