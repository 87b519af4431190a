"""How a process that runs networks uses its machine."""

import torch

from unimri.models.memory import keep_freed_memory


def settle(threads: int = 1) -> None:
    """Compute with so many CPU threads, and keep freed memory: every slice needs again what the one before it freed."""
    torch.set_num_threads(threads)
    keep_freed_memory()
