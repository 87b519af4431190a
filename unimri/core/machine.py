"""What one machine has, and how a process computes on it. Torch is loaded when it is asked."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil

from unimri.core.errors import UnimriError

# From glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def machine_resources() -> dict[str, int]:
    """Memory in MB (10^6 bytes) and the number of GPUs, by the names that rules ask for them.

    Memory is the least of the machine's and of the container's that this process is in.
    """
    return {"mem_mb": _memory() // 10**6, "gpu": count_gpus()}


def _memory() -> int:
    limits = [psutil.virtual_memory().total]
    # Control groups, version 2 and version 1.
    for path in map(Path, ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        text = path.read_text(encoding="ascii").strip() if path.is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits)


def count_gpus() -> int:
    """GPUs that processes started from here will see. Not by torch, whose import takes longer than planning."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    listing = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, check=False)
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


def cpu_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_threads(threads: int | None = 1) -> None:
    """Compute with so many CPU threads, and keep freed memory: every slice needs again what the one before it freed.

    Parameters
    ----------
    threads : None: as many as this process may use.
    """
    import torch

    torch.set_num_threads(threads or cpu_threads())
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Let this process keep large tensors' memory for the next ones, instead of giving it back to the system.

    glibc maps every block above 32 MiB anew, and the kernel then clears it page by page at the first write: at 320 x
    320 that costs as much as a third of a convolution, for every tensor of a step. The process's memory does not shrink
    afterwards.

    Returns
    -------
    Whether it could be done: only with glibc.
    """
    if sys.platform != "linux":
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(set_option(_MMAP_MAX, 0)) and bool(set_option(_TRIM_THRESHOLD, 2**31 - 1))


def choose_device(device: str) -> str:
    """A device for `auto`: a GPU if there is one, else the CPU; any other device stays.

    Parameters
    ----------
    device : "auto", "cpu", "cuda", or one GPU, such as "cuda:1".

    Raises
    ------
    UnimriError : when it has another name, or a GPU is asked for and there is none.
    """
    if re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,3})?", device) is None:
        raise UnimriError(f"device: {device!r} is not known; allowed: auto, cpu, cuda, or one GPU such as cuda:1")
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UnimriError("device: cuda, but there is no GPU that torch can use; set cpu or auto, or install its build")
    if ":" in device and int(device[5:]) >= torch.cuda.device_count():
        raise UnimriError(f"device: {device}, but there are {torch.cuda.device_count()} GPUs, the first is cuda:0")
    return device


def computes_in_bfloat16(device: str) -> bool:
    """Whether a device, 'cpu' or 'cuda', has instructions for bfloat16; without them it is emulated."""
    import torch

    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
