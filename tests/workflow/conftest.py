import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]


def snakemake(
    results: Path, *arguments: str, overlays: tuple[Path, ...] = (), prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run the project's workflow with the tiny configuration, as a user would."""
    tiny = ROOT / "workflow/config/tiny.yaml"
    # Long option lists would swallow what follows them: the configuration goes last.
    command = [*prefix, sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]
    command += ["--directory", str(results.parent)]
    command += ["--configfile", str(ROOT / "config.yaml"), str(tiny), *map(str, overlays)]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The results folder of one whole tiny run, from raw files to the tables; one for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    results = (base if worker_id == "master" else base.parent) / "workflow/results-tiny"
    results.parent.mkdir(exist_ok=True)
    with FileLock(results.parent.with_suffix(".lock")):
        if not results.parent.with_suffix(".done").exists():
            (results.parent / "config.yaml").write_bytes((ROOT / "config.yaml").read_bytes())
            run = snakemake(results, "--cores", "2")
            assert run.returncode == 0, run.stderr[-3000:]
            results.parent.with_suffix(".done").touch()
    return results
