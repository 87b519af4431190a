"""One training from prepared data to a model's folder: builds what the engine needs for any stage."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.artifacts import sha256, write_json, write_text
from unimri.data.store import PreparedData, SliceSet
from unimri.errors import UnimriError
from unimri.models.cascade import D5C5, UniversalD5C5
from unimri.models.folder import ABOUT, WEIGHTS, aspin_path, list_anatomies, load_model, save_aspin, save_base
from unimri.models.memory import keep_freed_memory
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks, load_masks
from unimri.provenance import code_digest, versions
from unimri.training.device import resolve
from unimri.training.engine import Plan, train
from unimri.training.losses import attention_transfer, mean_absolute_error
from unimri.training.sampling import SliceOrder
from unimri.training.settings import TrainingTask
from unimri.training.stages import STAGES


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
        """SHA-256 of every input, by what it is to the training."""
        named = {f"data/{anatomy}": folder / "manifest.csv" for anatomy, folder in self.data.items()}
        named["mask"] = self.mask
        if self.base is not None:
            named["base"] = self.base / WEIGHTS
            named |= {f"base/aspin/{name}": aspin_path(self.base, name) for name in _base_anatomies(self.base)}
        named |= {f"teacher/{anatomy}": folder / WEIGHTS for anatomy, folder in (self.teachers or {}).items()}
        return {name: sha256(path) for name, path in named.items()}


def run_training(task: TrainingTask, files: Files, output: Path, checkpoints: Path) -> None:
    """Train, and write the model's folder.

    `output` gets `model.safetensors`, `model.json`, `history.csv` (and `aspin/{anatomy}.safetensors` for a universal
    network) with the weights of the best validation, and `last/` with the last ones. S4 writes `{anatomy}.safetensors`,
    `.json`, `.history.csv` and `last/{anatomy}.safetensors` instead.

    Raises
    ------
    UnimriError : when an input is missing or does not fit, or the loss is not finite.
    """
    # First of all, so that the fingerprint and the record of what was done hold what was chosen.
    task = resolve(task)
    stage = STAGES[task.stage]
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    device = torch.device(task.device)
    masks = load_masks(files.mask)
    data = {anatomy: PreparedData(folder) for anatomy, folder in files.data.items()}
    for prepared in data.values():
        masks.check_size(prepared.image_size)
    network = _network(task, files).to(device)
    digests = files.digests()
    fingerprint = _fingerprint(task, digests)

    batches = _Batches({name: prepared.split("train") for name, prepared in data.items()}, task, stage.in_turn)
    undersampled = _Undersampler(masks, device, task.optimisation.precision)
    teachers = {name: load_model(folder).to(device) for name, folder in (files.teachers or {}).items()}
    if stage.distils and set(teachers) != set(data):
        raise UnimriError(f"distillation: teachers for {sorted(teachers)}, data for {sorted(data)}; give one each")

    def loss_of(step: int) -> Tensor:
        anatomy, truth, numbers = batches.of_step(step)
        distillation = task.distillation if stage.distils else None
        layer = distillation.layer if distillation else None
        image, target, activations = undersampled.reconstruct(network, truth, numbers, anatomy, layer)
        loss = mean_absolute_error(image, target)
        if distillation:
            with torch.no_grad():
                _, _, taught = undersampled.reconstruct(teachers[anatomy], truth, numbers, anatomy, layer)
            loss = loss + distillation.omega * attention_transfer(taught, activations)
        return loss

    held_out = {name: prepared.split("validation") for name, prepared in data.items()}

    @torch.no_grad()
    def validate() -> dict[str, float]:
        scores = {
            name: _mean_psnr(network, name, slices, undersampled, task.optimisation.validation_slices)
            for name, slices in held_out.items()
        }
        average = float(np.mean(list(scores.values())))
        return {"validation_psnr_db": average} | {f"validation_psnr_db_{name}": score for name, score in scores.items()}

    budget, optimisation = task.budget, task.optimisation
    plan = Plan(
        epochs=budget.epochs,
        steps_per_epoch=batches.steps_per_epoch,
        learning_rate=budget.learning_rate,
        weight_decay=optimisation.weight_decay,
        cosine=optimisation.schedule == "cosine",
    )
    if stage.only_aspin:
        assert isinstance(network, UniversalD5C5)
        learning = list(network.aspin_of(next(iter(data))).parameters())
    else:
        learning = list(network.parameters())
    checkpoint = checkpoints / f"{fingerprint}.safetensors"
    progress = train(network, learning, loss_of, validate, plan, checkpoint, f"{task.stage} {' '.join(data)}")

    about = {
        "network": task.network.model_dump(),
        "universal": stage.universal,
        "task": task.model_dump(),
        "inputs": digests,
        "code": code_digest(__name__),
        "versions": versions(),
        "parameters": sum(parameter.numel() for parameter in learning),
        "best_epoch": max(progress.history, key=lambda row: row["validation_psnr_db"])["epoch"],
        "best_validation_psnr_db": progress.best_psnr_db,
    }
    only = next(iter(data)) if stage.only_aspin else None
    _write(network, output / "last", only, files.base)
    network.load_state_dict(progress.best)
    _write(network, output, only, files.base)
    history = pd.DataFrame(progress.history).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(output / (f"{only}.history.csv" if only else "history.csv"), history)
    write_json(output / (f"{only}.json" if only else ABOUT), about)
    checkpoint.unlink(missing_ok=True)


def _network(task: TrainingTask, files: Files) -> D5C5:
    stage = STAGES[task.stage]
    if stage.from_base:
        if files.base is None:
            raise UnimriError(f"{task.stage}: starts from a universal network; name its folder with --base")
        network = load_model(files.base, _base_anatomies(files.base))
        if not isinstance(network, UniversalD5C5):
            raise UnimriError(f"{files.base}: a plain network; {task.stage} starts from a universal one")
        if stage.only_aspin:
            (anatomy,) = files.data
            known = [network.aspin_of(name) for name in network.anatomies]
            network.add_anatomy(anatomy).start_from(known)
        return network.train()
    network = UniversalD5C5(task.network, files.data) if stage.universal else D5C5(task.network)
    return network.train()


def _base_anatomies(base: Path) -> list[str]:
    """The anatomies that the base itself was trained on, not those that S4 has added since."""
    try:
        about = json.loads((base / ABOUT).read_text(encoding="utf-8"))
        inputs = list(about["inputs"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnimriError(f"{base / ABOUT}: cannot be read; train the base first, or correct the path") from error
    trained = [name.removeprefix("data/") for name in inputs if name.startswith("data/")]
    return [name for name in list_anatomies(base) if name in trained]


def _fingerprint(task: TrainingTask, digests: dict[str, str]) -> str:
    made_from = json.dumps([task.model_dump(), digests, code_digest(__name__)], sort_keys=True)
    return hashlib.sha256(made_from.encode()).hexdigest()[:32]


def _write(network: D5C5, folder: Path, only: str | None, base: Path | None) -> None:
    if only is not None:
        assert isinstance(network, UniversalD5C5)
        assert base is not None
        save_aspin(network.aspin_of(only), only, base, folder / f"{only}.safetensors")
        return
    save_base(network, folder)
    if isinstance(network, UniversalD5C5):
        for anatomy in network.anatomies:
            save_aspin(network.aspin_of(anatomy), anatomy, folder, aspin_path(folder, anatomy))


class _Batches:
    """Training batches by step: of one anatomy in turn, or mixed over all."""

    def __init__(self, sets: Mapping[str, SliceSet], task: TrainingTask, in_turn: bool) -> None:
        self.sets, self.in_turn = sets, in_turn
        size = task.optimisation.batch_size
        lengths = {name: len(slices) for name, slices in sets.items()}
        fixed = task.optimisation.steps_per_epoch
        if in_turn:
            self.orders = {name: SliceOrder(length, size, task.seed) for name, length in lengths.items()}
            longest = max(-(-length // size) for length in lengths.values())
            self.steps_per_epoch = len(sets) * (fixed or longest)
        else:
            self.names = np.repeat(np.array(list(sets)), list(lengths.values()))
            self.places = np.concatenate([np.arange(length) for length in lengths.values()])
            total = len(self.places)
            self.mixed = SliceOrder(total, size, task.seed)
            self.steps_per_epoch = len(sets) * fixed if fixed else -(-total // size)

    def of_step(self, step: int) -> tuple[str, NDArray[np.float32], NDArray[np.int64]]:
        """Anatomy (of the first slice when mixed), slices float32 (B, H, W), and their running numbers."""
        if self.in_turn:
            anatomy = list(self.sets)[step % len(self.sets)]
            numbers = self.orders[anatomy].batch(step // len(self.sets))
            return anatomy, self.sets[anatomy].batch(numbers), numbers
        numbers = self.mixed.batch(step)
        slices = [self.sets[str(self.names[number])][int(self.places[number])] for number in numbers]
        return str(self.names[numbers[0]]), np.stack(slices), numbers


class _Undersampler:
    """Undersamples slices on the device and runs a network on them."""

    def __init__(self, masks: Masks, device: torch.device, precision: str) -> None:
        self.masks, self.device, self.axis = masks, device, PHASE_AXES[masks.axis]
        self.low_precision = precision == "bfloat16"
        keep_freed_memory()  # every step needs again what the one before it freed

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


def _mean_psnr(network: D5C5, anatomy: str, slices: SliceSet, undersampled: _Undersampler, limit: int | None) -> float:
    """Mean PSNR of magnitude, in dB with range 1, over (at most `limit`, evenly spaced) slices."""
    count = len(slices) if limit is None else min(limit, len(slices))
    chosen = np.linspace(0, len(slices) - 1, count).round().astype(np.int64)
    scores: list[float] = []
    for start in range(0, count, 8):
        numbers = chosen[start : start + 8]
        image, target, _ = undersampled.reconstruct(network, slices.batch(numbers), numbers, anatomy, None)
        error = (image.abs() - target).square().mean((1, 2)).clamp_(min=1e-12)
        scores += (-10 * error.log10()).tolist()
    return float(np.mean(np.array(scores, dtype=np.float64)))
