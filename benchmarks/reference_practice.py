"""D5C5 as reference practice writes it: the baseline of training_step.py.

Real and imaginary part as two NCHW channels, 2D FFTs, a 2D mask that is multiplied with, and a loader that transforms
and masks one slice at a time. Written after the public PyTorch codes of Schlemper et al. 2017.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset


class DataConsistency(nn.Module):
    """k <- (1 - m) k + m k0 by full 2D transforms; image and k0 are (B, 2, H, W), the mask is (B, 1, H, W)."""

    def forward(self, image: Tensor, k0: Tensor, mask: Tensor) -> Tensor:
        k = to_channels(torch.fft.fft2(to_complex(image), norm="ortho"))
        return to_channels(torch.fft.ifft2(to_complex((1 - mask) * k + mask * k0), norm="ortho"))


class ReferenceD5C5(nn.Module):
    """Five blocks of five 3x3 convolutions, ReLU, residual, data consistency: 144,650 parameters."""

    def __init__(self, cascades: int = 5, convolutions: int = 5, width: int = 32) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(cascades):
            layers: list[nn.Module] = [nn.Conv2d(2, width, 3, padding=1), nn.ReLU()]
            for _ in range(convolutions - 2):
                layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
            self.blocks.append(nn.Sequential(*layers, nn.Conv2d(width, 2, 3, padding=1)))
        self.consistency = DataConsistency()

    def forward(self, image: Tensor, k0: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            image = self.consistency(image + block(image), k0, mask)
        return image


class UndersampledSlices(Dataset[tuple[NDArray[np.float32], ...]]):
    """Slices (K, H, W) in [0, 1], transformed and masked (mask: bool (W,), DC first) one at a time.

    An item is the zero-filled image, k0 and the target, (2, H, W) each, and the mask, (1, H, W).
    """

    def __init__(self, slices: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
        self.slices, self.mask = slices, mask

    def __len__(self) -> int:
        return len(self.slices)

    def __getitem__(self, number: int) -> tuple[NDArray[np.float32], ...]:
        target = self.slices[number].astype(np.complex64)
        mask = np.broadcast_to(self.mask, target.shape).astype(np.float32)
        k0 = np.fft.fft2(target, norm="ortho") * mask
        zero_filled = np.fft.ifft2(k0, norm="ortho")
        stacked = (np.stack((x.real, x.imag)).astype(np.float32) for x in (zero_filled, k0, target))
        return *stacked, mask[None]


def to_complex(channels: Tensor) -> Tensor:
    """(B, 2, H, W) to complex (B, H, W)."""
    return torch.complex(channels[:, 0], channels[:, 1])


def to_channels(image: Tensor) -> Tensor:
    """Complex (B, H, W) to (B, 2, H, W)."""
    return torch.stack((image.real, image.imag), 1)
