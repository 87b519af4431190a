"""What speed costs in accuracy: forward pass and every gradient against float64, ours and the baseline's.

The baseline computes the same function; both start from the same weights, and the baseline in float64 is the truth.
"""

import argparse

import numpy as np
import torch
from reference_practice import ReferenceD5C5, UndersampledSlices, to_complex
from torch import Tensor, nn

from unimri.models.cascade import D5C5
from unimri.models.settings import CascadeSettings
from unimri.physics.fourier import undersample
from unimri.training.steps import mean_absolute_error


def reference_pass(network: nn.Module, slices: np.ndarray, mask: np.ndarray, dtype: torch.dtype) -> list[Tensor]:
    """The image, complex (B, H, W), and the gradient of every parameter, of the baseline."""
    items = [UndersampledSlices(slices, mask)[number] for number in range(len(slices))]
    image, k0, target, mask_2d = (torch.from_numpy(np.stack(part)).to(dtype) for part in zip(*items, strict=True))
    result = network(image, k0, mask_2d)
    nn.functional.l1_loss(result, target).backward()
    return [to_complex(result).detach(), *(parameter.grad for parameter in network.parameters())]


def our_pass(network: D5C5, slices: np.ndarray, mask: np.ndarray) -> list[Tensor]:
    """The same of ours."""
    target, sampled = torch.from_numpy(slices), torch.from_numpy(mask)[None, None]
    image, _ = network(*undersample(target, sampled, -1), sampled, -1)
    mean_absolute_error(image, target).backward()
    return [image.detach(), *(parameter.grad for parameter in network.parameters())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    slices = rng.random((options.batch, options.size, options.size), dtype=np.float32)
    mask = rng.random(options.size) < 0.25
    network = D5C5(CascadeSettings(last_convolution="default"))
    exact, baseline = ReferenceD5C5().double(), ReferenceD5C5()
    for copy in (exact, baseline):
        for parameter, value in zip(copy.parameters(), network.parameters(), strict=True):
            parameter.data.copy_(value)
    truth = reference_pass(exact, slices, mask, torch.float64)
    results = {
        "baseline": reference_pass(baseline, slices, mask, torch.float32),
        "ours": our_pass(network, slices, mask),
    }
    print(f"{options.size} x {options.size}, batch {options.batch}: relative error against float64")
    for name, tensors in results.items():
        errors = [((one - true).norm() / true.norm()).item() for one, true in zip(tensors, truth, strict=True)]
        middle, largest = np.median(errors[1:]), max(errors[1:])
        print(f"{name:10} image {errors[0]:.1e}, gradients: median {middle:.1e}, at most {largest:.1e}")


if __name__ == "__main__":
    main()
