"""K-space in, reconstructions out: fastMRI's files, ISMRMRD, NumPy."""

import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scan_files import MADE, header_of, image_of, noise, write_fastmri, write_ismrmrd

from unimri.core.errors import ReadError
from unimri.data.layouts import FastmriReader
from unimri.io import fastmri, ismrmrd, numpy_file
from unimri.io.formats import find_sources
from unimri.io.notes import heard
from unimri.io.volume import Images, acquired
from unimri.physics.acquisition import Acquisition
from unimri.physics.masks import read_mask

SLICES, COILS, ROWS, COLUMNS = 2, 3, 16, 10
LINES = np.array([0, 1, 0, 0, 1, 1, 1, 0, 0, 1], bool)
LIMITS = (
    "<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>9</maximum><center>5</center>"
    "</kspace_encoding_step_1></encodingLimits>"
)


def of_lines(kspace, path, steps=None, limits=LIMITS):
    return write_ismrmrd(path, kspace, header_of(ROWS, COLUMNS, 8, 6, limits), steps)


@pytest.mark.parametrize("mask", [LINES, LINES.astype(np.float32), np.tile(LINES, (ROWS, 1)).astype(np.uint8)])
def test_a_challenge_file_gives_its_kspace_its_mask_and_its_size(tmp_path, mask):
    kspace = noise(SLICES, COILS, ROWS, COLUMNS) * LINES
    (source,) = find_sources(write_fastmri(tmp_path / "a.h5", kspace=kspace, mask=mask))
    read = source.read()
    np.testing.assert_array_equal(read.kspace, kspace)
    np.testing.assert_array_equal(read.mask, LINES[None])
    assert (read.axis, read.size, read.complete, read.truth) == ("columns", (8, 6), False, None)


@pytest.mark.parametrize("coils", [(), (COILS,)])
def test_the_challenges_test_files_hold_a_mask_and_no_truth(tmp_path, coils):
    # Lines beside what was measured are zeros, and the mask may keep them.
    measured = (np.arange(COLUMNS) > 0) & (np.arange(COLUMNS) < COLUMNS - 1)
    kspace = noise(SLICES, *coils, ROWS, COLUMNS) * (LINES & measured)
    attributes = {"acceleration": 4, "num_low_frequency": 3, "acquisition": "AXT1", "norm": 1.0, "max": 1.0}
    path = write_fastmri(tmp_path / "file1.h5", attributes, kspace=kspace, mask=LINES)
    with heard() as notes:
        read = fastmri.read((path,))
    np.testing.assert_array_equal(read.measured(), kspace if coils else kspace[:, None])
    np.testing.assert_array_equal(read.mask, LINES[None])
    assert (read.truth, read.complete, read.size, notes) == (None, False, (8, 6), [])
    with pytest.raises(ReadError, match=r"file1\.h5: is undersampled"):
        FastmriReader().read((path,))


@pytest.mark.parametrize("truth", [None, np.abs(noise(SLICES, 8, 6)) + 1])
def test_partial_fourier_of_fastmri_is_lines_left_out_but_for_a_reconstruction_beside_it(tmp_path, truth):
    kept = np.arange(COLUMNS) > 2
    path = write_fastmri(tmp_path / "a.h5", kspace=noise(SLICES, COILS, ROWS, COLUMNS) * kept, reconstruction_rss=truth)
    with heard() as notes:
        read = fastmri.read((path,))
    assert read.complete == (truth is not None)
    np.testing.assert_array_equal(read.mask[0], kept if truth is None else np.ones(COLUMNS, bool))
    taken = "at one edge, are zeros: taken for lines left out" if truth is None else "at the edges, are zeros: taken"
    assert notes[0].startswith(f"3 of its 10 columns, {taken}")


def test_a_fully_sampled_file_gives_its_own_reconstruction_as_the_truth(tmp_path):
    kspace, truth = noise(SLICES, COILS, ROWS, COLUMNS), np.abs(noise(SLICES, 8, 8)) + 1
    # Zeros at the edges are padding.
    kspace[..., 0] = kspace[..., -1] = 0
    read = fastmri.read((write_fastmri(tmp_path / "a.h5", kspace=kspace, reconstruction_rss=truth),))
    np.testing.assert_array_equal(read.truth, truth)
    assert read.complete
    assert read.size == (8, 8)
    np.testing.assert_array_equal(read.mask, np.ones((1, COLUMNS), bool))


@pytest.mark.parametrize("shape", [(SLICES, ROWS, COLUMNS), (SLICES, COILS, ROWS, COLUMNS)])
def test_without_one_the_truth_is_made_of_kspace(tmp_path, shape):
    kspace = noise(*shape)
    read = fastmri.read((write_fastmri(tmp_path / "a.h5", kspace=kspace),))
    assert read.complete
    np.testing.assert_allclose(read.truth, image_of(kspace)[:, 4:12, 2:8], rtol=1e-5)
    bare = fastmri.read((write_fastmri(tmp_path / "b.h5", kspace=kspace, ismrmrd_header=None),))
    np.testing.assert_allclose(bare.truth, image_of(kspace)[:, 4:12], rtol=1e-5)


@pytest.mark.parametrize("truth", [None, np.abs(noise(SLICES, 8, 6)) + 1])
def test_lines_of_zeros_in_between_are_no_full_sampling(tmp_path, truth):
    path = write_fastmri(tmp_path / "a.h5", kspace=noise(SLICES, ROWS, COLUMNS) * LINES, reconstruction_esc=truth)
    read = fastmri.read((path,))
    assert not read.complete
    np.testing.assert_array_equal(read.mask, LINES[None])
    assert (read.truth is None) == (truth is None)


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        ({"mask": np.ones(7)}, "mask has another shape"),
        ({"mask": np.zeros(COLUMNS)}, "keeps no line"),
        (
            {"mask": np.eye(ROWS, COLUMNS), "kspace": noise(SLICES, ROWS, COLUMNS) * (np.arange(COLUMNS) == 5)},
            "most points that its mask",
        ),
        ({"mask": np.full(COLUMNS, np.nan)}, "NaN"),
        ({"kspace": noise(SLICES, ROWS, COLUMNS) * np.nan}, "NaN or infinite"),
        ({"kspace": noise(SLICES, ROWS, COLUMNS) * np.array([0, 1])[:, None, None]}, "a slice of its k-space is empty"),
        ({"kspace": np.ones((SLICES, ROWS, COLUMNS))}, "not complex"),
        ({"reconstruction_rss": np.ones((5, 4, 4))}, "another number of slices"),
    ],
)
def test_files_that_do_not_fit_are_told(tmp_path, datasets, says):
    path = write_fastmri(tmp_path / "a.h5", **({"kspace": noise(SLICES, ROWS, COLUMNS)} | datasets))
    with pytest.raises(ReadError, match=rf"a\.h5: .*{says}"):
        fastmri.read((path,))


def test_damaged_files_are_found_with_their_fault(tmp_path):
    path = write_fastmri(tmp_path / "in" / "a.h5", kspace=noise(SLICES, ROWS, COLUMNS))
    write_fastmri(tmp_path / "in" / "b.h5", kspace=noise(SLICES, ROWS, COLUMNS), mask=LINES)
    path.write_bytes(path.read_bytes()[:700])
    damaged, whole = find_sources(tmp_path / "in")
    with pytest.raises(ReadError, match=r"a\.h5: .*again"):
        damaged.read()
    assert isinstance(whole.read(), Acquisition)


@pytest.mark.parametrize("kind", ["fastmri-h5", "ismrmrd"])
def test_a_reconstruction_is_written_as_fastmri_does_and_names_nobody(tmp_path, kind):
    kspace = noise(SLICES, COILS, ROWS, COLUMNS)
    path = tmp_path / "in" / "sub" / "scan.h5"
    if kind == "ismrmrd":
        of_lines(kspace, path, np.flatnonzero(LINES))
    else:
        write_fastmri(path, kspace=kspace, mask=LINES)
    (source,) = find_sources(tmp_path / "in")
    assert source.format.name == kind
    np.testing.assert_array_equal(source.read().mask, LINES[None])
    images = image_of(kspace).astype(np.float32)
    assert source.write(images, tmp_path / "out", MADE) == [tmp_path / "out" / "sub" / "scan.h5"]
    with h5py.File(tmp_path / "out" / "sub" / "scan.h5") as file:
        assert list(file) == ["reconstruction"]
        np.testing.assert_array_equal(file["reconstruction"][:], images)
        assert file["reconstruction"].dtype == np.float32
        assert (file.attrs["anatomy"], file.attrs["acceleration"]) == ("brain", 4.0)
    content = (tmp_path / "out" / "sub" / "scan.h5").read_bytes()
    assert b"Ann Other" not in content
    assert b"p1" not in content
    assert b"Ann Other" in path.read_bytes()


def test_a_fully_sampled_ismrmrd_scan_has_its_truth(tmp_path):
    kspace = noise(SLICES, COILS, ROWS, COLUMNS)
    read = ismrmrd.read((of_lines(kspace, tmp_path / "a.h5"),))
    np.testing.assert_array_equal(read.kspace, kspace)
    assert (read.mask.all(), read.complete, read.size) == (True, True, (8, 6))
    np.testing.assert_allclose(read.truth, image_of(kspace)[:, 4:12, 2:8], rtol=1e-5)


@pytest.mark.parametrize("limits", [LIMITS, ""])
def test_an_undersampled_ismrmrd_scan_has_its_lines_in_their_places(tmp_path, limits):
    kspace = noise(SLICES, 1, ROWS, COLUMNS)
    read = ismrmrd.read((of_lines(kspace, tmp_path / "a.h5", np.flatnonzero(LINES), limits),))
    np.testing.assert_array_equal(read.mask, LINES[None])
    np.testing.assert_array_equal(read.measured(), kspace * LINES)
    assert not read.complete
    assert read.truth is None


def test_slices_of_ismrmrd_may_have_lines_of_their_own(tmp_path):
    kspace = noise(SLICES, COILS, ROWS, COLUMNS)
    steps = {0: [1, 4, 5, 6], 1: [2, 4, 5, 9]}
    read = ismrmrd.read((of_lines(kspace, tmp_path / "a.h5", steps),))
    assert [np.flatnonzero(mask).tolist() for mask in read.mask] == list(steps.values())
    np.testing.assert_array_equal(read.measured(), kspace * read.mask[:, None, None])


def test_partial_fourier_is_undersampling(tmp_path):
    kspace = noise(SLICES, COILS, ROWS, COLUMNS)
    limits = LIMITS.replace("<minimum>0", "<minimum>4")
    read = ismrmrd.read((of_lines(kspace, tmp_path / "a.h5", range(4, COLUMNS), limits),))
    assert np.flatnonzero(read.mask[0]).tolist() == list(range(4, COLUMNS))
    np.testing.assert_array_equal(read.measured(), kspace * read.mask)
    assert not read.complete


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (SLICES, ROWS, COLUMNS), (SLICES, COILS, ROWS, COLUMNS)])
def test_numpy_kspace(tmp_path, shape):
    kspace = noise(*shape).astype(np.complex128)
    np.save(tmp_path / "a.npy", kspace)
    (source,) = find_sources(tmp_path / "a.npy")
    read = source.read()
    slices = kspace if len(shape) > 2 else kspace[None]
    assert read.kspace.dtype == np.complex64
    np.testing.assert_allclose(read.kspace, slices if len(shape) > 3 else slices[:, None], rtol=1e-6)
    assert read.complete
    np.testing.assert_allclose(read.truth, image_of(slices), rtol=1e-5)
    (written,) = source.write(read.truth, tmp_path / "out.npy", MADE)
    again = np.load(written)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, read.truth if len(shape) > 2 else read.truth[0])


@pytest.mark.parametrize("kind", [np.uint16, np.float64])
def test_numpy_images(tmp_path, kind):
    stored = np.arange(60).reshape(3, 4, 5).astype(kind)
    np.save(tmp_path / "a.npy", stored)
    (source,) = find_sources(tmp_path / "a.npy")
    read = source.read()
    assert isinstance(read, Images)
    (written,) = source.write(read.images, tmp_path / "out", MADE)
    np.testing.assert_array_equal(np.load(written), stored)


def test_an_archive_holds_kspace_mask_and_truth(tmp_path):
    kspace, truth = noise(SLICES, ROWS, COLUMNS) * LINES, np.abs(noise(SLICES, ROWS, COLUMNS)).astype(np.float32)
    np.savez_compressed(tmp_path / "a.npz", kspace=kspace, mask=LINES, truth=truth)
    (source,) = find_sources(tmp_path / "a.npz")
    read = source.read()
    np.testing.assert_array_equal(read.kspace[:, 0], kspace)
    np.testing.assert_array_equal(read.mask, LINES[None])
    np.testing.assert_array_equal(read.truth, truth)
    (written,) = source.write(truth, tmp_path / "out.npz", MADE)
    np.testing.assert_array_equal(np.load(written)["reconstruction"], truth)


def save_bomb(path):
    """An archive whose header declares what it does not hold."""
    content = path.with_suffix(".npy")
    np.save(content, noise(2, 4, 4))
    changed = content.read_bytes().replace(b"(2, 4, 4)", b"(9999999,)")
    content.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("kspace.npy", changed)


@pytest.mark.parametrize(
    ("name", "save", "says"),
    [
        ("a.npy", lambda path: np.save(path, np.array([{}], object), allow_pickle=True), "cannot be read"),
        ("a.npy", lambda path: np.save(path, np.ones((2, 3, 4, 5))), "4 axes"),
        ("a.npy", lambda path: np.save(path, noise(7)), "1 axes"),
        ("a.npy", lambda path: np.save(path, np.full((3, 4), np.nan)), "NaN"),
        ("a.npy", lambda path: path.write_bytes(b""), "cannot be read"),
        ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{'descr': 'x'"), "cannot be read"),
        ("a.npz", lambda path: path.write_bytes(b"PK\x03\x04"), "cannot be read"),
        ("a.npz", lambda path: np.savez(path, other=np.ones(3)), "no array `kspace`"),
        ("a.npz", lambda path: np.savez(path, kspace=np.array([{}], object), allow_pickle=True), "cannot be read"),
        ("a.npz", lambda path: np.savez(path, kspace=noise(2, 4, 4), truth=np.eye(3)), "truth has another shape"),
        ("a.npz", save_bomb, "more values than the file can hold"),
    ],
)
def test_arrays_that_cannot_be_used_are_told_and_objects_never_loaded(tmp_path, name, save, says):
    save(tmp_path / name)
    with pytest.raises(ReadError, match=rf"{name[:1]}\.{name[2:]}: .*{says}"):
        numpy_file.read((tmp_path / name,))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_mask_in_any_shape_gives_its_lines(data):
    slices, rows, columns = (data.draw(st.integers(2, 5), label=name) for name in ("slices", "rows", "columns"))
    axis = data.draw(st.sampled_from(["columns", "rows"]))
    count = columns if axis == "columns" else rows
    each = data.draw(st.booleans())
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=count * slices, max_size=count * slices)), bool)
    # Not all kept, so that points tell columns from rows.
    kept = kept.reshape(slices, count)
    kept[:, 0], kept[:, -1] = True, False
    kept = kept if each else kept[0]
    points = kept[..., None, :] if axis == "columns" else kept[..., :, None]
    points = np.broadcast_to(points, (*kept.shape[:-1], rows, columns))
    kspace, path = noise(slices, 1, rows, columns), Path("scan.h5")
    read = acquired(kspace, points * 3.0, path)
    assert read.axis == axis
    np.testing.assert_array_equal(read.mask, np.atleast_2d(kept))
    np.testing.assert_array_equal(read.measured(), kspace * np.broadcast_to(points, (slices, rows, columns))[:, None])
    if not each and (axis == "columns" or rows != columns):
        for shape in ((count,), (1, count), (1, 1, count, 1)):
            if axis == "rows":
                with pytest.raises(
                    ReadError, match="its mask is as long as its rows, and not as its columns; give it as"
                ):
                    acquired(kspace, kept.reshape(shape), path)
                continue
            read = acquired(kspace, kept.reshape(shape), path)
            assert read.axis == axis
            np.testing.assert_array_equal(read.mask, kept[None])


POINTS = np.random.default_rng(0).random((ROWS, COLUMNS)) < 0.3


@pytest.mark.parametrize("coils", [1, COILS])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "masked.npz", "masked.h5"])
def test_points_that_were_measured_are_no_lines_of_a_mask(tmp_path, coils, name):
    kspace, mask = noise(SLICES, coils, ROWS, COLUMNS) * POINTS, np.ones(COLUMNS)
    save = {
        "a.npy": lambda path: np.save(path, kspace),
        "a.npz": lambda path: np.savez(path, kspace=kspace),
        "masked.npz": lambda path: np.savez(path, kspace=kspace, mask=mask),
        "a.h5": lambda path: write_fastmri(path, kspace=kspace),
        "masked.h5": lambda path: write_fastmri(path, kspace=kspace, mask=mask),
    }
    save[name](tmp_path / name)
    (source,) = find_sources(tmp_path / name)
    if name.startswith("masked"):
        with pytest.raises(ReadError, match=rf"{name}: points of its k-space and not whole lines were measured"):
            source.read()
    else:
        np.testing.assert_array_equal(source.read().mask, POINTS[None])


def test_zeros_around_are_told(tmp_path):
    around = (np.arange(COLUMNS) > 1) & (np.arange(COLUMNS) < 8)
    for kept, says, complete in (
        (around, "4 of its 10 columns, at the edges, are zeros: taken for padding", True),
        (np.arange(COLUMNS) > 3, "4 of its 10 columns, at one edge, are zeros: taken for lines left out", False),
        (
            LINES,
            "zeros tell its mask: 5 of its 10 columns are taken for lines left out, those at the edges",
            False,
        ),
    ):
        np.save(tmp_path / "a.npy", noise(SLICES, ROWS, COLUMNS) * kept)
        with heard() as notes:
            read = numpy_file.read((tmp_path / "a.npy",))
        assert read.complete == complete
        assert notes[0].startswith(says)


@pytest.mark.parametrize("shape", ["(-1, 32, 32)", "(1000000, 1000, 1000)", "(" * 300 + ")" * 300, "(4, 4"])
def test_headers_that_declare_what_cannot_be_are_told(tmp_path, shape):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(1000) + b"\n"
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(400))
    with pytest.raises(ReadError, match=r"a\.npy: cannot be read as NumPy's arrays; "):
        numpy_file.read((path,))
    with pytest.raises(ReadError, match=r"a\.npy: cannot be read as NumPy's arrays; "):
        read_mask(path)
    (scan,) = find_sources(path.parent)
    assert scan.fault is not None or shape.startswith("(1")


def test_arrays_with_coils_last_or_dc_in_the_corner_are_told(tmp_path):
    y, x = np.mgrid[-1:1:48j, -1:1:40j]
    kspace = np.exp(-40 * (y**2 + x**2)) * np.exp(1j * np.arange(6))[:, None, None]
    np.save(tmp_path / "a.npy", np.moveaxis(kspace, 0, -1))
    with pytest.raises(ReadError, match=r"coils on the last axis: .* = \(48, 1, 40, 6\); move the last axis"):
        numpy_file.read((tmp_path / "a.npy",))
    np.save(tmp_path / "a.npy", np.fft.ifftshift(kspace, (1, 2)))
    with pytest.raises(ReadError, match="has DC in its corner"):
        numpy_file.read((tmp_path / "a.npy",))
