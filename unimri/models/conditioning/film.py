"""FiLM without normalisation: scale and shift of each feature map for each anatomy (Perez et al. 2018)."""

import torch
from torch import Tensor, nn

from unimri.models.conditioning import base


class Film(base.Condition):
    """Scale, shift and ReLU after each convolution.

    Attributes
    ----------
    scale, shift : float32 (cascades, layers, width). At full size 5 x 4 x 32 each: 1,280 numbers in all.
    """

    def __init__(self, cascades: int, layers: int, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(cascades, layers, width))
        self.shift = nn.Parameter(torch.zeros(cascades, layers, width))

    def forward(self, features: Tensor, cascade: int, layer: int) -> Tensor:
        """See `Condition.forward`."""
        scale, shift = (one[cascade, layer].to(features.dtype)[:, None, None] for one in (self.scale, self.shift))
        return torch.addcmul(shift, features, scale).relu()


class Conditioning(base.Conditioning):
    """Scale and shift for each anatomy; they start as the identity, so that a network without conditioning is a base.

    Unlike instance normalisation it leaves the features their strength, by which a network may tell noise from signal.
    """

    adaptable = True
    called = "FiLM"
    starts_as_none = True

    def new(self) -> base.Condition:
        """Scale 1, shift 0: nothing but the ReLU."""
        return Film(self.settings.cascades, *self.settings.conditioned)
