"""One training from its input files to a model's folder, or to one anatomy's ASPIN for a model that is there.

Builds what the engine needs for any stage.
"""

import importlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.artifacts import remove_leftovers, sha256, write_json, write_text
from unimri.core.errors import UnimriError
from unimri.core.machine import use_threads
from unimri.core.provenance import versions
from unimri.core.settings import parse_json
from unimri.data.store import PreparedData
from unimri.models.cascade import D5C5
from unimri.models.folder import (
    ABOUT,
    WEIGHTS,
    aspin_path,
    check_inputs,
    is_base,
    list_anatomies,
    load_model,
    save_aspin,
    save_base,
)
from unimri.models.registry import build_conditioning
from unimri.physics.masks import load_masks
from unimri.training.checkpoints import Checkpoints, Progress, alone, writing
from unimri.training.distributed import ProcessGroup, join, noticing_signals, placed
from unimri.training.engine import Callback, Training, train
from unimri.training.settings import DISTILLATION, Running, TrainingTask, fingerprint, provenance, resolve
from unimri.training.steps import Batches, Undersampler, examples, mean_absolute_error, validation_scores

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Files:
    """Input files of a training.

    Attributes
    ----------
    data : prepared data's folder for each anatomy that it learns from, in the order in which they take turns.
    mask : the mask artifact.
    base : folder of the universal network that S3 and S4 start from.
    teachers : model folder of each anatomy's teacher, for S3.
    """

    data: Mapping[str, Path]
    mask: Path
    base: Path | None = None
    teachers: Mapping[str, Path] | None = None

    def digests(self) -> dict[str, str]:
        """SHA-256 of every input, by what it is to the training.

        Raises
        ------
        UnimriError : when one cannot be read.
        """
        named = {f"data/{anatomy}": folder / "manifest.csv" for anatomy, folder in self.data.items()}
        named["mask"] = self.mask
        if self.base is not None:
            named["base"] = self.base / WEIGHTS
            named |= {f"base/aspin/{name}": aspin_path(self.base, name) for name in base_anatomies(self.base)}
        named |= {f"teacher/{anatomy}": folder / WEIGHTS for anatomy, folder in (self.teachers or {}).items()}
        return {name: _digest(path) for name, path in named.items()}

    def check(self) -> None:
        """Raise UnimriError when the networks that it starts from or learns from were trained with other files."""
        given = {f"data/{anatomy}": folder / "manifest.csv" for anatomy, folder in self.data.items()}
        for trained in (*([] if self.base is None else [self.base]), *(self.teachers or {}).values()):
            check_inputs(trained / ABOUT, given | {"mask": self.mask})


def base_anatomies(base: Path) -> list[str]:
    """The anatomies that the base itself was trained on, not those that S4 has added since."""
    try:
        about = parse_json((base / ABOUT).read_text(encoding="utf-8"))
        inputs = list(about["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnimriError(f"{base / ABOUT}: cannot be read; train the base first, or correct the path") from error
    trained = [name.removeprefix("data/") for name in inputs if name.startswith("data/")]
    return [name for name in list_anatomies(base) if name in trained]


def _digest(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise UnimriError(f"{path}: cannot be read; make it first, or correct the path") from error


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
            files.check()
            digests = files.digests()
        name = fingerprint(task, digests)
        group.check_same(name, "other settings, inputs or code, or another precision,")
        kept = Checkpoints(checkpoints, name)
        only = next(iter(files.data)) if task.recipe.learns == "conditioning" else None
        with alone(kept.lock, task.stage, group, interruption):
            trained = group.leads and is_trained(output, only, provenance(task, digests))
            if group.sum([trained]).any():
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
    undersampler = Undersampler(masks, device, task, group.share(task.optimisation.batch_size).start)
    teachers, layer = None, None
    if task.distillation is not None:
        distillation = importlib.import_module(DISTILLATION)
        given = files.teachers or {}
        teachers = distillation.Teachers(given, data.keys(), task.distillation, device, undersampler)
        layer = task.distillation.layer

    def loss_of(step: int) -> Tensor:
        anatomy, truth, numbers = batches.of_step(step)  # truth (b, H, W), b = batch size / processes
        target, measured = undersampler(truth, numbers, step)
        with undersampler.autocast():
            image, activations = network.reconstruct(measured, anatomy, layer)
        loss = mean_absolute_error(image, target)
        return loss if teachers is None else loss + teachers.loss(anatomy, measured, activations)

    def reconstruct(truth: NDArray[np.float32], numbers: NDArray[np.int64], anatomy: str) -> tuple[Tensor, Tensor]:
        target, measured = undersampler(truth, numbers)
        with undersampler.autocast():
            image, _ = network.reconstruct(measured, anatomy)
        return image.reshape(truth.shape), target.abs().reshape(truth.shape)

    held_out = {name: prepared.split("validation") for name, prepared in data.items()}
    limit = task.optimisation.validation_slices

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
        validate=partial(validation_scores, held_out, reconstruct, limit, group),
        describe=batches.describe,
        examples=partial(examples, held_out, reconstruct, limit),
    )
    return network, training


def _starting_network(task: TrainingTask, files: Files) -> D5C5:
    """The network that a stage starts with, in training mode.

    Raises
    ------
    UnimriError : when a stage that starts from a trained network is not given one, or one that does not fit.
    """
    recipe = task.recipe
    if not recipe.from_base:
        return D5C5(task.network, recipe.conditioning, files.data).train()
    if files.base is None:
        raise UnimriError(f"{task.stage}: starts from a universal network; name its folder with --base")
    network = load_model(files.base, base_anatomies(files.base))
    if network.conditioning.name == "none" and not recipe.adds_anatomy:
        wanted = build_conditioning(recipe.conditioning, network.settings, files.data)
        if wanted.starts_as_none:
            network.conditioning = wanted
    conditioning = network.conditioning
    if not conditioning.adaptable and conditioning.name != recipe.conditioning:
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
        **provenance(task, digests),
        "versions": versions(),
        "processes": progress.processes,
        "parameters": sum(parameter.numel() for parameter in training.learning),
        "best_epoch": max(progress.history, key=lambda row: row["validation_psnr_db"])["epoch"],
        "best_validation_psnr_db": progress.best_psnr_db,
    }


def write_results(
    network: D5C5, progress: Progress, about: dict[str, Any], output: Path, base: Path | None, only: str | None
) -> None:
    """Write weights, history and provenance.

    Parameters
    ----------
    network : with its last weights; it has the best ones afterwards.
    progress : history and best weights.
    about : provenance; the digests of the files are added, by their paths below `output`.
    output : folder to write to.
    base : folder of the network that an ASPIN belongs to.
    only : the anatomy whose numbers alone were trained, and are to be written.
    """
    for folder in (
        (output, output / "last") if only else (output, output / "aspin", output / "last", output / "last/aspin")
    ):
        remove_leftovers(folder, f"{only}.*" if only else "*")
    written = _write(network, output / "last", only, base)
    network.load_state_dict(progress.best)
    written += _write(network, output, only, base)
    history = output / (f"{only}.history.csv" if only else "history.csv")
    table = pd.DataFrame(progress.history)
    write_text(history, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))
    digests = {path.relative_to(output).as_posix(): sha256(path) for path in (*written, history)}
    write_json(_about_path(output, only), about | {"files": digests})


def is_trained(output: Path, only: str | None, origin: Mapping[str, Any]) -> bool:
    """Whether all that `write_results` writes is there, whole, and is of this provenance."""
    about = read_record(_about_path(output, only))
    if about is None or any(about.get(key) != value for key, value in origin.items()):
        return False
    try:
        return all(sha256(output / name) == digest for name, digest in about["files"].items())
    except (OSError, KeyError):
        return False


def read_record(path: Path) -> dict[str, Any] | None:
    """Provenance of a model; None when it is not there, or no JSON."""
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _about_path(output: Path, only: str | None) -> Path:
    return output / (f"{only}.json" if only else ABOUT)


def _write(network: D5C5, folder: Path, only: str | None, base: Path | None) -> list[Path]:
    if only is not None:
        assert base is not None
        written = [folder / f"{only}.safetensors"]
        save_aspin(network.conditioning.of(only), only, base, written[0])
        return written
    save_base(network, folder)
    written = [folder / WEIGHTS]
    for anatomy in network.conditioning.anatomies:
        written.append(aspin_path(folder, anatomy))
        save_aspin(network.conditioning.of(anatomy), anatomy, folder, written[-1])
    return written
