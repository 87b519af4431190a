"""Instance normalisation forward and backward, channels_last, one thread: ours against group_norm with C groups."""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from unimri.models.instance_norm import instance_norm

SHAPE = (4, 32, 64, 64)
REPEATS = 30


def seconds(normalise: Callable[[Tensor], Tensor], activation: Tensor) -> float:
    """Median time of one forward and backward pass."""
    upstream = torch.randn_like(activation)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        normalise(activation).backward(upstream)
        times.append(time.perf_counter() - start)
    return sorted(times)[REPEATS // 2]


def main() -> None:
    torch.set_num_threads(1)
    gamma, beta = torch.ones(32, requires_grad=True), torch.zeros(32, requires_grad=True)
    for dtype in (torch.float32, torch.bfloat16):
        activation = torch.randn(SHAPE).to(dtype).to(memory_format=torch.channels_last).requires_grad_()
        baseline = seconds(lambda h: F.group_norm(h, 32, gamma.to(h.dtype), beta.to(h.dtype)), activation)
        ours = seconds(lambda h: instance_norm(h, gamma, beta), activation)
        print(f"{dtype}: group_norm {baseline * 1e3:.2f} ms, ours {ours * 1e3:.2f} ms, ratio {baseline / ours:.1f}")


if __name__ == "__main__":
    main()
