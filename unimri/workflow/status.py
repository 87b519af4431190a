"""Where an experiment stands: its trainings, from the artifacts alone; its files, from their digests and Snakemake."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unimri.core.artifacts import check_made, check_noted, make_again
from unimri.core.errors import UnimriError
from unimri.core.settings import differences, flat
from unimri.data.store import PreparedData
from unimri.deploy.library import DESCRIPTION
from unimri.training.checkpoints import Checkpoints
from unimri.training.run import Files, read_record
from unimri.training.settings import TrainingTask, fingerprint, provenance, resolve
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.reuse import Records
from unimri.workflow.trainings import PlannedTraining

State = Literal["done", "stale", "damaged", "under way", "stopped", "ready", "waiting"]


class Standing(NamedTuple):
    """Where one training stands.

    Attributes
    ----------
    sampling, seed, stage, name : which.
    state : done; stale (made from other settings, inputs or code, or planned again by Snakemake); damaged (its files
        are gone, or not those that were made); under way or stopped (a young or an old checkpoint); ready (its inputs
        are there); waiting (they are not).
    detail : what differs, how far it is, what is missing.
    """

    sampling: str
    seed: str
    stage: str
    name: str
    state: State
    detail: str


class PlannedFile(NamedTuple):
    """What Snakemake says of an output: the rule that makes it, whether it is there, and is to be made (again)."""

    rule: str
    status: str
    pending: bool


# Folders below the results of which nothing is noted.
_UNNOTED = {"simulated", "checkpoints", "logs", "benchmarks", "figures"}


def standings(plan: WorkflowPlan, files: Mapping[str, PlannedFile] | None = None) -> Iterator[Standing]:
    """Where each training stands, in the order of the stages.

    A training is known to be under way by its checkpoints, and so from the first one on. None is done that Snakemake
    plans, where `snakemake_plan` is given.
    """
    for sampling in plan.samplings:
        for seed in plan.seeds:
            for training in plan.trainings(sampling, seed):
                state, detail = _standing(plan, sampling, training)
                planned = (files or {}).get(training.about)
                if state == "done" and planned is not None and planned.pending:
                    why = planned.status if planned.status != "ok" else "so it does what it is made from"
                    state, detail = "stale", f"Snakemake makes it again: {why}"
                yield Standing(sampling, seed, training.stage, training.name, state, detail)


def _standing(plan: WorkflowPlan, sampling: str, training: PlannedTraining) -> tuple[State, str]:
    planned = TrainingTask.model_validate_json(plan.task(training))
    record = read_record(Path(training.about))
    # Its own files come before those that it was made from.
    if record is not None and (damage := next(_recorded_faults(Path(training.about)), None)):
        return "damaged", damage
    try:
        digests = _files(plan, sampling, training).digests()
    except UnimriError as fault:
        missing = str(fault).split(": ", 1)[0]
        return ("stale", f"its input {missing} is gone") if record else ("waiting", f"for {missing}")
    task = resolve(planned)
    if record is not None:
        differs = _differences(record, planned, task, digests)
        if not differs:
            return "done", f"{record.get('best_validation_psnr_db', float('nan')):.2f} dB on validation"
    under_way = _under_way(plan, task, digests)
    if under_way is not None:
        return under_way
    return ("stale", "; ".join(differs)) if record is not None else ("ready", "")


def snakemake_plan(configs: Sequence[Path]) -> dict[str, PlannedFile] | None:
    """What Snakemake says of every output of an experiment, by its path; None where it says nothing.

    Parameters
    ----------
    configs : config.yaml and overlays.
    """
    checkout = Path(__file__).parents[2] / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--summary", "--cores", "1", "--nolock", "--rerun-incomplete"]
    command += ["--snakefile", str(checkout if checkout.is_file() else "Snakefile"), "--configfile", *map(str, configs)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = csv.DictReader(run.stdout.splitlines(), delimiter="\t")
    if run.returncode or rows.fieldnames is None or "plan" not in rows.fieldnames:
        return None
    return {
        row["output_file"]: PlannedFile(row["rule"], row["status"], row["plan"] == "update pending") for row in rows
    }


def faults(plan: WorkflowPlan, files: Mapping[str, PlannedFile] | None = None) -> list[str]:
    """A line for each file of a finished run that is gone or is not what was made, with the mend."""
    found: dict[str, str] = {}
    for folder, folders, names in os.walk(plan.results):
        folders[:] = sorted(name for name in folders if name not in _UNNOTED and not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.startswith("."):
                continue
            if path.suffix == ".json":
                lines = list(_recorded_faults(path))
            elif path.suffix == ".sha256":
                lines = _fault(check_noted, path.with_suffix(""))
            elif name == "manifest.csv":
                lines = _fault(PreparedData, path.parent)
            else:
                continue
            found |= {line.partition(": ")[0]: line for line in lines}
    records = Records(Path())
    for file, planned in (files or {}).items():
        # Whoever was given the results has no private lists.
        withheld = Path(file).is_relative_to(plan.private) and not Path(plan.private).exists()
        if planned.status == "missing" and not withheld and (not planned.pending or records.complete(file)):
            found.setdefault(file, f"{file}: no such file; {make_again(Path(file))}")
    return list(found.values())


def _recorded_faults(record: Path) -> Iterator[str]:
    """What is wrong with the files whose SHA-256 a JSON file lists: a model's, an ASPIN's, that of tables."""
    try:
        files = json.loads(record.read_text(encoding="utf-8"))["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    # A model that is given to others has the JSON of its training, and a list of its own of what it has.
    of_folder = record.name == DESCRIPTION
    if not of_folder and record.with_name(DESCRIPTION).exists():
        return
    for name, digest in files:
        path = record.parent / name
        yield from _fault(check_made, path, digest, make_again(record.parent if of_folder else path))


def _fault(check: Callable[..., object], *arguments: object) -> list[str]:
    try:
        check(*arguments)
    except UnimriError as fault:
        return [str(fault)]
    return []


def _files(plan: WorkflowPlan, sampling: str, training: PlannedTraining) -> Files:
    results = Path(plan.results)
    return Files(
        data={anatomy: results / "data" / anatomy for anatomy in training.anatomies},
        mask=results / "masks" / f"{sampling}.npz",
        base=None if training.base is None else Path(training.base),
        teachers={name: Path(folder) for name, folder in training.teachers.items()} or None,
    )


def _differences(
    record: Mapping[str, Any], planned: TrainingTask, task: TrainingTask, digests: Mapping[str, str]
) -> list[str]:
    """What a model was made from and would not be made from now."""
    # Chosen by the machine that trained it, which may be another one than this.
    chosen = {key for key, value in flat(planned.model_dump()).items() if value == "auto"}
    differs = differences(record.get("task", {}), task.model_dump(), chosen)
    inputs = record.get("inputs", {})
    differs += [f"input {key} has changed" for key in sorted(digests) if inputs.get(key) != digests[key]]
    code = provenance(task, digests)["code"]
    return differs + (["the code has changed"] if record.get("code") != code else [])


def _under_way(plan: WorkflowPlan, task: TrainingTask, digests: dict[str, str]) -> tuple[State, str] | None:
    found = Checkpoints(Path(plan.results) / "checkpoints", fingerprint(task, digests)).newest()
    if found is None:
        return None
    path, progress = found
    minutes = (time.time() - path.stat().st_mtime) / 60
    best = f", best {progress.best_psnr_db:.2f} dB" if progress.history else ""
    detail = f"step {progress.step}, {len(progress.history)} of {task.budget.epochs} epochs{best}"
    # The next checkpoint is due after so long, and a slow validation may come between.
    young = minutes <= 2 * plan.config.training.checkpoint_minutes + 5
    return "under way" if young else "stopped", f"{detail}; checkpoint {minutes:.0f} min old"
