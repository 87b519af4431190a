"""Steps on a disk that takes nothing more: a line that names the file, and nothing half written."""

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from calls import fails, fault, succeeds

from unimri.config import load_config
from unimri.core.hdf5 import writing_hdf5
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.trainings import as_json

ROOT = Path(__file__).parents[2]


@contextmanager
def full(room: int = 0) -> Iterator[None]:
    """No file becomes longer than `room` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def says(path: Path) -> str:
    return f"unimri: {path}: cannot be written: file too large; free some space or check permissions"


def test_every_step_of_data_tells_of_a_full_disk_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = WorkflowPlan(load_config(ROOT / "config.yaml", ROOT / "workflow/config/tiny.yaml"))
    shard = ("shard", "index/shard-000.json", "raw", "--settings", plan.shard("abdomen"))
    steps = {
        "raw": ("simulate", 1, "--settings", plan.simulation("abdomen"), "--output", "raw"),
        "index/shard-000.json": (
            *("index", "abdomen", "raw", 1, "--settings", plan.index("abdomen")),
            *("--output", "index"),
        ),
        "data/shard-000.h5": (*shard, "--output", "data/shard-000.h5"),
        "data/sources.csv": (
            *("manifest", "data/shard-000.json", 1, "--settings", as_json(plan.config.preparation.fractions)),
            *("--output", "data"),
        ),
        "mask.npz": ("masks", "draw", 4, "--settings", plan.mask("4x"), "--output", "mask.npz"),
        "mask.png": ("masks", "picture", "mask.npz", "--output", "mask.png"),
    }
    for name, step in steps.items():
        there = sorted(tmp_path.rglob("*"))
        with full():
            fault(says(Path(name)), *step)
        assert [path for path in sorted(tmp_path.rglob("*")) if path not in there and not path.is_dir()] == []
        if step[0] == "shard":
            # Some of it could be written.
            with full(8000):
                fault(says(Path(name)), *step)
        succeeds(*step)


def test_hdf5_is_asked_for_its_room_before_it_is_written(tmp_path: Path) -> None:
    with full(9_000_000), pytest.raises(OSError, match="File too large"), writing_hdf5(tmp_path / "a.h5", 8_000_000):
        pass
    with full(9_000_000), writing_hdf5(tmp_path / "a.h5", 4_000_000) as file:
        file["a"] = np.zeros(500_000)
    assert (tmp_path / "a.h5").stat().st_size < 4_010_000


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    task = {"mask": {"preset": "paper-like"}, "size": 32}
    fails(
        "taken: is no folder; give another place for mask.npz",
        *("masks", "draw", 4, "--settings", json.dumps(task), "--output", tmp_path / "taken/mask.npz"),
    )
