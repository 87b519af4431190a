"""One volume from disk, from Python."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scan_files import header_of, image_of, noise, write_fastmri, write_nifti, write_oblique

import unimri
from unimri.core.errors import UnimriError

LINES = np.array([0, 1, 0, 0, 1, 1, 1, 0, 0, 1], bool)
STORED = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)


def test_a_fastmri_file_gives_kspace_mask_and_what_its_image_is(tmp_path):
    kspace = noise(2, 3, 16, 10)
    write_fastmri(tmp_path / "a.h5", kspace=kspace * LINES, mask=LINES, ismrmrd_header=header_of(16, 10, 8, 7))
    scan = unimri.load_kspace(str(tmp_path / "a.h5"))
    assert isinstance(scan, unimri.Acquisition)
    np.testing.assert_array_equal(scan.measured(), kspace * LINES)
    np.testing.assert_array_equal(scan.mask, LINES[None])
    assert scan.truth is None
    # fastMRI's centre of 10 pixels, 7 of them.
    images = image_of(scan.measured())
    np.testing.assert_array_equal(scan.cropped(images), images[:, 4:12, 1:8])


@pytest.mark.parametrize("size", [(8, 6), (7, 5), (16, 10), (15, 9)])
def test_the_crop_has_the_pixels_of_the_truth(tmp_path, size):
    kspace = noise(2, 3, 16, 10)
    write_fastmri(tmp_path / "a.h5", kspace=kspace, ismrmrd_header=header_of(16, 10, *size))
    scan = unimri.load_kspace(tmp_path / "a.h5")
    assert scan.truth.shape == (2, *size)
    np.testing.assert_allclose(scan.cropped(image_of(kspace)), scan.truth, rtol=1e-4)


def test_without_a_size_nothing_is_cropped(tmp_path):
    np.save(tmp_path / "a.npy", noise(2, 8, 8) * (np.arange(8) % 3 == 1))
    scan = unimri.load_kspace(tmp_path / "a.npy")
    np.testing.assert_array_equal(scan.mask, [np.arange(8) % 3 == 1])
    images = image_of(scan.measured())
    np.testing.assert_array_equal(scan.cropped(images), images)


@pytest.mark.parametrize("array", [noise(2, 8, 8), np.abs(noise(2, 8, 8))])
def test_arrays_may_be_changed_and_the_file_stays(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    scan = unimri.load_kspace(tmp_path / "a.npy")
    values = scan.images if isinstance(scan, unimri.Images) else scan.kspace
    values *= 2
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


def test_a_dicom_folder_and_a_nifti_file_are_images(tmp_path):
    write_oblique(tmp_path / "series", STORED)
    scan = unimri.load_kspace(tmp_path / "series")
    assert isinstance(scan, unimri.Images)
    np.testing.assert_array_equal(scan.images, STORED)
    write_nifti(tmp_path / "a.nii.gz", STORED.astype(np.int16).transpose(1, 2, 0))
    np.testing.assert_array_equal(unimri.load_kspace(tmp_path / "a.nii.gz").images, STORED)


def test_several_volumes_are_refused_unless_the_format_leaves_one(tmp_path):
    write_oblique(tmp_path / "series", STORED)
    np.save(tmp_path / "k.npy", noise(2, 8, 8))
    with pytest.raises(UnimriError, match=r"holds 2 volumes \(numpy, dicom\); give the file or the folder of one"):
        unimri.load_kspace(tmp_path)
    assert isinstance(unimri.load_kspace(tmp_path, "dicom"), unimri.Images)
    assert isinstance(unimri.load_kspace(tmp_path, format="numpy"), unimri.Acquisition)


def test_what_is_no_volume_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "x.h5").write_bytes(b"no HDF5")
    for path, says in (("none.h5", "no such file"), ("notes.txt", "holds nothing"), ("x.h5", r"x\.h5: ")):
        with pytest.raises(UnimriError, match=says):
            unimri.load_kspace(tmp_path / path)
    with pytest.raises(UnimriError, match="jpeg: no such format"):
        unimri.load_kspace(tmp_path, "jpeg")


def test_names_are_there_and_cost_nothing_until_they_are_used():
    assert set(unimri.__all__) <= set(dir(unimri))
    assert all(getattr(unimri, name) for name in unimri.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        unimri.lod  # noqa: B018
    code = "import sys, unimri; dir(unimri); assert not {'torch', 'numpy', 'pydicom'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


SCRIPT = """
from unimri import load_kspace
print(load_kspace("file1.h5").kspace.shape)
"""


@pytest.mark.parametrize("command", ["../script.py", "-"])
def test_a_script_needs_no_guard(tmp_path, command):
    folder = tmp_path / "data"
    write_fastmri(folder / "file1.h5", kspace=noise(2, 16, 10))
    (tmp_path / "script.py").write_text(SCRIPT)
    if command != "-":
        # What lies beside the data is not run. (Python itself would, below `-`.)
        (folder / "select.py").write_text("raise SystemExit(1)")
    program = subprocess.run(
        [sys.executable, command],
        cwd=folder,
        input=SCRIPT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (program.stdout, program.stderr) == ("(2, 1, 16, 10)\n", "")


def test_an_unknown_meaning_of_negative_values_is_told(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((2, 8, 8), np.float32))
    with pytest.raises(UnimriError, match="negatives: 'abs' is unknown; allowed: refuse, clip, magnitude"):
        unimri.load_kspace(tmp_path / "a.npy", negatives="abs")
