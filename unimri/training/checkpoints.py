"""Resumable checkpoints.

Checkpoints are safetensors, so that nothing is unpickled, each with a digest over all that it holds.

`{fingerprint}-{step}-{epochs}.safetensors`: the fingerprint is that of all that the training is made from. A new one
gets its name when it is whole on the disk, and the one before stays beside it: there is always one to go on from.
A lock beside them keeps two processes that are asked for the same training from both training.
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from filelock import BaseFileLock
from torch import Tensor, nn, optim

from unimri.core.artifacts import remove_leftovers
from unimri.core.errors import UnimriError
from unimri.core.locks import NO_LOCKS, try_lock
from unimri.models.folder import load_tensors, save_tensors
from unimri.training.distributed import InterruptedTraining, Interruption, ProcessGroup

log = logging.getLogger(__name__)

# Seconds between two tries of a lock that another process holds.
_PATIENCE = 0.5


@dataclass
class Progress:
    """Where a training stands.

    Attributes
    ----------
    step : iterations done.
    loss_sum : of the losses since the last validation.
    history : a row for each validation.
    best_psnr_db, best : the best validation, and its weights.
    processes : how many have shared the batches; several numbers when it changed on the way.

    The random number generators are no part of it: after the initialisation nothing draws from them.
    """

    step: int = 0
    loss_sum: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_psnr_db: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)
    processes: list[int] = field(default_factory=list)


class Checkpoints:
    """The checkpoints of one training.

    Parameters
    ----------
    folder : of all trainings' checkpoints.
    fingerprint : of all that the training is made from.

    Attributes
    ----------
    lock : file that the process that trains holds locked.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self._folder, self._fingerprint = folder, fingerprint
        self.lock = folder / f".{fingerprint}.lock"
        # The newest two that are known to be good, newest first.
        self._good: list[Path] = []
        self._step = 0

    def save(self, network: nn.Module, optimiser: optim.Optimizer, progress: Progress) -> None:
        """Write all that the training needs to go on; then remove all but this one and the one before.

        Raises
        ------
        UnimriError : when it cannot be written. The one before is still there.
        """
        name = f"{self._fingerprint}-{progress.step:010d}-{len(progress.history):06d}.safetensors"
        path = self._folder / name
        tensors, note = _pack(network, optimiser, progress)
        note["fingerprint"] = self._fingerprint
        note["sha256"] = _digest(tensors, note)
        with writing(path, f"training goes on from {self.describe_last()}"):
            save_tensors(path, tensors, note)
        self._good = [path, *(good for good in self._good if good != path)][:2]
        self._step = progress.step
        for other in self._newest_first():
            if other not in self._good:
                other.unlink(missing_ok=True)

    def load(self, network: nn.Module, optimiser: optim.Optimizer) -> Progress:
        """Put network and optimiser where the newest good checkpoint left them; a fresh Progress when there is none."""
        for path in self._newest_first():
            try:
                progress = _unpack(*self._read(path), network, optimiser)
            except UnimriError as fault:
                log.warning("%s; trying the checkpoint before it", fault)
                continue
            self._good, self._step = [path], progress.step
            log.info("going on from step %d, after %d epochs: %s", progress.step, len(progress.history), path.name)
            return progress
        return Progress()

    def newest(self) -> tuple[Path, Progress] | None:
        """The newest good one and where it left the training, without its weights; None when there is none."""
        for path in self._newest_first():
            try:
                _, note = self._read(path)
            except UnimriError:
                continue
            return path, Progress(**note)
        return None

    def describe_last(self) -> str:
        """Path and step of the newest good one."""
        return f"{self._good[0]} (step {self._step})" if self._good else "its start, there is no checkpoint"

    def clear(self) -> None:
        """Remove them all."""
        for path in self._newest_first():
            path.unlink(missing_ok=True)
        self.remove_leftovers()
        self._good = []

    def remove_leftovers(self) -> None:
        """Remove what a killed process of this training had begun to write."""
        remove_leftovers(self._folder, f"{self._fingerprint}-*")

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._fingerprint}-*.safetensors"), reverse=True)

    def _read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors, note = load_tensors(path)
        # The files go while the training lasts: nothing may point into them.
        tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        if not isinstance(note, dict) or note.pop("sha256", None) != _digest(tensors, note):
            raise UnimriError(f"{path}: not what was written; its digest does not fit")
        if note.pop("fingerprint") != self._fingerprint:
            raise UnimriError(f"{path}: the checkpoint of another training")
        return tensors, note


@contextmanager
def writing(path: Path, consequence: str) -> Iterator[None]:
    """Tell of a file that cannot be written in one line.

    Raises
    ------
    UnimriError : when the body raises an OSError.
    """
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or "unknown error"
        raise UnimriError(
            f"{path}: cannot be written ({reason}); make room or mend the disk and start again: {consequence}"
        ) from fault


@contextmanager
def alone(path: Path, stage: str, group: ProcessGroup, interruption: Interruption) -> Iterator[None]:
    """Run the body while no other process group holds the lock `path`; wait until then. The file is gone afterwards.

    The first process locks. The others ask it again and again, so that none waits for long at a time.

    Parameters
    ----------
    path : the lock; its folder is made.
    stage : what is trained, for the log.

    Raises
    ------
    UnimriError : when the file cannot be made.
    InterruptedTraining : when any process was told to stop while it waited.
    """
    lock: BaseFileLock | None = None
    waited = False
    try:
        while True:
            free = False
            with group.agreeing():
                if group.leads:
                    lock, free = _try(path)
            stop, go = group.sum([interruption.requested, free])
            if stop and not go:
                raise InterruptedTraining(
                    f"{stage}: stopped as asked while another process trains this; the same command waits again"
                )
            if go:
                break
            if group.leads:
                if not waited:
                    log.info("%s: another process trains this; waiting until it has ended", stage)
                    waited = True
                time.sleep(_PATIENCE)
        yield
    finally:
        if lock is not None:
            # Before the release: who has opened the file sees then that it is gone, and makes a new one.
            with suppress(OSError):
                path.unlink()
            lock.release()


def _try(path: Path) -> tuple[BaseFileLock | None, bool]:
    """The lock, if we have it, and whether we may go on."""
    with writing(path, "nothing has been trained yet"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = try_lock(path)
        except OSError as fault:
            if fault.errno not in NO_LOCKS:
                raise
            log.warning("%s: no locks (%s); mind that nothing is trained twice at once", path.parent, fault.strerror)
            path.unlink(missing_ok=True)
            return None, True
    return lock, lock is not None


def _pack(
    network: nn.Module, optimiser: optim.Optimizer, progress: Progress
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in progress.best.items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{name}": tensor for name, tensor in state.items()}
    note = {entry.name: getattr(progress, entry.name) for entry in fields(progress) if entry.name != "best"}
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, note


def _unpack(
    tensors: dict[str, Tensor], note: dict[str, Any], network: nn.Module, optimiser: optim.Optimizer
) -> Progress:
    grouped: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        group, rest = name.split("/", 1)
        grouped[group][rest] = tensor
    network.load_state_dict(grouped["network"])
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in grouped["optimiser"].items():
        number, key = name.split("/")
        parameter = parameters[int(number)]
        if tensor.shape == parameter.shape:
            # In the parameter's memory format, as the optimiser itself makes them, so that it takes the same path.
            tensor = torch.empty_like(parameter, device="cpu", requires_grad=False).copy_(tensor)
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return Progress(best=grouped["best"], **note)


def _digest(tensors: dict[str, Tensor], note: dict[str, Any]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, and the note."""
    digest = hashlib.sha256(json.dumps(note, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
