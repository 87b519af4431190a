"""Which Gaussian mask a row of zero filling was made with."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from calibrate_masks import calibrate, read_target, report
from scipy.ndimage import gaussian_filter

from unimri.core.errors import UnimriError
from unimri.data.layouts import NiftiReader
from unimri.data.prepare import PreparationSettings, PreparationTask, prepare
from unimri.data.store import PreparedData
from unimri.evaluation.paper import published
from unimri.physics.masks import Gaussian1D, draw_masks

SCRIPT = Path(__file__).parents[2] / "benchmarks/calibrate_masks.py"
SIZE, SEEDS, SIGMAS = 32, 12, (0.06, 0.1, 0.16)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """Prepared slices of two anatomies: blurred noise, one rougher than the other."""
    folder = tmp_path_factory.mktemp("calibration")
    rng = np.random.default_rng(0)
    folders = {}
    for anatomy, blur in {"brain": 2.0, "hip": 1.0}.items():
        (folder / "raw" / anatomy).mkdir(parents=True)
        for patient in range(3):
            volume = gaussian_filter(rng.random((SIZE, SIZE, 3)), (blur, blur, 0)).astype(np.float32)
            nib.save(nib.Nifti1Image(volume, np.eye(4)), folder / f"raw/{anatomy}/{patient}.nii.gz")
        task = PreparationTask(
            reader=NiftiReader(format="nifti", patient="file"),
            fit="resize",
            preparation=PreparationSettings(image_size=SIZE, crop=SIZE),
        )
        folders[anatomy] = folder / anatomy
        prepare(anatomy, folder / "raw" / anatomy, task, folders[anatomy], 0)
    return folders


def zero_filled_psnr(folder: Path, settings: Gaussian1D, acceleration: float) -> float:
    """By centred two-dimensional transforms in double precision."""
    split = PreparedData(folder).split("train")
    truth = split.batch(range(len(split))).astype(float)
    (mask,) = draw_masks(settings, SIZE, acceleration).masks
    kspace = np.fft.fftshift(np.fft.fft2(truth), axes=(1, 2)) * mask
    found = np.abs(np.fft.ifft2(np.fft.ifftshift(kspace, axes=(1, 2))))
    return float(np.mean(-10 * np.log10(np.mean((found - truth) ** 2, axis=(1, 2)))))


def row_of(data, path: Path, sigma: float, seeds, shift: float = 0.0) -> Path:
    """Write a target: the mean over seeds, moved by `shift` dB."""
    rows = [
        {"acceleration": acceleration}
        | {
            anatomy: shift
            + np.mean([zero_filled_psnr(folder, Gaussian1D(sigma=sigma, seed=seed), acceleration) for seed in seeds])
            for anatomy, folder in data.items()
        }
        for acceleration in (3, 4.5)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_density_that_a_row_was_made_from_is_found(data, tmp_path, sigma):
    target = read_target(row_of(data, tmp_path / "row.csv", sigma, range(SEEDS)))
    found = calibrate(data, target, Gaussian1D(), SIGMAS, SEEDS)
    best, cells = found.best_density()
    assert best == sigma
    assert found.densities().set_index("sigma").loc[sigma, "rms_db"] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(cells["psnr_db"], cells["target_db"], atol=1e-3)
    assert (cells["deviation_db"] > 0.1).all()


def test_the_draw_that_a_row_was_made_from_is_found_and_its_line_draws_it(data, tmp_path):
    target = read_target(row_of(data, tmp_path / "row.csv", 0.1, [5]))
    found = calibrate(data, target, Gaussian1D(), SIGMAS, SEEDS)
    settings, cells = found.best_draw()
    assert (settings.sigma, settings.seed) == (0.1, 5)
    np.testing.assert_allclose(cells["difference_db"], 0, atol=1e-3)
    *_, line = [line for line in report(found).splitlines() if line.startswith("mask: ")]
    assert Gaussian1D.model_validate(yaml.safe_load(line)["mask"]) == settings


def test_the_distance_is_reported(data, tmp_path):
    target = read_target(row_of(data, tmp_path / "row.csv", 0.1, range(SEEDS), shift=2.0))
    found = calibrate(data, target, Gaussian1D(), [0.1], SEEDS)
    (density,) = found.densities().itertuples()
    assert density.rms_db == pytest.approx(2.0, abs=1e-3)
    assert density.rms_db_best < density.rms_db_median < density.rms_db_worst
    assert "sigma 0.1, 2.00 dB r.m.s." in report(found)
    np.testing.assert_allclose(found.best_density()[1]["difference_db"], -2.0, atol=1e-3)


def test_what_is_fixed_is_in_every_mask(data, tmp_path):
    target = read_target(row_of(data, tmp_path / "row.csv", 0.1, [0]))
    loose = calibrate(data, target, Gaussian1D(), [0.1], 3)
    fixed = calibrate(data, target, Gaussian1D(centre_lines=6), [0.1], 3)
    assert (fixed.tried["psnr_db"] > loose.tried["psnr_db"]).mean() > 0.5
    assert "{kind: gaussian1d, sigma: 0.1, centre_lines: 6}" in report(fixed)


def test_the_default_target_is_the_papers_undersampled_row():
    paper = published().query("method == 'undersampled' and metric == 'psnr_db'").set_index("acceleration")
    target = read_target()
    assert list(target) == [4.0, 6.0]
    for acceleration, row in target.items():
        assert row == paper.loc[acceleration].drop(["method", "metric", "average"]).to_dict()


def test_wrong_inputs_are_named(data, tmp_path):
    target = read_target()
    with pytest.raises(UnimriError, match="no anatomy 'hip' at 4x; allowed: brain, knee, cardiac, abdomen, prostate"):
        calibrate(data, target, Gaussian1D())
    brain = {"brain": data["brain"]}
    with pytest.raises(UnimriError, match="the target has no 5; allowed: 4, 6"):
        calibrate(brain, target, Gaussian1D(), accelerations=[5])
    with pytest.raises(UnimriError, match=r"manifest\.csv: no such file"):
        calibrate({"brain": tmp_path}, target, Gaussian1D())
    with pytest.raises(UnimriError, match="give at least one anatomy"):
        calibrate({}, target, Gaussian1D())
    with pytest.raises(UnimriError, match="sigma"):
        calibrate(brain, target, Gaussian1D(), [-0.1])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "cannot be read"),
        ("", "cannot be read"),
        ("method,brain\nundersampled,30\n", "no row of zero filling"),
        ("acceleration,method,brain\n4,shared,30\n", "no row of zero filling"),
        ("acceleration,brain\n4,high\n", "something else than numbers"),
        ("acceleration,brain\n4,30\n4,31\n", "two rows"),
    ],
)
def test_a_target_that_is_none_is_named(tmp_path, content, says):
    path = tmp_path / "row.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UnimriError, match=rf"row\.csv: .*{says}") as fault:
        read_target(path)
    assert "\n" not in str(fault.value)


def test_the_command_prints_and_writes_what_it_tried(data, tmp_path):
    command = [sys.executable, SCRIPT, f"--data=brain={data['brain']}"]
    command += ["--accelerations=4", "--sigmas=0.1,0.2", "--seeds=3", f"--output={tmp_path / 'tried.csv'}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "Closest of all 6 draws: sigma 0." in run.stdout
    assert len(pd.read_csv(tmp_path / "tried.csv")) == 6
    wrong = subprocess.run([*command[:-3], "--sigmas=wide"], capture_output=True, text=True, check=False)
    assert wrong.stderr == "unimri: --sigmas: 'wide' is no list of numbers; give it as 4,6\n"
