"""The fingerprint of a training: all that its result depends on. Its checkpoints are named after it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from unimri.core.provenance import code_digest
from unimri.training.settings import TrainingTask


def training_modules(conditioning: str, distils: bool) -> tuple[str, ...]:
    """The modules that a training runs; with what they import they are its code."""
    return ("unimri.training.run",)


def training_code() -> str:
    """Digest of the code that every training runs."""
    return code_digest("unimri.training.run")


def made_from(task: TrainingTask, digests: Mapping[str, str]) -> dict[str, Any]:
    """All that a training's result depends on, as JSON has it; parameters as in `fingerprint`."""
    return {"task": task.model_dump(mode="json"), "inputs": dict(digests), "code": training_code()}


def fingerprint(task: TrainingTask, digests: Mapping[str, str]) -> str:
    """32 hexadecimal digits of settings, inputs and code.

    Parameters
    ----------
    task : with device and precision chosen (`unimri.training.device.resolve`).
    digests : of the inputs (`unimri.training.inputs.Files.digests`).
    """
    content = json.dumps(made_from(task, digests), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
