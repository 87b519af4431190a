"""The page's own files: what plans the page again, and what must come with the package."""

import shutil
import tomllib
from pathlib import Path

import pytest

from unimri.config import load_config
from unimri.report.page import FOLDER
from unimri.workflow import plan

ROOT = Path(__file__).parents[2]


def copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(FOLDER, folder / "report")
    monkeypatch.setattr(plan, "REPORT", folder / "report")
    return folder / "report"


@pytest.mark.parametrize("name", ["templates/page.html", "static/style.css", "static/report.js"])
def test_a_changed_file_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    planned = plan.WorkflowPlan(load_config(ROOT / "config.yaml"))
    before = planned.report_code()
    folder = copied(tmp_path, monkeypatch)
    assert planned.report_code() == before
    (folder / name).write_text((folder / name).read_text(encoding="utf-8") + " ")
    assert planned.report_code() != before


def test_every_file_comes_with_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["unimri.report"]
    shipped = {path for pattern in patterns for path in FOLDER.glob(pattern) if path.is_file()}
    own = {path for name in ("templates", "static", "vendor") for path in (FOLDER / name).rglob("*")}
    assert {path for path in own if path.is_file()} == shipped
    assert sum(path.name == "LICENSE" for path in shipped) == 2
