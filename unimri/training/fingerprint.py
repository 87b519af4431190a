"""The fingerprint of a training: all that its result depends on. Its checkpoints are named after it. Loads no torch."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from unimri.core.provenance import code_digest
from unimri.models.conditioning.registry import conditioning_module
from unimri.training.settings import TrainingTask

DISTILLATION = "unimri.training.distillation"
"""The module that trainings which distil run, and others do not."""


def training_modules(conditioning: str, distils: bool) -> tuple[str, ...]:
    """The modules that a training runs; with what they import they are its code.

    A training reaches its conditioning and the distillation by their names, so that neither is in the code of others.
    """
    return ("unimri.training.run", conditioning_module(conditioning), *([DISTILLATION] if distils else []))


def training_code(task: TrainingTask) -> str:
    """Digest of the code that a training runs."""
    return code_digest(*training_modules(task.recipe.conditioning, task.distillation is not None))


def made_from(task: TrainingTask, digests: Mapping[str, str]) -> dict[str, Any]:
    """All that a training's result depends on, as JSON has it; parameters as in `fingerprint`."""
    return {"task": task.model_dump(mode="json"), "inputs": dict(digests), "code": training_code(task)}


def fingerprint(task: TrainingTask, digests: Mapping[str, str]) -> str:
    """32 hexadecimal digits of settings, inputs and code.

    Parameters
    ----------
    task : with device and precision chosen (`resolve`).
    digests : of the inputs (`unimri.training.files.Files.digests`).
    """
    content = json.dumps(made_from(task, digests), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def resolve(task: TrainingTask) -> TrainingTask:
    """Replace `auto` in a task by what the machine at hand has.

    The device becomes a GPU if there is one, the precision bfloat16 where the device computes in it. A CPU without
    instructions for bfloat16 emulates it, and is then slower than in float32 (benchmarks/precision.py).

    Raises
    ------
    UnimriError : when a GPU is asked for and there is none.
    """
    # Here, because torch takes seconds to import.
    from unimri.core.compute import choose_device, computes_in_bfloat16

    device, precision = choose_device(task.device), task.optimisation.precision
    if precision == "auto":
        precision = "bfloat16" if computes_in_bfloat16(device) else "float32"
    optimisation = task.optimisation.model_copy(update={"precision": precision})
    return task.model_copy(update={"device": device, "optimisation": optimisation})
