"""What is reconstructed of each test split, and from which files."""

from pathlib import Path

import pytest
import yaml

from unimri.config import parse_config
from unimri.core import provenance
from unimri.core.settings import parse_settings
from unimri.evaluation.reconstructions import Reconstruction
from unimri.workflow.plan import PlannedReconstructions, WorkflowPlan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def content():
    content = yaml.safe_load((ROOT / "config.yaml").read_text())
    content["studies"] |= {"layers": [1, 3], "patients": [1], "masks": [{"preset": "schlemper"}], "slices": 5}
    content["studies"]["robustness"] = {
        "methods": ["undersampled", "proposed"],
        "accelerations": [4, 8],
        "noise": [0.1],
    }
    content["training"]["seeds"] = [2021, 7]
    return content


def planned(content, sampling, anatomy):
    return PlannedReconstructions(WorkflowPlan(parse_config(content)), sampling, anatomy)


def of_seed(found: PlannedReconstructions, seed: int) -> list[Reconstruction]:
    return [one for one in found.reconstructions if one.seed == seed]


def test_methods_come_first_and_conditions_after_for_each_seed(content) -> None:
    found = planned(content, "4x", "cardiac")
    assert parse_settings(list[Reconstruction], found.listed, "a test") == found.reconstructions
    for seed in (2021, 7):
        of_methods = [one.method for one in of_seed(found, seed) if one.condition == "as trained"]
        plan = WorkflowPlan(parse_config(content))
        few = ["aspin/1", "finetuned/1", "scratch/1", "finetuned/all"]
        assert of_methods == [*plan.methods, "layer1", *few]
        rest = [(one.method, one.condition) for one in of_seed(found, seed) if one.condition != "as trained"]
        assert rest == [
            *((method, name) for method in ("undersampled", "proposed") for name in ("8x", "noise 0.1")),
            *(("proposed", f"ASPIN of {other}") for other in ("brain", "knee", "abdomen", "prostate")),
        ]
    assert {one.slices for one in found.reconstructions if one.condition == "as trained"} == {None}
    assert {one.slices for one in found.reconstructions if one.condition != "as trained"} == {5}


def test_old_anatomies_are_reconstructed_again_after_new_ones_were_learnt(content) -> None:
    after = [one for one in of_seed(planned(content, "6x", "brain"), 7) if one.condition.startswith("after")]
    assert [(one.method, one.condition) for one in after] == [
        (method, f"after learning {new}")
        for method in ("proposed", "finetuned/all")
        for new in ("cardiac", "abdomen", "prostate")
    ]
    assert after[0].added == ("cardiac",)
    assert after[3].model == Path("results/6x/seed7/adaptation/finetuned/all/cardiac")
    assert {one.before for one in after} == {"proposed"}
    assert {one.slices for one in after} == {None}


def test_every_file_that_is_read_is_an_input(content) -> None:
    found = planned(content, "4x", "brain")
    root = "results/4x/seed7"
    assert {
        f"{root}/independent/brain/model.safetensors",
        f"{root}/distilled/layer1/aspin/brain.safetensors",
        f"{root}/distilled/layer3/model.json",
        f"{root}/distilled/layer3/aspin/cardiac.safetensors",
        f"{root}/adaptation/finetuned/all/cardiac/aspin/brain.safetensors",
    } <= set(found.files)
    assert len(set(found.files)) == len(found.files)
    # The trainings' mask is an input of the rule. The job itself draws others, and tunes classical methods.
    assert all(file.startswith("results/4x/seed") for file in found.files)
    classical = [one.model for one in found.reconstructions if one.method == "total_variation"]
    assert set(classical) == {Path("results/4x/classical/total_variation/brain.json")}
    assert WorkflowPlan(parse_config(content)).tuned == ["conjugate_filling", "total_variation", "total_variation_real"]
    few = planned(content, "4x", "cardiac").files
    assert f"{root}/adaptation/aspin/1/cardiac.safetensors" in few
    assert f"{root}/adaptation/scratch/1/cardiac/model.safetensors" in few
    assert not any("adaptation/aspin/1/abdomen" in file for file in few)


def test_other_masks_have_table_1_alone(content) -> None:
    found = planned(content, "4x-schlemper", "cardiac")
    plan = WorkflowPlan(parse_config(content))
    assert [(one.method, one.condition, one.seed) for one in found.reconstructions] == [
        (method, "as trained", seed) for seed in (2021, 7) for method in plan.methods
    ]


def test_a_method_that_table_1_does_not_have_is_tried_as_trained_too(content) -> None:
    content["studies"]["robustness"]["methods"] = ["shared_all"]
    of_it = [one for one in of_seed(planned(content, "4x", "brain"), 7) if one.method == "shared_all"]
    assert [(one.condition, one.slices) for one in of_it] == [("as trained", 5), ("8x", 5), ("noise 0.1", 5)]


def test_what_metrics_are_decides_on_scores_and_not_on_reconstructions(content) -> None:
    before = planned(content, "4x", "brain")
    tuned = WorkflowPlan(parse_config(content)).tuning_metrics()
    content["metrics"] = {"ssim_window": 9, "table": ["psnr", "nmse"]}
    after = planned(content, "4x", "brain")
    assert (before.listed, before.files) == (after.listed, after.files)
    assert WorkflowPlan(parse_config(content)).tuning_metrics() == tuned
    # The rules carry the digest of what these modules import.
    reconstructing, tuning, scoring = (
        provenance._closure(f"unimri.{name}")
        for name in ("evaluation.reconstruct", "classical.tuning", "evaluation.scores")
    )
    assert not any(module.startswith("unimri.metrics") for module in reconstructing)
    assert not {"unimri.metrics.ssim", "unimri.metrics.score"} & tuning
    assert "unimri.metrics.ssim" in scoring
    assert not any(module.startswith("unimri.models.") for module in scoring)
