"""How a training is run is not what it is: neither processes nor checkpoints train anything again."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from conftest import snakemake

pytestmark = pytest.mark.slow


def test_how_a_training_is_run_plans_only_the_page_that_shows_it(finished: Path) -> None:
    overlay = finished.parent / "running.yaml"
    overlay.write_text(
        yaml.safe_dump({"training": {"processes": 2, "nodes": 2, "checkpoint_minutes": 1, "logger": "tensorboard"}})
    )
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
