"""One training from prepared data to a model's folder: builds what the engine needs for any stage."""

import importlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.compute import use_threads
from unimri.core.errors import UnimriError
from unimri.core.provenance import versions
from unimri.data.store import PreparedData
from unimri.models.cascade import D5C5
from unimri.models.folder import is_base, load_model
from unimri.physics.masks import load_masks
from unimri.training.batches import Batches
from unimri.training.checkpoints import Checkpoints, Progress, alone, noticing_signals, writing
from unimri.training.distributed import ProcessGroup, join, placed
from unimri.training.engine import Callback, Training, train
from unimri.training.files import Files, are_made, base_anatomies, write_results
from unimri.training.losses import Undersampler, examples, mean_absolute_error, validation_scores
from unimri.training.settings import DISTILLATION, Running, TrainingTask, fingerprint, made_from, resolve

log = logging.getLogger(__name__)


def run_training(
    task: TrainingTask,
    files: Files,
    output: Path,
    checkpoints: Path,
    callbacks: Sequence[Callback] = (),
    checkpoint_minutes: float = Running().checkpoint_minutes,
) -> None:
    """Train, and write the model's folder.

    `output` gets `model.safetensors`, `model.json`, `history.csv` (and `aspin/{anatomy}.safetensors` for a universal
    network) with the weights of the best validation, and `last/` with the last ones. S4 writes `{anatomy}.safetensors`,
    `.json`, `.history.csv` and `last/{anatomy}.safetensors` instead.

    Under `torchrun` all its processes call this alike, and share the work. While another process trains the same, it
    waits; results that are there and are of this very training stay as they are.

    Parameters
    ----------
    task, files : what to train, and from what.
    output : folder of the results.
    checkpoints : folder of all trainings' checkpoints. A training that was interrupted goes on from its last one.
    callbacks : progress bars and loggers.
    checkpoint_minutes : how much work may be lost when the process is killed.

    Raises
    ------
    UnimriError : when an input is missing or does not fit, numbers are not finite, or the disk is full.
    InterruptedTraining : when a signal asked it to stop; a checkpoint has been written.
    """
    # First of all, so that the fingerprint and the record of what was done hold what was chosen.
    task = resolve(task)
    use_threads(task.threads)
    with noticing_signals() as interruption, join(task.device) as group:
        with group.agreeing():
            digests = files.digests()
        name = fingerprint(task, digests)
        group.check_same(name, "other settings, inputs or code, or another precision,")
        kept = Checkpoints(checkpoints, name)
        only = next(iter(files.data)) if task.recipe.learns == "conditioning" else None
        with alone(kept.lock, task.stage, group, interruption):
            made = group.leads and are_made(output, only, made_from(task, digests))
            if group.sum([made]).any():
                log.info("%s: already made; nothing is left to do", task.stage)
            else:
                if group.leads:
                    kept.remove_leftovers()
                with placed(task.device, group) as device:
                    with group.agreeing():
                        network, training = _set_up(task, files, group, device)
                    progress = train(training, kept, group, interruption, callbacks, checkpoint_minutes)
                with group.agreeing():
                    if group.leads:
                        with writing(output, f"nothing is trained again, it goes on from {kept.describe_last()}"):
                            about = _about(training, progress, digests)
                            write_results(network, progress, about, output, files.base, only)
            if group.leads:
                kept.clear()


def _set_up(task: TrainingTask, files: Files, group: ProcessGroup, device: torch.device) -> tuple[D5C5, Training]:
    recipe = task.recipe
    torch.manual_seed(task.seed)
    masks = load_masks(files.mask)
    data = {anatomy: PreparedData(folder) for anatomy, folder in files.data.items()}
    for prepared in data.values():
        masks.check_size(prepared.image_size)
    network = _starting_network(task, files).to(device)

    train_sets = {name: prepared.split("train") for name, prepared in data.items()}
    counts = {name: len(slices) for name, slices in train_sets.items()}
    if task.patients is not None:
        train_sets = {
            name: prepared.some_patients("train", task.patients, task.seed) for name, prepared in data.items()
        }
    batches = Batches(train_sets, counts, task, recipe.in_turn, group.share(task.optimisation.batch_size))
    undersampler = Undersampler(masks, device, task.optimisation.precision)
    teachers, layer = None, None
    if task.distillation is not None:
        distillation = importlib.import_module(DISTILLATION)
        given = files.teachers or {}
        teachers = distillation.Teachers(given, data.keys(), task.distillation, device, undersampler)
        layer = task.distillation.layer

    def loss_of(step: int) -> Tensor:
        anatomy, truth, numbers = batches.of_step(step)  # truth (b, H, W), b = batch size / processes
        target, inputs = undersampler(truth, numbers)
        with undersampler.autocast():
            image, activations = network(*inputs, anatomy, layer)
        loss = mean_absolute_error(image, target)
        return loss if teachers is None else loss + teachers.loss(anatomy, inputs, activations)

    def reconstruct(truth: NDArray[np.float32], numbers: NDArray[np.int64], anatomy: str) -> tuple[Tensor, Tensor]:
        target, inputs = undersampler(truth, numbers)
        with undersampler.autocast():
            return network(*inputs, anatomy)[0], target

    held_out = {name: prepared.split("validation") for name, prepared in data.items()}

    def validate(pause: Callable[[], None]) -> dict[str, float]:
        return validation_scores(held_out, reconstruct, task.optimisation.validation_slices, group, pause)

    if recipe.adds_anatomy:
        learning = list(network.conditioning.of(next(iter(data))).parameters())
        if recipe.learns == "network":
            learning += [parameter for name, parameter in network.named_parameters() if is_base(name)]
    else:
        learning = list(network.parameters())
    training = Training(
        task=task,
        anatomies=tuple(data),
        network=network,
        learning=learning,
        steps_per_epoch=batches.steps_per_epoch,
        loss_of=loss_of,
        validate=validate,
        describe=batches.describe,
        examples=partial(examples, held_out, reconstruct, task.optimisation.validation_slices),
    )
    return network, training


def _starting_network(task: TrainingTask, files: Files) -> D5C5:
    """The network that a stage starts with, in training mode.

    Raises
    ------
    UnimriError : when a stage that starts from a universal network is not given one.
    """
    recipe = task.recipe
    if not recipe.from_base:
        return D5C5(task.network, recipe.conditioning, files.data).train()
    if files.base is None:
        raise UnimriError(f"{task.stage}: starts from a universal network; name its folder with --base")
    network = load_model(files.base, base_anatomies(files.base))
    conditioning = network.conditioning
    if not conditioning.adaptable:
        raise UnimriError(f"{files.base}: a plain network; {task.stage} starts from a universal one")
    if conditioning.name != recipe.conditioning:
        raise UnimriError(
            f"{files.base}: its conditioning is {conditioning.name}, and {task.stage} starts from {recipe.conditioning}"
        )
    if recipe.adds_anatomy:
        (anatomy,) = files.data
        conditioning.add(anatomy, like=conditioning.anatomies)
    return network.train()


def _about(training: Training, progress: Progress, digests: dict[str, str]) -> dict[str, object]:
    task = training.task
    return {
        "network": task.network.model_dump(),
        "conditioning": task.recipe.conditioning,
        **made_from(task, digests),
        "versions": versions(),
        "processes": progress.processes,
        "parameters": sum(parameter.numel() for parameter in training.learning),
        "best_epoch": max(progress.history, key=lambda row: row["validation_psnr_db"])["epoch"],
        "best_validation_psnr_db": progress.best_psnr_db,
    }
