"""What `pip install` gives: the command, the library and the data that they read, and nothing else. And what a checkout
gives that is installed as it lies."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml

import unimri

ROOT = Path(__file__).parents[1]
METADATA = {"LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"}


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def copied(source: Path, *folders: str) -> Path:
    """What a build reads, in a folder of its own: building writes beside the sources."""
    source.mkdir(parents=True)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in folders:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def new_venv(folder: Path) -> Path:
    """Python of a new environment that has what this one has, but none of its editable installs: a path alone."""
    venv.create(folder, with_pip=False)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin/python"


def run(folder: Path, *command: object) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def install(python: Path, *what: object) -> None:
    command = ("-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(python.parent, sys.executable, *command, *what)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # A checkout has more than the package.
    source = copied(folder / "source", "unimri", "tests", "docs", "workflow", "benchmarks")
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
    assert (about["Name"], about["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert about["Requires-Python"] == ">=3.11"
    assert (about["License-Expression"], about["License-File"]) == ("Apache-2.0", "LICENSE")
    assert about["Author"] == "the unimri developers"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert about["Description-Content-Type"] == "text/markdown"


def test_a_clean_environment_has_the_command(wheel, tmp_path):
    python = new_venv(tmp_path / "venv")
    install(python, wheel)
    empty = tmp_path / "empty"
    empty.mkdir()
    command = tmp_path / "venv/bin/unimri"
    assert "Your scans" in run(empty, command, "--help")
    version = wheel.name.split("-")[1]
    assert run(empty, command, "--version") == f"unimri {version}\n"
    says = "import unimri; print(unimri.__version__, unimri.__file__)"
    told, where = run(empty, python, "-c", says).split()
    assert told == version
    assert Path(where).is_relative_to(tmp_path / "venv")
    assert not list(empty.iterdir())


def test_from_the_folder_above_a_checkout_it_is_the_package(tmp_path):
    """A folder `unimri` there without `__init__.py` would be an empty namespace."""
    checkout = copied(tmp_path / "above/unimri", "unimri", "workflow")
    python = new_venv(tmp_path / "venv")
    install(python, "--no-build-isolation", "-e", checkout, "-e", checkout / "workflow/executor")
    for name, folder in (
        ("unimri", checkout / "unimri"),
        ("snakemake_executor_plugin_unimri_slurm", checkout / "workflow/executor"),
    ):
        where = run(checkout.parent, python, "-c", f"import {name}; print({name}.__file__)").strip()
        assert Path(where).is_relative_to(folder)


def test_the_version_is_said_in_one_place_and_cited():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()
    assert "__version__" in dir(unimri)
    assert unimri.__version__ in (PROJECT["version"], "not installed")
