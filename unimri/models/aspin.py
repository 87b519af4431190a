"""ASPIN: the anatomy-specific instance normalisation of a universal network (paper, eq. 3)."""

import torch
from torch import Tensor, nn


class Aspin(nn.Module):
    """The affine parameters of one anatomy.

    Attributes
    ----------
    gamma, beta : float32 (cascades, normalised layers, width). At full size 5 x 4 x 32 each: 1,280 numbers in all.
    """

    def __init__(self, cascades: int, layers: int, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(cascades, layers, width))
        self.beta = nn.Parameter(torch.zeros(cascades, layers, width))

    def of_cascade(self, cascade: int) -> tuple[Tensor, Tensor]:
        """gamma and beta of one cascade, (normalised layers, width) each."""
        return self.gamma[cascade], self.beta[cascade]

    @torch.no_grad()
    def start_from(self, others: list["Aspin"]) -> None:
        """Set the parameters to the mean of other anatomies' ones."""
        self.gamma.copy_(torch.stack([other.gamma for other in others]).mean(0))
        self.beta.copy_(torch.stack([other.beta for other in others]).mean(0))
