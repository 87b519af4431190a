"""What one machine has, which bounds what runs on it at once."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil


def machine_resources() -> dict[str, int]:
    """Memory in MB (10^6 bytes) and the number of GPUs, by the names that rules ask for them.

    Memory is the least of the machine's and of the container's that this process is in.
    """
    return {"mem_mb": _memory() // 10**6, "gpu": _gpus()}


def _memory() -> int:
    limits = [psutil.virtual_memory().total]
    # Control groups, version 2 and version 1.
    for path in map(Path, ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits)


def _gpus() -> int:
    """GPUs that processes started from here will see. Not by torch, whose import takes longer than planning."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listing = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
