"""A training step of each kind, of several coils too, and reconstruction, against D5C5 as reference practice has it.

Each contender has a process of its own, because how a process keeps its memory is part of what is compared; they take
their steps in turn. Ratios are of medians, and of the fastest steps. All are float32 but with `--precision bfloat16`,
which is for ours and not for the baseline.

    python benchmarks/training_step.py --size 320 --threads 1
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from reference_practice import ReferenceD5C5, UndersampledSlices
from torch import nn
from torch.utils.data import DataLoader

from unimri.core.machine import keep_freed_memory
from unimri.models.cascade import D5C5
from unimri.models.settings import CascadeSettings, ConsistencySettings
from unimri.physics.coils import draw_sensitivities
from unimri.physics.fourier import undersample
from unimri.physics.sense import Encoding, Measurement
from unimri.training.distillation import attention_transfer
from unimri.training.steps import mean_absolute_error

LAYER, OMEGA = 3, 1e-4
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
CONTENDERS = (
    "reference training",
    "plain training",
    "universal training",
    "S3 training",
    "coils training",
    "reference inference",
    "plain inference",
    "universal inference",
    "coils inference",
)
RATIOS = (
    ("universal training", "plain training", "target: at most 1.15"),
    ("S3 training", "universal training", "target: at most 1.45"),
    ("reference training", "plain training", "target: at least 2"),
    ("reference inference", "plain inference", "target: at least 2"),
    ("reference training", "universal training", ""),
    ("coils training", "plain training", "target: at most 2.5"),
    ("coils inference", "plain inference", ""),
)


def flops(size: int, batch: int, training: bool) -> float:
    """Floating-point operations of the convolutions, two for a multiplication and an addition."""
    block = 2 * 9 * (2 * 32 + 3 * 32 * 32 + 32 * 2)
    # Forward, gradient of the weights, gradient of the inputs; the network's own input needs none.
    each = 3 * 5 * block - 2 * 9 * 2 * 32 if training else 5 * block
    return float(each * batch * size * size)


def data(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Slices float32 (B, H, W) and a 4x mask, DC first."""
    rng = np.random.default_rng(0)
    mask = np.zeros(options.size, dtype=bool)
    mask[np.fft.ifftshift(np.arange(options.size))[:: options.size // (options.size // 4)]] = True
    return rng.random((options.batch, options.size, options.size), dtype=np.float32), mask


def reference(options: argparse.Namespace, training: bool) -> Callable[[], None]:
    """The baseline's step: loader, network, loss, backward pass, Adam."""
    network = ReferenceD5C5().to(options.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-7)
    loader = DataLoader(UndersampledSlices(*data(options)), batch_size=options.batch)

    def batches() -> Iterator[list[torch.Tensor]]:
        while True:
            yield from loader

    stream = batches()

    def step() -> None:
        image, k0, target, mask = (tensor.to(options.device) for tensor in next(stream))
        with torch.set_grad_enabled(training):
            loss = nn.functional.l1_loss(network(image, k0, mask), target)
        if training:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        loss.item()

    return step


def ours(options: argparse.Namespace, kind: str, training: bool) -> Callable[[], None]:
    """Our step, as unimri.training takes it."""
    keep_freed_memory()
    several = kind == "coils"
    consistency = ConsistencySettings(weight=0.05, learnt=True) if several else ConsistencySettings()
    settings = CascadeSettings(last_convolution="default", consistency=consistency)
    plain = kind in ("plain", "coils")
    network = (D5C5(settings) if plain else D5C5(settings, "aspin", ["brain"])).to(options.device)
    teacher = D5C5(settings).to(options.device).requires_grad_(False) if kind == "S3" else None
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-7)
    slices, mask = data(options)
    size = (options.size, options.size)
    drawn = [draw_sensitivities(np.random.default_rng(0), options.coils, size, options.device)] * options.batch
    # Known beforehand, as those of a scan are.
    maps = torch.stack(drawn).unsqueeze(1)
    precision = {"dtype": torch.bfloat16, "enabled": options.precision == "bfloat16"}

    def step() -> None:
        target = torch.from_numpy(slices).to(options.device)
        # The mask is one for all and DC first already.
        sampled = torch.from_numpy(mask).to(options.device)[None, None]
        given = Measurement(*undersample(target, sampled, -1), sampled, -1)
        if several:
            encoding = Encoding(sampled, -1, maps)
            target = target.unsqueeze(1)
            kspace = encoding.forward(target.to(torch.complex64))
            given = Measurement(encoding.adjoint(kspace), kspace, *encoding)
        with torch.set_grad_enabled(training), torch.autocast(options.device, **precision):
            image, activations = network.reconstruct(given, "brain", LAYER if teacher else None)
        loss = mean_absolute_error(image, target)
        if teacher:
            with torch.no_grad(), torch.autocast(options.device, **precision):
                taught = teacher.activations(given, "brain", LAYER)
            loss = loss + OMEGA * attention_transfer(taught, activations)
        if training:
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        loss.item()

    return step


def serve(name: str, options: argparse.Namespace, pipe: Connection) -> None:
    """Take a step for each message, and answer with its seconds; runs in a contender's process."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    kind, what = name.split()
    training = what == "training"
    step = reference(options, training) if kind == "reference" else ours(options, kind, training)
    clock = CLOCKS[options.clock]
    step()
    while pipe.recv():
        start = clock()
        step()
        pipe.send(clock() - start)
    pipe.send(peak_memory(options.device))


def peak_memory(device: str) -> float:
    """Most memory that this process had, in MB: of the GPU, or of the machine."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated() / 1e6
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def peak(options: argparse.Namespace) -> float:
    """GFLOP/s of a large matrix product: what the processor reaches at the moment."""
    torch.set_num_threads(options.threads)
    left, right = torch.rand(1024, 1024), torch.rand(1024, 1024)
    times = []
    for _ in range(20):
        start = CLOCKS[options.clock]()
        left @ right
        times.append(CLOCKS[options.clock]() - start)
    return 2 * 1024**3 / min(times) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--coils", type=int, default=8, help="of the step with several")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall", help="cpu: for a machine that others use")
    options = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    pipes = {}
    for name in CONTENDERS:
        pipes[name], end = context.Pipe()
        context.Process(target=serve, args=(name, options, end), daemon=True).start()
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name, pipe in pipes.items():
            pipe.send(True)
            seconds[name].append(pipe.recv())
    memory = {}
    for name, pipe in pipes.items():
        pipe.send(False)
        memory[name] = pipe.recv()

    print(
        f"{options.size} x {options.size}, batch {options.batch}, {options.threads} threads, {options.precision}, "
        f"{options.device}, {options.clock} time, {options.rounds} rounds"
    )
    if options.device == "cpu":
        print(f"a 1024 x 1024 matrix product: {peak(options):.0f} GFLOP/s")
    print(f"{'':22}{'median ms':>12}{'fastest ms':>12}{'images/s':>10}{'GFLOP/s':>10}{'peak MB':>10}")
    for name, times in seconds.items():
        fastest = min(times)
        rate = flops(options.size, options.batch, name.endswith("training")) / fastest / 1e9
        # A teacher's forward pass is not counted: it is no part of what S3 learns.
        print(
            f"{name:22}{np.median(times) * 1e3:12.1f}{fastest * 1e3:12.1f}{options.batch / fastest:10.2f}{rate:10.1f}"
            f"{memory[name]:10.0f}"
        )
    for above, below, target in RATIOS:
        medians = np.median(seconds[above]) / np.median(seconds[below])
        print(f"{above} / {below}: {medians:.2f} ({min(seconds[above]) / min(seconds[below]):.2f} fastest) {target}")


if __name__ == "__main__":
    main()
