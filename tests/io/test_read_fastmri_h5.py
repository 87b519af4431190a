"""fastMRI's k-space files: numbers against numpy, patients, memory, and what is refused."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError
from scan_files import noise, write_fastmri

import unimri
from unimri.core.errors import ReadError, UnimriError
from unimri.data.layouts import FastmriReader
from unimri.io.fastmri import read_slices

Write = Callable[..., Path]

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <encoding>
    <encodedSpace><matrixSize><x>16</x><y>10</y><z>1</z></matrixSize></encodedSpace>
    <reconSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize></reconSpace>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>"""
LINES = np.arange(10) % 3 != 1
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><ismrmrdHeader>&b;</ismrmrdHeader>'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file with fastMRI's datasets and attributes; keywords are datasets, and None leaves one out."""

    def write(
        name: str = "file1.h5",
        attributes: dict[str, Any] | None = None,
        crop: tuple[int, int] = (8, 6),
        **datasets: Any,
    ) -> Path:
        usual = {"kspace": noise(3, 16, 10), "ismrmrd_header": HEADER.format(x=crop[0], y=crop[1])}
        named = {"acquisition": "AXT1", "max": 1.0, "norm": 2.0, "patient_id": "p1"} | (attributes or {})
        return write_fastmri(tmp_path / name, named, **(usual | datasets))

    return write


def image_of(kspace: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Magnitude by the sum that the centred orthonormal inverse transform is, in double precision."""
    rows, columns = (
        np.exp(2j * np.pi * np.outer(np.arange(n) - n // 2, np.arange(n) - n // 2) / n) / np.sqrt(n)
        for n in kspace.shape[-2:]
    )
    return np.abs(rows @ kspace.astype(complex) @ columns.T)


@pytest.mark.parametrize("use", ["reconstruction", "kspace"])
@pytest.mark.parametrize("coils", [(), (3,)])
def test_whole_kspace_beside_a_mask_is_whole(write, use, coils):
    kspace = noise(3, *coils, 16, 10)
    # Zeros around are padding.
    kspace[..., [0, 9]] = 0
    path = write(kspace=kspace, mask=LINES)
    images = image_of(kspace)[..., 4:12, 2:8]
    np.testing.assert_allclose(read_slices(path, use), np.sqrt((images**2).sum(1)) if coils else images, rtol=1e-5)
    rss = np.random.default_rng(1).random((3, 8, 6), np.float32)
    if use == "reconstruction":
        np.testing.assert_array_equal(read_slices(write(kspace=kspace, mask=LINES, reconstruction_rss=rss)), rss)


def test_pixels_that_the_scanner_interpolates_are_not_wanted(write):
    def view(x):
        return f"<fieldOfView_mm><x>{x}</x><y>200</y><z>5</z></fieldOfView_mm>"

    header = HEADER.format(x=16, y=20).replace("</encodedSpace>", f"{view(400)}</encodedSpace>")
    kspace = noise(2, 16, 10)
    path = write(kspace=kspace, ismrmrd_header=header.replace("</reconSpace>", f"{view(200)}</reconSpace>"))
    np.testing.assert_allclose(read_slices(path), image_of(kspace)[:, 4:12], rtol=1e-5)
    assert unimri.load_kspace(path).size == (8, 10)


def test_single_coil_kspace_becomes_the_magnitude_of_the_centre(write):
    kspace = noise(3, 16, 10)
    volume = read_slices(write(kspace=kspace))
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume, image_of(kspace)[:, 4:12, 2:8], rtol=1e-5)


def test_coils_are_combined_by_root_sum_of_squares(write):
    kspace = noise(2, 5, 16, 10)
    expected = np.sqrt((image_of(kspace) ** 2).sum(axis=1))[:, 4:12, 2:8]
    np.testing.assert_allclose(read_slices(write(kspace=kspace)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("shape", "crop", "rows", "columns"),
    [
        # fastMRI's offset is half the difference, rounded down: not n // 2 of both for an even length made odd.
        ((16, 10), (7, 5), slice(4, 11), slice(2, 7)),
        ((15, 9), (8, 6), slice(3, 11), slice(1, 7)),
        # Fewer columns than the header says: fastMRI makes the image square.
        ((16, 5), (8, 8), slice(5, 10), slice(0, 5)),
        ((6, 10), (8, 8), slice(0, 6), slice(1, 9)),
    ],
)
def test_the_crop_is_fastmris(write, shape, crop, rows, columns):
    kspace = noise(2, *shape)
    expected = image_of(kspace)[:, rows, columns]
    np.testing.assert_allclose(read_slices(write(kspace=kspace, crop=crop)), expected, rtol=1e-5)


def test_without_a_header_half_the_readout_is_kept(write):
    kspace = noise(2, 16, 10)
    np.testing.assert_allclose(
        read_slices(write(kspace=kspace, ismrmrd_header=None)), image_of(kspace)[:, 4:12], rtol=1e-5
    )


def test_the_reconstruction_goes_before_kspace_unless_told_otherwise(write):
    esc, rss = np.random.default_rng(1).random((2, 3, 8, 6), np.float32)
    path = write(reconstruction_rss=rss)
    np.testing.assert_array_equal(read_slices(path), rss)
    np.testing.assert_allclose(read_slices(path, "kspace"), image_of(noise(3, 16, 10))[:, 4:12, 2:8], rtol=1e-5)
    np.testing.assert_array_equal(read_slices(write(reconstruction_rss=rss, reconstruction_esc=esc)), esc)
    # Such as fastMRI's prostate files, whose k-space has averages too.
    np.testing.assert_array_equal(read_slices(write(kspace=noise(3, 2, 4, 16, 10), reconstruction_rss=rss)), rss)


@pytest.mark.parametrize("names", [("r", "i"), ("real", "imag")])
@pytest.mark.parametrize("half", ["f2", "i2", "f4", "f8"])
def test_complex_numbers_of_other_kinds_are_read(write, names, half):
    whole = np.round(100 * noise(2, 16, 10))
    kspace = np.empty(whole.shape, [(name, half) for name in names])
    kspace[names[0]], kspace[names[1]] = whole.real, whole.imag
    np.testing.assert_allclose(read_slices(write(kspace=kspace)), image_of(whole)[:, 4:12, 2:8], rtol=1e-5)


def test_compressed_files_are_read(write):
    path = write()
    kspace = noise(3, 16, 10)
    for options in ({"compression": "gzip", "shuffle": True}, {"compression": "lzf", "fletcher32": True}):
        with h5py.File(path, "r+") as file:
            del file["kspace"]
            file.create_dataset("kspace", data=kspace, chunks=(2, 16, 10), **options)
        np.testing.assert_allclose(read_slices(path), image_of(kspace)[:, 4:12, 2:8], rtol=1e-5)


def test_patients_are_those_of_the_attribute_else_the_files(write, tmp_path):
    write("train/b.h5", attributes={"patient_id": " p1 "})
    write("train/a.h5", attributes={"patient_id": b"p1"})
    write("val/c.h5", attributes={"patient_id": ""})
    write("val/d.h5", attributes={"patient_id": [1, 2]})
    write("val/._c.h5")
    (tmp_path / "notes.txt").write_text("notes")
    scans = FastmriReader().find(tmp_path)
    assert [(scan.patient, scan.name) for scan in scans] == [
        ("p1", "train/a.h5"),
        ("p1", "train/b.h5"),
        ("val/c.h5", "val/c.h5"),
        ("val/d.h5", "val/d.h5"),
    ]
    assert FastmriReader().read_scan(scans[0]).shape == (3, 8, 6)
    assert [scan.patient for scan in FastmriReader(patient="file").find(tmp_path)] == [scan.name for scan in scans]
    by_folder = FastmriReader(patient_pattern="^(train)/").find(tmp_path)
    assert [scan.patient for scan in by_folder] == ["train", "train", "val/c.h5", "val/d.h5"]


@pytest.mark.parametrize(("pattern", "says"), [("(", "must be a regular expression"), ("a", "needs one group")])
def test_a_pattern_without_a_patient_is_refused(pattern, says):
    with pytest.raises(ValidationError, match=says):
        FastmriReader(patient_pattern=pattern)


def test_acquisitions_can_be_chosen(write, tmp_path):
    for name in ("AXT1", "AXT2", "AXFLAIR"):
        write(f"{name}.h5", attributes={"acquisition": name})
    scans = FastmriReader(acquisitions=["AXT2", "AXFLAIR"]).find(tmp_path)
    assert [scan.name for scan in scans] == ["AXFLAIR.h5", "AXT2.h5"]
    with pytest.raises(UnimriError, match="found no fastMRI file"):
        FastmriReader(acquisitions=["AXT1POST"]).find(tmp_path)


def test_one_slice_is_in_memory_at_a_time(write):
    slices, one = 12, (8, 128, 96)
    path = write(kspace=noise(slices, *one), crop=(32, 32))
    tracemalloc.start()
    try:
        assert read_slices(path).shape == (slices, 32, 32)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The next slice is read while the last one is not yet let go.
    assert peak < 3 * 8 * np.prod(one)


@pytest.mark.parametrize("to", [0, 4, 100, 0.3, 0.7, -1])
def test_a_file_cut_short_is_told_when_it_is_read(write, tmp_path, to):
    path = write()
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to) if isinstance(to, float) else to])
    (scan,) = FastmriReader().find(tmp_path)
    assert scan.patient == "file1.h5"
    with pytest.raises(ReadError, match=r"file1\.h5: .*again") as raised:
        FastmriReader().read_scan(scan)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_hdf5_is_told(write, tmp_path):
    path = write()
    path.write_bytes(b"\x89HDG" + path.read_bytes()[4:])
    (scan,) = FastmriReader().find(tmp_path)
    with pytest.raises(ReadError, match=r"file1\.h5: cannot be read as HDF5"):
        FastmriReader().read_scan(scan)


@pytest.mark.parametrize(
    ("datasets", "says"),
    [
        ({"kspace": None}, "has no k-space"),
        ({"kspace": noise(16, 10)}, "k-space has 2 axes"),
        ({"kspace": noise(1, 1, 2, 4, 4)}, "k-space has 5 axes"),
        ({"kspace": noise(3, 16, 10).real}, "k-space is not complex"),
        ({"kspace": np.zeros((3, 4, 4), [("r", "S4"), ("i", "S4")])}, "k-space is not complex"),
        ({"kspace": noise(0, 16, 10)}, "without voxels"),
        ({"kspace": h5py.Empty("c8")}, "cannot be read as HDF5"),
        ({"kspace": noise(3, 16, 10) * np.float32(np.nan)}, "NaN or infinite"),
        ({"kspace": 1e300 * noise(3, 16, 10).astype(complex)}, "NaN or infinite"),
        ({"kspace": 0 * noise(3, 16, 10)}, "equal"),
        ({"mask": LINES, "kspace": noise(3, 16, 10) * LINES}, "undersampled"),
        ({"mask": LINES, "kspace": noise(3, 16, 10) * LINES, "reconstruction_rss": np.ones((3, 8, 6))}, "undersampled"),
        ({"kspace": noise(3, 16, 10) * LINES}, "undersampled"),
        ({"kspace": noise(3, 16, 10) * (np.arange(10) > 3)}, "undersampled"),
        ({"kspace": noise(3, 16, 10) * (np.arange(160).reshape(16, 10) % 7 < 3)}, "undersampled"),
        ({"reconstruction_esc": np.ones((8, 6))}, "reconstruction has 2 axes"),
        ({"reconstruction_esc": noise(3, 8, 6)}, "reconstruction holds no real numbers"),
        ({"ismrmrd_header": "no XML"}, "header is no XML"),
        ({"ismrmrd_header": np.arange(3)}, "header is no text"),
        ({"ismrmrd_header": ["a", "b"]}, "header is no text"),
        ({"ismrmrd_header": np.bytes_(b"\xff\xfe<\0")}, "header is no XML"),
        ({"ismrmrd_header": BOMB}, "header has a document type"),
        ({"ismrmrd_header": np.bytes_(BOMB.encode("utf-16"))}, "header is no XML"),
        ({"ismrmrd_header": HEADER.format(x=0, y=6)}, "empty reconSpace"),
        ({"ismrmrd_header": HEADER.format(x="-8", y=6)}, "no encoding/reconSpace/matrixSize/x"),
        ({"ismrmrd_header": "<ismrmrdHeader/>"}, "no encoding/reconSpace/matrixSize/x"),
    ],
)
def test_what_is_no_fully_sampled_scan_is_told_by_name(write, datasets, says):
    with pytest.raises(ReadError, match=rf"file1\.h5: .*{says}"):
        read_slices(write(**datasets))


def _replace(path: Path, name: str, put: Callable[[h5py.File], Any]) -> Path:
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        put(file)
    return path


@pytest.mark.parametrize(
    ("options", "says"),
    [
        # Nothing is written, so that nothing is stored.
        ({"shape": (40, 640, 368)}, "more voxels than the file can hold"),
        ({"shape": (40, 640, 368), "chunks": (1, 640, 368), "compression": "gzip"}, "than the file can hold"),
        ({"shape": (40000, 640, 368)}, r"declares \d+ voxels, more than the"),
        (
            {"shape": (1, 2, 2), "maxshape": (None, None, None), "chunks": (2, 2**14, 2**14)},
            "chunks that are too large",
        ),
    ],
)
def test_a_declared_size_is_checked_before_anything_is_read(write, options, says):
    path = _replace(write(), "kspace", lambda file: file.create_dataset("kspace", dtype="c8", **options))
    assert path.stat().st_size < 20000
    with pytest.raises(ReadError, match=says):
        read_slices(path)


def test_a_slice_is_bounded_whatever_its_compression(write):
    def put(file: h5py.File) -> None:
        shape = (1, 64, 4096, 4096)
        found = file.create_dataset("kspace", shape, "c8", chunks=(1, 1, 4096, 4096), compression="gzip")
        file_size = found.size * 8 // 1032 // 64
        for coil in range(64):
            found.id.write_direct_chunk((0, coil, 0, 0), bytes(file_size + 1))

    with pytest.raises(ReadError, match="one slice of its k-space is too large"):
        read_slices(_replace(write(), "kspace", put))


def test_filters_on_filters_are_refused(write):
    def put(file: h5py.File) -> None:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((1, 16, 10))
        properties.set_deflate(9)
        properties.set_deflate(9)
        space = h5py.h5s.create_simple((3, 16, 10))
        h5py.h5d.create(file.id, b"kspace", h5py.h5t.py_create(np.dtype("c8")), space, properties)

    with pytest.raises(ReadError, match="compressed in a way"):
        read_slices(_replace(write(), "kspace", put))


@pytest.mark.parametrize("name", ["kspace", "ismrmrd_header", "reconstruction_esc", "mask"])
@pytest.mark.parametrize("link", ["external", "soft", "nowhere"])
def test_links_are_refused_and_never_followed(write, tmp_path, name, link):
    other = write("other/other.h5", reconstruction_esc=np.random.default_rng(0).random((3, 8, 6)))

    def put(file: h5py.File) -> None:
        file["elsewhere"] = h5py.ExternalLink(str(other), "/")
        links = {
            "external": h5py.ExternalLink(str(other), name),
            "soft": h5py.SoftLink(f"/elsewhere/{name}"),
            "nowhere": h5py.ExternalLink(str(tmp_path / "none.h5"), name),
        }
        file[name] = links[link]

    with pytest.raises(ReadError, match=rf"its `{name}` is a link") as raised:
        read_slices(_replace(write(), name, put))
    assert "other" not in raised.value.reason


def test_values_in_other_files_are_refused(write, tmp_path):
    other = write("other/other.h5")
    layout = h5py.VirtualLayout((3, 16, 10), "c8")
    layout[:] = h5py.VirtualSource(other, "kspace", (3, 16, 10))
    raw = tmp_path / "raw"
    raw.write_bytes(noise(3, 16, 10).tobytes())
    for put in (
        lambda file: file.create_virtual_dataset("kspace", layout),
        lambda file: file.create_dataset("kspace", (3, 16, 10), "c8", external=[(str(raw), 0, raw.stat().st_size)]),
    ):
        with pytest.raises(ReadError, match="its `kspace` lies in other files"):
            read_slices(_replace(write(), "kspace", put))


def test_a_group_where_kspace_should_be_is_told(write):
    with pytest.raises(ReadError, match="its `kspace` is no dataset"):
        read_slices(_replace(write(), "kspace", lambda file: file.create_group("kspace")))


def test_folders_without_files_are_told(tmp_path):
    with pytest.raises(UnimriError, match="empty"):
        FastmriReader().find(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(UnimriError, match="found no fastMRI file"):
        FastmriReader().find(tmp_path)
