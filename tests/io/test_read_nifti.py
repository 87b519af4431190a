"""NIfTI files and the layouts built on them: which files, which slices, and what is refused."""

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scan_files import ramp, write_nifti
from scipy.spatial.transform import Rotation

from unimri.core.errors import UnimriError
from unimri.data.layouts import AcdcReader, DecathlonReader, NiftiReader, ReaderSettings
from unimri.data.prepare import inspect
from unimri.io.nifti import read_slices, slice_orientation
from unimri.io.notes import heard
from unimri.io.volume import AXES, describe


def test_native_slices_are_the_third_axis_as_stored(tmp_path):
    array = ramp(4, 5, 3)
    volume = read_slices(write_nifti(tmp_path / "a.nii.gz", array))
    assert volume.dtype == np.float32
    np.testing.assert_array_equal(volume, np.moveaxis(array, 2, 0))


def test_four_axes_are_read_by_position_then_time(tmp_path):
    array = ramp(4, 5, 3, 2)
    volume = read_slices(write_nifti(tmp_path / "a.nii", array))
    for z in range(3):
        for t in range(2):
            np.testing.assert_array_equal(volume[2 * z + t], array[:, :, z, t])


def test_the_files_slope_is_applied(tmp_path):
    image = nib.Nifti1Image(ramp(4, 5, 3), np.eye(4))
    image.header.set_slope_inter(2.0, 7.0)
    nib.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(read_slices(tmp_path / "a.nii"), np.moveaxis(2.0 * ramp(4, 5, 3) + 7, 2, 0))


@pytest.mark.parametrize(
    ("plane", "corner"),
    # Where the first pixel of the first slice lies: right-anterior-inferior and so on, as indices of RAS.
    [("axial", (3, 4, 0)), ("coronal", (3, 4, 2)), ("sagittal", (0, 4, 2))],
)
@pytest.mark.parametrize("stored", [("R", "A", "S"), ("L", "S", "P"), ("P", "I", "R")])
def test_planes_look_as_radiologists_look_whatever_the_storage(tmp_path, plane, corner, stored):
    canonical = nib.Nifti1Image(ramp(4, 5, 3), np.eye(4))
    orientation = nib.orientations.ornt_transform(nib.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt(stored))
    image = canonical.as_reoriented(orientation)
    path = write_nifti(tmp_path / "a.nii", np.asarray(image.dataobj), image.affine)
    volume = read_slices(path, plane)
    shape = {"axial": (3, 5, 4), "coronal": (5, 3, 4), "sagittal": (4, 3, 5)}[plane]
    assert volume.shape == shape
    assert volume[0, 0, 0] == ramp(4, 5, 3)[corner]
    # Columns run to the patient's left (posterior in sagittal views), so RAS indices fall.
    step = {"axial": (-1, 0, 0), "coronal": (-1, 0, 0), "sagittal": (0, -1, 0)}[plane]
    assert volume[0, 0, 1] == ramp(4, 5, 3)[tuple(np.add(corner, step))]
    assert slice_orientation(path, plane) == f"{plane} ({' '.join(AXES[plane])})"


@pytest.mark.parametrize(
    ("stored", "said"),
    [("RAS", "axial (S R A)"), ("LSP", "coronal (P L S)"), ("PIR", "sagittal (R P I)")],
)
def test_the_orientation_of_stored_slices_is_said(tmp_path, stored, said):
    # Slices are the third axis, rows the first, columns the second.
    transform = nib.orientations.ornt_transform(
        nib.io_orientation(np.eye(4)), nib.orientations.axcodes2ornt(tuple(stored))
    )
    image = nib.Nifti1Image(ramp(4, 5, 3), np.eye(4)).as_reoriented(transform)
    path = write_nifti(tmp_path / "a.nii.gz", np.asarray(image.dataobj), image.affine)
    assert slice_orientation(path) == said
    tilted = np.eye(4)
    tilted[:3, :3] = Rotation.from_euler("x", 20, degrees=True).as_matrix()
    assert slice_orientation(write_nifti(path, image.dataobj, tilted @ image.affine)) == f"oblique {said}"


def test_directions_that_span_no_space_have_no_orientation():
    assert describe(np.diag([1.0, 1.0, 0.0, 1.0])) == ""
    assert describe(np.full((4, 4), np.nan)) == ""


def test_planes_keep_time(tmp_path):
    array = ramp(4, 5, 3, 2)
    volume = read_slices(write_nifti(tmp_path / "a.nii", array), "axial")
    np.testing.assert_array_equal(volume[1], array[::-1, ::-1, 0, 1].T)


def test_complex_values_become_magnitudes(tmp_path):
    array = ramp(4, 5, 3) * np.complex64(3 + 4j)
    volume = read_slices(write_nifti(tmp_path / "a.nii", array))
    np.testing.assert_allclose(volume, 5 * np.moveaxis(ramp(4, 5, 3), 2, 0))


def test_any_folder_is_searched_without_labels(tmp_path):
    names = [
        "b/T1.nii.gz",
        "a/deep/T2.nii",
        "root.nii",
        "a/T1_SEG.nii",
        "a/x_gt.nii.gz",
        "labels/T1.nii",
        "a/._T1.nii",
    ]
    for name in names:
        write_nifti(tmp_path / name, ramp(4, 5, 3))
    (tmp_path / "a" / "notes.txt").write_text("notes")
    scans = NiftiReader().find(tmp_path)
    assert [(scan.patient, scan.name) for scan in scans] == [
        ("a", "a/deep/T2.nii"),
        ("b", "b/T1.nii.gz"),
        ("root.nii", "root.nii"),
    ]
    each = NiftiReader(patient="file", exclude=[]).find(tmp_path)
    assert len({scan.patient for scan in each}) == 6


def test_a_pattern_in_the_path_finds_the_patient(tmp_path):
    for name in ("sub-1_T1.nii", "sub-1_T2.nii", "deep/sub-2_T1.nii", "deep/pilot.nii"):
        write_nifti(tmp_path / name, ramp(4, 5, 3))
    scans = NiftiReader(patient_pattern="(sub-[0-9]+)_").find(tmp_path)
    assert [scan.patient for scan in scans] == ["deep", "sub-2", "sub-1", "sub-1"]
    each = NiftiReader(patient_pattern="^(sub-[0-9]+)_", patient="file").find(tmp_path)
    assert [scan.patient for scan in each] == ["deep/pilot.nii", "deep/sub-2_T1.nii", "sub-1", "sub-1"]


def test_acdc_reads_the_4d_files_alone(tmp_path):
    for patient in ("patient002", "patient001"):
        folder = tmp_path / "training" / patient
        write_nifti(folder / f"{patient}_4d.nii.gz", ramp(4, 5, 3, 2))
        for other in ("frame01", "frame01_gt", "frame12", "4d_gt"):
            write_nifti(folder / f"{patient}_{other}.nii.gz", ramp(4, 5, 3))
        (folder / "Info.cfg").write_text("ED: 1\n")
    scans = AcdcReader().find(tmp_path)
    assert [scan.patient for scan in scans] == ["patient001", "patient002"]
    assert all(scan.paths[0].name.endswith("_4d.nii.gz") for scan in scans)
    assert AcdcReader().read_scan(scans[0]).shape == (6, 4, 5)


def test_decathlon_reads_the_channel_of_images_and_no_label(tmp_path):
    (tmp_path / "dataset.json").write_text("{}")
    array = ramp(4, 5, 3, 2)
    write_nifti(tmp_path / "imagesTr" / "prostate_01.nii.gz", array)
    write_nifti(tmp_path / "imagesTs" / "prostate_00.nii.gz", ramp(4, 5, 3))
    write_nifti(tmp_path / "labelsTr" / "prostate_01.nii.gz", ramp(4, 5, 3))
    (tmp_path / "imagesTr" / "._prostate_01.nii.gz").write_bytes(b"\0\5")
    scans = DecathlonReader(channel=1).find(tmp_path)
    assert [scan.patient for scan in scans] == ["prostate_01", "prostate_00"]
    np.testing.assert_array_equal(DecathlonReader(channel=1).read_scan(scans[0]), np.moveaxis(array[..., 1], 2, 0))
    with pytest.raises(UnimriError, match=r"prostate_00\.nii\.gz.*1 channel.*`channel`"):
        DecathlonReader(channel=1).read_scan(scans[1])
    assert DecathlonReader().read_scan(DecathlonReader().find(tmp_path)[1]).shape == (3, 4, 5)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("to", [0, 100, 0.5, -20])
def test_a_file_cut_short_is_told_by_name(tmp_path, name, to):
    path = write_nifti(tmp_path / name, np.random.default_rng(0).normal(size=(20, 20, 20)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to) if isinstance(to, float) else to])
    with pytest.raises(UnimriError, match=f"{name}: .*again") as raised:
        read_slices(path)
    assert "\n" not in str(raised.value)


def test_a_header_that_declares_too_much_is_refused_before_allocating(tmp_path):
    plain = write_nifti(tmp_path / "a.nii", ramp(4, 5, 3))
    content = bytearray(plain.read_bytes())
    content[42:48] = np.array([30000, 30000, 2], "<i2").tobytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(content))
    plain.write_bytes(content)
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(UnimriError, match=f"{name}: declares more voxels"):
            read_slices(tmp_path / name)
    content[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    plain.write_bytes(content)
    with pytest.raises(UnimriError, match=r"a\.nii: declares 27000000000000 voxels"):
        read_slices(plain)


def test_the_first_bytes_and_not_the_name_say_whether_a_file_is_packed(tmp_path):
    for name, lie in (("a.nii", "b.nii.gz"), ("c.nii.gz", "d.nii")):
        write_nifti(tmp_path / name, ramp(4, 5, 3)).rename(tmp_path / lie)
        np.testing.assert_array_equal(read_slices(tmp_path / lie), np.moveaxis(ramp(4, 5, 3), 2, 0))
        assert slice_orientation(tmp_path / lie) == "axial (S R A)"
    (tmp_path / "e.nii.gz").write_text("no scan")
    with pytest.raises(UnimriError, match=r"e\.nii\.gz: cannot be read as NIfTI"):
        read_slices(tmp_path / "e.nii.gz")


def _patched(path: Path, place: int, kind: str, *values: float, second: bool = False) -> Path:
    """Write a NIfTI-1 or -2 file and change numbers in its header."""
    image = (nib.Nifti2Image if second else nib.Nifti1Image)(ramp(4, 5, 3), np.eye(4))
    content = bytearray(image.to_bytes())
    content[place : place + struct.calcsize(kind)] = struct.pack(kind, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("place", "kind", "offset", "second"),
    [
        (108, "<f", 0, False),
        (108, "<f", 128, False),
        (108, "<f", 351, False),
        (168, "<q", 0, True),
        (168, "<q", 352, True),
    ],
)
def test_voxels_that_would_begin_in_the_header_are_damage(tmp_path, place, kind, offset, second):
    path = _patched(tmp_path / "a.nii", place, kind, offset, second=second)
    with pytest.raises(UnimriError, match=r"a\.nii: .*damaged"):
        read_slices(path)


def test_voxels_may_begin_later(tmp_path):
    content = bytearray(nib.Nifti1Image(ramp(4, 5, 3), np.eye(4)).to_bytes())
    content[108:112] = struct.pack("<f", 368)
    content[352:352] = bytes(16)
    (tmp_path / "a.nii").write_bytes(content)
    assert read_slices(tmp_path / "a.nii").max() == 59
    (tmp_path / "a.nii").write_bytes(content[:-16])
    with pytest.raises(UnimriError, match="declares more voxels than the file can hold"):
        read_slices(tmp_path / "a.nii")


@pytest.mark.parametrize(("place", "kind", "second"), [(112, "<ff", False), (176, "<dd", True)])
@pytest.mark.parametrize("intercept", [np.nan, np.inf])
def test_an_intercept_that_is_no_number_is_none(tmp_path, place, kind, second, intercept):
    path = _patched(tmp_path / "a.nii", place, kind, 2.0, intercept, second=second)
    np.testing.assert_array_equal(read_slices(path), 2 * np.moveaxis(ramp(4, 5, 3), 2, 0))


def test_nan_around_the_image_is_background_and_told(tmp_path):
    array = np.full((6, 6, 2), np.nan, np.float32)
    array[1:5, 1:5] = ramp(4, 4, 2) + 1
    write_nifti(tmp_path / "a.nii.gz", array)
    with heard() as notes:
        slices = read_slices(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(slices, np.moveaxis(np.nan_to_num(array), 2, 0))
    assert notes == ["NaN outside the image (55.6 % of its values) is read as 0"]


def test_cifti_and_other_values_that_are_no_image_are_named_and_the_rest_is_read(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", ramp(4, 5, 3))
    axes = nib.cifti2.ScalarAxis(["x"]), nib.cifti2.BrainModelAxis.from_mask(np.ones((4, 4, 4), bool), affine=np.eye(4))
    nib.Cifti2Image(np.arange(64, dtype=np.float32)[None], axes).to_filename(tmp_path / "b.dscalar.nii")
    for name, code in (("c.nii", "z score"), ("d.nii", "label"), ("e.nii", "vector")):
        image = nib.Nifti1Image(ramp(4, 5, 3), np.eye(4))
        image.header.set_intent(code)
        nib.save(image, tmp_path / name)
    found = {one.volume: one for one in inspect(tmp_path, NiftiReader())}
    assert found.pop("a.nii.gz").shape == (3, 4, 5)
    kinds = {name: one.fault.split(": holds ")[1].split(",")[0] for name, one in found.items()}
    assert kinds == {
        "b.dscalar.nii": "CIFTI's grayordinates",
        "c.nii": "a map of a statistic",
        "d.nii": "labels",
        "e.nii": "vectors or matrices",
    }


@pytest.mark.parametrize(("axis", "said"), [(0, "sagittal (R A S)"), (1, "coronal (A R S)"), (2, "axial (S R A)")])
@pytest.mark.parametrize("times", [None, 2])
def test_of_one_slice_the_thin_axis_is_that_of_slices(tmp_path, axis, said, times):
    image = ramp(6, 5) if times is None else ramp(6, 5, times)
    write_nifti(tmp_path / "a.nii", np.expand_dims(image, axis))
    slices = read_slices(tmp_path / "a.nii")
    np.testing.assert_array_equal(slices, image[None] if times is None else np.moveaxis(image, 2, 0))
    assert slice_orientation(tmp_path / "a.nii") == said


@pytest.mark.parametrize(("value", "says"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (5.0, "equal")])
def test_values_that_are_no_image_are_told_by_name(tmp_path, value, says):
    array = np.full((4, 5, 3), 5.0, np.float32)
    array[1, 2, 2] = value
    with pytest.raises(UnimriError, match=rf"a\.nii.*{says}"):
        read_slices(write_nifti(tmp_path / "a.nii", array))


def test_colours_and_too_many_axes_are_told_by_name(tmp_path):
    rgb = np.zeros((4, 5, 3), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(UnimriError, match=r"rgb\.nii.*colours"):
        read_slices(write_nifti(tmp_path / "rgb.nii", rgb))
    with pytest.raises(UnimriError, match=r"five\.nii.*5 axes"):
        read_slices(write_nifti(tmp_path / "five.nii", np.zeros((2, 2, 2, 2, 2), np.uint8)))


@pytest.mark.parametrize("settings", [NiftiReader(), AcdcReader(), DecathlonReader()])
def test_folders_without_scans_are_told(tmp_path, settings):
    with pytest.raises(UnimriError, match="no such folder"):
        settings.find(tmp_path / "none")
    with pytest.raises(UnimriError, match="empty"):
        settings.find(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UnimriError, match="found no"):
        settings.find(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UnimriError, match="found no"):
        settings.find(tmp_path)


def test_the_format_chooses_the_settings():
    adapter = TypeAdapter(ReaderSettings)
    assert adapter.validate_python({"format": "decathlon", "channel": 1}) == DecathlonReader(channel=1)
    assert adapter.validate_python({"format": "fastmri-dicom"}).format == "fastmri-dicom"
    with pytest.raises(ValidationError, match="format"):
        adapter.validate_python({"format": "jpeg"})
    with pytest.raises(ValidationError, match="channel"):
        adapter.validate_python({"format": "nifti", "channel": 1})
