"""Resumable checkpoints: safetensors, so that nothing is unpickled, named after what the training is made from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn, optim

from unimri.errors import UnimriError
from unimri.models.folder import load_tensors, save_tensors


@dataclass
class Progress:
    """Where a training stands: epochs done, history so far, the best validation and its weights."""

    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_psnr_db: float = float("-inf")
    best: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(path: Path, network: nn.Module, optimiser: optim.Optimizer, progress: Progress) -> None:
    """Write all that the training needs to go on."""
    tensors = {f"network/{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in progress.best.items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{number}/{name}": tensor for name, tensor in state.items()}
    note = {"epoch": progress.epoch, "history": progress.history, "best_psnr_db": progress.best_psnr_db}
    save_tensors(path, tensors, note)


def load_checkpoint(path: Path, network: nn.Module, optimiser: optim.Optimizer) -> Progress:
    """Put network and optimiser where the checkpoint left them; a fresh Progress when there is none, or it is torn."""
    if not path.exists():
        return Progress()
    try:
        tensors, note = load_tensors(path)
    except UnimriError:
        return Progress()
    content = cast(dict[str, Any], note)
    grouped: dict[str, dict[str, Tensor]] = {"network": {}, "best": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        group, rest = name.split("/", 1)
        grouped[group][rest] = tensor
    network.load_state_dict(grouped["network"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in grouped["optimiser"].items():
        number, key = name.split("/")
        state.setdefault(int(number), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return Progress(content["epoch"], content["history"], content["best_psnr_db"], grouped["best"])
