"""BART's arrays, written as its own Python module writes them: numbers against numpy, and what is refused."""

import numpy as np
import pytest
from scan_files import MADE, image_of, noise

import unimri
from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import BartReader
from unimri.data.reader import find_scans
from unimri.io.formats import find_sources
from unimri.io.notes import heard

ROWS, COLUMNS, COILS = 16, 10, 3
LINES = np.array([0, 1, 0, 0, 1, 1, 1, 0, 0, 1], bool)


def write_bart(path, array, axes=(0, 1)):
    """Write an array whose axes are these dimensions of BART, as `writecfl` and the C code do."""
    dimensions = [1] * 16
    for axis, length in zip(axes, array.shape, strict=True):
        dimensions[axis] = length
    path.parent.mkdir(parents=True, exist_ok=True)
    words = " ".join(map(str, dimensions))
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{words} \n# Command\nfft Other_Ann k \n# Creator\nBART 0.9\n")
    ordered = array.transpose(np.argsort(axes)).astype("<c8")
    path.write_bytes(ordered.tobytes(order="F"))
    return path


def read_bart(path):
    with path.with_suffix(".hdr").open() as header:
        header.readline()
        dimensions = [int(word) for word in header.readline().split()]
    return np.fromfile(path, "<c8").reshape(dimensions, order="F")


def read(path):
    with heard() as notes:
        scan = unimri.load_kspace(path)
    return scan, notes


def test_slices_and_coils(tmp_path):
    kspace = noise(2, COILS, ROWS, COLUMNS)
    path = write_bart(tmp_path / "k.cfl", kspace, (13, 3, 0, 1))
    scan, notes = read(path)
    np.testing.assert_array_equal(scan.kspace, kspace)
    np.testing.assert_allclose(scan.truth, image_of(kspace), rtol=1e-4)
    assert (scan.complete, notes) == (True, [])


def test_one_slice_with_lines_left_out(tmp_path):
    kspace = noise(ROWS, COLUMNS) * LINES
    scan, notes = read(write_bart(tmp_path / "k.cfl", kspace))
    np.testing.assert_array_equal(scan.measured(), kspace[None, None])
    np.testing.assert_array_equal(scan.mask, LINES[None])
    assert notes[0].startswith("zeros tell its mask")


def test_partitions_become_slices(tmp_path):
    images = noise(4, COILS, ROWS, COLUMNS)
    axes = (0, 2, 3)
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, axes), axes=axes, norm="ortho"), axes)
    path = write_bart(tmp_path / "k.cfl", kspace, (2, 3, 0, 1))
    scan, _ = read(path)
    np.testing.assert_allclose(scan.truth, np.sqrt((np.abs(images) ** 2).sum(1)), rtol=1e-4)
    (source,) = find_sources(path)
    content, _ = source.write(scan.truth, tmp_path / "out.cfl", MADE)
    np.testing.assert_array_equal(read_bart(content)[:, :, :, *[0] * 13].transpose(2, 0, 1), scan.truth)


def test_frames_come_out_in_their_dimensions_and_averages_are_averaged(tmp_path):
    kspace = noise(2, 4, 3, 2, COILS, ROWS, COLUMNS)
    # Slice, time, echo, average.
    path = write_bart(tmp_path / "in" / "k.cfl", kspace, (13, 10, 5, 14, 3, 0, 1))
    scan, notes = read(path)
    expected = kspace.mean(3).reshape(-1, COILS, ROWS, COLUMNS)
    np.testing.assert_allclose(scan.kspace, expected, rtol=1e-5)
    assert notes == [
        "its 2 averages are averaged where they were measured",
        "images of their own: 4 of time, 3 of echo, for each of 2 slices",
    ]
    (source,) = find_sources(tmp_path / "in")
    assert source.format.name == "bart"
    written = source.write(scan.truth, tmp_path / "out", MADE)
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written] == ["k.cfl", "k.hdr"]
    images = read_bart(written[0])
    assert images.shape == (ROWS, COLUMNS, 1, 1, 1, 3, 1, 1, 1, 1, 4, 1, 1, 2, 1, 1)
    # To (slice, time, echo, rows, columns).
    moved = images.squeeze((2, 3, 4, 6, 7, 8, 9, 11, 12, 14, 15)).transpose(4, 3, 2, 0, 1)
    np.testing.assert_array_equal(moved.reshape(-1, ROWS, COLUMNS), scan.truth)
    assert "Ann" not in written[1].read_text()


def test_nothing_is_written_over_a_header(tmp_path):
    path = write_bart(tmp_path / "k.cfl", noise(ROWS, COLUMNS))
    scan, _ = read(path)
    (tmp_path / "out.hdr").write_text("mine")
    (source,) = find_sources(path)
    with pytest.raises(UnimriError, match=r"out\.hdr: is there already"):
        source.write(scan.truth, tmp_path / "out.cfl", MADE)
    assert not (tmp_path / "out.cfl").exists()


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "lacks its header; put .hdr beside it"),
        ("", "no dimensions"),
        ("# Dimensions\n", "no dimensions"),
        ("# Dimensions\n16 -10\n", "no dimensions"),
        ("# Dimensions\n16\n", "no dimensions"),
        ("# Dimensions\n" + "9999999999 " * 16, "no dimensions"),
        ("# Dimensions\n" + "999999999 " * 16, "another size"),
        ("# Dimensions\n16 11", "another size"),
        ("# Dimensions\n16 0", "another size"),
        ("# Dimensions\n8 2 1 1 10", "10 values along dimension 4; give k-space"),
        ("# Dimensions\n4 4 5 1 1 1 1 1 1 1 1 1 1 2", "several 3D slabs"),
    ],
)
def test_headers_that_do_not_fit_are_told(tmp_path, header, says):
    path = write_bart(tmp_path / "k.cfl", noise(ROWS, COLUMNS))
    if header is None:
        path.with_suffix(".hdr").unlink()
    else:
        path.with_suffix(".hdr").write_text(header)
    with pytest.raises(ReadError, match=rf"k\.cfl: .*{says}"):
        unimri.load_kspace(path)


def test_points_are_read_and_nan_is_told(tmp_path):
    kspace = noise(COILS, ROWS, COLUMNS) * (np.random.default_rng(0).random((ROWS, COLUMNS)) < 0.3)
    path = write_bart(tmp_path / "k.cfl", kspace, (3, 0, 1))
    scan = unimri.load_kspace(path)
    assert scan.axis == "points"
    np.testing.assert_array_equal(scan.mask[0], (kspace != 0).any(0))
    path = write_bart(tmp_path / "k.cfl", noise(ROWS, COLUMNS) * np.nan)
    with pytest.raises(ReadError, match=r"k\.cfl: has NaN or infinite values"):
        unimri.load_kspace(path)


def test_data_sets_are_prepared_of_them(tmp_path):
    for patient in ("a", "b"):
        kspace = noise(2, COILS, ROWS, COLUMNS, seed=ord(patient))
        write_bart(tmp_path / patient / "k.cfl", kspace, (13, 3, 0, 1))
    write_bart(tmp_path / "b" / "mask.cfl", np.ones((1, COLUMNS)))
    found = find_scans(BartReader(), tmp_path)
    assert [(scan.patient, scan.name, len(scan.paths)) for scan in found.scans] == [
        ("a", "a/k.cfl", 2),
        ("b", "b/k.cfl", 2),
    ]
    np.testing.assert_allclose(BartReader().read_scan(found.scans[1]), image_of(kspace), rtol=1e-4)
    (tmp_path / "b" / "k.hdr").unlink()
    with pytest.raises(ReadError, match=r"k\.cfl: lacks its header"):
        BartReader().read_scan(BartReader().find(tmp_path)[1])
