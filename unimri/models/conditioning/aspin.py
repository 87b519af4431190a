"""ASPIN: the anatomy-specific instance normalisation of a universal network (paper, eq. 3)."""

from unimri.models.conditioning import base
from unimri.models.instance_norm import InstanceNorm


class Conditioning(base.Conditioning):
    """Instance normalisation with gamma and beta for each anatomy, at full size 1,280 numbers in all."""

    adaptable = True
    called = "ASPIN"

    def new(self) -> base.Condition:
        """Plain normalisation: gamma 1, beta 0."""
        return InstanceNorm(self.settings.cascades, *self.settings.conditioned)
