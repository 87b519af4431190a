import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from calls import call, fails, fault

NIFTI = {"reader": {"format": "nifti"}, "fit": "resize", "preparation": {"image_size": 16}}
DICOM = {"reader": {"format": "dicom"}, "fit": "crop", "preparation": {"image_size": 16, "crop": 16}}


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    for number in range(4):
        (folder / f"patient{number}").mkdir(parents=True)
        voxels = np.random.default_rng(number).random((20, 20, 3), dtype=np.float32)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"patient{number}/t1.nii.gz")
    return folder


def test_prepare_writes_a_store_and_says_nothing_without_a_terminal(tmp_path, scans):
    result = call("prepare", "hip", scans, 0, "--settings", json.dumps(NIFTI), "--output", tmp_path / "out")
    assert (result.status, result.err) == (0, "")
    assert "INFO train: 2 patients, 2 volumes, 6 slices" in result.out
    assert (tmp_path / "out/manifest.csv").is_file()


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (b"not a NIfTI at all, only called one", "patient9/t1.nii: cannot be read as NIfTI; the file is damaged"),
        (b"", "patient9/t1.nii: "),
        ("constant", "patient9/t1.nii: all values of the volume are equal; remove"),
        ("nan", "patient9/t1.nii: has NaN or infinite values; mend or remove"),
    ],
)
def test_a_bad_scan_is_one_line_and_nothing_is_written(tmp_path, scans, bad, says):
    path = scans / "patient9/t1.nii"
    path.parent.mkdir()
    if isinstance(bad, bytes):
        path.write_bytes(bad)
    else:
        value = 7.0 if bad == "constant" else np.nan
        nib.save(nib.Nifti1Image(np.full((20, 20, 3), value, np.float32), np.eye(4)), path)
    fault(says, "prepare", "hip", scans, 0, "--settings", json.dumps(NIFTI), "--output", tmp_path / "out")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["scans"]


def test_inspect_says_what_is_there_and_what_would_be_left_out(tmp_path, scans):
    (scans / "patient1/t1.nii.gz").write_bytes(b"no gzip")
    before = sorted(tmp_path.rglob("*"))
    result = call("inspect", scans, "--reader", "nifti")
    assert (result.status, result.err) == (0, "")
    assert "3 patients, 3 volumes, 9 slices; 1 left out" in result.out
    (line,) = [line for line in result.out.splitlines() if line.startswith("patient1 ")]
    assert "patient1/t1.nii.gz: cannot be read as NIfTI" in line
    (line,) = [line for line in result.out.splitlines() if line.startswith("patient2 ")]
    assert "axial (S R A)" in line
    assert sorted(tmp_path.rglob("*")) == before
    fails("--reader: ", "inspect", scans, "--reader", "tomography")
    fails("found no DICOM image", "inspect", scans, "--reader", '{"format": "dicom"}')


def test_bad_folders_are_told(tmp_path, scans):
    (tmp_path / "empty").mkdir()
    rest = (0, "--settings", json.dumps(NIFTI), "--output", tmp_path / "out")
    fails("nowhere: no such folder", "prepare", "hip", tmp_path / "nowhere", *rest)
    fails("empty: the folder is empty", "prepare", "hip", tmp_path / "empty", *rest)
    dicom = (0, "--settings", json.dumps(DICOM), "--output", tmp_path / "out")
    fails("scans: found no", "prepare", "hip", scans, *dicom)
    for number in range(2):
        (scans / f"patient{number}/t1.nii.gz").unlink()
    fails("2 patient(s), but at least three are needed", "prepare", "hip", scans, *rest)


def test_wrong_settings_are_told_by_key(tmp_path, scans):
    wrong = {**NIFTI, "fit": "squeeze"}
    output = ("--output", tmp_path / "out")
    fails("--settings: fit is 'squeeze'", "prepare", "hip", scans, 0, "--settings", json.dumps(wrong), *output)
    fails("--settings: ", "prepare", "hip", scans, 0, "--settings", "{", *output)
    fails("--task: stage", "train", tmp_path / "m.npz", "--task", "{}", "--checkpoints", tmp_path, *output)
    settings = json.dumps({"mask": {"preset": "schlemper"}, "size": 16})
    fails("mask.centre_lines", "masks", "draw", 8, "--settings", settings, "--output", tmp_path / "m.npz")
    assert not (tmp_path / "m.npz").exists()


def test_show_says_what_to_run_first(tmp_path):
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"results: {tmp_path}/results\n")
    fails("table1.csv: not there yet", "show", Path(__file__).parents[2] / "config.yaml", overlay)


def test_inputs_that_are_missing_or_torn_are_told(tmp_path, scans):
    data = tmp_path / "data"
    settings = json.dumps({"mask": {"preset": "paper-like"}, "size": 16})
    assert call("masks", "draw", 4, "--settings", settings, "--output", tmp_path / "m.npz").status == 0
    assert call("prepare", "hip", scans, 0, "--settings", json.dumps(NIFTI), "--output", data).status == 0
    zero_filling = {"method": "undersampled", "seed": 0, "condition": "as trained", "model": None}
    (tmp_path / "wanted.json").write_text(json.dumps([zero_filling]))
    output = ("--wanted", tmp_path / "wanted.json", "--output", tmp_path / "kept.h5")
    fails("manifest.csv: no such file", "reconstruct-test", "hip", tmp_path, tmp_path / "m.npz", *output)
    fails("nothing.npz: ", "reconstruct-test", "hip", data, tmp_path / "nothing.npz", *output)
    torn = tmp_path / "torn.npz"
    torn.write_bytes((tmp_path / "m.npz").read_bytes()[:-20])
    fails("torn.npz: cannot be read as NumPy's arrays", "reconstruct-test", "hip", data, torn, *output)
    other = json.dumps({"mask": {"preset": "paper-like"}, "size": 32})
    assert call("masks", "draw", 4, "--settings", other, "--output", tmp_path / "other.npz").status == 0
    fails("for 32 pixels and the slices have 16", "reconstruct-test", "hip", data, tmp_path / "other.npz", *output)
    given = ("reconstruct-test", "hip", data, tmp_path / "m.npz", *output)
    fails("method 'ridge' is not classical; allowed: ", *given, "--tune", f"ridge={tmp_path}/tuned.json")
    missing = ("reconstruct-test", "hip", tmp_path, tmp_path / "m.npz", *output)
    fails("manifest.csv: no such file", *missing, "--tune", f"wavelet={tmp_path}/tuned.json")
    assert not (tmp_path / "tuned.json").exists()
    model = zero_filling | {"method": "shared", "model": str(tmp_path / "model")}
    (tmp_path / "model.json").write_text(json.dumps([model]))
    missing = ("--wanted", tmp_path / "model.json", "--output", tmp_path / "kept.h5")
    fails("model/model.json: ", "reconstruct-test", "hip", data, tmp_path / "m.npz", *missing)
    (tmp_path / "model.json").write_text(json.dumps([zero_filling | {"modle": ""}]))
    fails("--wanted: 0.modle: unknown key", "reconstruct-test", "hip", data, tmp_path / "m.npz", *missing)
    assert not (tmp_path / "kept.h5").exists()
    scores = ("--settings", "{}", "--output", tmp_path / "scores.csv")
    fails("kept.h5: holds no reconstructions", "score", tmp_path / "kept.h5", data, *scores)
    assert not (tmp_path / "scores.csv").exists()
    assert call("reconstruct-test", "hip", data, tmp_path / "m.npz", *output).status == 0
    assert call("score", tmp_path / "kept.h5", data, *scores).status == 0
