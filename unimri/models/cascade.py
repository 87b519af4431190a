"""D5C5 (Schlemper et al. 2017); with ASPIN as its conditioning it is the paper's universal network f_u.

The cascades take the blocks of any backbone; `unimri.models.block.Block` is D5C5's.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unimri.models.block import Block
from unimri.models.registry import build_conditioning
from unimri.models.settings import BackboneSettings
from unimri.physics.fourier import enforce_consistency


class D5C5(nn.Module):
    """Blocks interleaved with hard data consistency; at its full size 144,650 parameters, and its conditioning's.

    Parameters
    ----------
    settings : of the backbone.
    conditioning : a name of `unimri.models.registry.conditionings`.
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
