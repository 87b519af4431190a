import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
LOCK = (ENVS / "requirements.lock").read_text().split()


def name(requirement: str) -> str:
    """A package's name, without version and in one spelling."""
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=\[]", requirement)[0]).lower()


def test_the_lock_has_one_version_of_all_that_the_package_needs():
    locked = [name(requirement) for requirement in LOCK]
    assert len(set(locked)) == len(locked)
    assert all("==" in requirement for requirement in LOCK)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [requirement for extra in ("test", "docs", "export") for requirement in extras[extra]]
    needed = {name(requirement) for requirement in (*project["dependencies"], *wanted)}
    assert needed <= set(locked)


def test_the_conda_environment_is_the_lock():
    environment = yaml.safe_load((ENVS / "unimri.yaml").read_text())
    assert environment["dependencies"][:2] == ["python=3.11", "pip"]
    assert environment["dependencies"][2]["pip"] == LOCK


def test_the_containers_have_the_locks_torch_and_one_python():
    dockerfile, definition = (ENVS / "Dockerfile").read_text(), (ENVS / "apptainer.def").read_text()
    (torch,) = [requirement for requirement in LOCK if requirement.startswith("torch==")]
    assert f'ARG TORCH="{torch}"\n' in dockerfile
    assert f"    TORCH={torch}\n" in definition
    version, digest = re.findall(r"^FROM python:(\S+)@(sha256:[0-9a-f]{64})$", dockerfile, flags=re.MULTILINE)[0]
    assert version.startswith("3.11.")
    assert f"# {version};" in definition
    assert f"From: python@{digest}\n" in definition
    assert set(re.findall(r"torch==[0-9.]+", dockerfile + definition)) == {torch}


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("3, 10", "is 3.10; name another, as in make PYTHON=python3.11"),
        ("3, 14", "is 3.14; name another, as in make PYTHON=python3.11"),
        ("", "is not there; name a Python 3.11 to 3.13"),
    ],
)
def test_make_looks_at_python_before_it_downloads_anything(tmp_path, version, says):
    shutil.copytree(ENVS, tmp_path / "envs")
    for file in ("Makefile", "pyproject.toml", "workflow/executor/pyproject.toml"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    python = tmp_path / "python"
    if version:
        older = f"import sys; sys.version_info = ({version}, 0); exec(sys.argv[1])"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{older}" "$2"\n')
        python.chmod(0o755)
    # The tests may run under a make of their own, which would name its folders in the output.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "reproduce", f"PYTHON={python}"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert made.returncode == 2
    line, _ = made.stderr.splitlines()
    assert says in line
    assert made.stdout == ""
    assert not (tmp_path / ".venv").exists()
