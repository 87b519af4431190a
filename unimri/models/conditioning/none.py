"""No conditioning: a ReLU after each convolution, as in D5C5 (Schlemper et al. 2017)."""

from collections.abc import Iterable

import torch.nn.functional as F
from torch import Tensor

from unimri.models.conditioning import base


class Rectified(base.Condition):
    """A ReLU alone; it has no numbers."""

    def forward(self, features: Tensor, cascade: int, layer: int) -> Tensor:
        """See `Condition.forward`."""
        return F.relu(features, inplace=True)


class Conditioning(base.Conditioning):
    """The network is not told the anatomy."""

    def __init__(self, settings: base.Backbone, anatomies: Iterable[str] = ()) -> None:
        super().__init__(settings)
        self.rectified = Rectified()

    def of(self, anatomy: str | None) -> base.Condition:
        """The same, whatever the anatomy."""
        return self.rectified
