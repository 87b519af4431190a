"""A U-Net with one level: full resolution, half, and full again."""

import torch.nn.functional as F
from torch import Tensor, nn

from unimri.models.conditioning.base import CascadeCondition


class UNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        shapes = [(2, width), (width, width), (width, width), (width, 2)]
        self.convolutions = nn.ModuleList(nn.Conv2d(wide, narrow, 3, padding=1) for wide, narrow in shapes)

    def forward(self, image: Tensor, condition: CascadeCondition, layer: int | None) -> tuple[Tensor, Tensor | None]:
        down, across, up, last = self.convolutions
        fine = condition(0, down, image)  # (B, width, H, W)
        coarse = condition(1, across, F.avg_pool2d(fine, 3, stride=2, padding=1))  # (B, width, H / 2, W / 2)
        wide = F.interpolate(coarse, size=fine.shape[-2:], mode="nearest")
        merged = condition(2, up, fine + wide)  # (B, width, H, W)
        return image + last(merged).to(image.dtype), None if layer is None else (fine, coarse, merged)[layer - 1]
