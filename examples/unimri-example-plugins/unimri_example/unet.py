"""A U-Net with one level: full resolution, half, and full again."""

import torch.nn.functional as F
from torch import Tensor, nn

from unimri.models.convolution import convolve
from unimri.models.instance_norm import instance_norm


class UNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        shapes = [(2, width), (width, width), (width, width), (width, 2)]
        self.convolutions = nn.ModuleList(nn.Conv2d(wide, narrow, 3, padding=1) for wide, narrow in shapes)

    def forward(
        self, image: Tensor, aspin: tuple[Tensor, Tensor] | None, layer: int | None
    ) -> tuple[Tensor, Tensor | None]:
        fine = self.step(0, image, aspin)  # (B, width, H, W)
        coarse = self.step(1, F.avg_pool2d(fine, 3, stride=2, padding=1), aspin)  # (B, width, H / 2, W / 2)
        wide = F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        merged = self.step(2, fine + wide, aspin)  # (B, width, H, W)
        last = self.convolutions[3]
        change = convolve(merged, last.weight, last.bias)
        return image + change.to(image.dtype), None if layer is None else (fine, coarse, merged)[layer - 1]

    def step(self, number: int, hidden: Tensor, aspin: tuple[Tensor, Tensor] | None) -> Tensor:
        """Convolution, ASPIN where there is one, ReLU."""
        own = self.convolutions[number]
        if aspin is None:
            return F.relu(convolve(hidden, own.weight, own.bias))
        gammas, betas = aspin
        return instance_norm(convolve(hidden, own.weight, None), gammas[number], betas[number], rectify=True)
