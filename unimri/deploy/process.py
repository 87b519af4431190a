"""How a command that runs networks on its own uses the machine."""

import os

import torch

from unimri.core.errors import UnimriError
from unimri.models.process import settle


def cpu_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_machine(threads: int | None) -> None:
    """Compute with so many CPU threads; None: with as many as this process may use."""
    settle(threads or cpu_threads())


def resolve_device(device: str) -> str:
    """What a device means on this machine: "auto" is a GPU if there is one.

    Raises
    ------
    UnimriError : when a GPU is asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UnimriError("device: cuda, but there is no GPU that torch can use; set cpu or auto")
    return device
