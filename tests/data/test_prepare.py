"""Preparation from files on disk: what is stored, what stays out, and what a failure leaves behind."""

import hashlib
import shutil
import zlib
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scan_files import ramp, write_nifti, write_series

from unimri.core.errors import UnimriError
from unimri.data.layouts import DicomReader, NiftiReader, parse_reader
from unimri.data.prepare import PreparationSettings, PreparationTask, centre_crop, inspect, prepare, to_size
from unimri.data.store import TEXT, PreparedData

SMALL = PreparationSettings(image_size=16, crop=16)


@pytest.fixture
def scans(tmp_path):
    """Six patients, two volumes each, of random sizes and scales."""
    rng = np.random.default_rng(0)
    for patient in range(6):
        for volume in "ab":
            array = rng.uniform(0, 500 * (patient + 1), size=(20, 18, rng.integers(1, 5))).astype(np.float32)
            write_nifti(tmp_path / "raw" / f"P{patient}" / f"{volume}.nii.gz", array)
    return tmp_path / "raw"


def _prepare(folder, output, settings=SMALL, fit="crop", reader=None, seed=1):
    task = PreparationTask(reader=reader or NiftiReader(), fit=fit, preparation=settings)
    prepare("knee", folder, task, output, seed)
    return PreparedData(output)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_centre_is_cropped_and_zeros_pad_to_the_pixel():
    volume = np.arange(1, 1 + 6 * 3, dtype=np.float32).reshape(1, 6, 3)
    cropped = centre_crop(volume, 4)
    expected = np.zeros((1, 4, 4), np.float32)
    # The centres, row 3 of 6 and column 1 of 3, become row 2 and column 2 of 4.
    expected[:, :, 1:4] = volume[:, 1:5, :]
    np.testing.assert_array_equal(cropped, expected)


@pytest.mark.parametrize("length", [5, 6, 7, 8, 9])
@pytest.mark.parametrize("size", [5, 6, 7, 8, 9])
def test_the_centre_of_the_fourier_transform_stays_the_centre(length, size):
    volume = np.zeros((1, length, length), np.float32)
    volume[0, length // 2, length // 2] = 1
    cropped = centre_crop(volume, size)
    assert cropped.sum() == 1
    assert cropped[0, size // 2, size // 2] == 1


def test_a_crop_is_resized_only_when_the_image_size_differs():
    volume = np.random.default_rng(0).uniform(size=(2, 20, 20)).astype(np.float32)
    np.testing.assert_array_equal(to_size(volume, "crop", SMALL), volume[:, 2:18, 2:18])
    smaller = to_size(volume, "crop", PreparationSettings(image_size=8, crop=16))
    assert smaller.shape == (2, 8, 8)
    assert smaller.mean() == pytest.approx(volume[:, 2:18, 2:18].mean(), rel=0.02)


@pytest.mark.parametrize("size", [16, 40, 64])
def test_resizing_takes_the_whole_slice_keeps_the_mean_and_stays_positive(size):
    rows, columns = np.mgrid[0:40, 0:30]
    picture = np.exp(-((rows - 18) ** 2 + (columns - 14) ** 2) / 40).astype(np.float32)
    fitted = to_size(picture[None], "resize", PreparationSettings(image_size=size))
    assert fitted.shape == (1, size, size)
    assert fitted.dtype == np.float32
    assert fitted.mean() == pytest.approx(picture.mean(), rel=0.01)
    assert fitted.min() >= 0


def test_resizing_does_not_alias():
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))[None]
    fitted = to_size(stripes, "resize", PreparationSettings(image_size=15))
    assert fitted[0, 2:-2, 2:-2].std() < 0.05


def test_smoothing_is_counted_in_prepared_pixels_and_only_when_made_smaller():
    point = np.zeros((1, 96, 48), np.float32)
    point[0, 48, 24] = 1
    settings = PreparationSettings(image_size=48, smoothing=1.5)
    fitted = to_size(point, "resize", settings)[0].astype(np.float64)
    places = np.arange(48)
    # Along the rows, which are halved, the point has become a Gaussian; along the columns it has not.
    profile = fitted.sum(axis=1) / fitted.sum()
    variance = (profile * (places - (profile * places).sum()) ** 2).sum()
    assert variance == pytest.approx(1.5**2, rel=0.1)
    assert np.count_nonzero(fitted.sum(axis=0)) == 1


def test_scale_brings_back_the_scanners_own_values(tmp_path, scans):
    data = _prepare(scans, tmp_path / "out", PreparationSettings(image_size=32, crop=32))
    stored = {}
    for split in ("train", "validation", "test"):
        slices = data.split(split)
        for index in range(len(slices)):
            key, number, scale = slices.volume_of(index)
            assert slices[index].min() >= 0
            stored.setdefault(key, {})[number] = slices[index] * np.float32(scale)
    assert len(stored) == 12
    by_digest = dict(zip(data.manifest["digest"], data.manifest["volume"], strict=True))
    for path in scans.rglob("*.nii.gz"):
        source = hashlib.sha256(path.read_bytes()).hexdigest()
        volume = stored[by_digest[hashlib.sha256(source.encode()).hexdigest()]]
        array = np.moveaxis(np.asarray(nib.load(path).dataobj), 2, 0)
        together = np.stack([volume[number] for number in range(len(array))])
        np.testing.assert_allclose(together[:, 6:26, 7:25], array, rtol=1e-6, atol=0.5 / 65535 * array.max())
    maxima = [max(s[n].max() for n in s) for s in stored.values()]
    np.testing.assert_allclose(sorted(maxima), sorted(data.manifest["scale"]), rtol=1e-6)


def test_volumes_of_a_patient_share_its_split(tmp_path, scans):
    manifest = _prepare(scans, tmp_path / "out").manifest
    assert manifest["patient"].nunique() == 6
    assert (manifest.groupby("patient")["volume"].nunique() == 2).all()
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    assert set(manifest["split"]) == {"train", "validation", "test"}


def test_two_dicom_series_of_a_patient_share_its_split(tmp_path):
    for patient in range(4):
        for series in range(2):
            write_series(
                tmp_path / "raw" / f"s{series}" / f"p{patient}",
                PatientID=f"P{patient}",
                SeriesInstanceUID=f"1.{patient}.{series}",
            )
    manifest = _prepare(tmp_path / "raw", tmp_path / "out", reader=DicomReader()).manifest
    assert (manifest.groupby("patient")["split"].nunique() == 1).all()
    assert sorted(manifest.groupby("patient").size()) == [2, 2, 2, 2]
    assert set(manifest["sources"]) == {3}


def test_the_manifest_tells_what_was_stored(tmp_path, scans):
    _prepare(scans, tmp_path / "out", PreparationSettings(image_size=16, crop=16, shards=3))
    out = tmp_path / "out"
    manifest = pd.read_csv(out / "manifest.csv", dtype=TEXT)
    sources = pd.read_csv(out / "sources.csv", dtype=str)
    assert (manifest["rows"] == 20).all()
    assert (manifest["columns"] == 18).all()
    on_disk = {hashlib.sha256(path.read_bytes()).hexdigest(): path.stat().st_size for path in scans.rglob("*.gz")}
    assert dict(zip(sources["sha256"], sources["bytes"].astype(int), strict=True)) == on_disk
    for row in manifest.itertuples():
        digests = sorted(sources.loc[sources["volume"] == row.volume, "sha256"])
        assert row.digest == hashlib.sha256("".join(digests).encode()).hexdigest()
        shard = out / row.shard
        assert row.shard_sha256 == hashlib.sha256(shard.read_bytes()).hexdigest()
        with h5py.File(shard) as file:
            assert file.attrs["anatomy"] == "knee"
            assert file["slices"].chunks == (1, 16, 16)
            assert file["slices"][row.start : row.start + row.slices].max() == 65535
    for _, volumes in manifest.groupby("shard"):
        assert volumes["start"].tolist() == [0, *volumes["slices"].cumsum()[:-1]]
    assert sorted(path.name for path in out.glob("*.h5")) == [f"shard-00{n}.h5" for n in range(3)]
    assert manifest.groupby("shard").size().tolist() == [4, 4, 4]
    assert (out / "skipped.csv").read_text() == "volume,digest,reason\n"


def test_more_shards_than_volumes_leaves_empty_ones(tmp_path, scans):
    data = _prepare(scans, tmp_path / "out", PreparationSettings(image_size=16, crop=16, shards=14))
    assert len(list((tmp_path / "out").glob("shard-*.h5"))) == 14
    assert sum(len(data.split(split)) for split in ("train", "validation", "test")) == data.manifest["slices"].sum()


def test_the_same_scans_give_the_same_bytes(tmp_path, scans):
    settings = PreparationSettings(image_size=16, crop=16, shards=2)
    for name in ("one", "two"):
        _prepare(scans, tmp_path / name, settings)
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")
    _prepare(scans, tmp_path / "three", settings, seed=2)
    assert _contents(tmp_path / "one") != _contents(tmp_path / "three")


def test_nothing_that_identifies_a_patient_is_stored(tmp_path):
    for patient in range(3):
        write_series(
            tmp_path / "raw" / f"PLANTED-FOLDER{patient}",
            [f"PLANTED-FILE{k}" for k in range(3)],
            PatientID=f"PLANTED-ID{patient}",
            PatientName="PLANTED^NAME",
            PatientBirthDate="19570314",
            StudyDate="20190823",
            SeriesInstanceUID=f"1.2.826.0.{patient}",
            InstitutionName="PLANTED HOSPITAL",
        )
    bad = write_series(tmp_path / "raw" / "PLANTED-BAD", ["PLANTED-FILE"], PatientID="PLANTED", SamplesPerPixel=3)
    settings = PreparationSettings(image_size=16, crop=16, on_error="skip")
    _prepare(tmp_path / "raw", tmp_path / "out", settings, reader=DicomReader())
    skipped = pd.read_csv(tmp_path / "out" / "skipped.csv")
    source = hashlib.sha256(bad[0].read_bytes()).hexdigest()
    assert skipped[["digest", "reason"]].to_numpy().tolist() == [
        [hashlib.sha256(source.encode()).hexdigest(), "is a colour image"]
    ]
    identifying = [b"planted", b"hospital", b"19570314", b"20190823", b"1.2.826.0"]
    for name, content in _contents(tmp_path / "out").items():
        for form in (content, content.replace(b"\0", b""), *_inflated(content)):
            for word in identifying:
                assert word not in form.lower(), name


def _inflated(content: bytes) -> list[bytes]:
    """Every zlib or gzip stream that begins anywhere in `content`."""
    streams = []
    for start in range(len(content) - 1):
        if content[start] in (0x78, 0x1F):
            try:
                streams.append(zlib.decompressobj(47).decompress(content[start:]))
            except zlib.error:
                continue
    return streams


def test_a_failure_leaves_no_output_and_an_older_one_as_it_was(tmp_path, scans):
    (scans / "P3" / "a.nii.gz").write_bytes(b"damaged")
    with pytest.raises(UnimriError, match=r"P3/a\.nii\.gz"):
        _prepare(scans, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]
    (scans / "P3" / "a.nii.gz").unlink()
    _prepare(scans, tmp_path / "out")
    before = _contents(tmp_path / "out")
    (scans / "P2" / "a.nii.gz").write_bytes(b"damaged")
    with pytest.raises(UnimriError, match=r"P2/a\.nii\.gz"):
        _prepare(scans, tmp_path / "out")
    assert _contents(tmp_path / "out") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "raw"]


def test_an_existing_output_is_replaced_but_a_strangers_folder_is_not(tmp_path, scans):
    (tmp_path / "out").mkdir()
    _prepare(scans, tmp_path / "out", PreparationSettings(image_size=16, crop=16, shards=3))
    _prepare(scans, tmp_path / "out")
    assert [path.name for path in sorted((tmp_path / "out").glob("*.h5"))] == ["shard-000.h5"]
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(UnimriError, match=r"thesis\.txt"):
        _prepare(scans, tmp_path / "home")
    with pytest.raises(UnimriError, match="is a file"):
        _prepare(scans, tmp_path / "home" / "thesis.txt")
    assert (tmp_path / "home" / "thesis.txt").read_text() == "years of work"


def test_skipping_divides_the_patients_that_are_left(tmp_path, scans):
    for name in ("P0/a", "P1/a", "P1/b"):
        (scans / f"{name}.nii.gz").write_bytes(b"damaged")
    data = _prepare(scans, tmp_path / "out", PreparationSettings(image_size=16, crop=16, on_error="skip"))
    assert data.manifest["patient"].nunique() == 5
    assert len(data.manifest) == 9
    assert set(data.manifest["split"]) == {"train", "validation", "test"}
    assert len(pd.read_csv(tmp_path / "out" / "skipped.csv")) == 3


def test_too_few_patients_are_reported_before_and_after_skipping(tmp_path, scans):
    for patient in range(2, 6):
        for path in (scans / f"P{patient}").iterdir():
            path.write_bytes(b"damaged")
    skip = PreparationSettings(image_size=16, crop=16, on_error="skip")
    with pytest.raises(UnimriError, match=r"knee: 2 patient.*at least three.*after 8 volume"):
        _prepare(scans, tmp_path / "out", skip)
    assert not (tmp_path / "out").exists()
    shutil.copytree(scans / "P0", tmp_path / "one" / "P0")
    with pytest.raises(UnimriError, match="one: 1 patient"):
        _prepare(tmp_path / "one", tmp_path / "out")


def test_an_empty_centre_is_reported_by_name(tmp_path):
    for name in "abc":
        array = np.zeros((40, 40, 2), np.float32)
        array[0, 0, 0] = 1
        write_nifti(tmp_path / "raw" / f"{name}.nii", array)
    with pytest.raises(UnimriError, match=r"\.nii: its centre is empty"):
        _prepare(tmp_path / "raw", tmp_path / "out")


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="size"):
        PreparationSettings(size=3)
    with pytest.raises(ValidationError, match="shards"):
        PreparationSettings(shards=0)


def test_whatever_a_library_raises_on_a_scan_is_that_scans_fault(tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("a", "b"):
        write_nifti(tmp_path / f"{name}.nii", ramp(3, 4, 5))
    reader = parse_reader("nifti")
    read = type(reader).read

    def failing(self: Any, paths: tuple[Path, ...]) -> Any:
        if paths[0].name == "a.nii":
            raise AttributeError("DOE^JANE has no such thing")
        return read(self, paths)

    monkeypatch.setattr(type(reader), "read", failing)
    first, second = inspect(tmp_path, reader)
    mend = "open it with another program and save it anew, or remove it"
    assert first.fault.endswith(f"a.nii: cannot be read (AttributeError); {mend}")
    assert second.shape is not None
