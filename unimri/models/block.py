"""The block of D5C5 (Schlemper et al. 2017): 3x3 convolutions, and what the conditioning puts after each."""

import itertools

from torch import Tensor, nn

from unimri.models.conditioning.base import CascadeCondition
from unimri.models.convolution import convolve


class Block(nn.Module):
    """One convolutional block (CNN-t, uCNN-t): 2 -> width -> ... -> width -> 2, with the residual from its input.

    Its parameters are those of `unimri.models.settings.CascadeSettings`.
    """

    def __init__(self, convolutions: int, width: int, last_convolution: str) -> None:
        super().__init__()
        channels = [2] + [width] * (convolutions - 1) + [2]
        # Under instance normalisation the biases of all but the last convolution would be cancelled by the mean. They
        # are left out there and never learn, but stay, so that a universal network's base counts what the paper counts
        # (144,650).
        self.convolutions = nn.ModuleList(
            nn.Conv2d(wide, narrow, kernel_size=3, padding=1) for wide, narrow in itertools.pairwise(channels)
        )
        if last_convolution == "zero":
            for parameter in self.convolutions[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(self, image: Tensor, condition: CascadeCondition, layer: int | None) -> tuple[Tensor, Tensor | None]:
        """Refine an image.

        Parameters
        ----------
        image : (B, 2, H, W), real and imaginary part.
        condition : what follows all convolutions but the last.
        layer : number (from 1) of the convolution whose activation is wanted, or None.

        Returns
        -------
        The refined image (B, 2, H, W), and the activation (B, C, H, W) of `layer`, after its ReLU (the last has none).
        """
        # Layer 1 has the image, which the residual needs, and another the activation that is wanted.
        hidden, wanted, kept = image, None, None if layer is None else layer + 1
        for number in range(1, len(self.convolutions) + 1):
            hidden = self._layer(number, hidden, condition, overwrite=number not in (1, kept))
            if number == layer:
                wanted = hidden
        return image + hidden.to(image.dtype), wanted

    def activation(self, image: Tensor, condition: CascadeCondition, layer: int) -> Tensor:
        """The activation that `forward` gives for `layer`, without what comes after it."""
        hidden = image
        for number in range(1, layer + 1):
            hidden = self._layer(number, hidden, condition)
        return hidden

    def _layer(self, number: int, hidden: Tensor, condition: CascadeCondition, overwrite: bool = False) -> Tensor:
        convolution = self.convolutions[number - 1]
        assert isinstance(convolution, nn.Conv2d)
        if number == len(self.convolutions):
            return convolve(hidden, convolution, convolution.bias)
        return condition(number - 1, convolution, hidden, overwrite)
