"""The commands for someone with scans, as they are called."""

import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import scan_files
import torch
from calls import call, fails, succeeds
from numpy.typing import NDArray
from PIL import Image
from scan_files import write_fastmri, write_image, write_matlab
from skimage.metrics import peak_signal_noise_ratio
from stores import smooth

import unimri
from unimri.deploy import library
from unimri.deploy.card import write_texts
from unimri.deploy.library import ModelDescription, digests
from unimri.deploy.model import Model
from unimri.models.cascade import D5C5
from unimri.physics.fourier import to_kspace
from unimri.physics.masks import draw_masks, save_masks
from unimri.physics.noise import compress

# Slices, rows, columns.
SHAPE = (3, 32, 36)
NAME = "Mustermann"


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, without the models of this machine and without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "__file__", str(tmp_path / "site-packages/unimri/deploy/library.py"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "own"))
    monkeypatch.delenv("UNIMRI_MODELS", raising=False)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    return tmp_path


@pytest.fixture(scope="module")
def model(shared_model: Path) -> Model:
    return unimri.load(shared_model)


@pytest.fixture
def reconstruct(shared_model: Path) -> Callable[..., str]:
    """Call `unimri reconstruct` with the model, for the knee."""
    return lambda *arguments: succeeds("reconstruct", *arguments, "-m", shared_model, "-a", "knee", "--threads", 1)


def write_nifti(path: Path, images: NDArray[np.float32], affine: NDArray[np.float64] | None = None) -> Path:
    """Slices are the file's third axis."""
    return scan_files.write_nifti(path, np.moveaxis(images, 0, -1), affine)


def write_dicom(folder: Path, pixels: NDArray[np.uint16], name: str = NAME) -> Path:
    """A series of axial slices of somebody."""
    for k, image in enumerate(pixels):
        header = {
            "PatientName": f"{name}^Max",
            "SeriesNumber": 5,
            "SeriesDescription": "t2",
            "ImagePositionPatient": [0, 0, 3.0 * k],
            "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
            "PixelSpacing": [0.5, 0.75],
            "InstanceNumber": k + 1,
        }
        write_image(folder / f"{k}.dcm", image, **header)
    return folder


def write_h5(path: Path, kspace: NDArray[np.complex64], **more: NDArray[np.generic]) -> Path:
    return write_fastmri(path, **({"ismrmrd_header": None} | more), kspace=kspace)


def every_line(folder: Path, lines: int) -> Path:
    """A mask that leaves nothing out: what is measured stays, so that what comes out is what went in."""
    np.save(folder / "all.npy", np.ones(lines, dtype=bool))
    return folder / "all.npy"


@pytest.fixture
def images() -> NDArray[np.float32]:
    return smooth(*SHAPE) * 800


def test_nifti_keeps_its_geometry_and_scale(
    reconstruct: Callable[..., str], images: NDArray[np.float32], nowhere: Path
) -> None:
    affine = np.array([[0, 0, 3, 5], [-0.5, 0, 0, 6], [0, 0.7, 0, 7], [0, 0, 0, 1]], dtype=float)
    scan = write_nifti(nowhere / "in/leg.nii.gz", images, affine)
    reconstruct(scan, "-o", "same.nii.gz", "--mask", every_line(nowhere, 36))
    same, before = nib.load("same.nii.gz"), nib.load(scan)
    np.testing.assert_allclose(same.get_fdata(), before.get_fdata(), atol=0.2)
    np.testing.assert_allclose(same.affine, before.affine)

    said = reconstruct(scan, "-o", "leg.nii.gz")
    found = nib.load("leg.nii.gz").get_fdata()
    assert np.abs(found - before.get_fdata()).max() > 10
    # What is said is what the files hold.
    largest = before.get_fdata().max()
    scores = [
        peak_signal_noise_ratio(one / largest, own / largest, data_range=1)
        for one, own in zip(np.moveaxis(before.get_fdata(), -1, 0), np.moveaxis(found, -1, 0), strict=True)
    ]
    # All lines of 36 at 4x are 9.
    line = r"leg\.nii\.gz: 3 slices, 4\.00x, tiny-4x, knee: PSNR \S+ -> (\S+) dB, SSIM .* % \(zero filling -> model\)\n"
    (after,) = re.findall(line, said)
    assert float(after) == pytest.approx(np.mean(scores), abs=0.02)
    assert said.endswith("1 of 1 volumes, 3 slices, written to leg.nii.gz\n")


def test_dicom_becomes_a_series_of_its_own(reconstruct: Callable[..., str], nowhere: Path) -> None:
    pixels = np.rint(smooth(*SHAPE, seed=1) * 3000).astype(np.uint16)
    folder = write_dicom(nowhere / "in", pixels)
    said = reconstruct(folder, "-o", "out", "--mask", every_line(nowhere, 36))
    assert said.startswith("volume 1: 3 slices, 1.00x, tiny-4x, knee: PSNR ")
    written = sorted((pydicom.dcmread(path) for path in Path("out").rglob("*.dcm")), key=lambda one: one.InstanceNumber)
    for one, own in zip(written, pixels, strict=True):
        values = one.pixel_array * float(one.get("RescaleSlope", 1)) + float(one.get("RescaleIntercept", 0))
        np.testing.assert_allclose(values, own, atol=2)
        assert one.SeriesInstanceUID != "1.2.3.1"
        assert one.StudyInstanceUID == "1.2.3"
        assert NAME in str(one.PatientName)
        assert one.ImageType[0] == "DERIVED"


@pytest.mark.parametrize("coils", [0, 2])
def test_fastmri_with_its_mask(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path, coils: int
) -> None:
    kspace, mask = model.undersample(images)
    kspace = np.stack([kspace, kspace / 2], 1) if coils else kspace
    truth = images * np.float32(np.hypot(1, 0.5)) if coils else images
    named = {"reconstruction_rss" if coils else "reconstruction_esc": truth}
    scan = write_h5(nowhere / "file.h5", kspace, mask=mask[0].astype(np.float32), **named)
    said = reconstruct(scan, "-o", "out.h5")
    expected = model.reconstruct(kspace, mask, "knee")
    with h5py.File("out.h5") as file:
        np.testing.assert_allclose(file["reconstruction"][...], expected, rtol=1e-4, atol=1e-2)
    zero_filled = model.zero_fill(kspace)
    before, after = (
        np.mean([10 * np.log10(truth.max() ** 2 / np.square(t - o).mean()) for t, o in zip(truth, one, strict=True)])
        for one in (zero_filled, expected)
    )
    found = re.search(r"4\.00x, tiny-4x, knee: PSNR (\S+) -> (\S+) dB", said)
    assert found is not None
    assert [float(value) for value in found.groups()] == pytest.approx([before, after], abs=0.02)


def test_arrays_of_any_layout_come_out_as_the_library_gives_them(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    kspace, mask = model.undersample(images)
    expected = model.reconstruct(kspace, mask, "knee")
    # CMRxRecon's (kx, ky, coils, slices, time).
    write_matlab(nowhere / "in/P001/cine_sax.mat", kus=kspace.transpose(1, 2, 0)[:, :, None, :, None])
    with h5py.File(nowhere / "own-kspace.h5", "w") as file:
        file["raw/k"] = kspace.transpose(2, 1, 0)
    (nowhere / "in/b.hdr").write_text(f"# Dimensions\n32 36 {'1 ' * 11} 3 1 1\n")
    (nowhere / "in/b.cfl").write_bytes(kspace.transpose(1, 2, 0).tobytes(order="F"))
    said = reconstruct(nowhere / "in", "-o", "out")
    assert said.count("3 slices, 4.00x, tiny-4x, knee; zeros tell its mask") == 2
    layout = '{"format": "hdf5-kspace", "layout": {"dataset": "raw/k", "axes": ["column", "row", "slice"]}}'
    reconstruct(nowhere / "own-kspace.h5", "-o", "own.h5", "--format", layout)
    for name in ("out/P001/cine_sax.h5", "own.h5"):
        with h5py.File(name) as file:
            np.testing.assert_allclose(file["reconstruction"][...], expected, rtol=1e-4, atol=1e-2)
    found = np.fromfile("out/b.cfl", "<c8").reshape(3, 36, 32).transpose(0, 2, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)


def test_a_mask_that_is_given_goes_before_the_one_in_the_file(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    whole, _ = model.undersample(images, 1.0)
    kspace, mask = model.undersample(images)
    np.save(nowhere / "mask.npy", mask[0])
    # The file says that it has other lines, and holds more.
    other = np.roll(mask[0], 1)
    write_h5(nowhere / "file.h5", whole, mask=other.astype(np.float32), reconstruction_esc=images)
    reconstruct("file.h5", "-o", "out.h5", "--mask", "mask.npy")
    with h5py.File("out.h5") as file:
        np.testing.assert_allclose(
            file["reconstruction"][...], model.reconstruct(kspace, mask, "knee"), rtol=1e-4, atol=1e-2
        )


def test_numpy_is_what_the_library_gives(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    kspace, mask = model.undersample(images)
    np.save(nowhere / "scan.npy", kspace)
    said = reconstruct("scan.npy", "-o", "out.npy")
    np.testing.assert_array_equal(np.load("out.npy"), model.reconstruct(kspace, mask, "knee"))
    # Nothing is known of the truth, and nothing is said.
    assert "PSNR" not in said
    np.save(nowhere / "mask.npy", mask[0].reshape(1, 1, -1))
    # A whole one, with a mask beside it: of the file's or of unimri's own form.
    np.save(nowhere / "whole.npy", model.undersample(images, 1.0)[0])
    save_masks(draw_masks(model.description.mask, 36, 4), nowhere / "mask.npz")
    for name in ("mask.npy", "mask.npz"):
        said = reconstruct("whole.npy", "-o", f"of-{name}.npy", "--mask", name)
        assert "PSNR" in said
        np.testing.assert_allclose(np.load(f"of-{name}.npy"), np.load("out.npy"), atol=0.1)


def test_coils_are_compressed_where_asked_for(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    kspace, _ = model.undersample(images)
    rows = np.linspace(0.2, 1, 32, dtype=np.float32)[:, None]
    two = np.stack([to_kspace(torch.from_numpy(images * map_)).numpy() for map_ in (rows, rows[::-1])], 1)
    mixing = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 2)))[0].astype(np.float32)
    six = np.einsum("cv,svhw->schw", mixing, two) * (kspace[:, None] != 0)
    np.save(nowhere / "scan.npy", six.astype(np.complex64))
    assert "compressed" not in reconstruct("scan.npy", "-o", "all.npy")
    assert "6 coils compressed to 2" in reconstruct("scan.npy", "-o", "two.npy", "--coils", 2)
    assert "compressed" not in reconstruct("scan.npy", "-o", "six.npy", "--coils", 6)
    np.testing.assert_array_equal(np.load("six.npy"), np.load("all.npy"))
    virtual = compress(unimri.load_kspace("scan.npy"), 2)
    expected = model.reconstruct(virtual.measured(), virtual.mask, "knee")
    np.testing.assert_allclose(np.load("two.npy"), expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize("format_", ["npy", "h5", "cfl"])
def test_complex_images_and_noise_maps_come_out_in_the_format(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path, format_: str
) -> None:
    kspace, mask = model.undersample(images)
    kspace = kspace * np.complex64(np.exp(1j))
    if format_ == "npy":
        np.save(nowhere / "scan.npy", kspace)
    elif format_ == "h5":
        write_h5(nowhere / "scan.h5", kspace, mask=mask[0].astype(np.float32), reconstruction_esc=images)
    else:
        (nowhere / "scan.hdr").write_text(f"# Dimensions\n32 36 {'1 ' * 11} 3 1 1\n")
        (nowhere / "scan.cfl").write_bytes(kspace.transpose(1, 2, 0).tobytes(order="F"))

    def read(name: str) -> NDArray[Any]:
        if format_ == "cfl":
            return np.fromfile(f"{name}.cfl", "<c8").reshape(3, 36, 32).transpose(0, 2, 1)
        if format_ == "npy":
            return np.load(f"{name}.npy")
        with h5py.File(f"{name}.h5") as file:
            return file["reconstruction"][...]

    said = reconstruct(f"scan.{format_}", "-o", f"out.{format_}", "--complex", "--noise-map", 3)
    found, expected = read("out"), model.reconstruct(kspace, mask, "knee", magnitude=False)
    assert found.dtype == np.complex64
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    noise = read("out-noise-map")
    np.testing.assert_allclose(noise, model.noise_map(kspace, mask, "knee", replicas=3), rtol=1e-3, atol=1e-3)
    assert "k-space does not tell its noise: the noise map is of 0.1% of the largest intensity" in said


def test_complex_images_of_magnitudes_are_complex_nifti(
    reconstruct: Callable[..., str], images: NDArray[np.float32], nowhere: Path
) -> None:
    scan = write_nifti(nowhere / "leg.nii.gz", np.rint(images))
    reconstruct(scan, "-o", "complex.nii.gz", "--complex")
    reconstruct(scan, "-o", "magnitude.nii.gz")
    found = nib.load("complex.nii.gz")
    assert found.get_data_dtype() == np.complex64
    np.testing.assert_array_equal(found.affine, nib.load(scan).affine)
    whole = nib.load("magnitude.nii.gz").get_fdata()
    np.testing.assert_allclose(np.abs(np.asanyarray(found.dataobj)), whole, atol=1)


def test_what_cannot_be_complex_or_has_no_noise_is_refused(
    shared_model: Path, model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    write_dicom(nowhere / "series", images.astype(np.uint16))
    write_nifti(nowhere / "leg.nii", images)
    kspace, _ = model.undersample(images)
    np.save(nowhere / "coils.npy", np.stack([kspace, kspace * 1j], 1))
    np.save(nowhere / "scan.npy", kspace)
    (nowhere / "out-noise-map.npy").touch()
    for complaint, *arguments in (
        ("cannot be written as DICOM", "series", "-o", "out", "--complex"),
        ("cannot be written as PNG", "leg.nii", "-o", "out", "--complex", "--png"),
        ("leg.nii: holds images and no k-space", "leg.nii", "-o", "out.nii", "--noise-map", 3),
        ("has no one phase (", "coils.npy", "-o", "out-2.npy", "--complex"),
        ("out-noise-map.npy: is there already", "scan.npy", "-o", "out.npy", "--noise-map", 3),
    ):
        result = call("reconstruct", *arguments, "-m", shared_model, "-a", "knee", "--threads", 1)
        assert result.status == 1
        assert complaint in result.err
        written = [path for path in nowhere.rglob("out*") if path.name != "out-noise-map.npy"]
        assert not written


def test_pictures(reconstruct: Callable[..., str], images: NDArray[np.float32], nowhere: Path) -> None:
    write_nifti(nowhere / "in/leg.nii.gz", images)
    reconstruct("in", "-o", "out", "--png", "--mask", every_line(nowhere, 36))
    pictures = sorted(Path("out/leg").iterdir())
    assert [path.name for path in pictures] == ["slice-0001.png", "slice-0002.png", "slice-0003.png"]
    largest = [int(np.asarray(Image.open(path)).max()) for path in pictures]
    assert max(largest) == 65535
    assert len(set(largest)) == 3


def test_scores_are_by_number_and_slice(
    reconstruct: Callable[..., str], images: NDArray[np.float32], nowhere: Path
) -> None:
    for name in ("a", "b"):
        write_nifti(nowhere / f"in/{NAME}-{name}.nii.gz", images)
    said = reconstruct("in", "-o", "out", "--scores", "scores.csv")
    assert f"{NAME}-a.nii.gz: 3 slices" in said
    assert "2 of 2 volumes, 6 slices, written to out; mean over 6 slices: PSNR" in said
    text = Path("scores.csv").read_text()
    assert NAME not in text
    table = pd.read_csv("scores.csv")
    assert table[["volume", "slice"]].to_numpy().tolist() == [[v, s] for v in (1, 2) for s in (0, 1, 2)]
    assert set(table["anatomy"]) == {"knee"}
    # Equal volumes have equal scores, and slices have not.
    assert table["psnr_db"][:3].tolist() == table["psnr_db"][3:].tolist()
    assert table["psnr_db"].nunique() == 3
    means = [table[column].mean() for column in ("zero_filled_psnr_db", "psnr_db")]
    assert "PSNR {:.2f} -> {:.2f} dB".format(*means) in said.splitlines()[-1]


def test_scores_without_truth_are_a_header(
    reconstruct: Callable[..., str], model: Model, images: NDArray[np.float32], nowhere: Path
) -> None:
    np.save(nowhere / "scan.npy", model.undersample(images)[0])
    reconstruct("scan.npy", "-o", "out.npy", "--scores", "scores.csv")
    assert list(pd.read_csv("scores.csv").columns)[:2] == ["volume", "slice"]


def test_scores_are_not_written_over(shared_model: Path, images: NDArray[np.float32], nowhere: Path) -> None:
    write_nifti(nowhere / "leg.nii.gz", images)
    Path("scores.csv").write_text("mine")
    arguments = ("leg.nii.gz", "-o", "out", "-m", shared_model, "-a", "knee", "--scores", "scores.csv")
    fails("scores.csv: is there already", "reconstruct", *arguments)
    assert Path("scores.csv").read_text() == "mine"
    assert not Path("out").exists()


def test_whatever_is_raised_on_a_volume_ends_no_other(
    shared_model: Path, images: NDArray[np.float32], nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        write_nifti(nowhere / f"in/{NAME}-{name}.nii.gz", images)
    whole = Model.prepare_volume
    done: list[int] = []

    def failing(self: Model, *arguments: Any, **options: Any) -> Any:
        done.append(len(done))
        if done[-1] % 3 == 1:
            raise ZeroDivisionError(f"of {NAME}")
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Model, "prepare_volume", failing)
    arguments = ("reconstruct", "in", "-m", shared_model, "-a", "brain", "--threads", 1)
    result = call(*arguments, "-o", "out")
    assert (result.status, sorted(path.name for path in Path("out").iterdir())) == (
        1,
        [f"{NAME}-{k}.nii.gz" for k in "ac"],
    )
    assert f"in/{NAME}-b.nii.gz: cannot be reconstructed (ZeroDivisionError: of {NAME})" in result.err
    assert "2 of 3 volumes" in result.out
    result = call(*arguments, "-o", "private", "--deidentify")
    assert "volume 2: left out: the input: cannot be reconstructed (ZeroDivisionError)" in result.err
    assert NAME not in result.err + result.out


def test_a_damaged_volume_is_left_out(shared_model: Path, images: NDArray[np.float32], nowhere: Path) -> None:
    for name in ("a", "b", "c"):
        write_nifti(nowhere / f"in/{NAME}-{name}.nii.gz", images)
    (nowhere / f"in/{NAME}-b.nii.gz").write_bytes(b"no scan")
    arguments = ("in", "-m", shared_model, "-a", "brain", "--threads", 1)
    result = call("reconstruct", *arguments, "-o", "out", "--scores", "scores.csv")
    assert result.status == 1
    (fault,) = [line for line in result.err.splitlines() if "left out" in line]
    assert fault.startswith(f"{NAME}-b.nii.gz: left out: ")
    assert "2 of 3 volumes, 6 slices, written to out" in result.out
    assert sorted(path.name for path in Path("out").iterdir()) == [f"{NAME}-{k}.nii.gz" for k in "ac"]
    assert set(pd.read_csv("scores.csv")["volume"]) == {1, 3}

    # And nothing that is said names anybody.
    result = call("reconstruct", *arguments, "-o", "private", "--deidentify")
    assert result.status == 1
    assert NAME not in result.out + result.err
    assert re.search(r"^volume 2: left out: .+; .+$", result.err, re.M)
    assert re.findall(r"^volume (\d): 3 slices", result.out, re.M) == ["1", "3"]
    assert sorted(path.name for path in Path("private").iterdir()) == ["volume-0001.nii.gz", "volume-0003.nii.gz"]


def test_nobody_is_named_in_deidentified_dicom(reconstruct: Callable[..., str], nowhere: Path) -> None:
    pixels = np.rint(smooth(*SHAPE, seed=1) * 3000).astype(np.uint16)
    write_dicom(nowhere / f"in/{NAME}/t2", pixels)
    said = reconstruct("in", "-o", "out", "--deidentify", "--scores", "scores.csv")
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert len(written) == 3
    for path in [*written, Path("scores.csv")]:
        assert NAME not in str(path)
        assert NAME.encode() not in path.read_bytes()
    assert NAME not in said


def test_faults_beside_files_name_none_either(
    shared_model: Path, images: NDArray[np.float32], nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nifti(nowhere / f"{NAME}.nii.gz", images)
    monkeypatch.setattr(D5C5, "reconstruct", lambda self, given, *_: (given.zero_filled * torch.nan, []))
    arguments = (f"{NAME}.nii.gz", "-o", "out", "-m", shared_model, "-a", "brain")
    result = call("reconstruct", *arguments, "--deidentify")
    assert result.err == "volume 1: left out: the input: its reconstruction is no magnitude image; check the model\n"
    assert NAME in call("reconstruct", *arguments).err


def test_nothing_is_written_over(shared_model: Path, images: NDArray[np.float32], nowhere: Path) -> None:
    scan = write_nifti(nowhere / "in/leg.nii.gz", images)
    before = scan.read_bytes()
    (nowhere / "old.nii.gz").write_bytes(b"mine")
    (nowhere / "folder").mkdir()
    (nowhere / "folder/notes.txt").write_text("mine")
    for output, says in (
        ("in/leg.nii.gz", "is or lies in the input"),
        ("in/out.nii.gz", "is or lies in the input"),
        ("old.nii.gz", "is there already"),
        ("folder", "the folder is not empty"),
    ):
        fails(says, "reconstruct", "in", "-o", output, "-m", shared_model, "-a", "knee")
    assert scan.read_bytes() == before
    assert (nowhere / "old.nii.gz").read_bytes() == b"mine"
    assert sorted(path.name for path in nowhere.iterdir()) == ["folder", "in", "old.nii.gz"]


def test_what_is_asked_for_and_is_not_there(
    shared_model: Path, images: NDArray[np.float32], nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = write_nifti(nowhere / "leg.nii.gz", images)
    fails("no model is there; looked in", "reconstruct", scan, "-o", "out", "-a", "knee")
    fails("4x: no such model", "reconstruct", scan, "-o", "out", "-m", "4x")
    fails("no such file or folder", "reconstruct", "missing", "-o", "out", "-m", shared_model)
    fails("pdf: no such format", "reconstruct", scan, "-o", "out", "-m", shared_model, "--format", "pdf")
    np.save(nowhere / "text.npy", np.array(["a", "b"]))
    np.save(nowhere / "cube.npy", np.ones((3, 4, 5)))
    for mask in ("text.npy", "cube.npy", "missing.npy", "leg.nii.gz"):
        fails(f"{mask}: ", "reconstruct", scan, "-o", "out", "-m", shared_model, "--mask", mask)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    fails("device: cuda", "reconstruct", scan, "-o", "out", "-m", shared_model, "--device", "cuda")
    # Of a volume, and not of all: what fits one need not fit another.
    np.save(nowhere / "short.npy", np.ones(30))
    for options, says in (
        ([], "anatomy: not given; allowed: brain, knee, auto"),
        (["-a", "hip"], "anatomy: 'hip' is not known to the model"),
        (["-a", "knee", "--mask", "short.npy"], "the mask has 30 lines"),
    ):
        result = call("reconstruct", scan, "-o", "out", "-m", shared_model, *options)
        assert (result.status, result.out) == (1, "0 of 1 volumes: nothing was written\n")
        assert f"leg.nii.gz: left out: {says}" in result.err
    assert not Path("out").exists()


def test_auto_refuses_or_falls_back(shared_model: Path, images: NDArray[np.float32], nowhere: Path) -> None:
    scan = write_nifti(nowhere / "leg.nii.gz", images)
    arguments = ("reconstruct", scan, "-m", shared_model, "-a", "auto")
    # Nobody has trained it.
    result = call(*arguments, "-o", "out")
    assert result.status == 1
    assert re.search("left out: anatomy: .*; name one of brain, knee, or a fallback", result.err)
    said = succeeds(*arguments, "-o", "out.nii.gz", "--fallback", "brain")
    assert re.search(r"4\.00x, tiny-4x, brain \(fallback: .*\): PSNR", said)


def test_the_nearest_acceleration_is_used(
    shared_model: Path, images: NDArray[np.float32], model: Model, nowhere: Path
) -> None:
    for acceleration in (4, 8):
        folder = Path(shutil.copytree(shared_model, f"results/models/{acceleration}x"))
        own = ModelDescription.load(folder)
        changes = {"name": f"tiny-{acceleration}x", "acceleration": acceleration}
        write_texts(folder, own.model_copy(update=changes))
    scan = write_nifti(nowhere / "leg.nii.gz", images)
    assert "4.00x, tiny-4x" in succeeds("reconstruct", scan, "-o", "a.nii.gz", "-a", "knee")
    said = succeeds("reconstruct", scan, "-o", "b.nii.gz", "-a", "knee", "--acceleration", 9)
    assert "9.00x, tiny-8x" in said
    # What was measured says it by itself.
    np.save(nowhere / "scan.npy", model.undersample(images, 9)[0])
    assert "9.00x, tiny-8x" in succeeds("reconstruct", "scan.npy", "-o", "c.npy", "-a", "knee")


def test_models_are_listed_shown_verified_packed_added_and_removed(shared_model: Path, nowhere: Path) -> None:
    assert "no model is there" in succeeds("models", "list")
    fails("no model is there", "models", "verify")
    assert succeeds("models", "pack", "tiny.unimri", "-m", shared_model).startswith("tiny.unimri: ")
    fails("tiny.unimri: is there already", "models", "pack", "tiny.unimri", "-m", shared_model)
    # Packed once more, it is the same.
    succeeds("models", "pack", "again.unimri", "-m", "tiny.unimri")
    assert Path("again.unimri").read_bytes() == Path("tiny.unimri").read_bytes()

    own = nowhere / "own/unimri/models/tiny-4x"
    assert succeeds("models", "add", "tiny.unimri") == f"{own}: is found by its name from now on\n"
    assert digests(own) == digests(shared_model)
    fails("is there already", "models", "add", shared_model)
    said = succeeds("models", "list")
    assert re.search(r"tiny-4x +4x +brain, knee +simulated scans +\S+/own/unimri/models/tiny-4x\n", said)
    assert said.splitlines()[-1] == f"looked in {nowhere / 'own/unimri/models'}, results/models"
    card = (shared_model / "README.md").read_text()
    assert succeeds("models", "show") == card + "\n"
    assert succeeds("models", "show", "tiny.unimri") == card + "\n"
    verified = succeeds("models", "verify", "tiny-4x")
    count = len(digests(shared_model))
    assert verified == f"{own}: {count} files are those that were made; brain, knee load\n"

    (own / "README.md").write_text("better than all others")
    fails("README.md: is not the file that was made", "models", "verify")
    for name in ("4x", "..", str(shared_model / "aspin")):
        fails("is no model", "models", "remove", name)
    assert succeeds("models", "remove", "tiny-4x") == f"{own}: removed\n"
    assert not own.exists()
    assert shared_model.exists()


def test_a_damaged_model_is_told_beside_the_others(shared_model: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(shared_model, f"results/models/{name}")
    Path("results/models/a/description.json").write_text("{")
    result = call("models", "list")
    assert result.status == 0
    assert "results/models/b" in result.out
    (line,) = result.err.splitlines()
    assert line.startswith("results/models/a/description.json: ")
    assert "copy the model again" in line


def test_models_are_compared(shared_model: Path, nowhere: Path) -> None:
    assert "Conventions and settings are the same." in succeeds("models", "compare", shared_model, shared_model)
    other = Path(shutil.copytree(shared_model, "other"))
    own = ModelDescription.load(other)
    hip = own.anatomies["knee"].model_copy(update={"quality": None})
    changes = {"name": "other", "acceleration": 6.0, "anatomies": {"brain": own.anatomies["brain"], "hip": hip}}
    (other / "aspin/knee.safetensors").unlink()
    write_texts(other, own.model_copy(update=changes))
    said = succeeds("models", "compare", shared_model, other)
    assert said.startswith("The same base: adapters of one fit the other.")
    assert re.search(r"^brain +30\.00 +90\.00 +30\.00 +90\.00 *$", said, re.M)
    assert re.search(r"^knee +30\.00 +90\.00 +– +– *$", said, re.M)
    assert re.search(r"^acceleration +4\.0 +6\.0 *$", said, re.M)


def test_adapters_go_from_one_model_to_another(
    shared_model: Path, model_folder: Path, images: NDArray[np.float32], nowhere: Path
) -> None:
    before = digests(model_folder)
    succeeds("aspins", "export", "knee", "-o", "knee.aspin.safetensors", "-m", model_folder)
    fails("is there already", "aspins", "export", "knee", "-o", "knee.aspin.safetensors", "-m", model_folder)
    fails("the base was trained on it", "aspins", "remove", "brain", "-m", model_folder)
    assert succeeds("aspins", "remove", "knee", "-m", model_folder) == f"{model_folder}: has no knee from now on\n"
    assert "knee" not in succeeds("aspins", "list", "-m", model_folder)

    # Used without being added, and then added.
    scan = write_nifti(nowhere / "leg.nii.gz", images)
    with_knee = ("reconstruct", scan, "-a", "knee")
    succeeds(*with_knee, "-m", shared_model, "-o", "a.nii.gz")
    succeeds(*with_knee, "-m", model_folder, "--aspin", "knee.aspin.safetensors", "-o", "b.nii.gz")
    np.testing.assert_array_equal(nib.load("a.nii.gz").get_fdata(), nib.load("b.nii.gz").get_fdata())
    assert digests(model_folder) != before
    said = succeeds("aspins", "add", "knee.aspin.safetensors", "-m", model_folder)
    assert said == f"{model_folder}: has knee from now on\n"
    fails("has an ASPIN for 'knee' already", "aspins", "add", "knee.aspin.safetensors", "-m", model_folder)
    listed = succeeds("aspins", "list", "-m", model_folder)
    assert re.search(r"^knee +simulated +added: ASPIN alone +6 +4 of 2 patients +25\.00 → 30\.00", listed, re.M)
    assert digests(model_folder) == before

    succeeds("models", "pack", "tiny.unimri", "-m", model_folder)
    fails("is one file; unpack it", "aspins", "add", "knee.aspin.safetensors", "-m", "tiny.unimri")


def test_export_tells_faults_before_it_computes(shared_model: Path, nowhere: Path) -> None:
    (nowhere / "old.onnx").write_bytes(b"mine")
    fails("old.onnx: is there already", "export", "old.onnx", "-m", shared_model, "-a", "knee")
    fails("anatomy: not given", "export", "x.onnx", "-m", shared_model)
    fails("'hip' is not known", "export", "x.onnx", "-m", shared_model, "-a", "hip")
    fails("x.zip: no format has this suffix", "export", "x.zip", "-m", shared_model, "-a", "knee")
    assert [path.name for path in nowhere.iterdir()] == ["old.onnx"]


def test_export_says_what_the_file_is_of(
    shared_model: Path, model: Model, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr("unimri.deploy.export.export", lambda *arguments: given.append(arguments) or "done")
    assert succeeds("export", "knee.onnx", "-m", shared_model, "-a", "knee") == "done\n"
    ((network, anatomy, axis, output, about, size),) = given
    assert network.conditioning.anatomies == ["brain", "knee"]
    assert (anatomy, axis, output, size) == ("knee", -1, Path("knee.onnx"), 32)
    assert about["base_sha256"] == digests(shared_model)["model.safetensors"]
    assert (about["anatomy"], about["origin"], about["acceleration"]) == ("knee", "simulated scans", "4")
    assert float(about["scale_factor"]) == model.description.anatomies["knee"].scale_factor
