"""Files that a clock which was ahead has left behind."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from conftest import snakemake
from test_workflow import planned

from unimri.workflow.times import mend_times

DAYS = 2 * 24 * 3600


def test_files_from_the_future_become_the_oldest_and_keep_their_order(tmp_path: Path) -> None:
    now = time.time()
    for name, ahead in {"a/old": -9000.0, "a/new": -1, "b/first": DAYS, "b/second": DAYS + 60, "b/skewed": 30}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (now + ahead, now + ahead))
    (tmp_path / "b/link").symlink_to("nowhere")
    os.utime(tmp_path / "b/link", (now + DAYS, now + DAYS), follow_symlinks=False)
    os.utime(tmp_path / "a", (now, now))
    os.utime(tmp_path / "b", (now, now))
    assert mend_times(tmp_path / "a", tmp_path / "b", tmp_path / "none") == 3
    times = {path.name: path.lstat().st_mtime for path in tmp_path.rglob("*")}
    assert times["first"] == times["link"] < times["second"] == pytest.approx(times["old"] - 1)
    assert times["second"] - times["first"] == pytest.approx(60)
    assert (times["new"], times["skewed"]) == pytest.approx((now - 1, now + 30))
    assert mend_times(tmp_path / "a", tmp_path / "b") == 0


def later(*paths: Path) -> None:
    for path in paths:
        status = path.lstat()
        os.utime(path, (status.st_atime + DAYS, status.st_mtime + DAYS), follow_symlinks=False)


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A finished experiment with all that Snakemake knows of it."""
    shutil.copytree(finished.parent, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy" / finished.name


@pytest.mark.slow
def test_times_in_the_future_alone_make_nothing_again(copy: Path) -> None:
    later(*copy.rglob("*"))
    assert planned(copy) == {}
    # Beside an anatomy's files from the present, of which they were made, too.
    later(*(path for path in copy.rglob("*") if "knee" not in str(path.relative_to(copy))))
    assert "manifest" not in planned(copy)
    assert not {"independent", "shared", "pretrained", "adapted"} & set(planned(copy))


@pytest.mark.slow
@pytest.mark.parametrize("put_right", ["before", "in between"])
def test_what_an_interrupted_run_left_is_made_again_after_a_clock_was_ahead(copy: Path, put_right: str) -> None:
    noise = {"anatomies": {"prostate": {"simulation": {"noise": 0.1}}}}
    wanted = planned(copy, noise)
    if put_right == "before":
        later(*copy.rglob("*"))
    overlay, shard = copy.parent / "overlay.yaml", copy / "data/prostate/shard-000.h5"
    run = snakemake(copy, f"{copy.name}/data/prostate/shard-000.h5", "--cores", "2", overlays=(overlay,))
    assert run.returncode == 0, run.stderr[-3000:]
    if put_right == "in between":
        simulated = copy / "simulated/prostate"
        present = {shard, shard.with_suffix(".json"), simulated, *simulated.rglob("*")}
        later(*(path for path in copy.rglob("*") if path not in present))
    found = planned(copy, noise)
    assert {rule: found.get(rule) for rule in ("manifest", "independent", "adapted")} == {
        rule: wanted[rule] for rule in ("manifest", "independent", "adapted")
    }
    run = snakemake(copy, f"{copy.name}/data/prostate/manifest.csv", "--cores", "2", overlays=(overlay,))
    assert run.returncode == 0, run.stderr[-3000:]
    content = json.loads(shard.with_suffix(".json").read_text())
    assert content["sha256"] in (copy / "data/prostate/manifest.csv").read_text()
