"""Instance normalisation and its ReLU, forward and backward, channels_last: ours against PyTorch's.

    python benchmarks/instance_norm.py --size 64 --threads 1

Ratios are of the fastest of passes that the contenders take in turn.
"""

import argparse
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unimri.core.compute import keep_freed_memory
from unimri.models.instance_norm import instance_norm

Normalise = Callable[[Tensor, Tensor, Tensor], Tensor]


def by_slices(activation: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Batch normalisation of one slice after another; its sums lose two digits at 320 x 320 in float32."""
    slices = [F.batch_norm(one, None, None, gamma, beta, training=True) for one in activation.split(1)]
    return torch.cat(slices).relu_()


CONTENDERS: dict[str, Normalise] = {
    "ours": lambda *given: instance_norm(*given, rectify=True),
    "batch_norm of slices": by_slices,
    "instance_norm": lambda h, gamma, beta: F.instance_norm(h, weight=gamma.to(h.dtype), bias=beta.to(h.dtype)).relu(),
    "the ReLU alone": lambda h, gamma, beta: h.relu(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    for dtype in (torch.float32, torch.bfloat16):
        shape = options.batch, 32, options.size, options.size
        activation, upstream = (torch.randn(shape).to(dtype, memory_format=torch.channels_last) for _ in range(2))
        parameters = torch.ones(32, requires_grad=True), torch.zeros(32, requires_grad=True)
        activation.requires_grad_()
        fastest = dict.fromkeys(CONTENDERS, float("inf"))
        for _ in range(options.rounds):
            for name, normalise in CONTENDERS.items():
                start = time.perf_counter()
                normalise(activation, *parameters).backward(upstream)
                fastest[name] = min(fastest[name], time.perf_counter() - start)
        print(f"{dtype}, {shape}, {options.threads} threads")
        for name, seconds in fastest.items():
            print(f"{name:22}{seconds * 1e3:8.2f} ms{seconds / fastest['ours']:8.2f} times ours")


if __name__ == "__main__":
    main()
