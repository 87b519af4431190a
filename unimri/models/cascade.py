"""D5C5 (Schlemper et al. 2017); with ASPIN as its conditioning it is the paper's universal network f_u.

The cascades take the blocks of any backbone; `unimri.models.block.Block` is D5C5's.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from unimri.models.block import Block
from unimri.models.consistency import DataConsistency
from unimri.models.registry import build_conditioning
from unimri.models.settings import BackboneSettings
from unimri.physics.fourier import Axes
from unimri.physics.sense import Measurement


class D5C5(nn.Module):
    """Blocks interleaved with data consistency; at its full size 144,650 parameters, and its conditioning's.

    Parameters
    ----------
    settings : of the backbone.
    conditioning : a name of `unimri.models.registry.conditionings`.
    anatomies : that the conditioning has numbers for at first, if it has any for an anatomy.

    Attributes
    ----------
    conditioning : what follows the convolutions; anatomies are added to it and removed from it.
    consistency : what follows the blocks.

    Raises
    ------
    ValueError : when there is no such conditioning.
    """

    def __init__(self, settings: BackboneSettings, conditioning: str = "none", anatomies: Iterable[str] = ()) -> None:
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList(settings.block() for _ in range(settings.cascades))
        self.conditioning = build_conditioning(conditioning, settings, anatomies)
        self.consistency = DataConsistency(settings.consistency, settings.cascades)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        zero_filled: Tensor,
        measured: Tensor,
        sampled: Tensor,
        axis: Axes,
        anatomy: str | None = None,
        layer: int | None = None,
        sensitivities: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Reconstruct a batch of slices of one anatomy; see `unimri.physics.sense.Measurement`.

        Parameters
        ----------
        zero_filled : complex64 (B, H, W), from `physics.fourier.undersample`, image scaled to [0, 1]; with
            sensitivities A^H y, (B, sets, H, W).
        measured : complex64 (B, H, W), hybrid k-space; with sensitivities it is not read.
        sampled : bool, from `physics.fourier.lines`.
        axis : -1 or -2, the phase-encoding axis, or of points (-2, -1).
        anatomy : for which to condition; one without numbers for each anatomy takes any.
        layer : number (from 1) of the convolution whose activations are wanted, or None.
        sensitivities : complex64 (B, sets, coils, H, W); None for one coil, whose sensitivity is part of the image.
        noise : standard deviation of k-space's noise, of real and imaginary part each, real (B,); None: not known.

        Returns
        -------
        The image, complex64, of the shape of `zero_filled`, under hard data consistency of one coil its sampled lines
        exactly the measured ones; and for each cascade the activation of `layer`, (B, C, H, W), or of each set,
        (B * sets, C, H, W); an empty list when it is None.
        """
        given = Measurement(zero_filled, measured, sampled, axis, sensitivities, noise)
        return self.reconstruct(given, anatomy, layer)

    def reconstruct(
        self, given: Measurement, anatomy: str | None = None, layer: int | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """What `forward` gives."""
        condition = self.conditioning.of(anatomy)
        image, activations = self.consistency.start(given), []
        for number, block in enumerate(self.blocks):
            refined, activation = block(_channels(image), condition.of_cascade(number), layer)
            image = self.consistency(number, _complex(refined, given), given)
            if activation is not None:
                activations.append(activation)
        return image, activations

    def activations(self, given: Measurement, anatomy: str | None, layer: int) -> list[Tensor]:
        """What `forward` gives as activations of `layer`, without computing what comes after the last of them."""
        condition = self.conditioning.of(anatomy)
        image, activations = self.consistency.start(given), []
        for number, block in enumerate(self.blocks[:-1]):
            refined, activation = block(_channels(image), condition.of_cascade(number), layer)
            image = self.consistency(number, _complex(refined, given), given)
            activations.append(activation)
        last, inputs = self.blocks[-1], (_channels(image), condition.of_cascade(len(self.blocks) - 1), layer)
        # Another backbone's block need not know a shorter way.
        activation = last.activation(*inputs) if isinstance(last, Block) else last(*inputs)[1]
        return [*activations, activation]


def _channels(image: Tensor) -> Tensor:
    """Complex (..., H, W) as two real channels (B, 2, H, W), channels_last: the same memory."""
    return torch.view_as_real(image).flatten(0, -4).permute(0, 3, 1, 2)


def _complex(channels: Tensor, given: Measurement) -> Tensor:
    """The inverse of `_channels`."""
    return torch.view_as_complex(channels.permute(0, 2, 3, 1).contiguous()).reshape(given.zero_filled.shape)
