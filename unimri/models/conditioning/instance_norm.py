"""Instance normalisation with one set of parameters, which all anatomies share."""

from collections.abc import Iterable

from unimri.models.conditioning import base
from unimri.models.instance_norm import InstanceNorm


class Conditioning(base.Conditioning):
    """The network is not told the anatomy; gamma and beta are of the base."""

    def __init__(self, settings: base.Backbone, anatomies: Iterable[str] = ()) -> None:
        super().__init__(settings)
        self.affine = InstanceNorm(settings.cascades, *settings.conditioned)

    def of(self, anatomy: str | None) -> base.Condition:
        """The same, whatever the anatomy."""
        return self.affine
