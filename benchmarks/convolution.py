"""A 3x3 convolution of the network: forward, gradients as PyTorch computes them, and our gradient of the weight."""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input, conv2d_weight

from unimri.models.convolution import weight_gradient
from unimri.models.memory import keep_freed_memory

CHANNELS = [(2, 32), (32, 32), (32, 2)]
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def milliseconds(compute: Callable[[], Tensor], rounds: int) -> float:
    """CPU time of the fastest of some rounds."""
    compute()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        compute()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--give-memory-back", action="store_true", help="as a process does that does not keep it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.give_memory_back:
        keep_freed_memory()
    for inputs, outputs in CHANNELS:
        operations = 2 * 9 * inputs * outputs * 4 * options.size**2
        for name, layout in FORMATS.items():
            activation = torch.rand(4, inputs, options.size, options.size).contiguous(memory_format=layout)
            upstream = torch.rand(4, outputs, options.size, options.size).contiguous(memory_format=layout)
            weight = torch.rand(outputs, inputs, 3, 3).contiguous(memory_format=layout)
            parts = {
                "forward": lambda a=activation, w=weight: F.conv2d(a, w, padding=1),
                "of input": lambda a=activation, w=weight, u=upstream: conv2d_input(a.shape, w, u, padding=1),
                "of weight": lambda a=activation, w=weight, u=upstream: conv2d_weight(a, w.shape, u, padding=1),
            }
            if layout == torch.channels_last:
                parts["of weight, ours"] = lambda a=activation, u=upstream: weight_gradient(a, u)
            times = {part: milliseconds(compute, options.rounds) for part, compute in parts.items()}
            row = ", ".join(f"{part} {time:.1f} ms ({operations / time / 1e6:.0f})" for part, time in times.items())
            print(f"{inputs:2} to {outputs:2}, {name}: {row} GFLOP/s")


if __name__ == "__main__":
    main()
