"""How a command that runs networks on its own uses the machine."""

import os

from unimri.core.compute import use_threads


def cpu_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_machine(threads: int | None) -> None:
    """Compute with so many CPU threads; None: with as many as this process may use."""
    use_threads(threads or cpu_threads())
