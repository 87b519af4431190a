"""One training from prepared data to a model's folder: builds what the engine needs for any stage."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.core.provenance import versions
from unimri.data.store import PreparedData
from unimri.models.cascade import D5C5, UniversalD5C5
from unimri.models.folder import is_base, load_model
from unimri.models.process import settle
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks, load_masks
from unimri.training.batches import Batches
from unimri.training.callbacks import Callback
from unimri.training.checkpoints import Checkpoints, Progress, writing
from unimri.training.device import resolve
from unimri.training.distributed import Team, join
from unimri.training.engine import Training, train
from unimri.training.fingerprint import fingerprint, made_from
from unimri.training.gpus import placed
from unimri.training.inputs import Files, normalisation, starting_network
from unimri.training.interruption import noticing_signals
from unimri.training.locks import alone
from unimri.training.losses import attention_transfer, mean_absolute_error
from unimri.training.results import are_made, write_results
from unimri.training.settings import Running, TrainingTask
from unimri.training.validation import examples, validation_scores

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
    settle(task.threads)
    with noticing_signals() as interruption, join(task.device) as team:
        with team.agreeing():
            digests = files.digests()
        name = fingerprint(task, digests)
        team.check_same(name, "other settings, inputs or code, or another precision,")
        kept = Checkpoints(checkpoints, name)
        only = next(iter(files.data)) if task.recipe.learns == "conditioning" else None
        with alone(kept.lock, task.stage, team, interruption):
            made = team.leads and are_made(output, only, made_from(task, digests))
            if team.sum([made]).any():
                log.info("%s: already made; nothing is left to do", task.stage)
            else:
                if team.leads:
                    kept.remove_leftovers()
                with placed(task.device, team) as device:
                    with team.agreeing():
                        network, training = _set_up(task, files, team, device)
                    progress = train(training, kept, team, interruption, callbacks, checkpoint_minutes)
                with team.agreeing():
                    if team.leads:
                        with writing(output, f"nothing is trained again, it goes on from {kept.describe_last()}"):
                            about = _about(training, progress, digests)
                            write_results(network, progress, about, output, files.base, only)
            if team.leads:
                kept.clear()


def _set_up(task: TrainingTask, files: Files, team: Team, device: torch.device) -> tuple[D5C5, Training]:
    recipe = task.recipe
    torch.manual_seed(task.seed)
    masks = load_masks(files.mask)
    data = {anatomy: PreparedData(folder) for anatomy, folder in files.data.items()}
    for prepared in data.values():
        masks.check_size(prepared.image_size)
    network = starting_network(task, files).to(device)

    train_sets = {name: prepared.split("train") for name, prepared in data.items()}
    counts = {name: len(slices) for name, slices in train_sets.items()}
    if task.patients is not None:
        train_sets = {
            name: prepared.some_patients("train", task.patients, task.seed) for name, prepared in data.items()
        }
    batches = Batches(train_sets, counts, task, recipe.in_turn, team.part(task.optimisation.batch_size))
    undersampled = _Undersampler(masks, device, task.optimisation.precision)
    teachers = {name: load_model(folder).to(device) for name, folder in (files.teachers or {}).items()}
    if task.distillation and set(teachers) != set(data):
        raise UnimriError(f"distillation: teachers for {sorted(teachers)}, data for {sorted(data)}; give one each")

    def loss_of(step: int) -> Tensor:
        anatomy, truth, numbers = batches.of_step(step)  # truth (b, H, W), b = batch size / processes
        distillation = task.distillation
        layer = distillation.layer if distillation else None
        image, target, activations = undersampled.reconstruct(network, truth, numbers, anatomy, layer)
        loss = mean_absolute_error(image, target)
        if distillation:
            taught = undersampled.activations(teachers[anatomy], truth, numbers, anatomy, distillation.layer)
            loss = loss + distillation.omega * attention_transfer(taught, activations)
        return loss

    def reconstruct(truth: NDArray[np.float32], numbers: NDArray[np.int64], anatomy: str) -> tuple[Tensor, Tensor]:
        image, target, _ = undersampled.reconstruct(network, truth, numbers, anatomy, None)
        return image, target

    held_out = {name: prepared.split("validation") for name, prepared in data.items()}

    def validate(pause: Callable[[], None]) -> dict[str, float]:
        return validation_scores(held_out, reconstruct, task.optimisation.validation_slices, team, pause)

    if recipe.adds_anatomy:
        assert isinstance(network, UniversalD5C5)
        learning = list(network.aspin_of(next(iter(data))).parameters())
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


def _about(training: Training, progress: Progress, digests: dict[str, str]) -> dict[str, object]:
    task = training.task
    return {
        "network": task.network.model_dump(),
        "normalisation": normalisation(task.recipe),
        **made_from(task, digests),
        "versions": versions(),
        "processes": progress.processes,
        "parameters": sum(parameter.numel() for parameter in training.learning),
        "best_epoch": max(progress.history, key=lambda row: row["validation_psnr_db"])["epoch"],
        "best_validation_psnr_db": progress.best_psnr_db,
    }


class _Undersampler:
    """Undersamples slices on the device and runs a network on them."""

    def __init__(self, masks: Masks, device: torch.device, precision: str) -> None:
        self.masks, self.device, self.axis = masks, device, PHASE_AXES[masks.axis]
        self.low_precision = precision == "bfloat16"

    def reconstruct(
        self, network: D5C5, truth: NDArray[np.float32], numbers: NDArray[np.int64], anatomy: str, layer: int | None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        target = torch.from_numpy(truth).to(self.device)
        given = self._undersample(target, numbers)
        with self._autocast():
            image, activations = network(*given, self.axis, anatomy, layer)
        return image, target, activations

    @torch.no_grad()
    def activations(
        self, teacher: D5C5, truth: NDArray[np.float32], numbers: NDArray[np.int64], anatomy: str, layer: int
    ) -> list[Tensor]:
        given = self._undersample(torch.from_numpy(truth).to(self.device), numbers)
        with self._autocast():
            return teacher.activations(*given, self.axis, anatomy, layer)

    def _undersample(self, target: Tensor, numbers: NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        sampled = lines(torch.from_numpy(self.masks.of_slices(numbers)).to(self.device), self.axis)
        return (*undersample(target, sampled, self.axis), sampled)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.low_precision)
