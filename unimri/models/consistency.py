"""Data consistency between the blocks of a network: hard, or weighed against what a block gives."""

import torch
from torch import Tensor, nn

from unimri.models.settings import ConsistencySettings
from unimri.physics.fourier import enforce_consistency
from unimri.physics.sense import Encoding, Measurement, soft_consistency, solve


class DataConsistency(nn.Module):
    """x = argmin ||A x - y||^2 + lambda ||x - z||^2 after each cascade, of one coil and of several.

    Its parameters, of `ConsistencySettings`, are those of the base: every anatomy shares them. There are none unless
    lambda is learnt.
    """

    def __init__(self, settings: ConsistencySettings, cascades: int) -> None:
        super().__init__()
        self.settings = settings
        # Logarithms of factors: lambda stays above 0.
        self.weight = nn.Parameter(torch.zeros(cascades)) if settings.learnt else None
        # Of one coil, and of several: there noise is also what sensitivities make more of, and no line stays as it was.
        self.error = nn.Parameter(torch.zeros(2, cascades)) if settings.learnt and settings.error else None

    def start(self, given: Measurement) -> Tensor:
        """What the first block is given: zero filling, or CG-SENSE where coils tell more than that."""
        if given.sensitivities is None:
            return given.zero_filled
        return self(0, torch.zeros_like(given.zero_filled), given)

    def forward(self, cascade: int, image: Tensor, given: Measurement) -> Tensor:
        """Bring an image to what was measured.

        Parameters
        ----------
        cascade : its number, from 0.
        image : z, complex (B, H, W); with sensitivities (B, sets, H, W).

        Returns
        -------
        x, of the shape of `image`.
        """
        weight = self.lambda_of(cascade, given.noise, given.sensitivities is not None)
        sampled, axis = given.sampled, given.axis
        if given.sensitivities is not None:
            weight = torch.zeros(1, device=image.device) if weight is None else weight
            encoding = Encoding(sampled, axis, given.sensitivities)
            # Where no coil sees anything there is no object: nothing measured would take out what a block put there.
            image = image * encoding.support
            return solve(encoding, given.zero_filled, image, weight.to(image.device), self.settings.steps)
        if weight is None:
            return enforce_consistency(image, given.kspace, sampled, axis)
        return soft_consistency(image, given.kspace, sampled, axis, weight.to(image.device))

    def lambda_of(self, cascade: int, noise: Tensor | None, coils: bool = False) -> Tensor | None:
        """Lambda of a cascade for the noise of each slice, real (B,) or (1,); None where it is 0.

        `coils`: of several coils together.
        """
        settings = self.settings
        if not settings.weight and (noise is None or settings.error is None):
            return None
        weight = torch.full((1,), settings.weight)
        if self.weight is not None:
            weight = weight.to(self.weight.device) * self.weight[cascade].exp()
        if noise is not None and settings.error is not None:
            # The best weight of two estimates with independent errors is the ratio of their variances.
            error = settings.error if self.error is None else settings.error * self.error[int(coils), cascade].exp()
            weight = weight.to(noise.device) + (noise / error).square()
        return weight
