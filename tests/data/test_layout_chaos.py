"""CHAOS: sequences by folder, never the labels."""

import pytest
from scan_files import write_series

from unimri.core.errors import UnimriError
from unimri.data.layouts import ChaosReader


@pytest.fixture
def chaos(tmp_path):
    for patient in ("2", "1"):
        for place in ("T1DUAL/DICOM_anon/InPhase", "T1DUAL/DICOM_anon/OutPhase", "T2SPIR/DICOM_anon"):
            # Both echoes of T1DUAL share a series, as they may on a scanner.
            write_series(tmp_path / patient / place, PatientID="", SeriesInstanceUID=f"1.{patient}")
        ground = tmp_path / patient / "T1DUAL" / "Ground"
        ground.mkdir()
        (ground / "IMG-0001.png").write_bytes(b"\x89PNG\r\n")
    return tmp_path


def test_each_sequence_is_a_volume_of_its_patient(chaos):
    scans = ChaosReader().find(chaos)
    assert [scan.name for scan in scans] == [
        f"{patient}/{sequence}" for patient in "12" for sequence in ("InPhase", "OutPhase", "T2SPIR")
    ]
    assert [scan.patient for scan in scans] == ["1"] * 3 + ["2"] * 3
    assert all(ChaosReader().read_scan(scan).shape == (3, 12, 10) for scan in scans)


def test_sequences_can_be_chosen(chaos):
    scans = ChaosReader(sequences=["T2SPIR"]).find(chaos)
    assert [scan.name for scan in scans] == ["1/T2SPIR", "2/T2SPIR"]


@pytest.mark.parametrize("above", ["", "data"])
def test_both_trees_are_read_from_above(tmp_path, above):
    for tree, patient in (("Train_Sets", "1"), ("Test_Sets", "3"), ("Train_Sets", "10")):
        folder = tmp_path / above / tree
        write_series(folder / "MR" / patient / "T2SPIR/DICOM_anon", PatientID="", SeriesInstanceUID=f"1.{patient}")
        write_series(folder / "CT" / patient / "DICOM_anon", PatientID="", SeriesInstanceUID=f"2.{patient}")
    scans = ChaosReader().find(tmp_path)
    assert sorted(scan.patient for scan in scans) == ["1", "10", "3"]
    assert len({scan.name for scan in scans}) == 3
    assert all(ChaosReader().read_scan(scan).shape == (3, 12, 10) for scan in scans)
    (scan,) = ChaosReader().find(tmp_path / above / "Test_Sets" / "MR")
    assert (scan.patient, scan.name) == ("3", "3/T2SPIR")


def test_a_number_in_both_trees_is_one_patient_with_volumes_of_their_own(tmp_path):
    for tree, series in (("Train_Sets", "1.1"), ("Test_Sets", "1.2")):
        write_series(tmp_path / tree / "MR" / "1" / "T2SPIR/DICOM_anon", SeriesInstanceUID=series)
    first, second = ChaosReader().find(tmp_path)
    assert first.patient == second.patient == "1"
    assert first.name != second.name


def test_a_damaged_file_is_reported_when_its_sequence_is_read(chaos):
    (chaos / "1" / "T2SPIR" / "DICOM_anon" / "IM2.dcm").write_bytes(b"damaged")
    with pytest.raises(UnimriError, match=r"IM2\.dcm: cannot be parsed"):
        [ChaosReader().read_scan(scan) for scan in ChaosReader().find(chaos)]


def test_folders_without_sequences_are_reported(tmp_path):
    with pytest.raises(UnimriError, match="empty"):
        ChaosReader().find(tmp_path)
    (tmp_path / "1").mkdir()
    with pytest.raises(UnimriError, match="found no CHAOS MR sequence"):
        ChaosReader().find(tmp_path)
