"""What `pip install` gives: the command, the library and the data that they read, and nothing else."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
METADATA = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # Building writes beside the sources. A checkout has more than the package, and may have an experiment's results.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("unimri", "tests", "docs", "workflow", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    made = subprocess.run([*command, "--wheel-dir", folder, source], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    about = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert {name.split("/")[-1] for name in about} == METADATA
    held = set(names) - about
    assert held == files(ROOT / "unimri")
    assert {"unimri/py.typed", "unimri/report/templates/page.html", "unimri/evaluation/published/table1.csv"} <= held


def test_its_metadata_say_what_it_is(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
    about = HeaderParser().parsestr(archive.read(name).decode())
    assert about["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert about["Description-Content-Type"] == "text/markdown"


def test_a_clean_environment_has_the_command(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    # What it depends on is not installed again. A path alone: editable installs there are not seen.
    (packages,) = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def run(*command: object) -> str:
        done = subprocess.run(
            list(map(str, command)), cwd=empty, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    command = tmp_path / "venv/bin/unimri"
    assert "Your scans" in run(command, "--help")
    version = wheel.name.split("-")[1]
    assert run(command, "--version") == f"unimri {version}\n"
    where = run(python, "-c", "import unimri; print(unimri.__file__)").strip()
    assert Path(where).is_relative_to(tmp_path / "venv")
    assert not list(empty.iterdir())
