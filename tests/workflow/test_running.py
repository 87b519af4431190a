"""How a workflow is run is not what it makes: what changes nothing, what bounds it, and who may run it."""

import json
import re
import shutil
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import snakemake

from unimri.core.locks import lock_folders

pytestmark = pytest.mark.slow


def test_how_a_training_is_run_plans_only_the_page_that_shows_it(finished: Path) -> None:
    overlay = finished.parent / "running.yaml"
    overlay.write_text(yaml.safe_dump({"training": {"checkpoint_minutes": 1, "logger": "tensorboard", "processes": 2}}))
    run = snakemake(finished, "-n", "--quiet", "rules", overlays=(overlay,))
    planned = dict(re.findall(r"^([a-z_]+) +(\d+)$", run.stdout + run.stderr, flags=re.MULTILINE))
    assert planned == {"report": "1", "all": "1", "total": "2"}


def test_a_resource_says_how_many_processes_share_a_training(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished.parent, tmp_path / "copy")
    results = tmp_path / "copy" / finished.name
    resources = ("--set-resources", "pretrained:processes=2", "--set-threads", "pretrained=2")
    run = snakemake(results, "--cores", "2", "--forcerun", "pretrained", "--until", "pretrained", *resources)
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads((results / "4x/seed2021/pretrained/model.json").read_text())["processes"] == [2]
    assert not list((results / "checkpoints").iterdir())


def test_what_the_machine_has_bounds_what_runs_at_once(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    run = snakemake(tmp_path / "results-tiny", "--cores", "1", "results-tiny/masks/4x.npz")
    assert run.returncode == 0, run.stderr
    (provided,) = [line for line in run.stderr.splitlines() if line.startswith("Provided resources: ")]
    assert 'gpu=Resource("gpu", 2)' in provided
    memory = re.search(r'mem_mb=Resource\("mem_mb", (\d+)\)', provided)
    assert int(memory[1]) == psutil.virtual_memory().total // 10**6


def test_a_second_snakemake_is_refused_and_changes_nothing(finished: Path) -> None:
    mask = finished / "masks/4x.npz"
    before = mask.stat().st_mtime_ns, mask.read_bytes()
    (lock,) = lock_folders(finished)
    run = snakemake(finished, "--cores", "1", "--forcerun", "mask", "--until", "mask")
    lock.release()
    assert run.returncode == 1
    (line,) = [line for line in run.stderr.splitlines() if line.startswith("unimri: ")]
    assert line.startswith("unimri: results-tiny: another Snakemake works on it (")
    assert "Traceback" not in run.stderr
    assert (mask.stat().st_mtime_ns, mask.read_bytes()) == before
