"""ISMRMRD files, written with its own package: numbers against numpy, and what is refused."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd
from numpy.typing import NDArray
from scan_files import image_of, line, noise, write_lines

import unimri
from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import IsmrmrdReader
from unimri.io.ismrmrd import read_slices
from unimri.io.notes import heard

Write = Callable[..., Path]
Kspace = NDArray[np.complex64]

SLICES, COILS, X, Y = 2, 3, 12, 6
CENTRE = slice(3, 9), slice(0, 6)


@pytest.fixture
def kspace() -> Kspace:
    """(slices, coils, readout, phase encoding)."""
    return noise(SLICES, COILS, X, Y)


def lines_of(kspace: Kspace, **counters: int) -> list[ismrmrd.Acquisition]:
    """The lines of each slice; counters go to the head, slices interleaved as scanners measure them."""
    return [
        line(kspace[number, :, :, step], slice=number, kspace_encode_step_1=step, **counters)
        for step in range(kspace.shape[-1])
        for number in (*range(1, len(kspace), 2), *range(0, len(kspace), 2))
    ]


def header_of(
    encoded: tuple[int, ...] = (X, Y, 1),
    recon: tuple[int, ...] = (6, 6, 1),
    limits: tuple[int, int, int] | None = (0, Y - 1, Y // 2),
    trajectory: str = "cartesian",
    patient: str | None = "p1",
    views: tuple[tuple[float, float], ...] = ((300, 300), (300, 300)),
) -> str:
    spaces = {
        name: xsd.encodingSpaceType(
            matrixSize=xsd.matrixSizeType(x=x, y=y, z=z), fieldOfView_mm=xsd.fieldOfViewMm(x=view[0], y=view[1], z=5)
        )
        for (name, (x, y, z)), view in zip({"encodedSpace": encoded, "reconSpace": recon}.items(), views, strict=True)
    }
    steps = limits and xsd.limitType(minimum=limits[0], maximum=limits[1], center=limits[2])
    header = xsd.ismrmrdHeader(
        subjectInformation=patient and xsd.subjectInformationType(patientID=patient),
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=63_500_000),
        encoding=[
            xsd.encodingType(
                **spaces,
                encodingLimits=xsd.encodingLimitsType(kspace_encoding_step_1=steps),
                trajectory=xsd.trajectoryType(trajectory),
            )
        ],
    )
    return str(xsd.ToXML(header, encoding="utf-8"))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(lines: list[Any], name: str = "scan.h5", xml: str | bytes | None = None, **header: Any) -> Path:
        return write_lines(tmp_path / name, lines, header_of(**header) if xml is None else xml)

    return write


def test_lines_are_sorted_by_their_counters_and_oversampling_goes(write, kspace):
    volume = read_slices(write(lines_of(kspace)))
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume, image_of(kspace)[:, *CENTRE], rtol=1e-5)


def test_averages_are_averaged(write, kspace):
    lines = lines_of(2 * kspace, average=0) + lines_of(0 * kspace, average=1)
    # A line that was measured once more than the others.
    lines.append(line(kspace[0, :, :, 0], kspace_encode_step_1=0, average=2))
    np.testing.assert_allclose(read_slices(write(lines)), image_of(kspace)[:, *CENTRE], rtol=1e-5)


@pytest.mark.parametrize("counter", ["phase", "contrast", "set", "repetition"])
def test_other_counters_make_images_after_the_slice(write, kspace, counter):
    second = kspace[::-1, ::-1] * np.complex64(2)
    volume = read_slices(write(lines_of(second, **{counter: 1}) + lines_of(kspace)))
    expected = np.stack([image_of(kspace), image_of(second)], axis=1).reshape(-1, X, Y)[:, *CENTRE]
    np.testing.assert_allclose(volume, expected, rtol=1e-5)


def test_segments_share_an_image(write, kspace):
    lines = lines_of(kspace)
    for number, acquisition in enumerate(lines):
        acquisition.idx.segment = number % 3
    assert read_slices(write(lines)).shape == (SLICES, 6, 6)


def test_what_is_no_image_is_left_out(write, kspace):
    other = noise(COILS + 1, 2 * X)
    flags = [
        (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,),
        (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,),
        (ismrmrd.ACQ_IS_NAVIGATION_DATA,),
        (ismrmrd.ACQ_IS_PHASECORR_DATA, ismrmrd.ACQ_IS_REVERSE),
        (ismrmrd.ACQ_IS_HPFEEDBACK_DATA,),
        (ismrmrd.ACQ_IS_DUMMYSCAN_DATA,),
        (ismrmrd.ACQ_IS_RTFEEDBACK_DATA,),
        (ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,),
        (ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,),
        (ismrmrd.ACQ_IS_PHASE_STABILIZATION,),
    ]
    lines = [line(other, flag, slice=7) for flag in flags] + [line(other, head={"encoding_space_ref": 1})]
    calibration_too = line(
        kspace[0, :, :, 3],
        (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING),
        kspace_encode_step_1=3,
    )
    rest = [
        acquisition
        for acquisition in lines_of(kspace)
        if (acquisition.idx.slice, acquisition.idx.kspace_encode_step_1) != (0, 3)
    ]
    volume = read_slices(write([*lines, calibration_too, *rest]))
    np.testing.assert_allclose(volume, image_of(kspace)[:, *CENTRE], rtol=1e-5)


def test_a_smaller_measured_centre_is_filled_with_zeros(write, kspace):
    padded = np.zeros((SLICES, COILS, 16, 10), np.complex64)
    padded[:, :, 2:14, 2:8] = kspace
    path = write(lines_of(kspace), encoded=(16, 10, 1), recon=(8, 10, 1))
    np.testing.assert_allclose(read_slices(path), image_of(padded)[:, 4:12], rtol=1e-5)


def test_discarded_samples_and_a_missing_centre(write, kspace):
    longer = np.concatenate([noise(SLICES, COILS, 2, Y), kspace, noise(SLICES, COILS, 1, Y)], axis=2)
    lines = lines_of(longer)
    for acquisition in lines:
        acquisition.discard_pre, acquisition.discard_post, acquisition.center_sample = 2, 1, 2 + X // 2
    np.testing.assert_allclose(read_slices(write(lines)), image_of(kspace)[:, *CENTRE], rtol=1e-5)
    lines = lines_of(kspace)
    for acquisition in lines:
        acquisition.center_sample = 0
    np.testing.assert_allclose(read_slices(write(lines, limits=None)), image_of(kspace)[:, *CENTRE], rtol=1e-5)


def test_an_image_that_the_scanner_interpolates_keeps_its_own_pixels(write, kspace):
    np.testing.assert_allclose(
        read_slices(write(lines_of(kspace), recon=(6, 12, 1))), image_of(kspace)[:, *CENTRE], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("views", "recon", "rows", "columns"),
    [
        # Twice as many points as were measured of that part of the field of view, along one axis or both.
        (((600, 300), (300, 300)), (X, 2 * Y), CENTRE[0], CENTRE[1]),
        (((600, 300), (300, 150)), (X, Y), CENTRE[0], slice(1, 4)),
        # Fewer points than were measured of it, and headers that do not say.
        (((600, 300), (300, 300)), (4, 6), slice(4, 8), CENTRE[1]),
        (((0, 300), (300, 300)), (6, 6), *CENTRE),
        (((float("nan"), 300), (300, float("inf"))), (6, 6), *CENTRE),
    ],
)
def test_oversampling_is_told_by_the_fields_of_view(write, kspace, views, recon, rows, columns):
    path = write(lines_of(kspace), recon=(*recon, 1), views=views)
    expected = image_of(kspace)[:, rows, columns]
    np.testing.assert_allclose(read_slices(path), expected, rtol=1e-5)
    read = unimri.load_kspace(path)
    np.testing.assert_allclose(read.truth, expected, rtol=1e-5)
    assert read.size == expected.shape[1:]


@pytest.mark.parametrize("missing", [(), (1, 5)])
def test_an_asymmetric_echo_is_reconstructed_and_no_ground_truth(write, kspace, missing):
    lines = _without(kspace[:, :, 4:], *missing)
    for acquisition in lines:
        acquisition.center_sample = X // 2 - 4
    path = write(lines, recon=(X, Y, 1))
    with pytest.raises(ReadError, match="partial echo"):
        read_slices(path)
    with heard() as notes:
        read = unimri.load_kspace(path)
    (said,) = notes
    assert said.startswith(f"4 of {X} points of the readout were not measured (asymmetric echo)")
    assert (read.kspace.shape, read.size, read.complete, read.truth) == ((SLICES, COILS, X, Y), (X, Y), False, None)
    expected = kspace * (np.arange(X) >= 4)[:, None]
    if missing:
        assert said.endswith("and stay zero")
        assert (read.axis, np.flatnonzero(~read.mask[0]).tolist()) == ("columns", [1, 5])
        expected[..., missing] = 0
    else:
        assert said.endswith("taken for rows left out")
        assert (read.axis, np.flatnonzero(~read.mask[0]).tolist()) == ("rows", [0, 1, 2, 3])
    np.testing.assert_array_equal(read.measured(), expected)


Z = 6


def volume_lines(kspace: Kspace, keep: Callable[[int, int], bool] = lambda step, partition: True) -> list[Any]:
    """The lines of a 3D scan (partitions, coils, readout, phase encoding)."""
    return [
        line(kspace[partition, :, :, step], kspace_encode_step_1=step, kspace_encode_step_2=partition)
        for partition in range(len(kspace))
        for step in range(kspace.shape[-1])
        if keep(step, partition)
    ]


@pytest.mark.parametrize(("name", "group"), [("scan.h5", "dataset"), ("scan.mrd", "raw")])
def test_partitions_of_3d_become_slices(tmp_path, name, group):
    images, axes = noise(Z, COILS, X, Y), (0, 2, 3)
    full = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(images, axes), axes=axes, norm="ortho"), axes)
    header = header_of(encoded=(X, Y, Z), recon=(6, 6, 4))
    with ismrmrd.Dataset(str(tmp_path / name), group, mode="w") as file:
        file.write_xml_header(header)
        for acquisition in volume_lines(full.astype(np.complex64)):
            file.append_acquisition(acquisition)
    with heard() as notes:
        read = unimri.load_kspace(tmp_path / name)
    # Two partitions of six are oversampling, as half of the readout is.
    expected = np.sqrt((np.abs(images) ** 2).sum(1))[1:5, *CENTRE]
    np.testing.assert_allclose(read.truth, expected, rtol=1e-4)
    assert notes == ["2 of 6 slices at both ends are oversampling, and left out"]
    assert (read.complete, read.size) == (True, (6, 6))
    np.testing.assert_allclose(read_slices(tmp_path / name), expected, rtol=1e-4)


def test_3d_may_leave_out_lines_corners_and_half_an_echo(write, tmp_path):
    kspace = noise(Z, COILS, X, Y)
    header = {"encoded": (X, Y, Z), "recon": (X, Y, Z)}

    def transformed(values: Kspace) -> NDArray[Any]:
        return np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(values, 0), axis=0, norm="ortho"), 0)

    kept = np.array([1, 0, 1, 1, 0, 1], bool)
    read = unimri.load_kspace(write(volume_lines(kspace, lambda step, _: bool(kept[step])), **header))
    np.testing.assert_array_equal(read.mask, kept[None])
    np.testing.assert_allclose(read.measured(), transformed(kspace * kept), rtol=1e-4, atol=1e-5)
    # An elliptical scan is whole.
    corners = write(volume_lines(kspace, lambda step, partition: (step, partition) not in {(0, 0), (5, 0)}), **header)
    cut = kspace.copy()
    cut[0, ..., [0, 5]] = 0
    read = unimri.load_kspace(corners)
    assert read.complete
    np.testing.assert_allclose(read.kspace, transformed(cut), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(read_slices(corners), read.truth, rtol=1e-4)
    lines = volume_lines(kspace[:, :, 4:])
    for acquisition in lines:
        acquisition.center_sample = X // 2 - 4
    with heard() as notes:
        read = unimri.load_kspace(write(lines, **header))
    assert notes == [f"4 of {X} points of the readout were not measured (asymmetric echo): taken for rows left out"]
    assert (read.axis, read.complete) == ("rows", False)
    np.testing.assert_allclose(
        read.measured(), transformed(kspace * (np.arange(X) >= 4)[:, None]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "keep",
    [
        lambda step, partition: partition != 2,
        lambda step, partition: partition > 2,
        lambda step, partition: (step + partition) % 2 == 0,
        lambda step, partition: (step, partition) != (2, 3),
    ],
)
def test_3d_that_leaves_out_partitions_or_points_is_told(write, keep):
    path = write(volume_lines(noise(Z, COILS, X, Y), keep), encoded=(X, Y, Z), recon=(X, Y, Z))
    with pytest.raises(ReadError, match=r"scan\.h5: points and not whole lines of its partitions were measured"):
        unimri.load_kspace(path)


def test_heart_phases_of_3d_come_after_the_slice(write):
    first, second = noise(Z, COILS, X, Y), noise(Z, COILS, X, Y, seed=1)
    lines = volume_lines(first) + volume_lines(second)
    for acquisition in lines[len(lines) // 2 :]:
        acquisition.idx.phase = 1
    read = unimri.load_kspace(write(lines, encoded=(X, Y, Z), recon=(X, Y, Z)))
    both = np.stack([first, second], axis=1)
    expected = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(both, 0), axis=0, norm="ortho"), 0)
    np.testing.assert_allclose(read.kspace, expected.reshape(2 * Z, COILS, X, Y), rtol=1e-4, atol=1e-5)


def test_patients_are_those_of_the_header_else_the_files(write, kspace, tmp_path):
    write(lines_of(kspace), "a/1.h5")
    write(lines_of(kspace), "a/2.h5", patient=None)
    write(lines_of(kspace), "b/3.h5", xml="no XML")
    (tmp_path / "notes.txt").write_text("notes")
    scans = IsmrmrdReader().find(tmp_path)
    assert [(scan.patient, scan.name) for scan in scans] == [
        ("p1", "a/1.h5"),
        ("a/2.h5", "a/2.h5"),
        ("b/3.h5", "b/3.h5"),
    ]
    assert IsmrmrdReader().read_scan(scans[0]).shape == (SLICES, 6, 6)
    with pytest.raises(ReadError, match=r"3\.h5: its header is no XML"):
        IsmrmrdReader().read_scan(scans[2])
    assert IsmrmrdReader(patient="file").find(tmp_path)[0].patient == "a/1.h5"
    by_folder = IsmrmrdReader(patient_pattern="^(.)/").find(tmp_path)
    assert [scan.patient for scan in by_folder] == ["a", "a", "b"]


def test_one_image_is_in_memory_at_a_time(write):
    kspace = noise(8, 8, 128, 32)
    path = write(lines_of(kspace), encoded=(128, 32, 1), recon=(32, 32, 1), limits=(0, 31, 16))
    tracemalloc.start()
    try:
        assert read_slices(path).shape == (8, 32, 32)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 0.5 * kspace.nbytes


def _without(kspace: Kspace, *steps: int) -> list[Any]:
    return [line for line in lines_of(kspace) if line.idx.kspace_encode_step_1 not in steps]


@pytest.mark.parametrize(
    ("make", "header", "says"),
    [
        (lambda k: _without(k, 1, 3, 5), {}, "undersampled .lines are missing"),
        (lambda k: _without(k, 5), {}, "undersampled .lines are missing"),
        (lambda k: lines_of(k)[:-1], {}, "undersampled .lines are missing"),
        (lambda k: _without(k, 1, 3), {"limits": None}, "undersampled .lines are missing"),
        (lambda k: _without(k, 4, 5), {"limits": (0, 3, 3)}, "partial Fourier"),
        (lambda k: [line(k[0, :, :, 0], head={"center_sample": 2})], {}, "partial echo"),
        (lambda k: [line(k[0, :, :, 0], head={"discard_post": X})], {}, "partial echo"),
        (lambda k: lines_of(k), {"limits": (0, 3, 2)}, "outside the header's encodingLimits"),
        (lambda k: lines_of(k), {"encoded": (8, Y, 1)}, "do not fit the header's encodedSpace"),
        (lambda k: lines_of(k), {"encoded": (4000, 4000, 1)}, "encodedSpace is too large"),
        (lambda k: lines_of(k), {"trajectory": "radial"}, "not Cartesian"),
        (lambda k: lines_of(k), {"trajectory": "epi"}, "not Cartesian"),
        (lambda k: lines_of(k[:1]), {"encoded": (X, Y, 4)}, "points and not whole lines of its partitions"),
        (lambda k: lines_of(k), {"encoded": (X, Y, 4)}, "several 3D slabs"),
        (lambda k: lines_of(k, kspace_encode_step_2=1), {}, "do not fit the header's encodedSpace"),
        (lambda k: [*lines_of(k), line(k[0, :, :, 0], (ismrmrd.ACQ_IS_REVERSE,))], {}, "read backwards"),
        (lambda k: [*lines_of(k), line(k[0, :, :, 0], (ismrmrd.ACQ_COMPRESSION1,))], {}, "compressed"),
        (lambda k: [*lines_of(k), line(k[0, :2, :, 0])], {}, "lines differ"),
        (lambda k: [*lines_of(k), line(k[0, :, 1:, 0])], {}, "lines differ"),
        (lambda k: [line(k[0, :, :, 0], (ismrmrd.ACQ_IS_NOISE_MEASUREMENT,))], {}, "no lines of an image"),
        (lambda k: [], {}, "has no acquisitions"),
        (lambda k: lines_of(k * np.complex64(np.nan)), {}, "NaN or infinite"),
        (lambda k: lines_of(k * 0), {}, "equal"),
        (lambda k: lines_of(k), {"xml": "<ismrmrdHeader/>"}, "not Cartesian"),
        (lambda k: lines_of(k), {"xml": '<!DOCTYPE x [<!ENTITY a "a">]><x>&a;</x>'}, "document type"),
        (lambda k: lines_of(k), {"recon": (0, 6, 1)}, "empty reconSpace"),
    ],
)
def test_what_is_no_fully_sampled_cartesian_scan_is_told_by_name(write, kspace, make, header, says):
    with pytest.raises(ReadError, match=rf"scan\.h5: .*({says})"):
        read_slices(write(make(kspace), **header))


@pytest.mark.parametrize("to", [0, 4, 100, 0.3, 0.7, -1])
def test_a_file_cut_short_is_told_when_it_is_read(write, kspace, tmp_path, to):
    path = write(lines_of(kspace))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to) if isinstance(to, float) else to])
    (scan,) = IsmrmrdReader().find(tmp_path)
    assert scan.patient == "scan.h5"
    with pytest.raises(ReadError, match=r"scan\.h5: .*again"):
        IsmrmrdReader().read_scan(scan)


def test_a_line_of_another_length_than_its_head_says_is_told(write, kspace):
    path = write(lines_of(kspace))
    with h5py.File(path, "r+") as file:
        damaged = file["dataset/data"][3]
        damaged["data"] = damaged["data"][:-2]
        file["dataset/data"][3] = damaged
    with pytest.raises(ReadError, match="a line has another length"):
        read_slices(path)


def test_more_points_than_the_file_can_hold_are_told(write, kspace):
    path = write(lines_of(kspace))
    with h5py.File(path, "r+") as file:
        lines = file["dataset/data"][:]
        lines["head"]["number_of_samples"] = lines["head"]["active_channels"] = 60000
        file["dataset/data"][:] = lines
    with pytest.raises(ReadError, match="more points than the file can hold"):
        read_slices(path)


@pytest.mark.parametrize("name", ["dataset", "dataset/xml", "dataset/data"])
def test_links_are_refused_and_never_followed(write, kspace, tmp_path, name):
    other, path = write(lines_of(kspace), "other/other.h5"), write(lines_of(kspace))
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(other), name)
    with pytest.raises(ReadError, match="is a link"):
        read_slices(path)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("dataset", None, "no group"),
        ("dataset/xml", None, "no header"),
        ("dataset/xml", np.arange(3), "no text"),
        ("dataset/data", None, "no acquisitions"),
        ("dataset/data", np.zeros((2, 2)), "no acquisitions"),
        ("dataset/data", np.zeros(2), "not laid out"),
        ("dataset/data", np.zeros(2, [("head", "u8"), ("data", "f4")]), "not laid out"),
    ],
)
def test_files_of_another_layout_are_told(write, kspace, name, value, says):
    path = write(lines_of(kspace))
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value
    with pytest.raises(ReadError, match=says):
        read_slices(path)


def test_folders_without_files_are_told(tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UnimriError, match="found no ISMRMRD file"):
        IsmrmrdReader().find(tmp_path)
