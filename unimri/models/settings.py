"""Settings of a network, apart from the networks: a configuration is read in many places that need no torch."""

from typing import Literal

from pydantic import Field

from unimri.settings import Settings

Normalisation = Literal["none", "shared", "aspin"]
"""Instance normalisation after the inner convolutions: none (D5C5), with parameters for all anatomies, or ASPIN."""


class CascadeSettings(Settings):
    """Shape and initialisation of a cascade; the defaults are the paper's D5C5."""

    name: Literal["d5c5"] = "d5c5"
    cascades: int = Field(5, ge=1, description="blocks, each followed by data consistency")
    convolutions: int = Field(5, ge=2, description="3x3 convolutions in a block")
    width: int = Field(32, ge=1, description="feature maps of the inner convolutions")
    last_convolution: Literal["zero", "default"] = Field(
        "zero",
        description="start of each block's last convolution: 'zero' makes a block start as the identity, "
        "'default' is PyTorch's initialisation",
    )
