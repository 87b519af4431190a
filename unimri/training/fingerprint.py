"""The fingerprint of a training: all that its result depends on. Its checkpoints are named after it."""

import hashlib
import json
from collections.abc import Mapping

from unimri.provenance import code_digest
from unimri.training.settings import TrainingTask


def training_code() -> str:
    """Digest of the code that every training runs."""
    return code_digest("unimri.training.run")


def fingerprint(task: TrainingTask, digests: Mapping[str, str]) -> str:
    """32 hexadecimal digits of settings, inputs and code.

    Parameters
    ----------
    task : with device and precision chosen (`unimri.training.device.resolve`).
    digests : of the inputs (`unimri.training.inputs.Files.digests`).
    """
    made_from = json.dumps([task.model_dump(), digests, training_code()], sort_keys=True)
    return hashlib.sha256(made_from.encode()).hexdigest()[:32]
