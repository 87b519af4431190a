"""A training step of the default experiment in bfloat16 autocast against float32, one CPU thread."""

import time

import torch

from unimri.models.cascade import D5C5
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import lines, undersample

REPEATS = 9


def seconds(network: D5C5, image: torch.Tensor, sampled: torch.Tensor, low_precision: bool) -> float:
    """Median time of one forward and backward pass."""
    zero_filled, measured = undersample(image, sampled, -1)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
            reconstruction, _ = network(zero_filled, measured, sampled, -1, "brain")
        (reconstruction - image).abs().mean().backward()
        times.append(time.perf_counter() - start)
    return sorted(times)[REPEATS // 2]


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = D5C5(CascadeSettings(), "aspin", ["brain"])
    image, sampled = torch.rand(4, 64, 64), lines(torch.rand(4, 64) < 0.25, -1)
    capabilities = torch.cpu.get_capabilities()
    native = [name for name in ("amx_bf16", "avx512_bf16") if capabilities.get(name)]
    baseline, low = seconds(network, image, sampled, False), seconds(network, image, sampled, True)
    print(f"{capabilities.get('cpu_name', 'CPU')}, instructions for bfloat16: {', '.join(native) or 'none'}")
    print(f"float32 {baseline * 1e3:.0f} ms, bfloat16 {low * 1e3:.0f} ms, speed-up {baseline / low:.2f}")


if __name__ == "__main__":
    main()
