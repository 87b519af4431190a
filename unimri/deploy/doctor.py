"""`unimri doctor`: what is installed, which device there is, how fast it is, and what would be slow and why."""

import importlib.metadata
import platform
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulate import tabulate

from unimri.core.machine import choose_device, computes_in_bfloat16, cpu_threads, machine_resources, use_threads
from unimri.core.provenance import DISTRIBUTION

# Instruction sets that the convolutions' library chooses its code by, as torch names and as people know them.
INSTRUCTIONS = {"avx2": "AVX2", "avx512_f": "AVX-512", "avx512_bf16": "AVX-512 BF16", "amx_bf16": "AMX BF16"}
SIZES = (64, 320)
# In bytes: what the rules ask for at 320 x 320, and the system.
ENOUGH_MEMORY = 6 * 10**9

# What works only with further packages: what for, their names as on PyPI, and what installs them.
EXTRAS = (
    ("export to ONNX", ("onnx", "onnxruntime", "onnxscript"), f"pip install '{DISTRIBUTION}[export]'"),
    ("ISMRMRD's own library", ("ismrmrd",), "pip install ismrmrd"),
    ("jobs on SLURM", ("snakemake-executor-plugin-unimri-slurm",), "pip install -e workflow/executor, in a checkout"),
    ("watching in TensorBoard", ("tensorboard",), "pip install tensorboard"),
)


@dataclass(frozen=True)
class Machine:
    """What computes.

    Attributes
    ----------
    processor : its name.
    x86 : whether it is one of Intel's kind, 64 bits.
    cores : that this process may use, and every command does.
    instructions : those of `INSTRUCTIONS` that the processor has, by torch's names; empty where torch cannot tell.
    bfloat16 : whether `device` computes in it without emulation.
    device : 'cpu' or 'cuda', what `device: auto` chooses.
    gpu : the GPU's name and memory, or None when torch can use none.
    gpus : how many GPUs the system has, whether torch can use them or not.
    memory : of machine or container, in bytes.
    load : processes that wanted a core in the last minute, on average.
    """

    processor: str
    x86: bool
    cores: int
    instructions: frozenset[str]
    bfloat16: bool
    device: str
    gpu: str | None
    gpus: int
    memory: int
    load: float


class Diagnosis(NamedTuple):
    """All that is to be printed, and what must be mended before `unimri` works, each a sentence with the mend."""

    text: str
    faults: list[str]


def own_version() -> str:
    """The version of the installed package, or why there is none."""
    return _version(DISTRIBUTION) or "(not installed: run from a checkout)"


def diagnose() -> Diagnosis:
    """Check packages and machine, and measure the network for about two seconds."""
    # Not at the top: it needs packages, and these may be what is missing.
    from unimri.deploy.library import search_path

    packages, faults = check_packages(_requirements())
    sections = {
        "Versions": [("unimri", own_version()), ("Python", platform.python_version()), *packages],
        "Optional": [(purpose, _installed(names, how)) for purpose, names, how in EXTRAS],
        "Models are looked for in": [(str(path), "there" if path.is_dir() else "not there") for path in search_path()],
    }
    slow, end = "", "Something is missing."
    # Without torch or another package nothing below can be imported.
    if not faults:
        machine = this_machine()
        sections["Machine"] = _describe(machine)
        sections["Compressed DICOM"] = _decoders()
        rates = {size: images_per_second(size, machine.device) for size in SIZES}
        sections[f"Speed of a universal D5C5, {machine.device}"] = [
            (f"{size} x {size}", f"{_three_digits(rate)} slices/s, {_three_digits(1e3 / rate)} ms a slice")
            for size, rate in rates.items()
        ]
        slow = "".join(f"  - {remark}\n" for remark in remarks(machine) or ["nothing"])
        slow, end = f"What would be slow\n{slow}\n", "All that is needed is there."
    tables = [
        f"{title}\n{tabulate([('', *row) for row in rows], tablefmt='plain', disable_numparse=True)}\n\n"
        for title, rows in sections.items()
    ]
    return Diagnosis("".join([*tables, slow, end]), faults)


def check_packages(requirements: Iterable[Requirement]) -> tuple[list[tuple[str, str]], list[str]]:
    """Compare what is installed with what is needed.

    Parameters
    ----------
    requirements : as the package's metadata have them.

    Returns
    -------
    For each package its name and version, in the order given; and a sentence for each that is missing or does not fit.
    """
    found, faults = [], []
    for requirement in requirements:
        version = _version(requirement.name)
        found.append((requirement.name, version or "missing"))
        if version is None:
            faults.append(f"{requirement.name} is missing; run `pip install '{requirement}'`")
        elif not requirement.specifier.contains(version, prereleases=True):
            faults.append(f"{requirement.name} {version} does not fit; run `pip install '{requirement}'`")
    return found, faults


def remarks(machine: Machine) -> list[str]:
    """What would be slow on a machine and why, a sentence for each, with the mend where there is one."""
    found = []
    if machine.gpu is None and machine.gpus:
        found.append(
            f"The system has {machine.gpus} GPU(s) and torch can use none: install a build of torch for your CUDA "
            "(README, 'Which torch'), and see that `nvidia-smi` and its driver are new enough."
        )
    elif machine.gpu is None:
        found.append(
            "There is no GPU. The default experiment is made for that; trainings at the paper's sizes take core years "
            "(docs/why/performance.md)."
        )
    if machine.device == "cpu" and not machine.bfloat16:
        found.append(
            "The processor has no instructions for bfloat16, which would be emulated: `precision: auto` trains in "
            "float32, which takes longer."
        )
    if machine.device == "cpu" and machine.x86 and machine.instructions.isdisjoint({"avx2", "avx512_f"}):
        found.append(
            "The processor shows neither AVX2 nor AVX-512: convolutions run several times slower. A virtual machine "
            "may hide them: give it the host's."
        )
    if machine.memory < ENOUGH_MEMORY:
        found.append(
            f"{machine.memory / 1e9:.1f} GB of memory are little for 320 x 320, where a training or an evaluation "
            f"takes {ENOUGH_MEMORY / 1e9:g} GB or more."
        )
    if machine.load > machine.cores:
        found.append(
            f"The machine is busy ({machine.load:.1f} processes on {machine.cores} core(s)): idle it is faster."
        )
    return found


def this_machine() -> Machine:
    """The machine at hand. Imports torch."""
    import torch

    device, gpu = choose_device("auto"), None
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        gpu = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    capabilities = torch.cpu.get_capabilities()
    resources = machine_resources()
    return Machine(
        processor=_processor(),
        x86=platform.machine().lower() in ("x86_64", "amd64"),
        cores=cpu_threads(),
        instructions=frozenset(name for name in INSTRUCTIONS if capabilities.get(name)),
        bfloat16=computes_in_bfloat16(device),
        device=device,
        gpu=gpu,
        gpus=resources["gpu"],
        memory=resources["mem_mb"] * 10**6,
        load=psutil.getloadavg()[0],
    )


def images_per_second(size: int, device: str, seconds: float = 0.8) -> float:
    """Measure the forward pass of a universal D5C5 of full width, a slice at a time, after one to warm up.

    Parameters
    ----------
    size : rows and columns of the slice.
    device : 'cpu' or 'cuda'.
    seconds : how long to measure; one more slice is always finished.
    """
    import torch

    from unimri.models.cascade import D5C5
    from unimri.models.settings import CascadeSettings
    from unimri.physics.fourier import undersample

    use_threads(None)
    network = D5C5(CascadeSettings(), "aspin", ["one"]).eval().to(device)
    image = torch.rand(1, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    sampled = (torch.arange(size, device=device) % 4 == 0)[None, None]
    zero_filled, measured = undersample(image, sampled, -1)

    def reconstruct() -> None:
        network(zero_filled, measured, sampled, -1, "one")
        if device == "cuda":
            torch.cuda.synchronize()

    with torch.no_grad():
        reconstruct()
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            reconstruct()
            count += 1
    return count / elapsed


def _requirements() -> list[Requirement]:
    """What the package needs, by its metadata; nothing is known of a checkout that is not installed."""
    try:
        texts = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return [Requirement("torch"), Requirement("numpy")]
    found = map(Requirement, texts)
    return sorted(
        (one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})),
        key=lambda one: canonicalize_name(one.name),
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(packages: Iterable[str], command: str) -> str:
    versions = {name: _version(name) for name in packages}
    if None in versions.values():
        return f"not installed: {command}"
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def _describe(machine: Machine) -> list[tuple[str, str]]:
    known = [label for name, label in INSTRUCTIONS.items() if name in machine.instructions]
    return [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", f"{machine.processor}, {machine.cores} core(s)"),
        ("instructions", ", ".join(known) or "none of those that matter"),
        ("GPU", machine.gpu or "none that torch can use"),
        ("`device: auto` is", machine.device),
        ("`precision: auto` is", "bfloat16" if machine.bfloat16 else "float32"),
        ("memory", f"{machine.memory / 1e9:.1f} GB, {psutil.virtual_memory().available / 1e9:.1f} GB of it free"),
    ]


def _decoders() -> list[tuple[str, str]]:
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

    kinds = {"RLE": RLELossless, "JPEG 2000": JPEG2000Lossless, "JPEG Lossless": JPEGLosslessSV1}
    kinds |= {"JPEG-LS": JPEGLSLossless}
    return [(kind, "can be read" if get_decoder(uid).is_available else "cannot be read") for kind, uid in kinds.items()]


def _three_digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
