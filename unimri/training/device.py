"""What `auto` means on the machine at hand."""

import torch

from unimri.core.errors import UnimriError
from unimri.training.settings import TrainingTask


def resolve(task: TrainingTask) -> TrainingTask:
    """Replace `auto` in a task.

    The device becomes a GPU if there is one, the precision bfloat16 where the device computes in it. A CPU without
    instructions for bfloat16 emulates it, and is then slower than in float32 (benchmarks/precision.py).

    Raises
    ------
    UnimriError : when a GPU is asked for and there is none.
    """
    device = task.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UnimriError("device: cuda, but there is no GPU that torch can use; set cpu or auto, or install its build")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = task.optimisation.precision
    if precision == "auto":
        precision = "bfloat16" if computes_in_bfloat16(device) else "float32"
    optimisation = task.optimisation.model_copy(update={"precision": precision})
    return task.model_copy(update={"device": device, "optimisation": optimisation})


def computes_in_bfloat16(device: str) -> bool:
    """Whether a device, 'cpu' or 'cuda', has instructions for bfloat16; without them it is emulated."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
