"""The index: keys, shards, given splits, and that it joins keys to names again."""

import os

import numpy as np
import pytest
from scan_files import write_nifti, write_series

from unimri.core.errors import UnimriError
from unimri.data.index import Index, IndexTask, index_scans, save_index
from unimri.data.layouts import DicomReader, NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.store import PreparedData


@pytest.fixture
def scans(tmp_path):
    rng = np.random.default_rng(0)
    for patient in range(5):
        write_nifti(tmp_path / "raw" / f"P{patient}" / "t1.nii", rng.uniform(size=(8, 8, 2)).astype(np.float32))
    return tmp_path / "raw"


def test_shards_divide_the_volumes_evenly_and_in_the_order_of_keys(scans):
    indices = index_scans("knee", scans, IndexTask(reader=NiftiReader(), shards=2), 0)
    keys = [[entry.volume for entry in index.entries] for index in indices]
    assert [len(part) for part in keys] == [3, 2]
    assert keys == [sorted(part) for part in keys]
    assert [entry.patient_name for entry in indices[0].entries] != ["P0", "P2", "P4"]


def test_a_saved_index_gives_the_scans_back_to_its_owner_alone(tmp_path, scans):
    write_series(tmp_path / "dicom", PatientID="A")
    write_series(tmp_path / "dicom" / "b", PatientID="B", SeriesInstanceUID="1.2.3.2")
    write_series(tmp_path / "dicom" / "c", PatientID="C", SeriesInstanceUID="1.2.3.3")
    for folder, reader in ((scans, NiftiReader()), (tmp_path / "dicom", DicomReader())):
        (index,) = index_scans("knee", folder, IndexTask(reader=reader), 0)
        save_index([index], tmp_path / "private")
        path = tmp_path / "private" / "shard-000.json"
        assert path.stat().st_mode & 0o077 == 0
        assert Index.load(path) == index
        for entry in Index.load(path).entries:
            assert reader.read_scan(entry.scan(folder)).ndim == 3


def test_names_that_are_no_unicode_come_through(tmp_path, scans):
    strange = os.fsdecode(b"M\xfcller")
    (scans / "P0").rename(scans / strange)
    task = PreparationTask(reader=NiftiReader(), fit="resize", preparation=PreparationSettings(image_size=8, shards=2))
    prepare("knee", scans, task, tmp_path / "out", 0)
    assert PreparedData(tmp_path / "out").manifest["patient"].nunique() == 5
    indices = index_scans("knee", scans, task.index(), 0)
    save_index(indices, tmp_path / "private")
    loaded = [entry for n in range(2) for entry in Index.load(tmp_path / "private" / f"shard-00{n}.json").entries]
    (entry,) = [entry for entry in loaded if "%FC" in entry.patient_name]
    assert entry.scan(scans).patient == strange


def test_what_cannot_be_read_is_known_from_the_index(tmp_path):
    for patient in "ABC":
        write_series(tmp_path / "raw" / patient, PatientID=patient, SeriesInstanceUID=f"1.{ord(patient)}")
    bad = tmp_path / "raw" / "D.dcm"
    bad.write_bytes(b"no DICOM")
    (index,) = index_scans("knee", tmp_path / "raw", IndexTask(reader=DicomReader()), 0)
    save_index([index], tmp_path / "private")
    (entry,) = [entry for entry in Index.load(tmp_path / "private/shard-000.json").entries if entry.fault is not None]
    with pytest.raises(UnimriError, match=r"D\.dcm: cannot be parsed as DICOM"):
        DicomReader().read_scan(entry.scan(tmp_path / "raw"))


def test_keys_depend_on_the_secret_and_not_on_the_seed_when_there_is_one(tmp_path, scans):
    def keys(seed, secret=None):
        key_file = None
        if secret is not None:
            key_file = tmp_path / "secret"
            key_file.write_bytes(secret)
        (index,) = index_scans("knee", scans, IndexTask(reader=NiftiReader(), key_file=key_file), seed)
        return {entry.patient_name: entry.patient for entry in index.entries}

    assert keys(0) != keys(1)
    assert keys(0, b"x" * 32) == keys(1, b"x" * 32)
    assert keys(0, b"x" * 32) != keys(0, b"y" * 32)
    with pytest.raises(UnimriError, match="secret: a key of 3 bytes can be guessed"):
        keys(0, b"abc")
    with pytest.raises(UnimriError, match="nowhere: the key file cannot be read"):
        index_scans("knee", scans, IndexTask(reader=NiftiReader(), key_file=tmp_path / "nowhere"), 0)


SPLITS = "patient,split\nP0,test\nP1,train\nP2,validation\nP3,train\nP4,train\nP5,test\n"


def test_given_splits_are_used(tmp_path, scans):
    path = tmp_path / "splits.csv"
    path.write_text(SPLITS)
    settings = PreparationSettings(image_size=8, shards=3)
    task = PreparationTask(reader=NiftiReader(), fit="resize", preparation=settings, splits=path)
    prepare("knee", scans, task, tmp_path / "out", 0)
    manifest = PreparedData(tmp_path / "out").manifest
    names = {
        entry.patient: entry.patient_name
        for index in index_scans("knee", scans, task.index(), 0)
        for entry in index.entries
    }
    assert {names[row.patient]: row.split for row in manifest.itertuples()} == {
        "P0": "test",
        "P1": "train",
        "P2": "validation",
        "P3": "train",
        "P4": "train",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (SPLITS.replace("P3,train\n", ""), r"splits\.csv: lacks 1 of the data set's patients \(P3\)"),
        (SPLITS.replace("P3,train", "P3,training"), r"line 5: split is 'training'; allowed: train, validation, test"),
        (SPLITS + "P0,train\n", r"line 8: the patient was put into another split above"),
        (SPLITS.replace("patient", "name"), r"needs a header with the columns patient and split"),
        ("", r"needs a header"),
        (SPLITS.replace("P0,test", "P0,train"), r"knee: no patient is left for test"),
    ],
)
def test_splits_that_do_not_serve_are_reported(tmp_path, scans, content, says):
    path = tmp_path / "splits.csv"
    path.write_text(content)
    task = PreparationTask(
        reader=NiftiReader(), fit="resize", preparation=PreparationSettings(image_size=8), splits=path
    )
    with pytest.raises(UnimriError, match=says):
        prepare("knee", scans, task, tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_a_missing_or_torn_index_is_reported(tmp_path, scans):
    with pytest.raises(UnimriError, match=r"shard-000\.json: no such file; run `unimri index`"):
        Index.load(tmp_path / "shard-000.json")
    save_index(index_scans("knee", scans, IndexTask(reader=NiftiReader()), 0), tmp_path)
    path = tmp_path / "shard-000.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UnimriError, match=r"shard-000\.json: "):
        Index.load(path)
