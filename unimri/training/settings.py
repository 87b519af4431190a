"""Settings of one training, and its fingerprint: all that its result depends on. Loads no torch.

Checkpoints are named after the fingerprint.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from unimri.core.machine import choose_device, computes_in_bfloat16
from unimri.core.provenance import code_digest
from unimri.core.settings import Settings
from unimri.models.registry import ConditioningName, NetworkSettings, conditioning_module
from unimri.physics.drawing import AcquisitionSettings

LoggerName = Literal["tensorboard", "mlflow", "wandb"]

DISTILLATION = "unimri.training.distillation"
"""The module that trainings which distil run, and others do not."""


class Budget(Settings):
    """How long a stage trains, and how fast it learns."""

    epochs: int = Field(ge=1, description="epochs; validation follows each")
    learning_rate: float = Field(gt=0, description="Adam's learning rate at the start, chosen on validation")


class Optimisation(Settings):
    """What all stages share."""

    batch_size: int = Field(4, ge=1, description="slices in a batch")
    steps_per_epoch: int | None = Field(
        None, ge=1, description="iterations in an epoch for each anatomy; null: as many as show every slice once"
    )
    weight_decay: float = Field(1e-7, ge=0, description="Adam's weight decay (L2)")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="course of the learning rate after warm-up")
    warmup_steps: int = Field(0, ge=0, description="first steps, over which the learning rate rises linearly from zero")
    gradient_clip: float | None = Field(
        None, gt=0, description="largest norm of the whole gradient; a longer one is shortened to it; null: any"
    )
    early_stopping: int | None = Field(
        None, ge=1, description="stop after this many epochs without a better validation; null: train all epochs"
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "float32",
        description="of the convolutions; FFTs are float32. auto: bfloat16 where the device has instructions for it",
    )
    validation_slices: int | None = Field(
        None, ge=1, description="validate on this many slices of an anatomy, evenly spaced; null: on all"
    )


class Distillation(Settings):
    """S3's own settings."""

    layer: int = Field(3, ge=1, description="number of the convolution in each block that is distilled")
    omega: float = Field(1e-4, ge=0, description="weight of the attention transfer loss")


class Running(Settings):
    """How trainings are run. None of it is part of a training's task: changing it trains nothing again."""

    checkpoint_minutes: float = Field(
        10, ge=0, description="how much work may be lost when a training is killed; 0: a checkpoint after each step"
    )
    processes: int = Field(
        1,
        ge=1,
        description="processes of one machine that share each batch of a training: GPUs, or CPUs with `threads` each",
    )
    logger: LoggerName | None = Field(
        None,
        description="where trainings tell their course to, beside history.csv: losses, learning rate, PSNR and SSIM on "
        "validation, and pictures of reconstructions; tensorboard writes beside the model, mlflow and wandb where they "
        "are told to by their own settings",
    )
    picture_epochs: int = Field(
        1, ge=1, description="a logger gets SSIM and pictures of validation slices every so many epochs"
    )


class Recipe(Settings):
    """How a network learns: what a training takes from its row of `unimri.training.methods`."""

    conditioning: ConditioningName = Field(
        "none", description="how the network is told the anatomy; see unimri.models.conditioning"
    )
    learns: Literal["network", "conditioning"] = Field(
        "network", description="which numbers: all, or those of its one anatomy's conditioning alone"
    )
    from_base: bool = Field(
        False, description="starts from a trained universal network instead of from the initialisation"
    )
    adds_anatomy: bool = Field(False, description="its one anatomy is new to that network")
    in_turn: bool = Field(
        False, description="each batch is of one anatomy, in turn; else slices of all anatomies are mixed"
    )
    taught_by: ConditioningName | None = Field(
        None, description="conditioning of the networks that it is distilled from; null: it is not distilled"
    )


class TrainingTask(Settings):
    """All that one training is made from, apart from its input files."""

    stage: str = Field(description="name of its kind: the key of its budget")
    recipe: Recipe
    network: NetworkSettings
    budget: Budget
    optimisation: Optimisation
    distillation: Distillation | None = None
    acquisition: AcquisitionSettings | None = None
    seed: int = Field(ge=0)
    patients: int | None = Field(
        None, ge=1, description="learn from so many training patients only, for as many steps as from all; null: all"
    )
    threads: int = Field(1, ge=1, description="CPU threads; part of the task because sums depend on them")
    device: Literal["auto", "cpu", "cuda"] = "cpu"


def training_modules(recipe: Recipe) -> tuple[str, ...]:
    """The modules that a training runs; with what they import they are its code.

    A training reaches the conditionings and the distillation by their names, so that none is in the code of others.
    """
    distilled = (DISTILLATION, conditioning_module(recipe.taught_by)) if recipe.taught_by is not None else ()
    return ("unimri.training.run", conditioning_module(recipe.conditioning), *distilled)


def provenance(task: TrainingTask, digests: Mapping[str, str]) -> dict[str, Any]:
    """All that a training's result depends on, as JSON has it; parameters as in `fingerprint`."""
    code = code_digest(*training_modules(task.recipe))
    return {"task": task.model_dump(mode="json"), "inputs": dict(digests), "code": code}


def fingerprint(task: TrainingTask, digests: Mapping[str, str]) -> str:
    """32 hexadecimal digits of settings, inputs and code.

    Parameters
    ----------
    task : with device and precision chosen (`resolve`).
    digests : of the inputs (`unimri.training.run.Files.digests`).
    """
    content = json.dumps(provenance(task, digests), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def resolve(task: TrainingTask) -> TrainingTask:
    """Replace `auto` in a task by what the machine at hand has.

    The device becomes a GPU if there is one, the precision bfloat16 where the device computes in it. A CPU without
    instructions for bfloat16 emulates it, and is then slower than in float32 (benchmarks/precision.py).

    Raises
    ------
    UnimriError : when a GPU is asked for and there is none.
    """
    device, precision = choose_device(task.device), task.optimisation.precision
    if precision == "auto":
        precision = "bfloat16" if computes_in_bfloat16(device) else "float32"
    optimisation = task.optimisation.model_copy(update={"precision": precision})
    return task.model_copy(update={"device": device, "optimisation": optimisation})
