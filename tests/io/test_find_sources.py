"""What is found in an input, where it goes, and what is refused."""

import os
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image
from scan_files import MADE, noise, write_fastmri, write_nifti, write_oblique

from unimri.core.errors import UnimriError
from unimri.io.formats import FORMATS, check_output, find_sources

IMAGES = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)


def nifti_file(path):
    return write_nifti(path, np.arange(24, dtype=np.int16).reshape(3, 4, 2))


@pytest.fixture
def mixed(tmp_path):
    """A folder with all formats, and with what is none."""
    root = tmp_path / "in"
    stored = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    write_oblique(root / "dicom", stored, SeriesInstanceUID="1.2.1")
    write_oblique(root / "two", stored, SeriesInstanceUID="1.2.2")
    for path in write_oblique(root / "other", stored, SeriesInstanceUID="1.2.3"):
        path.rename(root / "two" / f"other-{path.name}")
    (root / "other").rmdir()
    for name in ("a.nii.gz", "b/brain.nii", "b/brain_seg.nii", "b/label.nii.gz", "b/.hidden.nii", ".git/a.nii"):
        nifti_file(root / name)
    write_fastmri(root / "k.h5", kspace=noise(2, 8, 8))
    with h5py.File(root / "other.h5", "w") as file:
        file["reconstruction"] = IMAGES
    np.save(root / "k.npy", noise(2, 8, 8))
    np.save(root / "mask.npy", np.ones(8, bool))
    np.savez(root / "p.npz", weights=np.ones(8))
    (root / "notes.txt").write_text("notes")
    return root


def test_a_mixed_folder_gives_all_volumes_and_nothing_else(mixed):
    sources = find_sources(mixed)
    assert [(source.name, source.format.name) for source in sources] == [
        ("a.nii.gz", "nifti"),
        ("b/brain.nii", "nifti"),
        ("dicom", "dicom"),
        ("k.h5", "fastmri-h5"),
        ("k.npy", "numpy"),
        ("two/series-002", "dicom"),
        ("two/series-003", "dicom"),
    ]
    assert [source.number for source in sources] == list(range(1, 8))
    assert [source.name for source in find_sources(mixed, "nifti")] == ["a.nii.gz", "b/brain.nii"]
    for name in ("fastmri-h5", "numpy"):
        assert [source.format.name for source in find_sources(mixed, name)] == [name]


def test_each_volume_goes_to_a_place_of_its_own(mixed, tmp_path):
    sources = find_sources(mixed)
    check_output(sources, tmp_path / "out")
    written = [
        path for source in sources[:3] + sources[5:] for path in source.write(images_of(source), tmp_path / "out", MADE)
    ]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in written) == [
        "a.nii.gz",
        "b/brain.nii",
        *(f"{folder}/IMG0000{k}.dcm" for folder in ("dicom", "two/series-002", "two/series-003") for k in (1, 2)),
    ]
    hidden = [source.target(tmp_path / "out", deidentify=True).name for source in sources]
    assert hidden == ["volume-0001.nii.gz", "volume-0002.nii.gz", "volume-0003", "volume-0004.h5", *hidden[4:]]


def images_of(source):
    return source.read().images


def test_a_file_alone_is_a_volume_whatever_its_name(tmp_path):
    (source,) = find_sources(nifti_file(tmp_path / "brain_seg.nii"))
    assert source.name == "brain_seg.nii"
    first, _ = write_oblique(tmp_path / "in", np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    (source,) = find_sources(first)
    assert source.paths == (first,)
    assert source.target(tmp_path / "out") == tmp_path / "out"


def test_what_holds_nothing_is_told_with_what_is_accepted(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UnimriError, match=rf"{path.name}: holds nothing .*DICOM.*NIfTI.*fastMRI.*ISMRMRD.*NumPy"):
            find_sources(path)
    with pytest.raises(UnimriError, match="no such file"):
        find_sources(tmp_path / "none")
    with pytest.raises(UnimriError, match="jpeg: no such format; choose one of dicom, nifti"):
        find_sources(tmp_path, "jpeg")
    with pytest.raises(UnimriError, match=r"holds nothing .*: NIfTI files .\.nii, \.nii\.gz.; passed over: .*notes"):
        find_sources(tmp_path, "nifti")


def test_a_damaged_dicom_file_is_a_volume_with_its_fault(tmp_path):
    write_oblique(tmp_path, np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    (tmp_path / "x.dcm").write_bytes(bytes(300))
    sources = find_sources(tmp_path)
    assert [source.name for source in sources] == ["series-001", "x.dcm"]
    with pytest.raises(UnimriError, match=r"x\.dcm: cannot be parsed"):
        sources[1].read()


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("in", "is or lies in the input"),
        ("in/out", "is or lies in the input"),
        ("in/../in/sub/../a.nii", "is or lies in the input"),
        ("link", "is or lies in the input"),
        (".", "is or holds the input"),
        ("full", "not empty"),
        ("full/file", "is there already"),
        ("full/file/below", "is no folder"),
        ("out.h5", "one file for 2 volumes"),
        ("out.dcm", "no name|one file for 2"),
    ],
)
def test_outputs_that_are_refused(tmp_path, output, says):
    nifti_file(tmp_path / "in" / "a.nii")
    nifti_file(tmp_path / "in" / "sub" / "a.nii")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(UnimriError, match=says):
        check_output(find_sources(tmp_path / "in"), tmp_path / output)
    (tmp_path / "empty").mkdir()
    for allowed in ("out", "empty", "new/deep"):
        check_output(find_sources(tmp_path / "in"), tmp_path / allowed)


def test_one_file_may_go_beside_the_input_and_not_over_it(tmp_path):
    path = nifti_file(tmp_path / "a.nii")
    sources = find_sources(path)
    check_output(sources, tmp_path / "b.nii.gz")
    assert sources[0].target(tmp_path / "b.nii.gz") == tmp_path / "b.nii.gz"
    os.link(path, tmp_path / "same.nii")
    (tmp_path / "link.nii").symlink_to(path)
    for name in ("a.nii", "same.nii", "link.nii", "b.h5", "b.npy", "b.png"):
        with pytest.raises(UnimriError, match=r"is or|is no name for nifti"):
            check_output(sources, tmp_path / name)
    with pytest.raises(UnimriError, match="PNG is written to a folder"):
        check_output(sources, tmp_path / "b.nii", as_png=True)
    write_oblique(tmp_path / "in", np.arange(24, dtype=np.uint16).reshape(2, 3, 4))
    with pytest.raises(UnimriError, match="dicom is written to a folder"):
        check_output(find_sources(tmp_path / "in"), tmp_path / "b.dcm")


def test_names_and_links_do_not_lead_out_of_the_output(tmp_path):
    (source,) = find_sources(nifti_file(tmp_path / "in" / "sub" / "a.nii").parent.parent)
    for name in ("../a.nii", "sub/../../a.nii", str(tmp_path / "elsewhere" / "a.nii")):
        with pytest.raises(UnimriError, match="lies outside"):
            replace(source, name=name).write(IMAGES, tmp_path / "out", MADE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "in" / "sub")
    with pytest.raises(UnimriError, match="lies outside"):
        source.write(source.read().images, tmp_path / "out", MADE)


def test_volumes_that_would_meet_are_refused(tmp_path):
    sources = find_sources(nifti_file(tmp_path / "in" / "a.nii").parent)
    with pytest.raises(UnimriError, match="to the same place"):
        check_output([*sources, *sources], tmp_path / "out")
    below = replace(sources[0], name="a.nii/b.nii")
    with pytest.raises(UnimriError, match="into the folder of another volume"):
        check_output([*sources, below], tmp_path / "out")


def test_nothing_is_written_over_and_no_nonsense_is_written(tmp_path):
    (source,) = find_sources(nifti_file(tmp_path / "a.nii"))
    images = source.read().images
    source.write(images, tmp_path / "out.nii", MADE)
    with pytest.raises(UnimriError, match="is there already"):
        source.write(images, tmp_path / "out.nii", MADE)
    for wrong in (images - 1, images * np.nan, images[0]):
        with pytest.raises(UnimriError, match="no magnitude image"):
            source.write(wrong, tmp_path / "other.nii", MADE)
    assert not (tmp_path / "other.nii").exists()


def test_pngs_are_scaled_to_the_volumes_maximum(tmp_path):
    (source,) = find_sources(nifti_file(tmp_path / "a.nii.gz"))
    images = source.read().images
    written = source.write(images, tmp_path / "out", MADE, as_png=True)
    assert [path.relative_to(tmp_path).as_posix() for path in written] == [
        "out/a/slice-0001.png",
        "out/a/slice-0002.png",
    ]
    pixels = np.stack([np.asarray(Image.open(path)) for path in written])
    white = 65535
    assert pixels.max() == white
    np.testing.assert_allclose(pixels / white * images.max(), images, rtol=0, atol=images.max() / white)


def test_every_format_says_what_it_takes():
    assert list(FORMATS) == ["dicom", "nifti", "hdf5-kspace", "fastmri-h5", "ismrmrd", "bart", "numpy"]
    assert all(name == each.name and each.accepts for name, each in FORMATS.items())
