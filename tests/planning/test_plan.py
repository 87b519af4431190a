import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from unimri.config import parse_config
from unimri.core.errors import UnimriError
from unimri.core.settings import parse_settings
from unimri.report.experiment import Experiment
from unimri.training.methods import METHODS
from unimri.training.settings import TrainingTask
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.trainings import as_json

ROOT = Path(__file__).parents[2]


@pytest.fixture
def default():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def task(plan, stage):
    """Task of the first training of a stage."""
    return plan.task(next(one for one in plan.trainings("4x", "2021") if one.stage == stage))


def test_a_task_holds_its_own_stages_settings_and_no_other(default):
    before = WorkflowPlan(parse_config(default))
    default["training"]["stages"]["adapted"]["epochs"] = 99
    default["distillation"]["omega"] = 0.5
    after = WorkflowPlan(parse_config(default))
    assert TrainingTask.model_validate_json(task(after, "adapted")).budget.epochs == 99
    default["distillation"]["layer"] = 4
    distilled = TrainingTask.model_validate_json(task(WorkflowPlan(parse_config(default)), "distilled"))
    assert distilled.distillation is not None
    assert (distilled.distillation.layer, distilled.distillation.omega) == (4, 0.5)
    for stage in ("independent", "shared", "pretrained", "continued"):
        assert task(before, stage) == task(after, stage)


def test_a_path_that_is_no_folder_is_told_by_key(default):
    default["anatomies"]["knee"]["path"] = "/nowhere/knee"
    default["anatomies"]["brain"] |= {"path": "elsewhere", "splits": "/nowhere/splits.csv"}
    with pytest.raises(UnimriError) as fault:
        WorkflowPlan(parse_config(default))
    # All of them, and where a relative one starts.
    for says in (
        "config: anatomies.knee.path: /nowhere/knee is no folder; correct the path",
        f"config: anatomies.brain.path: elsewhere (in {Path.cwd()}) is no folder; correct the path",
        "config: anatomies.brain.splits: /nowhere/splits.csv is no file; correct the path",
    ):
        assert says in str(fault.value)


def test_a_listing_changes_with_names_and_sizes_and_not_with_times(default, tmp_path):
    (tmp_path / "one").write_bytes(b"1")
    default["anatomies"]["knee"]["path"] = str(tmp_path)
    plan = WorkflowPlan(parse_config(default))
    first = plan.raw_listing("knee")
    assert str(tmp_path) not in first
    (tmp_path / "one").touch()
    assert plan.raw_listing("knee") == first
    (tmp_path / "two").write_bytes(b"")
    second = plan.raw_listing("knee")
    (tmp_path / "two").write_bytes(b"2")
    third = plan.raw_listing("knee")
    assert len({first, second, third}) == 3
    (tmp_path / ".DS_Store").write_bytes(b"a file manager's")
    (tmp_path / "nowhere").symlink_to(tmp_path / "nothing")
    fourth = plan.raw_listing("knee")
    assert fourth != third
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "file").touch()
    (tmp_path / ".DS_Store").unlink()
    assert plan.raw_listing("knee") == fourth


def test_a_listing_sees_what_links_lead_to(default, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "kept/deep").mkdir(parents=True)
    (tmp_path / "kept/deep/one").write_bytes(b"1")
    (tmp_path / "raw/patient").symlink_to(tmp_path / "kept")
    default["anatomies"]["knee"]["path"] = str(tmp_path / "raw")
    plan = WorkflowPlan(parse_config(default))
    first = plan.raw_listing("knee")
    (tmp_path / "kept/deep/one").write_bytes(b"12")
    second = plan.raw_listing("knee")
    (tmp_path / "kept/deep/two").write_bytes(b"1")
    third = plan.raw_listing("knee")
    (tmp_path / "kept/circle").symlink_to(tmp_path / "raw")
    assert plan.raw_listing("knee") == third
    assert len({first, second, third}) == 3


def test_every_method_has_a_model_and_new_anatomies_their_aspin(default):
    default["studies"] = {
        "controls": ["without_distillation_longer", "shared_instance_norm", "shared_all"],
        "classical": [row.key for row in METHODS if row.kind == "classical"],
    }
    plan = WorkflowPlan(parse_config(default))
    models = {method: plan.model(method, "4x", "7", "knee") for method in plan.methods}
    assert list(models) == [method.key for method in METHODS]
    assert models["undersampled"] is None
    assert models["proposed"] == "results/4x/seed7/distilled/layer3"
    assert "results/4x/seed7/distilled/layer3/aspin/cardiac.safetensors" in plan.model_files(
        "proposed", "4x", "7", "cardiac"
    )
    assert not any("aspin" in file for file in plan.model_files("shared", "4x", "7", "cardiac"))


def test_without_seeds_of_their_own_trainings_take_the_experiments(default):
    assert WorkflowPlan(parse_config(default)).seeds == ["2021"]
    default["training"]["seeds"] = [3, 1]
    assert WorkflowPlan(parse_config(default)).seeds == ["3", "1"]
    default["training"]["seeds"], default["seed"] = None, 5
    plan = WorkflowPlan(parse_config(default))
    assert plan.seeds == ["5"]
    default["training"]["seeds"] = [1, 1]
    with pytest.raises(UnimriError, match=r"training\.seeds: \[1, 1\] names one twice"):
        parse_config(default)


@pytest.mark.parametrize(("device", "gpus"), [("cpu", 0), ("auto", 1), ("cuda", 1)])
def test_trainings_ask_for_a_gpu_unless_they_stay_on_the_cpu(default, device, gpus):
    default["training"]["device"] = device
    assert WorkflowPlan(parse_config(default)).gpus == gpus
    default["training"] |= {"processes": 4, "threads": 3}
    plan = WorkflowPlan(parse_config(default))
    assert (plan.gpus, plan.processes, plan.threads) == (4 * gpus, 4, 12)


def test_how_a_training_is_run_is_no_part_of_its_task(default):
    before = task(WorkflowPlan(parse_config(default)), "shared")
    default["training"] |= {"processes": 2, "checkpoint_minutes": 0}
    assert task(WorkflowPlan(parse_config(default)), "shared") == before


def test_data_are_marked_simulated_or_real(default, tmp_path):
    default["anatomies"]["knee"]["path"] = str(tmp_path)
    origins = json.loads(WorkflowPlan(parse_config(default)).provenance())
    assert origins["knee"] == "real"
    assert {origin for name, origin in origins.items() if name != "knee"} == {"simulated"}


def test_planning_loads_no_library_that_takes_long():
    slow = ("torch", "scipy.stats", "scipy.ndimage", "skimage.metrics", "skimage.transform")
    command = "import sys, unimri.workflow.plan, unimri.data.prepare; "
    command += f"print([name for name in {slow} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"


def test_the_layers_beside_the_configured_one_are_rows_of_table_s2(default):
    default["studies"]["layers"] = [5, 3, 1]
    default["distillation"]["layer"] = 3
    plan = WorkflowPlan(parse_config(default))
    assert plan.layer_methods == ["layer1", "layer5"]
    assert plan.model("layer1", "4x", "7", "brain") == "results/4x/seed7/distilled/layer1"
    del default["studies"]["layers"]
    assert WorkflowPlan(parse_config(default)).layer_methods == []


def test_the_intervals_settings_are_the_configurations(default):
    default["statistics"] = {"resamples": 123}
    assert json.loads(as_json(parse_config(default).statistics)) == {
        "resamples": 123,
        "confidence": 0.95,
        "seed": 0,
    }


def test_the_page_is_given_no_path_of_a_scan(default, tmp_path):
    (tmp_path / "Zaphod").mkdir()
    default["anatomies"]["brain"] |= {"path": str(tmp_path / "Zaphod"), "reader": {"format": "dicom"}}
    plan = WorkflowPlan(parse_config(default))
    assert "Zaphod" not in plan.whole()
    assert parse_settings(Experiment, json.loads(plan.whole()), "a test").origins == {
        "brain": "real",
        "knee": "simulated",
        "cardiac": "simulated",
        "abdomen": "simulated",
        "prostate": "simulated",
    }


def test_the_page_waits_for_every_figure(default):
    default["accelerations"] = [4, 8]
    inputs = WorkflowPlan(parse_config(default)).report_inputs()
    assert len(set(inputs)) == len(inputs)
    assert {f"results/figures/{rate}x/{name}.png" for rate in (4, 8) for name in ("prostate", "curves")} <= set(inputs)
    assert {"results/tables/table1.csv", "results/figures/data/brain.png", "results/masks/8x.png"} <= set(inputs)
