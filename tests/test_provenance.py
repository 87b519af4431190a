import importlib.metadata
from pathlib import Path

import pytest

from unimri.core import provenance
from unimri.core.provenance import code_digest, versions
from unimri.training.settings import Recipe, training_modules

PACKAGE = {
    "unimri/__init__.py": "",
    "unimri/train.py": '"""Trains."""\nfrom unimri.loss import loss\n\n\ndef train():\n    return loss()\n',
    "unimri/loss.py": "def loss():\n    return 1\n",
    "unimri/plot.py": "from unimri.train import train\n",
    "unimri/loss.toml": "weight = 1\n",
    "unimri/plot.toml": "colour = 'red'\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in PACKAGE.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "unimri/core/provenance.py"))
    return tmp_path / "unimri"


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        (
            "train.py",
            '"""Trains well."""\nfrom unimri.loss import loss\ndef train():\n  return loss() # x',
            False,
        ),
        ("loss.py", "def loss():\n    return 2\n", True),
        ("plot.py", "from unimri.train import train\nCOLOUR = 'red'\n", False),
        ("train.py", PACKAGE["unimri/train.py"].replace("loss()\n", "2 * loss()\n"), True),
        ("loss.toml", "weight = 2\n", True),
        ("loss.toml", "# Chosen.\nweight=1\n", False),
        ("plot.toml", "colour = 'blue'\n", False),
    ],
    ids=[
        *("comments, docstrings, layout", "an import's code", "code that it does not run", "its own code"),
        *("an import's table", "a table's comments and layout", "a table that it does not read"),
    ],
)
def test_the_digest_changes_with_the_code_that_runs_and_nothing_else(package, file, text, changes):
    before = code_digest("unimri.train")
    (package / file).write_text(text)
    assert (code_digest("unimri.train") != before) == changes


def test_modules_differ():
    assert code_digest("unimri.training.run") != code_digest("unimri.evaluation.reconstruct")


def test_training_does_not_run_the_plotting_code():
    closure = set().union(*map(provenance._closure, training_modules(Recipe(conditioning="aspin", taught_by="none"))))
    assert "unimri.training.engine" in closure
    assert "unimri.models.instance_norm" in closure
    assert not {name for name in closure if name.startswith(("unimri.evaluation", "unimri.workflow", "unimri.cli"))}


def test_versions_are_those_installed():
    assert versions()["torch"] == importlib.metadata.version("torch")
