"""Where each training of an experiment stands, from the artifacts alone."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from unimri.core.errors import UnimriError
from unimri.training.checkpoints import Checkpoints
from unimri.training.run import Files, read_record
from unimri.training.settings import TrainingTask, fingerprint, provenance, resolve
from unimri.workflow.plan import WorkflowPlan
from unimri.workflow.trainings import PlannedTraining

State = Literal["done", "stale", "under way", "stopped", "ready", "waiting"]


class Standing(NamedTuple):
    """Where one training stands.

    Attributes
    ----------
    sampling, seed, stage, name : which.
    state : done; stale (made from other settings, inputs or code); under way or stopped (a young or an old
        checkpoint); ready (its inputs are there); waiting (they are not).
    detail : what differs, how far it is, what is missing.
    """

    sampling: str
    seed: str
    stage: str
    name: str
    state: State
    detail: str


def standings(plan: WorkflowPlan) -> Iterator[Standing]:
    """Where each training stands, in the order of the stages.

    A training is known to be under way by its checkpoints, and so from the first one on.
    """
    for sampling in plan.samplings:
        for seed in plan.seeds:
            for training in plan.trainings(sampling, seed):
                state, detail = _standing(plan, sampling, training)
                yield Standing(sampling, seed, training.stage, training.name, state, detail)


def _standing(plan: WorkflowPlan, sampling: str, training: PlannedTraining) -> tuple[State, str]:
    planned = TrainingTask.model_validate_json(plan.task(training))
    record = read_record(Path(training.about))
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
    before, now = _flat(record.get("task", {})), _flat(task.model_dump())
    # Chosen by the machine that trained it, which may be another one than this.
    chosen = {key for key, value in _flat(planned.model_dump()).items() if value == "auto"}
    differs = [
        f"{key} was {before.get(key)}, now {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if key not in chosen and before.get(key) != now.get(key)
    ]
    inputs = record.get("inputs", {})
    differs += [f"input {key} has changed" for key in sorted(digests) if inputs.get(key) != digests[key]]
    code = provenance(task, digests)["code"]
    return differs + (["the code has changed"] if record.get("code") != code else [])


def _flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return flat


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
