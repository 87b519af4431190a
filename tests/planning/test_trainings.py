"""What is trained follows from the rows of the table of methods, and from nothing else."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from unimri.config import parse_config
from unimri.core import provenance
from unimri.evaluation.averages import averages
from unimri.models import conditioning
from unimri.training import methods
from unimri.training.methods import ADAPTATIONS, METHODS, Method, budgets, trained
from unimri.training.settings import Recipe
from unimri.workflow.plan import PlannedReconstructions, WorkflowPlan

ROOT = Path(__file__).parents[2]
CONTROLS = ["without_distillation_longer", "shared_instance_norm", "shared_all"]


@pytest.fixture
def default():
    content = yaml.safe_load((ROOT / "config.yaml").read_text())
    content["accelerations"] = [4]
    content["studies"] |= {"controls": list(CONTROLS), "layers": [1], "patients": [2]}
    return content


def planned(plan):
    """Every training's folder, with its parameters: a rule's job is made again when one of them changes."""
    return {
        one.history: (plan.task(one), plan.training_code(one), *plan.training_inputs(one))
        for one in plan.trainings("4x", "2021")
    }


def add_row(monkeypatch, row, after):
    """Put a row into the table, wherever it has been imported to."""
    place = [known.key for known in METHODS].index(after) + 1
    longer = (*METHODS[:place], row, *METHODS[place:])
    for module in list(sys.modules.values()):
        if getattr(module, "METHODS", None) is METHODS:
            monkeypatch.setattr(module, "METHODS", longer)


def add_conditioning(monkeypatch, folder, name):
    """Put a module into the package of conditionings, and into what fingerprints see of it."""
    code = (ROOT / "unimri/models/conditioning/aspin.py").read_text()
    module = folder / f"{name}.py"
    module.write_text(f"{code}\nANOTHER = True\n")
    monkeypatch.setattr(conditioning, "__path__", [*conditioning.__path__, str(folder)])
    found = provenance._source
    own = f"unimri.models.conditioning.{name}"
    monkeypatch.setattr(provenance, "_source", lambda asked: module if asked == own else found(asked))
    return module


def test_rows_that_share_a_budget_share_a_recipe():
    for row in METHODS + ADAPTATIONS:
        assert row.budget is None or budgets()[row.budget].recipe == row.recipe


def test_recipes_name_the_conditioning_of_the_teachers():
    for row in METHODS + ADAPTATIONS:
        taught_by = None if row.teachers is None else methods.method(row.teachers).conditioning
        assert row.recipe.taught_by == taught_by


def test_methods_are_trained_after_those_that_they_build_on():
    keys = [row.key for row in trained()]
    assert set(keys) == {row.key for row in METHODS if row.budget is not None}
    for row in trained():
        for before in (row.base, row.teachers):
            assert before is None or keys.index(before) < keys.index(row.key)


def test_every_training_has_a_rule_that_makes_it(default):
    plan = WorkflowPlan(parse_config(default))
    assert set(plan.training_rules) == {
        *("independent", "shared", "shared_instance_norm", "shared_all", "pretrained", "distilled", "continued"),
        *("adapted", "few_aspin", "few_finetuned", "few_scratch"),
    }
    found = plan.trainings("4x", "2021")
    # Networks of five anatomies; S2, S3 twice, Shared and the controls; S4 on four; three and a fourth of few patients.
    assert len(found) == len({one.history for one in found}) == 5 + 3 + 4 + 4 * 3 + 4 * 3
    models = {plan.model(method, "4x", "2021", anatomy) for method in plan.methods for anatomy in plan.anatomies}
    assert {model for model in models if model and "classical" not in model} <= {one.folder for one in found}


def test_a_new_control_is_a_row_and_its_budget(default, monkeypatch):
    before = planned(WorkflowPlan(parse_config(default)))
    recipe = Recipe(conditioning="aspin", in_turn=True)
    row = Method("mixed", "Mixed", "control", "a test", budget="mixing", recipe=recipe, universal=True)
    add_row(monkeypatch, row, "shared")
    default["training"]["stages"]["mixing"] = {"epochs": 7, "learning_rate": 0.5}
    default["studies"]["controls"].append("mixed")
    plan = WorkflowPlan(parse_config(default))
    after = planned(plan)
    assert {folder: after[folder] for folder in before} == before
    root = "results/4x/seed2021/mixed"
    assert after.keys() - before.keys() == {
        f"{root}/history.csv",
        *(f"{root}/aspin/{anatomy}.history.csv" for anatomy in ("cardiac", "abdomen", "prostate")),
    }
    assert '"budget": {"epochs": 7, "learning_rate": 0.5}' in after[f"{root}/history.csv"][0]
    assert plan.methods[plan.methods.index("shared") + 1] == "mixed"
    assert plan.model_files("mixed", "4x", "2021", "cardiac")[-1] == f"{root}/aspin/cardiac.safetensors"
    assert plan.histories("4x", "2021")["Mixed"] == {"Mixed": f"{root}/history.csv"}
    names = {panel: list(own) for panel, own in plan.histories("4x", "2021").items()}
    assert names["S1, Independent"][0] == "Independent, brain"
    assert {"Mixed, cardiac", "Proposed, layer 3, cardiac", "w/o MD, trained on, prostate"} <= set(
        names["S4, ASPIN alone"]
    )
    scored = PlannedReconstructions(plan, "4x", "cardiac").reconstructions
    assert [one.method for one in scored][: len(plan.methods)] == plan.methods
    rule = plan.training_rules["mixed"]
    assert "results/{sampling}/seed{seed}/mixed/aspin/brain.safetensors" in plan.training_files(rule)


def test_a_new_control_stands_in_its_place_in_table_1(monkeypatch):
    add_row(monkeypatch, Method("mixed", "Mixed", "control", "a test", budget="shared"), "shared")
    keys = ["proposed", "mixed", "shared", "undersampled"]
    scores = pd.DataFrame({"method": keys, "psnr_db": 30.0, "ssim_percent": 90.0})
    identity = {
        "acceleration": 4,
        "seed": 1,
        "anatomy": "brain",
        "mask": "m",
        "patient": "p",
        "volume": "v",
        "slice": 0,
    }
    table = averages(scores.assign(**identity), ["brain"], ["psnr_db", "ssim_percent"])
    first = table[table["metric"] == table["metric"].iloc[0]]
    assert list(first["method"]) == ["undersampled", "shared", "mixed", "proposed"]
    assert methods.method("mixed").title == "Mixed"


def test_a_new_conditioning_plans_no_other_training(default, monkeypatch, tmp_path):
    before = planned(WorkflowPlan(parse_config(default)))
    module = add_conditioning(monkeypatch, tmp_path, "marked")
    assert planned(WorkflowPlan(parse_config(default))) == before
    row = Method(
        "marked", "Marked", "control", "a test", budget="marked", recipe=Recipe(conditioning="marked"), universal=True
    )
    add_row(monkeypatch, row, "shared")
    default["training"]["stages"]["marked"] = {"epochs": 1, "learning_rate": 0.5}
    default["studies"]["controls"].append("marked")
    after = planned(WorkflowPlan(parse_config(default)))
    own = {folder for folder in after if "/marked/" in folder}
    assert len(own) == 1 + 3
    assert {folder: after[folder] for folder in after if folder not in own} == before
    # Its own code and S4's on it follow it, and the others do not.
    module.write_text(f"{module.read_text()}\nMORE = True\n")
    again = planned(WorkflowPlan(parse_config(default)))
    assert {folder for folder in after if after[folder] != again[folder]} == own


def test_a_training_has_the_code_of_its_own_stage(default, monkeypatch):
    plan = WorkflowPlan(parse_config(default))
    codes = {one.history: plan.training_code(one) for one in plan.trainings("4x", "2021")}
    changed = {
        "unimri.training.distillation": ("distilled/layer",),
        "unimri.models.conditioning.instance_norm": ("shared_i",),
        # S3 runs its teachers.
        "unimri.models.conditioning.none": (
            "independent/",
            "shared/",
            "shared_all/",
            "distilled/layer",
            "adaptation/scratch/",
        ),
    }
    parsed = provenance._parsed
    for name, places in changed.items():
        text = provenance._source(name).read_text()

        def edited(source, text=text):
            code, imports = parsed(source)
            return (code + b" edited" if source == text else code), imports

        monkeypatch.setattr(provenance, "_parsed", edited)
        other = WorkflowPlan(parse_config(default))
        differ = {
            one.history for one in other.trainings("4x", "2021") if other.training_code(one) != codes[one.history]
        }
        expected = {
            history for history in codes if any(f"/{place}" in history for place in places) and "/aspin/" not in history
        }
        assert differ == expected
