"""D5C5 (Schlemper et al. 2017); with ASPIN as its conditioning it is the paper's universal network f_u.

The cascades take the blocks of any backbone; `Block` is D5C5's.
"""

import itertools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimri.models.conditioning.base import CascadeCondition
from unimri.models.conditioning.registry import build_conditioning
from unimri.models.settings import BackboneSettings, CascadeSettings
from unimri.physics.fourier import enforce_consistency


class Block(nn.Module):
    """One convolutional block (CNN-t, uCNN-t): 2 -> width -> ... -> width -> 2, with the residual from its input."""

    def __init__(self, settings: CascadeSettings) -> None:
        super().__init__()
        channels = [2] + [settings.width] * (settings.convolutions - 1) + [2]
        # Under instance normalisation the biases of all but the last convolution would be cancelled by the mean. They
        # are left out there and never learn, but stay, so that a universal network's base counts what the paper counts
        # (144,650).
        self.convolutions = nn.ModuleList(
            nn.Conv2d(wide, narrow, kernel_size=3, padding=1) for wide, narrow in itertools.pairwise(channels)
        )
        if settings.last_convolution == "zero":
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
        hidden, wanted = image, None
        for number in range(1, len(self.convolutions) + 1):
            hidden = self._layer(number, hidden, condition)
            if number == layer:
                wanted = hidden
        return image + hidden.to(image.dtype), wanted

    def activation(self, image: Tensor, condition: CascadeCondition, layer: int) -> Tensor:
        """The activation that `forward` gives for `layer`, without what comes after it."""
        hidden = image
        for number in range(1, layer + 1):
            hidden = self._layer(number, hidden, condition)
        return hidden

    def _layer(self, number: int, hidden: Tensor, condition: CascadeCondition) -> Tensor:
        convolution = self.convolutions[number - 1]
        assert isinstance(convolution, nn.Conv2d)
        if number == len(self.convolutions):
            return F.conv2d(hidden, convolution.weight, convolution.bias, padding=1)
        return condition(number - 1, convolution, hidden)


class D5C5(nn.Module):
    """Blocks interleaved with hard data consistency; at its full size 144,650 parameters, and its conditioning's.

    Parameters
    ----------
    settings : of the backbone.
    conditioning : a name of `unimri.models.conditioning.registry.conditionings`.
    anatomies : that the conditioning has numbers for at first, if it has any for an anatomy.

    Attributes
    ----------
    conditioning : what follows the convolutions; anatomies are added to it and removed from it.

    Raises
    ------
    ValueError : when there is no such conditioning.
    """

    def __init__(self, settings: BackboneSettings, conditioning: str = "none", anatomies: Iterable[str] = ()) -> None:
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList(settings.block() for _ in range(settings.cascades))
        self.conditioning = build_conditioning(conditioning, settings, anatomies)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        zero_filled: Tensor,
        measured: Tensor,
        sampled: Tensor,
        axis: int,
        anatomy: str | None = None,
        layer: int | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Reconstruct a batch of slices of one anatomy.

        Parameters
        ----------
        zero_filled, measured : complex64 (B, H, W), from `physics.fourier.undersample`, image scaled to [0, 1].
        sampled : bool, from `physics.fourier.lines`.
        axis : phase-encoding axis, -1 or -2.
        anatomy : for which to condition; one without numbers for each anatomy takes any.
        layer : number (from 1) of the convolution whose activations are wanted, or None.

        Returns
        -------
        The image, complex64 (B, H, W), its sampled lines exactly the measured ones; and for each cascade the
        activation of `layer`, (B, C, H, W), an empty list when it is None.
        """
        condition = self.conditioning.of(anatomy)
        image, activations = zero_filled, []
        for number, block in enumerate(self.blocks):
            refined, activation = block(_channels(image), condition.of_cascade(number), layer)
            image = enforce_consistency(_complex(refined), measured, sampled, axis)
            if activation is not None:
                activations.append(activation)
        return image, activations

    def activations(
        self, zero_filled: Tensor, measured: Tensor, sampled: Tensor, axis: int, anatomy: str | None, layer: int
    ) -> list[Tensor]:
        """What `forward` gives as activations of `layer`, without computing what comes after the last of them."""
        condition = self.conditioning.of(anatomy)
        image, activations = zero_filled, []
        for number, block in enumerate(self.blocks[:-1]):
            refined, activation = block(_channels(image), condition.of_cascade(number), layer)
            image = enforce_consistency(_complex(refined), measured, sampled, axis)
            activations.append(activation)
        last, given = self.blocks[-1], (_channels(image), condition.of_cascade(len(self.blocks) - 1), layer)
        # Another backbone's block need not know a shorter way.
        activation = last.activation(*given) if isinstance(last, Block) else last(*given)[1]
        return [*activations, activation]


def _channels(image: Tensor) -> Tensor:
    """Complex (B, H, W) as two real channels (B, 2, H, W), channels_last: the same memory."""
    return torch.view_as_real(image).permute(0, 3, 1, 2)


def _complex(channels: Tensor) -> Tensor:
    """The inverse of `_channels`."""
    return torch.view_as_complex(channels.permute(0, 2, 3, 1).contiguous())
