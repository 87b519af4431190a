"""A second checkout reuses a finished one: it trains nothing, and nothing that it does reaches the first."""

from pathlib import Path

import pytest
from conftest import snakemake
from test_workflow import planned

from unimri.workflow.reuse import reuse, total

pytestmark = pytest.mark.slow


@pytest.fixture
def here(finished: Path, tmp_path: Path) -> Path:
    """The results of an empty working folder that has reused all."""
    (tmp_path / "config.yaml").write_bytes((finished.parent / "config.yaml").read_bytes())
    reused = total(reuse(finished.parent, tmp_path, Path("results-tiny"), Path("private-tiny")))
    assert reused.files > 300
    assert reused.jobs > 60
    return tmp_path / "results-tiny"


def test_the_same_configuration_plans_nothing(here: Path) -> None:
    assert planned(here) == {}


def test_omega_plans_s3_and_what_follows_and_no_teacher(here: Path) -> None:
    jobs = planned(here, {"distillation": {"omega": 0.5}})
    assert jobs["distilled"] == 2
    assert jobs["tables"] == 1
    made_before = {"simulate", "index", "shard", "manifest", "mask", "independent", "shared", "pretrained", "continued"}
    assert not made_before & set(jobs)


def test_what_runs_here_replaces_links_and_does_not_reach_the_source(finished: Path, here: Path) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        paths = (finished.parent, *finished.parent.rglob("*"))
        return {path: (path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"") for path in paths}

    before = state()
    targets = ("results-tiny/masks/4x.npz", "results-tiny/simulated/prostate")
    run = snakemake(here, *targets, "--cores", "1", "--forcerun", "mask", "simulate")
    assert run.returncode == 0, run.stderr[-3000:]
    assert state() == before
    mask = here / "masks/4x.npz"
    assert not mask.is_symlink()
    assert mask.read_bytes() == (finished / "masks/4x.npz").read_bytes()
    simulated = [path for path in (here / "simulated/prostate").rglob("*") if path.is_file()]
    assert simulated
    assert not any(path.is_symlink() for path in simulated)
