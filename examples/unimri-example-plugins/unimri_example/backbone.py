"""Settings of a cascade of small U-Nets. They are read in many places that need no torch, so it is imported late."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from unimri.models.settings import BackboneSettings

if TYPE_CHECKING:
    from torch import nn


class SmallUNet(BackboneSettings):
    name: Literal["small-unet"] = "small-unet"
    cascades: int = Field(2, ge=1, description="U-Nets, each followed by data consistency")
    width: int = Field(16, ge=1, description="feature maps at full resolution, and at half of it")

    @property
    def layers(self) -> int:
        return 3

    @property
    def conditioned(self) -> tuple[int, int]:
        return 3, self.width

    def block(self) -> "nn.Module":
        from unimri_example.unet import UNet

        return UNet(self.width)
