"""S4 on somebody's own scans: a few small patients, and a model that nobody trained."""

import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from calls import call, fails, succeeds
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from stores import smooth

import unimri
from unimri.core.errors import UnimriError
from unimri.data.layouts import parse_reader
from unimri.deploy.adapt import AdaptationSettings, adapt, guess_reader
from unimri.deploy.adapters import load_adapter
from unimri.deploy.library import digests, pack
from unimri.training.distributed import Interruption
from unimri.training.engine import Callback, Course

NIFTI = parse_reader("nifti")
SETTINGS = AdaptationSettings(size=32, epochs=3)
NAMES = ["Ann", "Bert", "Cleo"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of five slices."""
    folder = tmp_path_factory.mktemp("scans")
    for number, name in enumerate(NAMES):
        voxels = np.moveaxis(smooth(5, 32, 32, seed=number), 0, -1) * 700
        (folder / name).mkdir()
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / name / "t1.nii.gz")
    return folder


@pytest.fixture(scope="module")
def whole(scans: Path, shared_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """What a run without a break writes and tells."""
    output, told = tmp_path_factory.mktemp("whole"), []
    adapt(scans, "shoulder", shared_model, NIFTI, output, SETTINGS, told.append)
    return output, told


def test_the_command_writes_an_adapter_a_report_and_a_picture(
    scans: Path, model_folder: Path, whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    before, output = digests(model_folder), tmp_path / "out"
    arguments = ("adapt", scans, "--name", "shoulder", "-m", model_folder, "-o", output, "--threads", 1)
    said = succeeds(*arguments, "--size", 32, "--epochs", 3, "--simulated")
    assert digests(model_folder) == before
    # The work folder is gone, and nobody is named.
    assert sorted(path.name for path in output.iterdir()) == [
        "shoulder.aspin.safetensors",
        "shoulder.md",
        "shoulder.png",
    ]
    adapter, report = output / "shoulder.aspin.safetensors", (output / "shoulder.md").read_text()
    for text in (said, report, adapter.read_bytes().decode("latin-1")):
        assert not [name for name in NAMES if name in text]
    assert adapter.stat().st_size < 4000

    assert said.startswith("3 patients, 3 volumes, 15 slices; 0 volumes left out\n")
    assert "5 training slices of 32 x 32 pixels, 3 epochs: about 00:" in said
    assert len(re.findall(r"adapted shoulder: epoch \d of 3,", said)) == 3
    found = load_adapter(adapter)
    own, adaptation = found.description, found.description.adaptation
    assert adaptation is not None
    assert own.quality is not None
    assert found.anatomy == "shoulder"
    assert found.base_sha256 == before["model.safetensors"]
    assert (own.origin, own.role, own.training_patients) == ("simulated", "new", 1)
    assert (adaptation.training_slices, adaptation.validation_slices, adaptation.image_size) == (5, 5, 32)
    assert (adaptation.epochs, adaptation.learning_rate, adaptation.seed) == (3, 0.01, 0)
    assert (own.quality.slices, own.quality.patients) == (5, 1)
    assert set(adaptation.versions) >= {"torch", "unimri", "numpy"}

    assert "1 simulated patient(s), 5 slices of 32 x 32 pixels, in 3 epochs" in report
    assert f"{own.quality.zero_filled_psnr_db:.2f}" in report
    assert f"shoulder: {own.quality.psnr_db:.2f} dB, {own.quality.ssim_percent:.2f} % on test patients; " in said
    rows = dict(re.findall(r"^\| (.+?) +\| +(\S+) \| +\S+ \|$", report, re.M))
    assert rows.keys() >= {"zero filling", "ASPIN shoulder (new)", "ASPIN brain", "ASPIN knee"}
    gains = [float(rows["ASPIN shoulder (new)"]) - float(rows[name]) for name in ("zero filling", "ASPIN brain")]
    gain = f"{own.quality.psnr_db - own.quality.zero_filled_psnr_db:+.2f}".replace("-", "−")
    assert f"it gains {gain} dB over zero filling" in report
    nearest = max(("brain", "knee"), key=lambda name: float(rows[f"ASPIN {name}"]))
    over = float(re.search(rf"and (\S+) dB over {nearest}, the nearest", report)[1].replace("−", "-"))  # type: ignore[index]
    assert over == pytest.approx(gains[0] + float(rows["zero filling"]) - float(rows[f"ASPIN {nearest}"]), abs=0.011)
    assert ("is worth its numbers" in report) == (over > 0)
    with Image.open(output / "shoulder.png") as picture:
        assert min(picture.size) > 100

    # The origin is all that differs from the same scans taken for real.
    real = load_adapter(whole[0] / "shoulder.aspin.safetensors")
    assert real.description == own.model_copy(update={"origin": "real"})
    assert all(np.array_equal(real.tensors[name], found.tensors[name]) for name in ("gamma", "beta"))
    assert "1 real patient(s)" in (whole[0] / "shoulder.md").read_text()


def test_scores_are_those_of_a_patient_that_it_has_not_learnt_from(
    scans: Path, shared_model: Path, whole: tuple[Path, list[str]]
) -> None:
    adapter = whole[0] / "shoulder.aspin.safetensors"
    model = unimri.load(shared_model, aspins=[adapter])
    quality = load_adapter(adapter).description.quality
    assert quality is not None
    pairs = []
    for name in NAMES:
        volume = np.moveaxis(nib.load(scans / name / "t1.nii.gz").get_fdata(dtype=np.float32), -1, 0)
        # Rows and columns of the file change places where its axes are those of a person who lies.
        for truth in (volume / volume.max(), volume.swapaxes(1, 2) / volume.max()):
            kspace, mask = model.undersample(np.ascontiguousarray(truth))
            images = model.zero_fill(kspace), model.reconstruct(kspace, mask, "shoulder")
            pairs.append(
                [
                    np.mean([peak_signal_noise_ratio(t, i, data_range=1) for t, i in zip(truth, image, strict=True)])
                    for image in images
                ]
            )
    wanted = [quality.zero_filled_psnr_db, quality.psnr_db]
    assert min(np.abs(np.subtract(pair, wanted)).max() for pair in pairs) < 0.02


class Stop(Callback):
    """Break off at a step; keep where runs begin."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.begun = at, []

    def on_start(self, course: Course) -> None:
        self.begun.append(course.step)

    def on_step(self, step: int, *_: Any) -> None:
        if step == self.at:
            raise RuntimeError("the power went")


def test_an_interrupted_run_goes_on_and_ends_the_same(
    scans: Path, shared_model: Path, whole: tuple[Path, list[str]], tmp_path: Path
) -> None:
    watch = Stop(at=5)
    with pytest.raises(RuntimeError, match="the power went"):
        adapt(scans, "shoulder", shared_model, NIFTI, tmp_path, SETTINGS, callbacks=[watch])
    work = tmp_path / ".shoulder-work"
    assert list(tmp_path.iterdir()) == [work]
    # No patient's pixels stay behind.
    assert work.stat().st_mode & 0o777 == 0o700
    assert not list(work.rglob("*.h5"))
    watch.at = None
    # Also after what was killed in the middle of the report.
    (tmp_path / "shoulder.png").touch()
    adapt(scans, "shoulder", shared_model, NIFTI, tmp_path, SETTINGS, callbacks=[watch])
    # Three steps are an epoch.
    assert watch.begun == [0, 3]
    assert digests(tmp_path) == digests(whole[0])
    assert not (tmp_path / ".shoulder-work").exists()


def test_two_at_once_do_not_disturb_each_other(scans: Path, shared_model: Path, tmp_path: Path) -> None:
    class Second(Callback):
        told = ""

        def on_start(self, course: Course) -> None:
            arguments = ("adapt", scans, "--name", "shoulder", "-m", shared_model, "-o", tmp_path, "--threads", 1)
            Second.told = call(*arguments).err

    adapt(scans, "shoulder", shared_model, NIFTI, tmp_path, SETTINGS, callbacks=[Second()])
    assert ".shoulder-work: another `unimri adapt` is at work there; wait for it" in Second.told
    assert (tmp_path / "shoulder.aspin.safetensors").exists()


def test_ctrl_c_is_one_line(scans: Path, shared_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interruption, "requested", property(lambda self: True))
    arguments = ("adapt", scans, "-n", "shoulder", "-m", shared_model, "-o", tmp_path, "--size", 32, "--threads", 1)
    result = call(*arguments)
    assert result.status == 143
    (line,) = result.err.splitlines()
    assert re.search("^unimri: .*checkpoint", line), line


def test_refusals_come_before_work(scans: Path, model_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"

    def refused(says: str, name: str = "shoulder", folder: Path = scans, **changes: Any) -> None:
        with pytest.raises(UnimriError, match=says):
            adapt(folder, name, model_folder, NIFTI, output, SETTINGS.model_copy(update=changes))
        assert not list(output.glob(".*"))

    refused("'knee': the model has it already", "knee")
    refused("'auto': give another name", "auto")
    refused("give a name of letters", "../x")
    two = tmp_path / "two"
    two.mkdir()
    for name in NAMES[:2]:
        shutil.copytree(scans / name, two / name)
    (two / "Cleo").mkdir()
    (two / "Cleo/t1.nii.gz").write_bytes(b"no scan")
    (two / "Cleo/t1_mask.nii.gz").write_bytes(b"no scan")
    told: list[str] = []
    with pytest.raises(UnimriError, match=r"2 patient\(s\) with usable scans, but three at least are needed"):
        adapt(two, "shoulder", model_folder, NIFTI, output, SETTINGS, told.append)
    assert told[0] == "passed over: 1 file (is a mask or label map by its name): Cleo/t1_mask.nii.gz"
    assert told[1].startswith("left out: ")
    assert "Cleo/t1.nii.gz" in told[1]
    assert told[2] == "2 patients, 2 volumes, 10 slices; 1 volumes left out"
    refused("no such folder", folder=tmp_path / "missing")

    output.mkdir()
    for end in (".aspin.safetensors", ".md", ".png"):
        (output / f"shoulder{end}").write_text("mine")
        refused(rf"shoulder\{end}: is there already")
        assert (output / f"shoulder{end}").read_text() == "mine"
        (output / f"shoulder{end}").unlink()
    (model_folder / "README.md").write_text("better")
    refused("is not the file that was made")


def test_the_command_adds_the_adapter_if_asked(
    scans: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pack(model_folder, tmp_path / "tiny.unimri")
    arguments = ("adapt", scans, "-n", "shoulder", "--size", 32, "--epochs", 12, "--threads", 1, "--add")
    fails("tiny.unimri: is one file; unpack it", *arguments, "-m", "tiny.unimri")
    (model_folder / ".snakemake_timestamp").touch()
    fails("is the workflow's, which may make it again; copy it first", *arguments, "-m", model_folder)
    (model_folder / ".snakemake_timestamp").unlink()
    assert not list(Path().glob(".*"))
    said = succeeds(*arguments, "-m", model_folder)
    assert said.endswith(f"added to {model_folder}\n")
    assert Path("shoulder.aspin.safetensors").is_file()
    assert unimri.load(model_folder).anatomies == ["brain", "knee", "shoulder"]
    # Of twelve epochs at most ten are told, the last among them.
    epochs = [int(number) for number in re.findall(r"epoch (\d+) of 12,", said)]
    assert len(epochs) == 10
    assert epochs[-1] == 12
    fails("'shoulder': the model has it already", *arguments, "-m", model_folder, "-o", "other")
    fails("--: size", *arguments[:-1], "-m", model_folder, "--size", 8)
    fails("no-such", *arguments[:-1], "-m", model_folder, "--reader", "no-such")


def test_the_reader_is_told_by_the_files(tmp_path: Path) -> None:
    for name, files, expected in (
        ("a", ["1.nii", "2.nii.gz", "3.h5", "notes.txt"], "nifti"),
        ("b", ["1.nii.gz", "2.h5", "p/3.h5"], "fastmri-h5"),
        ("c", ["IM0001", "IM0002.dcm", ".nii.gz"], "dicom"),
        ("e", ["1.NII", "2.Nii.GZ", "3.H5"], "nifti"),
        ("f", ["1.H5", "2.HDF5", "3.nii"], "fastmri-h5"),
        ("g", ["1.mrd"], "ismrmrd"),
    ):
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).touch()
        assert guess_reader(tmp_path / name).format == expected
    (tmp_path / "d").mkdir()
    with pytest.raises(UnimriError, match="the folder is empty"):
        guess_reader(tmp_path / "d")
