"""Settings of a network, apart from the networks: a configuration is read in many places that need no torch."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from unimri.core.plugins import Extensible
from unimri.core.settings import Settings

if TYPE_CHECKING:
    from torch import nn


class ConsistencySettings(Settings):
    """Data consistency after each cascade: the x that minimises ||A x - y||^2 + lambda ||x - z||^2."""

    weight: float = Field(
        0, ge=0, allow_inf_nan=False, description="lambda; 0, the paper's, keeps the lines of one coil as measured"
    )
    error: float | None = Field(
        None,
        gt=0,
        description="standard deviation of what a cascade gets wrong, on the slices' scale: lambda grows by the "
        "square of the noise's over it; null: noise is taken for signal",
    )
    learnt: bool = Field(
        False, description="each cascade learns a factor of `weight`, and two of `error`: for one coil, and for several"
    )
    steps: int = Field(8, ge=1, le=100, description="of conjugate gradients, with several coils")

    @model_validator(mode="after")
    def _has_something_to_learn(self) -> Self:
        if self.learnt and not self.weight:
            raise ValueError("weight must be above 0 to be learnt")
        return self


class BackboneSettings(Extensible):
    """One backbone: its settings, and how a block of it is made. The cascade around the blocks is always the same.

    A backbone adds `name: Literal["its-name"] = "its-name"`, settings of its own, and what follows here.
    """

    name: str
    cascades: int = Field(5, ge=1, le=100, description="blocks, each followed by data consistency")
    consistency: ConsistencySettings = Field(default_factory=ConsistencySettings, description="what follows a block")

    @property
    def layers(self) -> int:
        """How many activations of a block can be asked for, and distilled; they are numbered from 1."""
        raise NotImplementedError

    @property
    def conditioned(self) -> tuple[int, int]:
        """Layers of a block that the conditioning follows, and feature maps of each; one may leave some unused."""
        raise NotImplementedError

    def block(self) -> "nn.Module":
        """A new block, with random weights.

        Its `forward(image, condition, layer)` takes an image (B, 2, H, W), real and imaginary part; what follows its
        convolutions, a `unimri.models.conditioning.base.CascadeCondition`; and the number of the activation that is
        wanted, or None. It returns the refined image (B, 2, H, W), float32, and the activation (B, C, h, w) or None. H
        and W may be any.
        """
        raise NotImplementedError


class CascadeSettings(BackboneSettings):
    """Shape and initialisation of a cascade; the defaults are the paper's D5C5."""

    name: Literal["d5c5"] = "d5c5"
    cascades: int = Field(5, ge=1, le=100, description="blocks, each followed by data consistency")
    convolutions: int = Field(5, ge=2, le=100, description="3x3 convolutions in a block")
    width: int = Field(32, ge=1, description="feature maps of the inner convolutions")
    last_convolution: Literal["zero", "default"] = Field(
        "zero",
        description="start of each block's last convolution: 'zero' makes a block start as the identity, "
        "'default' is PyTorch's initialisation",
    )

    @property
    def layers(self) -> int:
        """Its convolutions."""
        return self.convolutions

    @property
    def conditioned(self) -> tuple[int, int]:
        """All convolutions but the last."""
        return self.convolutions - 1, self.width

    def block(self) -> "nn.Module":
        """A `unimri.models.block.Block`."""
        # Here, because torch takes seconds to import.
        from unimri.models.block import Block

        return Block(self.convolutions, self.width, self.last_convolution)
