"""Arrays of k-space in HDF5, laid out as the public data sets are: numbers against numpy, and what is refused."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scan_files import MADE, header_of, image_of, noise, write_fastmri, write_matlab

import unimri
from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import ArraysReader, parse_reader
from unimri.data.reader import find_scans
from unimri.io.formats import find_sources
from unimri.io.layout import Layout
from unimri.io.notes import heard

ROWS, COLUMNS, COILS = 16, 10, 3
LINES = np.array([0, 1, 0, 0, 1, 1, 1, 0, 0, 1], bool)


def write_arrays(path: Path, **datasets: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name] = value
    return path


def shifted(kspace: NDArray[Any], *axes: int) -> NDArray[Any]:
    """What numpy.fft.fft of the same image gives along `axes`, with DC at n // 2, by the transforms themselves."""
    measured = kspace != 0
    for axis in axes:
        image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(kspace, axis), axis=axis), axis)
        kspace = np.fft.fftshift(np.fft.fft(image, axis=axis), axis)
    return kspace * measured


def calgary(kspace: NDArray[Any]) -> NDArray[np.float32]:
    """(x, ky, kz, 2 * coils) of (slices, coils, rows, columns), as Calgary-Campinas stores it."""
    moved = np.moveaxis(shifted(kspace, -2, -1), 1, -1)
    return np.stack([moved.real, moved.imag], -1).reshape(*moved.shape[:3], -1).astype(np.float32)


def read(path: Path, **options: Any) -> tuple[unimri.Acquisition, list[str]]:
    with heard() as notes:
        scan = unimri.load_kspace(path, **options)
    return scan, notes


@pytest.mark.parametrize("columns", [10, 11])
def test_calgary_campinas(tmp_path, columns):
    kspace = noise(4, COILS, ROWS, columns)
    # Of kz the last part was not measured.
    kspace[..., -1] = 0
    stored = calgary(kspace)
    # As the challenge makes its reference.
    reference = np.sqrt((np.abs(np.fft.ifft2(stored[..., ::2] + 1j * stored[..., 1::2], axes=(1, 2))) ** 2).sum(-1))
    path = write_arrays(tmp_path / "e1.h5", kspace=stored)
    scan, notes = read(path)
    np.testing.assert_allclose(scan.kspace, kspace, rtol=1e-4, atol=1e-5)
    assert scan.complete
    assert notes == [f"1 of its {columns} columns, at the edges, are zeros: taken for padding"]
    np.testing.assert_allclose(scan.truth, reference * np.sqrt(ROWS * columns), rtol=1e-4)
    (source,) = find_sources(path)
    assert source.format.name == "hdf5-kspace"
    (written,) = source.write(scan.truth, tmp_path / "out", MADE)
    with h5py.File(written) as file:
        np.testing.assert_array_equal(file["reconstruction"][:], scan.truth)


def test_points_of_calgary_campinas(tmp_path):
    points = np.random.default_rng(0).random((ROWS, COLUMNS)) < 0.3
    path = write_arrays(tmp_path / "e1.h5", kspace=calgary(noise(4, COILS, ROWS, COLUMNS) * points))
    scan, notes = read(path)
    assert scan.axis == "points"
    np.testing.assert_array_equal(scan.mask, points[None])
    assert notes == [f"zeros tell its mask: points, {1 - points.mean():.1%} of them, are taken for left out"]


def test_skm_tea(tmp_path):
    kspace = noise(4, 2, COILS, ROWS, COLUMNS)
    stored = np.moveaxis(kspace, (1, 2), (3, 4))
    maps = noise(4, ROWS, COLUMNS, COILS, 1)
    path = write_arrays(tmp_path / "MTR_005.h5", kspace=stored, maps=maps, target=noise(4, ROWS, COLUMNS, 2, 1))
    scan, notes = read(path)
    np.testing.assert_array_equal(scan.kspace, kspace.reshape(8, COILS, ROWS, COLUMNS))
    assert notes == ["images of their own: 2 of echo, for each of 4 slices"]
    np.testing.assert_allclose(scan.truth, image_of(kspace.reshape(8, COILS, ROWS, COLUMNS)), rtol=1e-4)


def prostate(path: Path, **datasets: Any) -> Path:
    """Two averages of the odd lines, and one of the even ones."""
    kspace = noise(3, 2, COILS, ROWS, COLUMNS)
    odd = np.arange(COLUMNS) % 2 == 1
    kspace[:2] *= odd
    kspace[2] *= ~odd
    rss = np.abs(noise(2, 8, 6)).astype(np.float32)
    content = {"kspace": kspace, "calibration_data": noise(2, COILS, ROWS, 4), "reconstruction_rss": rss}
    return write_fastmri(path, {"patient_id": "p1"}, ismrmrd_header=header_of(16, 10, 8, 6), **(content | datasets))


def test_fastmri_prostate(tmp_path):
    path = prostate(tmp_path / "file_prostate_AXT2_001.h5")
    scan, notes = read(path)
    with h5py.File(path) as file:
        stored = file["kspace"][:]
    expected = (stored[0] + stored[1]) / 2 + stored[2]
    np.testing.assert_allclose(scan.kspace, expected, rtol=1e-6)
    assert notes == ["its 3 averages are averaged where they were measured"]
    assert (scan.complete, scan.size) == (True, (8, 6))
    np.testing.assert_allclose(scan.truth, image_of(expected)[:, 4:12, 2:8], rtol=1e-4)


def test_diffusion_of_the_prostate_is_refused(tmp_path):
    path = prostate(tmp_path / "dwi.h5", coil_sens_maps=noise(2, COILS, ROWS, COLUMNS))
    with pytest.raises(ReadError, match=r"dwi\.h5: is a diffusion scan, .*; give its images"):
        unimri.load_kspace(path)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("kspace_full", (COLUMNS, COILS, 2, 4)),
        ("kspace_full", (COLUMNS, COILS, 2)),
        ("kspace_sub04", (COLUMNS, COILS, 2, 4)),
        ("kspace_single_full", (COLUMNS, 2, 4)),
        ("kspace_single_sub10", (COLUMNS, 2)),
        ("kus", (COLUMNS, COILS, 2, 4)),
        ("kspace", (COLUMNS, COILS, 2, 4)),
    ],
)
def test_cmrxrecon(tmp_path, name, shape):
    # (kx, ky, coils, slices, time), as MATLAB has it.
    stored = noise(ROWS, *shape)
    full = name.endswith("full") or name == "kspace"
    if not full:
        stored *= LINES.reshape(-1, *(1 for _ in shape[1:]))
    path = write_matlab(tmp_path / "P001" / "cine_sax.mat", **{name: stored})
    scan, notes = read(path)
    single = "single" in name
    five = stored.reshape(*stored.shape, *(1 for _ in range(5 - single - stored.ndim)))
    coils = five[:, :, None] if single else five
    expected = coils.transpose(3, 4, 2, 0, 1).reshape(-1, coils.shape[2], ROWS, COLUMNS)
    np.testing.assert_array_equal(scan.measured(), expected)
    assert scan.complete == full
    np.testing.assert_array_equal(scan.mask, np.ones((1, COLUMNS), bool) if full else LINES[None])
    assert any("4 of time" in note for note in notes) == (4 in shape)
    (source,) = find_sources(tmp_path)
    (written,) = source.write(scan.zero_filled(), tmp_path / "out", MADE)
    assert written == tmp_path / "out" / "P001" / "cine_sax.h5"


def test_frames_may_have_lines_of_their_own(tmp_path):
    masks = np.stack([LINES, np.roll(LINES, 1)])
    masks[:, 4:6] = True
    stored = noise(ROWS, COLUMNS, COILS, 1, 2) * masks.T[None, :, None, None]
    scan, _ = read(write_matlab(tmp_path / "cine_sax_kus_ktUniform4.mat", kus=stored))
    np.testing.assert_array_equal(scan.mask, masks)


def test_older_matlab_files_are_told(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(600))
    (tmp_path / "b.mat").write_bytes(b"MATLAB")
    with pytest.raises(ReadError, match=r"a\.mat: is a MATLAB file of an older version; save it with -v7\.3"):
        unimri.load_kspace(tmp_path / "a.mat")
    with pytest.raises(ReadError, match=r"b\.mat: is no MATLAB file"):
        unimri.load_kspace(tmp_path / "b.mat")


def chosen(**layout: Any) -> str:
    return json.dumps({"format": "hdf5-kspace", "layout": layout})


def test_any_layout_is_read_by_its_settings(tmp_path):
    kspace = noise(2, COILS, ROWS, COLUMNS)
    parts = np.stack([kspace.real, kspace.imag], -1)
    # (columns, coils, rows, slices, 2), in a group.
    path = write_arrays(tmp_path / "a.h5", **{"raw/k": parts.transpose(3, 1, 2, 0, 4)})
    layout = {"dataset": "raw/k", "axes": ["column", "coil", "row", "slice"], "numbers": "parts"}
    scan, _ = read(path, format=chosen(**layout))
    np.testing.assert_array_equal(scan.kspace, kspace)
    with pytest.raises(UnimriError, match="holds nothing that can be used"):
        unimri.load_kspace(path, chosen(**(layout | {"dataset": "raw/other"})))
    with pytest.raises(UnimriError, match="holds nothing that can be used"):
        unimri.load_kspace(path)


@pytest.mark.parametrize("slices", [4, 5])
def test_partitions_of_3d_become_slices(tmp_path, slices):
    images = noise(slices, COILS, ROWS, COLUMNS)
    axes = (0, 2, 3)
    full = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, axes), axes=axes, norm="ortho"), axes)
    path = write_arrays(tmp_path / "a.h5", kspace=full.astype(np.complex64))
    scan, _ = read(path, format=chosen(axes=["slice", "coil", "row", "column"], image=[]))
    np.testing.assert_allclose(scan.truth, np.sqrt((np.abs(images) ** 2).sum(1)), rtol=1e-4)
    # The same, as numpy.fft.fftn alone gives it, and with its readout transformed.
    plain = np.fft.fftn(images, axes=axes, norm="ortho").astype(np.complex64)
    path = write_arrays(tmp_path / "b.h5", kspace=plain)
    scan, _ = read(path, format=chosen(image=[], dc="first", origin="first"))
    np.testing.assert_allclose(scan.truth, np.sqrt((np.abs(images) ** 2).sum(1)), rtol=1e-4)
    hybrid = np.fft.fftn(images, axes=(0, 3), norm="ortho").astype(np.complex64)
    path = write_arrays(tmp_path / "c.h5", kspace=hybrid)
    scan, _ = read(path, format=chosen(image=["row"], dc="first", origin="first"))
    np.testing.assert_allclose(scan.truth, np.sqrt((np.abs(images) ** 2).sum(1)), rtol=1e-4)


def test_lines_that_3d_leaves_out_are_the_same_in_all_partitions(tmp_path):
    kspace = noise(6, COILS, ROWS, COLUMNS)
    settings = chosen(image=[])
    # Partitions at both ends and corners of the plane are padding.
    corners = kspace * LINES
    corners[[0, 5]] = 0
    corners[1, ..., 9] = 0
    scan, _ = read(write_arrays(tmp_path / "a.h5", kspace=corners), format=settings)
    np.testing.assert_array_equal(scan.mask, LINES[None])
    expected = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(corners, 0), axis=0, norm="ortho"), 0)
    np.testing.assert_allclose(scan.kspace, expected, rtol=1e-4, atol=1e-5)
    for change in ((2, slice(None)), (slice(3, 6), slice(None)), (2, 5)):
        missing = kspace.copy()
        missing[change[0], ..., change[1]] = 0
        path = write_arrays(tmp_path / "b.h5", kspace=missing)
        with pytest.raises(ReadError, match=r"b\.h5: points and not whole lines of its partitions were measured"):
            unimri.load_kspace(path, settings)


@pytest.mark.parametrize(
    ("layout", "says"),
    [
        ({"axes": ["slice", "row"]}, "needs the axes row and column"),
        ({"axes": ["row", "row", "column"]}, "names an axis twice"),
        ({"axes": ["row", "line"]}, "axes"),
        ({"axes": ["row", "column"], "numbers": "interleaved"}, "no coil among its axes"),
        ({"axes": ["row", "column"], "dc": "middle"}, "dc"),
        ({"axis": ["row", "column"]}, "axis"),
    ],
)
def test_settings_are_checked(tmp_path, layout, says):
    path = write_arrays(tmp_path / "a.h5", kspace=noise(2, ROWS, COLUMNS))
    with pytest.raises(UnimriError, match=says):
        unimri.load_kspace(path, chosen(**layout))
    with pytest.raises(ValidationError, match=says):
        Layout.model_validate(layout)


@pytest.mark.parametrize(
    ("kspace", "layout", "says"),
    [
        (noise(2, ROWS, COLUMNS), {}, "has 3 axes; give .slice, coil, row, column."),
        (np.ones((2, 1, ROWS, COLUMNS)), {}, "not complex"),
        (noise(2, 4, ROWS, COLUMNS), {"numbers": "interleaved"}, "no real numbers"),
        (np.ones((2, 3, ROWS, COLUMNS)), {"numbers": "interleaved"}, "odd number"),
        (np.ones((2, 3, ROWS, COLUMNS, 3)), {"numbers": "parts"}, "has 3 parts"),
        (noise(2, 4, ROWS, COLUMNS) * np.nan, {}, "NaN or infinite"),
        (noise(2, 4, ROWS, COLUMNS) * 0, {}, "is empty"),
    ],
)
def test_arrays_that_do_not_fit_are_told(tmp_path, kspace, layout, says):
    path = write_arrays(tmp_path / "a.h5", kspace=kspace)
    with pytest.raises(ReadError, match=rf"a\.h5: .*{says}"):
        unimri.load_kspace(path, chosen(**layout))


def test_what_declares_more_than_it_holds_or_leads_elsewhere_is_told(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", (4000, 400, 400, 24), np.float32, chunks=(1, 400, 400, 1))
    with pytest.raises(ReadError, match=r"a\.h5: declares (more|\d+) voxels"):
        unimri.load_kspace(path)
    write_arrays(tmp_path / "b.h5", k=noise(2, 1, 8, 8))
    with h5py.File(path, "w") as file:
        file["kspace"] = h5py.ExternalLink("b.h5", "k")
    with pytest.raises(ReadError, match=r"a\.h5: its `kspace` is a link"):
        unimri.load_kspace(path, chosen())


def test_data_sets_are_prepared_of_them(tmp_path):
    for patient in ("P001", "P002"):
        stored = noise(ROWS, COLUMNS, COILS, 2, 3, seed=int(patient[1:]))
        write_matlab(tmp_path / patient / "cine_sax.mat", kspace_full=stored)
    write_matlab(tmp_path / "P002" / "mask.mat", mask04=np.ones((ROWS, COLUMNS)))
    reader = parse_reader("hdf5-kspace")
    found = find_scans(reader, tmp_path)
    assert [(scan.patient, scan.name) for scan in found.scans] == [
        ("P001", "P001/cine_sax.mat"),
        ("P002", "P002/cine_sax.mat"),
    ]
    assert [one.reason for one in found.passed] == ["has no array of a known layout"]
    with heard() as notes:
        images = reader.read_scan(found.scans[1])
    assert notes == ["images of their own: 3 of time, for each of 2 slices"]
    expected = stored.transpose(3, 4, 2, 0, 1).reshape(-1, COILS, ROWS, COLUMNS)
    np.testing.assert_allclose(images, image_of(expected), rtol=1e-4)
    assert ArraysReader(patient="file").find(tmp_path)[0].patient == "P001/cine_sax.mat"
    write_matlab(tmp_path / "P003" / "a.mat", kus=stored * LINES.reshape(-1, 1, 1, 1))
    (scan,) = reader.find(tmp_path / "P003")
    with pytest.raises(ReadError, match=r"a\.mat: is undersampled; remove it"):
        reader.read_scan(scan)
