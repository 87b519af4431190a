"""What a training's fingerprint is of: the task as the machine takes it, and the code of its own row alone."""

import shutil
from pathlib import Path

import pytest
import torch

import unimri
from unimri.core import provenance
from unimri.core.errors import UnimriError
from unimri.core.provenance import code_digest
from unimri.core.settings import parse_settings
from unimri.models import conditioning
from unimri.models.registry import conditionings
from unimri.training.methods import ADAPTATIONS, trained
from unimri.training.settings import Recipe, resolve, training_modules

ROOT = Path(unimri.__file__).parent


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [({"amx_bf16": True}, "bfloat16"), ({"avx512_bf16": True}, "bfloat16"), ({"avx512_f": True}, "float32")],
)
def test_auto_is_bfloat16_only_where_the_processor_has_it(experiment, monkeypatch, capabilities, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    task = experiment.task("independent")
    automatic = task.model_copy(update={"optimisation": task.optimisation.model_copy(update={"precision": "auto"})})
    assert resolve(automatic).optimisation.precision == precision
    assert resolve(task) == task


def test_auto_is_a_gpu_only_where_there_is_one(experiment, monkeypatch):
    task = experiment.task("independent").model_copy(update={"device": "auto"})
    for available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert resolve(task).device == device


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package, which fingerprints and the list of conditionings are of."""
    folder = tmp_path / "unimri"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(provenance, "__file__", str(folder / "core/provenance.py"))
    monkeypatch.setattr(conditioning, "__path__", [str(folder / "models/conditioning")])
    return folder


def codes() -> dict[str, str]:
    """The code of each row of the table of methods that is trained."""
    rows = (*trained(), *ADAPTATIONS)
    return {row.key: code_digest(*training_modules(row.recipe)) for row in rows}


def test_a_new_conditioning_changes_no_trainings_code(package):
    before = codes()
    shutil.copyfile(package / "models/conditioning/aspin.py", package / "models/conditioning/other.py")
    assert conditionings() == ["aspin", "film", "instance_norm", "none", "other"]
    assert codes() == before
    assert Recipe(conditioning="other").conditioning == "other"


NORMALISED = {"shared_instance_norm"}
WITH_ASPIN = {"proposed", "without_distillation", "without_distillation_longer", "aspin", "finetuned"}


@pytest.mark.parametrize(
    ("module", "rows"),
    [
        ("models/conditioning/aspin.py", WITH_ASPIN),
        ("models/conditioning/instance_norm.py", NORMALISED),
        ("models/instance_norm.py", WITH_ASPIN | NORMALISED),
        # Proposed runs it in its teachers.
        ("models/conditioning/none.py", {"independent", "shared", "shared_all", "scratch", "proposed"}),
        ("training/distillation.py", {"proposed"}),
        ("training/methods.py", set()),
        ("training/callbacks.py", set()),
    ],
)
def test_a_modules_change_trains_again_only_what_runs_it(package, module, rows):
    before = codes()
    assert set(before) >= rows
    with (package / module).open("a") as file:
        file.write("\nCHANGED = True\n")
    assert {key for key, code in codes().items() if code != before[key]} == rows


def test_a_conditioning_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(
        UnimriError, match=r"conditioning 'other' is unknown; allowed: aspin, film, instance_norm, none"
    ):
        parse_settings(Recipe, {"conditioning": "other"}, "--task")
