"""`unimri status` on a finished experiment, a changed one, one under way and one that has not begun."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT

from unimri.config import load_config
from unimri.training.engine import Callback
from unimri.training.run import Files, run_training
from unimri.training.settings import TrainingTask
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.status import standings

pytestmark = pytest.mark.slow

CONFIGS = [ROOT / "config.yaml", ROOT / "workflow/config/tiny.yaml"]


@pytest.fixture
def copy(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished experiment of our own, in the working folder."""
    shutil.copytree(finished, tmp_path / "results-tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results-tiny"


def states(*overlays: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """State and detail by stage and name."""
    plan = WorkflowPlan(load_config(*CONFIGS, *overlays))
    return {(found.stage, found.name): (found.state, found.detail) for found in standings(plan)}


def test_a_finished_experiment_is_done(copy: Path) -> None:
    found = states()
    assert Counter(stage for stage, _ in found) == {
        "independent": 8,
        "shared": 1,
        "pretrained": 1,
        "distilled": 2,
        "continued": 1,
        "adapted": 15,
        "finetuned": 6,
    }
    assert {state for state, _ in found.values()} == {"done"}
    run = subprocess.run(
        [sys.executable, "-m", "unimri.cli", "status", *map(str, CONFIGS)], capture_output=True, text=True, check=True
    )
    assert "34 trainings: 34 done" in run.stdout


def test_what_a_change_makes_stale_is_said_with_the_reason(copy: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "omega.yaml"
    overlay.write_text("distillation: {omega: 0.5}\ntraining: {stages: {independent: {epochs: 3}}}\n")
    found = states(overlay)
    stale = {key: detail for key, (state, detail) in found.items() if state == "stale"}
    for layer in (1, 3):
        assert stale.pop(("distilled", f"distilled/layer{layer}")) == "distillation.omega was 1e-06, now 0.5"
    assert {stage for stage, _ in stale} == {"independent"}
    assert set(stale.values()) == {"budget.epochs was 2, now 3"}
    manifest = copy / "data/prostate/manifest.csv"
    manifest.write_text(manifest.read_text() + "\n")
    found = states()
    assert found["independent", "prostate"] == ("stale", "input data/prostate has changed")
    assert found["adapted", "prostate on pretrained"][0] == "stale"
    assert found["independent", "brain"][0] == "done"
    manifest.unlink()
    assert found["independent", "brain"][0] == "done"
    state, detail = states()["independent", "prostate"]
    assert (state, detail) == ("stale", "its input results-tiny/data/prostate/manifest.csv is gone")


def damage(path: Path) -> None:
    times, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 64
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_what_is_gone_or_changed_is_named_with_the_mend(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.parent, tmp_path / "copy", symlinks=True)
    results = tmp_path / "copy" / finished.name

    def status(*overlays: Path) -> tuple[int, list[str], list[str]]:
        run = subprocess.run(
            [sys.executable, "-m", "unimri.cli", "status", *map(str, [*CONFIGS, *overlays])],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path / "copy",
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        return run.returncode, run.stdout.splitlines(), run.stderr.splitlines()

    code, out, err = status()
    assert (code, err) == (0, [])
    assert out[-1] == "34 trainings: 34 done"
    lost = [
        "data/brain/shard-000.h5",
        "data/knee/manifest.csv",
        "4x/seed2021/pretrained/last/model.safetensors",
        "4x/seed2021/shared/model.safetensors",
    ]
    changed = [
        "data/cardiac/shard-000.h5",
        "data/brain/skipped.csv",
        "masks/4x.npz",
        "4x/seed2021/independent/brain/model.safetensors",
        "4x/seed2021/pretrained/aspin/prostate.safetensors",
        "4x/scores/brain.csv",
        "tables/table1.csv",
    ]
    for name in lost:
        (results / name).unlink()
    for name in changed:
        damage(results / name)
    code, out, err = status()
    assert code == 1
    for names, says in ((lost, "no such file"), (changed, "is not the file that was made (SHA-256)")):
        for name in names:
            path = f"{finished.name}/{name}"
            assert f"unimri: {path}: {says}; make it again: `snakemake --force {path}` with your configuration" in err
    assert len(err) == len(lost) + len(changed)
    states = {tuple(line.split()[2:4]): line for line in out if line.startswith("4x ")}
    assert "damaged" in states["pretrained", "pretrained"]
    assert "damaged" in states["independent", "brain"]


def test_what_snakemake_makes_again_is_not_called_done(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.parent, tmp_path / "copy", symlinks=True)
    overlay = tmp_path / "noise.yaml"
    overlay.write_text("anatomies: {prostate: {simulation: {noise: 0.1}}}\n")
    command = [sys.executable, "-m", "unimri.cli", "status", *map(str, [*CONFIGS, overlay])]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / "copy", env=environment)
    (line,) = [line for line in run.stdout.splitlines() if re.match(r"4x +\d+ +independent +prostate ", line)]
    assert "stale" in line
    (line,) = [line for line in run.stdout.splitlines() if re.match(r"4x +\d+ +independent +brain ", line)]
    assert "done" in line
    assert "simulate (1)" in run.stdout.splitlines()[-1]


def test_a_training_under_way_is_reported_from_its_checkpoint(copy: Path) -> None:
    class Stop(Callback):
        def on_step(self, step: int, loss: float, learning_rate: float) -> None:
            if step == 6:
                raise KeyboardInterrupt

    plan = WorkflowPlan(load_config(*CONFIGS))
    folder = copy / "4x/seed2021/shared"
    shutil.rmtree(folder)
    assert states()["shared", "shared"] == ("ready", "")
    files = Files({name: copy / "data" / name for name in ("brain", "knee")}, copy / "masks/4x.npz")
    planned = next(one for one in plan.trainings("4x", "2021") if one.stage == "shared")
    task = TrainingTask.model_validate_json(plan.task(planned))
    with pytest.raises(KeyboardInterrupt):
        run_training(task, files, folder, copy / "checkpoints", [Stop()], checkpoint_minutes=0)
    state, detail = states()["shared", "shared"]
    assert state == "under way"
    assert detail.startswith("step 5, 1 of 2 epochs, best ")
    assert detail.endswith("checkpoint 0 min old")
    (newest,) = (path for path in (copy / "checkpoints").glob("*-0000000005-*"))
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(newest, (long_ago, long_ago))
    assert states()["shared", "shared"][0] == "stopped"


def test_what_has_not_begun_waits_for_its_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = states()
    assert {state for state, _ in found.values()} == {"waiting"}
    assert found["independent", "knee"][1] == "for results-tiny/data/knee/manifest.csv"
