"""Scans that were lost or mixed without a word: each is found, or named with a reason, by every reader."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calls import call
from scan_files import header_of, noise, ramp, write_fastmri, write_image, write_ismrmrd, write_nifti, write_series

from unimri.core.errors import ReadError, UnimriError
from unimri.data.index import Index, IndexTask, index_scans
from unimri.data.layouts import (
    AcdcReader,
    ChaosReader,
    DecathlonReader,
    DicomReader,
    FastmriReader,
    IsmrmrdReader,
    NiftiReader,
)
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.reader import find_scans
from unimri.io.formats import find_sources, load_kspace
from unimri.io.notes import ReadNote

FASTMRI = {"kspace": noise(2, 16, 10)}


def write_acdc(folder: Path, end: str = ".nii.gz") -> None:
    write_nifti(folder / f"{folder.name}_4d{end}", ramp(4, 5, 3, 2))


def write_chaos(folder: Path) -> None:
    write_series(folder / "T2SPIR/DICOM_anon", PatientID="", SeriesInstanceUID=f"1.{folder.name[-1]}")


LAYOUTS = [
    (DicomReader(), lambda path: write_series(path, PatientID=path.name, SeriesInstanceUID=f"1.{path.name[-1]}")),
    (NiftiReader(), lambda path: write_nifti(path / "t1.nii.gz", ramp(4, 5, 3))),
    (AcdcReader(), write_acdc),
    (ChaosReader(), write_chaos),
    (FastmriReader(), lambda path: write_fastmri(path / "k.h5", {"patient_id": path.name}, **FASTMRI)),
    (IsmrmrdReader(), lambda path: write_ismrmrd(path / "k.h5", noise(2, 1, 16, 10), header_of(16, 10, 8, 6))),
]


@pytest.mark.parametrize(("reader", "write"), LAYOUTS, ids=[reader.format for reader, _ in LAYOUTS])
def test_patients_that_are_links_are_found_and_those_that_lead_nowhere_told(tmp_path, reader, write):
    for number in (1, 2, 3):
        write(tmp_path / ("kept" if number < 3 else "set") / f"patient{number}")
        if number < 3:
            (tmp_path / "set").mkdir(exist_ok=True)
            (tmp_path / "set" / f"patient{number}").symlink_to(tmp_path / "kept" / f"patient{number}")
    (tmp_path / "set" / "patient3" / "circle").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "patient4").symlink_to(tmp_path / "kept" / "patient4")
    found = find_scans(reader, tmp_path / "set")
    whole = [scan for scan in found.scans if scan.fault is None]
    assert len(whole) == 3
    assert sorted({path.relative_to(tmp_path / "set").parts[0] for scan in whole for path in scan.paths}) == [
        f"patient{number}" for number in (1, 2, 3)
    ]
    assert all(reader.read_scan(scan).ndim == 3 for scan in whole)
    (lost,) = [scan for scan in found.scans if scan.fault is not None]
    with pytest.raises(ReadError, match=r"patient4: is a link to what is not there; fetch that"):
        reader.read_scan(lost)
    assert [one.path.name for one in found.passed] == ["circle"]


def test_links_are_followed_in_what_is_reconstructed(tmp_path):
    write_nifti(tmp_path / "kept/a.nii", ramp(4, 5, 3))
    (tmp_path / "set").mkdir()
    (tmp_path / "set/p1").symlink_to(tmp_path / "kept")
    (tmp_path / "set/p2.nii").symlink_to(tmp_path / "kept/b.nii")
    (tmp_path / "set/p3.dcm").symlink_to(tmp_path / "kept/c.dcm")
    (tmp_path / "set/notes.txt").symlink_to(tmp_path / "kept/notes.txt")
    whole, lost, image = find_sources(tmp_path / "set")
    assert whole.read().images.shape == (3, 4, 5)
    assert [(one.name, one.format.name) for one in (whole, lost, image)] == [
        ("p1/a.nii", "nifti"),
        ("p2.nii", "nifti"),
        ("p3.dcm", "dicom"),
    ]
    for one in (lost, image):
        with pytest.raises(ReadError, match="is a link to what is not there"):
            one.read()


@pytest.mark.parametrize(
    "start", [b"/annex/objects/MD5E-s1234--abc.nii.gz\n", b"version https://git-lfs.github.com/spec/v1\n"]
)
@pytest.mark.parametrize(
    ("reader", "name"),
    [(NiftiReader(), "a.nii.gz"), (FastmriReader(), "a.h5"), (DicomReader(), "a.dcm"), (DicomReader(), "a")],
)
def test_files_whose_content_was_not_fetched_are_told(tmp_path, start, reader, name):
    (tmp_path / name).write_bytes(start)
    (scan,) = reader.find(tmp_path)
    with pytest.raises(ReadError, match=r"is a placeholder: its content was not fetched; fetch it"):
        reader.read_scan(scan)


def test_names_that_a_terminal_would_obey_are_spelt_out(tmp_path):
    write_nifti(tmp_path / "a\x1b[31m.nii", ramp(4, 5, 3))
    (tmp_path / "b\x1b[31m\n.txt").write_text("")
    result = call("inspect", str(tmp_path), "--reader", "nifti")
    assert "\x1b" not in result.out
    assert "a\\x1b[31m.nii" in result.out
    assert "b\\x1b[31m .txt" in result.out


def test_case_of_endings_does_not_matter_to_any_reader(tmp_path):
    write_nifti(tmp_path / "one.nii.gz", ramp(4, 5, 3)).rename(tmp_path / "ONE.NII.GZ")
    write_nifti(tmp_path / "two.nii", ramp(4, 5, 3)).rename(tmp_path / "TWO.NII")
    write_fastmri(tmp_path / "K.H5", **FASTMRI)
    np.save(tmp_path / "a.npy", np.ones((2, 4, 5)) * ramp(4, 5))
    (tmp_path / "a.npy").rename(tmp_path / "A.NPY")
    assert [NiftiReader().read_scan(scan).shape for scan in NiftiReader().find(tmp_path)] == [(3, 4, 5)] * 2
    assert [FastmriReader().read_scan(scan).shape for scan in FastmriReader().find(tmp_path)] == [(2, 8, 6)]
    assert [(one.name, one.format.name) for one in find_sources(tmp_path)] == [
        ("A.NPY", "numpy"),
        ("K.H5", "fastmri-h5"),
        ("ONE.NII.GZ", "nifti"),
        ("TWO.NII", "nifti"),
    ]
    for one in find_sources(tmp_path):
        one.read()


def test_ismrmrd_has_other_names_of_files_and_groups(tmp_path):
    header = header_of(16, 10, 8, 6)
    write_ismrmrd(tmp_path / "one.mrd", noise(2, 1, 16, 10), header)
    write_ismrmrd(tmp_path / "two.h5", noise(2, 1, 16, 10), header, group="measurement_2")
    write_ismrmrd(tmp_path / "three.h5", noise(2, 1, 16, 10), header, group="a")
    write_ismrmrd(tmp_path / "three.h5", noise(2, 1, 16, 10), header, group="b")
    one, three, two = IsmrmrdReader().find(tmp_path)
    assert [IsmrmrdReader().read_scan(scan).shape for scan in (one, two)] == [(2, 8, 6)] * 2
    with pytest.raises(ReadError, match=r"three\.h5: has 2 scans, each in a group; save each"):
        IsmrmrdReader().read_scan(three)
    assert [source.format.name for source in find_sources(tmp_path)] == ["ismrmrd"] * 3
    write_ismrmrd(tmp_path / "two.h5", noise(2, 1, 16, 10), header)
    write_ismrmrd(tmp_path / "two.h5", noise(2, 1, 16, 10), header, group="measurement_2")
    with pytest.warns(ReadNote, match=r"its group `dataset` is read, and 1 other\(s\)"):
        IsmrmrdReader().read_scan(two)


@pytest.mark.parametrize("end", [".nii", ".NII.GZ"])
def test_challenges_may_be_unpacked(tmp_path, end):
    for number in (1, 2, 3):
        for path in (f"acdc/patient00{number}/patient00{number}_4d", f"task/imagesTr/prostate_0{number}"):
            write_nifti(tmp_path / f"{path}.nii", ramp(4, 5, 3))
            if end != ".nii":
                write_nifti(tmp_path / f"{path}.nii.gz", ramp(4, 5, 3)).rename(tmp_path / f"{path}{end}")
                (tmp_path / f"{path}.nii").unlink()
    (tmp_path / "task/dataset.json").write_text('{"modality": {"0": "T2"}}')
    for reader, folder in ((AcdcReader(), "acdc"), (DecathlonReader(), "task")):
        scans = reader.find(tmp_path / folder)
        assert len({scan.patient for scan in scans}) == len(scans) == 3
        assert all(reader.read_scan(scan).shape == (3, 4, 5) for scan in scans)


def test_frames_without_their_cine_are_told(tmp_path):
    write_acdc(tmp_path / "patient001")
    write_nifti(tmp_path / "patient001/patient001_frame01.nii.gz", ramp(4, 5, 3))
    write_nifti(tmp_path / "patient002/patient002_frame01.nii.gz", ramp(4, 5, 3))
    found = find_scans(AcdcReader(), tmp_path)
    assert len(found.scans) == 1
    assert [(one.path.parent.name, one.companion) for one in found.passed] == [
        ("patient001", True),
        ("patient002", False),
    ]


def write_channels(folder: Path, about: dict | None) -> None:
    for number in (1, 2, 3):
        for channel in (0, 1):
            array = ramp(4, 5, 3) + np.int16(1000 * channel)
            write_nifti(folder / f"imagesTr/CASE_{number:03d}_{channel:04d}.nii.gz", array)
        write_nifti(folder / f"labelsTr/CASE_{number:03d}.nii.gz", ramp(4, 5, 3))
    if about is not None:
        (folder / "dataset.json").write_text(json.dumps(about))


@pytest.mark.parametrize("channel", [0, 1])
@pytest.mark.parametrize("about", [{"channel_names": {"0": "T1", "1": "T2"}}, {"modality": {"0": "T1", "1": "T2"}}, {}])
def test_channels_as_files_are_one_patient(tmp_path, channel, about):
    write_channels(tmp_path, about)
    reader = DecathlonReader(channel=channel)
    found = find_scans(reader, tmp_path)
    assert [scan.patient for scan in found.scans] == ["CASE_001", "CASE_002", "CASE_003"]
    assert [scan.paths[0].name[-8] for scan in found.scans] == [str(channel)] * 3
    assert all(reader.read_scan(scan).max() == 59 + 1000 * channel for scan in found.scans)
    assert len([one for one in found.passed if "another channel" in one.reason]) == 3
    (tmp_path / f"imagesTr/CASE_002_{channel:04d}.nii.gz").unlink()
    if about:
        scan = reader.find(tmp_path)[1]
        with pytest.raises(ReadError, match=rf"is of a patient without channel {channel}"):
            reader.read_scan(scan)


@pytest.mark.parametrize("patient", ["folder", "file"])
@pytest.mark.parametrize("root", ["", "imagesTr"])
def test_channels_as_files_are_one_patient_for_the_nifti_reader_too(tmp_path, patient, root):
    write_channels(tmp_path, {"channel_names": {"0": "T1", "1": "T2"}} if patient == "file" else None)
    scans = NiftiReader(patient=patient).find(tmp_path / root)
    assert len(scans) == 6
    assert sorted({Path(scan.patient).name for scan in scans}) == ["CASE_001", "CASE_002", "CASE_003"]


def test_patients_with_four_digits_stay_patients(tmp_path):
    for number in range(4):
        write_nifti(tmp_path / f"imagesTr/case_{number:04d}.nii.gz", ramp(4, 5, 3, 2))
    (tmp_path / "dataset.json").write_text('{"modality": {"0": "T2", "1": "ADC"}}')
    for reader in (DecathlonReader(), NiftiReader(patient="file")):
        assert len({scan.patient for scan in reader.find(tmp_path)}) == 4


def test_one_subject_is_one_patient_wherever_its_files_lie(tmp_path):
    for name in ("ses-1/sub-1/t1.nii", "ses-2/sub-1/t1.nii", "sub-2_T1w.nii", "sub-2_T2w.nii", "a.nii", "a.nii.gz"):
        write_nifti(tmp_path / name, ramp(4, 5, 3))
    assert [scan.patient for scan in NiftiReader().find(tmp_path)] == ["a.nii"] * 2 + ["sub-1"] * 2 + ["sub-2"] * 2


def test_a_copy_of_another_patients_file_is_noted(tmp_path):
    rng = np.random.default_rng(0)
    for patient in "abc":
        write_nifti(tmp_path / patient / "t1.nii", rng.uniform(1, 9, (20, 20, 30)).astype(np.float32))
    write_nifti(tmp_path / "d" / "t1.nii", np.zeros((20, 20, 30), np.float32))
    shutil.copy(tmp_path / "a/t1.nii", tmp_path / "c/other.nii")
    shutil.copy(tmp_path / "b/t1.nii", tmp_path / "b/copy.nii")
    scans = NiftiReader().find(tmp_path)
    assert [scan.name for scan in scans if scan.note] == ["a/t1.nii", "c/other.nii"]
    assert "the same bytes as another patient's" in call("inspect", str(tmp_path), "--reader", "nifti").out


@pytest.fixture
def bids(tmp_path):
    """Four patients, with derivatives, masks and a note."""
    for number in (1, 2, 3, 4):
        name = f"sub-{number}"
        array = (ramp(20, 20, 2) + number).astype(np.int16)
        write_nifti(tmp_path / f"bids/{name}/anat/{name}_T1w.nii.gz", array)
        write_nifti(tmp_path / f"bids/derivatives/prep/{name}/{name}_desc-preproc_T1w.nii.gz", array)
        write_nifti(tmp_path / f"bids/sourcedata/{name}/{name}_T1w.nii.gz", array)
    write_nifti(tmp_path / "bids/sub-1/anat/sub-1_mask.nii.gz", ramp(20, 20, 2))
    (tmp_path / "bids/dataset_description.json").write_text("{}")
    (tmp_path / "bids/.bidsignore").write_text("")
    return tmp_path / "bids"


def test_what_is_passed_over_is_named_by_inspect(bids):
    result = call("inspect", str(bids), "--reader", "nifti")
    assert result.status == 0
    assert "4 patients, 4 volumes, 8 slices; 0 left out\n" in result.out
    told = [line for line in result.out.splitlines() if line.startswith("passed over: ")]
    assert told == [
        "passed over: 1 file (is hidden: its name begins with a dot): .bidsignore",
        "passed over: 1 file (is none of what the reader looks for): dataset_description.json",
        "passed over: 8 files (lies in a folder of derivatives or source data): derivatives, sourcedata",
        "passed over: 1 file (is a mask or label map by its name): sub-1/anat/sub-1_mask.nii.gz",
    ]


def test_what_is_passed_over_is_counted_in_the_store_and_the_log_without_names(bids, tmp_path, caplog):
    caplog.set_level("INFO")
    settings = PreparationSettings(image_size=16, crop=16, shards=2)
    prepare("head", bids, PreparationTask(reader=NiftiReader(), fit="crop", preparation=settings), tmp_path / "out", 0)
    skipped = pd.read_csv(tmp_path / "out/skipped.csv", dtype=str)
    assert skipped["reason"].value_counts().to_dict() == {
        "lies in a folder of derivatives or source data": 8,
        "is a mask or label map by its name": 1,
        "is none of what the reader looks for": 1,
        "is hidden: its name begins with a dot": 1,
    }
    said = caplog.text
    assert "passed over: 8 file(s) (lies in a folder of derivatives or source data): " in said
    assert "sub-" not in said + skipped.to_csv()
    # Whoever has the private index knows which file a key is.
    indices = index_scans("head", bids, IndexTask(reader=NiftiReader(), shards=2), 0)
    sources = {one.key: one.source for index in indices for one in index.passed}
    (mask,) = skipped.loc[skipped["reason"].str.contains("mask"), "volume"]
    assert sources[mask] == "sub-1/anat/sub-1_mask.nii.gz"
    assert mask in said


def test_what_a_challenge_lays_beside_its_scans_is_in_no_list_of_lost_ones(tmp_path):
    for number in (1, 2, 3):
        write_acdc(tmp_path / f"patient{number}")
        write_nifti(tmp_path / f"patient{number}/patient{number}_frame01_gt.nii.gz", ramp(4, 5, 3))
        (tmp_path / f"patient{number}/Info.cfg").write_text("ED: 1")
    (index,) = index_scans("heart", tmp_path, IndexTask(reader=AcdcReader()), 0)
    assert not index.passed
    assert Index.model_validate_json(index.model_dump_json()) == index


def test_nothing_found_tells_what_is_there(bids):
    for path in bids.glob("sub-*"):
        shutil.rmtree(path)
    with pytest.raises(UnimriError, match=r"found no NIfTI file.*passed over: 8 files .*: derivatives, sourcedata"):
        NiftiReader().find(bids)
    with pytest.raises(UnimriError, match=r"holds nothing that can be used.*passed over: .*derivatives"):
        find_sources(bids, "nifti")


def test_inspect_ends_with_status_1_when_nothing_can_be_used(tmp_path):
    (path,) = write_series(tmp_path / "scan", ["a.dcm"])
    path.write_bytes(path.read_bytes()[:-100])
    result = call("inspect", str(tmp_path), "--reader", "dicom")
    assert "0 patients, 0 volumes, 0 slices; 1 left out" in result.out
    assert result.status == 1


# ------------------------------------------------------------------------------------------------ spoilt DICOM headers


def slices_of(scan):
    return DicomReader().read_scan(scan)[:, 5, 5].tolist()


def test_different_images_with_one_uid_are_all_kept(tmp_path):
    write_series(tmp_path, SOPInstanceUID="1.2.3.4.5")
    (scan,) = DicomReader().find(tmp_path)
    assert slices_of(scan) == [1, 2, 3]
    assert load_kspace(tmp_path).images.shape == (3, 12, 10)


def test_copies_are_dropped_and_named_also_where_another_program_wrote_the_header(tmp_path):
    for folder, about in (("a", "one"), ("b", "two")):
        for k in range(3):
            write_series(tmp_path / folder, [f"{k}"], SOPInstanceUID=f"1.7.{k}", InstanceNumber=k + 1)
            pixels = np.full((12, 10), k + 1, np.uint16)
            pixels[0, 0] = 0
            place = {"ImagePositionPatient": [0, 0, 3 * k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
            uid = {"SOPInstanceUID": f"1.7.{k}", "InstanceNumber": k + 1, "StudyDescription": about}
            write_image(tmp_path / folder / f"{k}", pixels, **place, **uid)
    found = find_scans(DicomReader(), tmp_path)
    (scan,) = found.scans
    assert slices_of(scan) == [1, 2, 3]
    assert [(one.path.parent.name, one.reason) for one in found.passed] == [
        ("b", "is a copy of an image that is used")
    ] * 3


def test_a_copy_in_another_patients_folder_is_no_other_patient(tmp_path):
    write_series(tmp_path / "x", PatientID="")
    shutil.copytree(tmp_path / "x", tmp_path / "y")
    found = find_scans(DicomReader(patient="folder"), tmp_path)
    assert [scan.patient for scan in found.scans] == ["x"]
    assert len(found.passed) == 3


def write_patient(folder: Path, first: int, **header) -> None:
    """Three slices whose values begin with `first`, at the places of all other patients."""
    for k in range(3):
        pixels = np.full((12, 10), first + k, np.uint16)
        pixels[0, 0] = 0
        place = {"ImagePositionPatient": [0, 0, 3 * k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        own = {"InstanceNumber": k + 1, "SOPInstanceUID": f"1.7.{k}", "PatientID": "ANON"} | place
        write_image(folder / f"IM{k}.dcm", pixels, **(own | header))


def test_two_patients_with_all_ids_equal_are_never_joined(tmp_path):
    for number in (1, 2):
        write_patient(tmp_path / f"p{number}", 10 * number)
    first, second = DicomReader().find(tmp_path)
    assert (first.patient, slices_of(first)) == ("p1", [10, 11, 12])
    assert (second.patient, slices_of(second)) == ("p2", [20, 21, 22])
    assert "they were kept apart" in first.note
    assert [(source.name, len(source.paths)) for source in find_sources(tmp_path)] == [("p1", 3), ("p2", 3)]
    with pytest.raises(UnimriError, match="holds 2 volumes"):
        load_kspace(tmp_path)


def test_images_of_patients_that_other_ids_tell_apart_are_volumes_of_the_same_patient(tmp_path):
    write_patient(tmp_path / "raw", 10, PatientID="P1")
    write_patient(tmp_path / "filtered", 20, PatientID="P1")
    write_patient(tmp_path / "other", 30, PatientID="P2", SeriesInstanceUID="1.2.3.2")
    scans = DicomReader().find(tmp_path)
    assert [scan.patient for scan in scans] == ["P1", "P1", "P2"]
    assert sorted(slices_of(scan) for scan in scans) == [[10, 11, 12], [20, 21, 22], [30, 31, 32]]


@pytest.mark.parametrize("header", [{}, {"SOPInstanceUID": "1.8"}, {"InstanceNumber": None}])
def test_two_patients_in_one_folder_with_all_ids_equal_are_refused(tmp_path, header):
    write_patient(tmp_path, 10, **header)
    for path in tmp_path.glob("*.dcm"):
        path.rename(path.with_name(f"a-{path.name}"))
    write_patient(tmp_path, 20, **(header if "InstanceNumber" in header else {}))
    (scan,) = DicomReader().find(tmp_path)
    with pytest.raises(ReadError, match="different images of one position and number; give each patient"):
        DicomReader().read_scan(scan)
    with pytest.raises(ReadError, match="different images of one position"):
        load_kspace(tmp_path)


def test_patients_with_equal_uids_are_told_apart_by_their_id(tmp_path):
    for number in (1, 2):
        write_patient(tmp_path / "one", 10 * number, PatientID=f"P{number}", SOPInstanceUID=f"1.{number}")
        for path in (tmp_path / "one").glob("IM*"):
            path.rename(path.with_name(f"{number}-{path.name}"))
    assert [len(source.paths) for source in find_sources(tmp_path)] == [3, 3]
    assert [scan.patient for scan in DicomReader().find(tmp_path)] == ["P1", "P2"]


def test_two_persons_with_equal_ids_in_one_folder_are_volumes_each(tmp_path):
    for number in (1, 2):
        uid = f"1.7.{number}"
        write_patient(tmp_path, 10 * number, PatientID="", SOPInstanceUID=uid, PatientName=f"Person {number}")
        for path in tmp_path.glob("IM*"):
            path.rename(path.with_name(f"{number}-{path.name}"))
    assert sorted(slices_of(scan) for scan in DicomReader().find(tmp_path)) == [[10, 11, 12], [20, 21, 22]]
    assert [len(source.paths) for source in find_sources(tmp_path)] == [3, 3]


def test_sessions_with_one_series_uid_are_volumes_each(tmp_path):
    for number in (1, 2):
        write_patient(tmp_path, 10 * number, StudyInstanceUID=f"1.{number}", SOPInstanceUID=f"1.7.{number}")
        for path in tmp_path.glob("IM*"):
            path.rename(path.with_name(f"{number}-{path.name}"))
    assert sorted(slices_of(scan) for scan in DicomReader().find(tmp_path)) == [[10, 11, 12], [20, 21, 22]]


@pytest.mark.parametrize("study", [None, "1.6"])
@pytest.mark.parametrize("patient", ["P1", ""])
def test_a_stack_whose_images_have_each_a_series_is_one_volume(tmp_path, study, patient):
    for k in range(4):
        pixels = np.full((12, 10), 4 - k, np.uint16)
        pixels[0, 0] = 0
        place = {"ImagePositionPatient": [0, 0, -3 * k], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        ids = {"SeriesInstanceUID": f"1.5.{k}", "StudyInstanceUID": study or f"1.6.{k}", "PatientID": patient}
        write_image(tmp_path / f"{k}", pixels, **place, **ids)
    (scan,) = DicomReader().find(tmp_path)
    assert slices_of(scan) == [1, 2, 3, 4]
    assert "a series UID of its own" in scan.note
    (source,) = find_sources(tmp_path)
    assert len(source.paths) == 4


@pytest.mark.parametrize(
    "header",
    [
        {"ImagePositionPatient": [0, 0, 0]},
        {"ImagePositionPatient": None, "InstanceNumber": 1},
    ],
)
def test_single_images_that_make_no_stack_stay_apart(tmp_path, header):
    for k in range(2):
        write_series(tmp_path, [f"{k}"], SeriesInstanceUID=f"1.5.{k}", **header)
    first, second = DicomReader().find(tmp_path)
    assert "may be one stack" in first.note
    assert "may be one stack" in second.note


def test_series_with_numbers_of_their_own_stay_series(tmp_path):
    for k in range(2):
        place = [0, 0, 3.0 * k]
        write_series(tmp_path, [f"{k}"], SeriesInstanceUID=f"1.5.{k}", SeriesNumber=k, ImagePositionPatient=place)
    assert [len(scan.paths) for scan in DicomReader().find(tmp_path)] == [1, 1]


def write_numbered(folder: Path, numbers: list[str | None], names: list[str]) -> None:
    """Images without positions, whose values are their places in `names`."""
    for k, (number, name) in enumerate(zip(numbers, names, strict=True)):
        path = write_image(folder / name, ramp(4, 5).astype(np.uint16) + k, InstanceNumber="777777")
        stored = b"" if number is None else number.encode().ljust(6)
        # As it stands in the file, whatever the type allows.
        path.write_bytes(path.read_bytes().replace(b"777777", stored.ljust(6), 1))


def test_without_positions_and_numbers_names_order_images_and_a_line_says_so(tmp_path):
    write_numbered(tmp_path / "set", [None] * 12, [f"IM{k}.dcm" for k in range(1, 13)])
    (scan,) = DicomReader().find(tmp_path)
    assert DicomReader().read_scan(scan)[:, 0, 0].tolist() == list(range(12))
    assert "in the order of their file names" in scan.note
    result = call("inspect", str(tmp_path), "--reader", "dicom")
    assert "in the order of their file names" in result.out
    with pytest.warns(ReadNote, match="in the order of their file names"):
        assert load_kspace(tmp_path).images[:, 0, 0].tolist() == list(range(12))


@pytest.mark.parametrize("form", ["{}", "{:04d}", " {}", "{}.0", "{}/12", "Im{}"])
def test_numbers_as_text_order_images(tmp_path, form):
    names = [f"{k}" for k in (5, 3, 9, 1, 7, 2, 11, 8, 6, 12, 4, 10)]
    write_numbered(tmp_path, [form.format(k) for k in range(1, 13)], names)
    (scan,) = DicomReader().find(tmp_path)
    assert DicomReader().read_scan(scan)[:, 0, 0].tolist() == list(range(12))
    assert not scan.note


def test_masks_in_a_folder_of_their_own_are_no_images(tmp_path):
    write_series(tmp_path / "t2_seg", SeriesInstanceUID="1.1")
    write_series(tmp_path / "Masks", SeriesInstanceUID="1.2")
    write_series(tmp_path / "derivatives/x", SeriesInstanceUID="1.3")
    found = find_scans(DicomReader(), tmp_path)
    assert [scan.paths[0].parent.name for scan in found.scans] == ["t2_seg"]
    assert len(found.passed) == 6
