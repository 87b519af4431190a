"""D5C5 (Schlemper et al. 2017) and the universal D5C5 that carries ASPIN (the paper's f_u).

The cascades take the blocks of any backbone; `Block` is D5C5's.
"""

import itertools
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unimri.core.errors import UnimriError
from unimri.models.aspin import Aspin
from unimri.models.convolution import convolve
from unimri.models.instance_norm import instance_norm
from unimri.models.settings import BackboneSettings, CascadeSettings, Normalisation
from unimri.physics.fourier import enforce_consistency


class Block(nn.Module):
    """One convolutional block (CNN-t, uCNN-t): 2 -> width -> ... -> width -> 2, with the residual from its input."""

    def __init__(self, settings: CascadeSettings) -> None:
        super().__init__()
        channels = [2] + [settings.width] * (settings.convolutions - 1) + [2]
        # Under ASPIN the biases of all but the last convolution would be cancelled by the mean. They are left out there
        # and never learn, but stay, so that a universal network's base counts what the paper counts (144,650).
        self.convolutions = nn.ModuleList(
            nn.Conv2d(wide, narrow, kernel_size=3, padding=1) for wide, narrow in itertools.pairwise(channels)
        )
        if settings.last_convolution == "zero":
            for parameter in self.convolutions[-1].parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, image: Tensor, aspin: tuple[Tensor, Tensor] | None, layer: int | None
    ) -> tuple[Tensor, Tensor | None]:
        """Refine an image.

        Parameters
        ----------
        image : (B, 2, H, W), real and imaginary part.
        aspin : gamma and beta, (convolutions - 1, width) each; None for a plain network.
        layer : number (from 1) of the convolution whose activation is wanted, or None.

        Returns
        -------
        The refined image (B, 2, H, W), and the activation (B, C, H, W) of `layer`, after its ReLU (the last has none).
        """
        hidden, wanted = image, None
        for number in range(1, len(self.convolutions) + 1):
            hidden = self._layer(number, hidden, aspin)
            if number == layer:
                wanted = hidden
        return image + hidden.to(image.dtype), wanted

    def activation(self, image: Tensor, aspin: tuple[Tensor, Tensor] | None, layer: int) -> Tensor:
        """The activation that `forward` gives for `layer`, without what comes after it."""
        hidden = image
        for number in range(1, layer + 1):
            hidden = self._layer(number, hidden, aspin)
        return hidden

    def _layer(self, number: int, hidden: Tensor, aspin: tuple[Tensor, Tensor] | None) -> Tensor:
        convolution = self.convolutions[number - 1]
        assert isinstance(convolution, nn.Conv2d)
        if number == len(self.convolutions):
            return convolve(hidden, convolution.weight, convolution.bias)
        if aspin is None:
            return F.relu(convolve(hidden, convolution.weight, convolution.bias), inplace=True)
        gammas, betas = aspin
        return instance_norm(
            convolve(hidden, convolution.weight, None), gammas[number - 1], betas[number - 1], rectify=True
        )


class D5C5(nn.Module):
    """Blocks interleaved with hard data consistency; at its full size 144,650 parameters."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__()
        self.settings = settings
        self.blocks = nn.ModuleList(settings.block() for _ in range(settings.cascades))
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def aspin_of(self, anatomy: str | None) -> Aspin | None:
        """The ASPIN to use for an anatomy; a plain network uses none, whatever the anatomy."""
        return None

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
        anatomy : whose ASPIN to use.
        layer : number (from 1) of the convolution whose activations are wanted, or None.

        Returns
        -------
        The image, complex64 (B, H, W), its sampled lines exactly the measured ones; and for each cascade the
        activation of `layer`, (B, C, H, W), an empty list when it is None.
        """
        aspin = self.aspin_of(anatomy)
        image, activations = zero_filled, []
        for number, block in enumerate(self.blocks):
            refined, activation = block(_channels(image), _of_cascade(aspin, number), layer)
            image = enforce_consistency(_complex(refined), measured, sampled, axis)
            if activation is not None:
                activations.append(activation)
        return image, activations

    def activations(
        self, zero_filled: Tensor, measured: Tensor, sampled: Tensor, axis: int, anatomy: str | None, layer: int
    ) -> list[Tensor]:
        """What `forward` gives as activations of `layer`, without computing what comes after the last of them."""
        aspin = self.aspin_of(anatomy)
        image, activations = zero_filled, []
        for number, block in enumerate(self.blocks[:-1]):
            refined, activation = block(_channels(image), _of_cascade(aspin, number), layer)
            image = enforce_consistency(_complex(refined), measured, sampled, axis)
            activations.append(activation)
        last, given = self.blocks[-1], (_channels(image), _of_cascade(aspin, len(self.blocks) - 1), layer)
        # Another backbone's block need not know a shorter way.
        activation = last.activation(*given) if isinstance(last, Block) else last(*given)[1]
        return [*activations, activation]


def _channels(image: Tensor) -> Tensor:
    """Complex (B, H, W) as two real channels (B, 2, H, W), channels_last: the same memory."""
    return torch.view_as_real(image).permute(0, 3, 1, 2)


def _complex(channels: Tensor) -> Tensor:
    """The inverse of `_channels`."""
    return torch.view_as_complex(channels.permute(0, 2, 3, 1).contiguous())


def _of_cascade(aspin: Aspin | None, cascade: int) -> tuple[Tensor, Tensor] | None:
    return None if aspin is None else aspin.of_cascade(cascade)


class InstanceNormD5C5(D5C5):
    """The same blocks, with instance normalisation whose parameters all anatomies share."""

    def __init__(self, settings: BackboneSettings) -> None:
        super().__init__(settings)
        self.affine = Aspin(settings.cascades, *settings.normalised)

    def aspin_of(self, anatomy: str | None) -> Aspin:
        """The parameters, whatever the anatomy."""
        return self.affine


class UniversalD5C5(D5C5):
    """The same blocks, with one ASPIN for each anatomy that the network knows."""

    def __init__(self, settings: BackboneSettings, anatomies: Iterable[str] = ()) -> None:
        super().__init__(settings)
        self.aspins = nn.ModuleDict()
        for anatomy in anatomies:
            self.add_anatomy(anatomy)

    def add_anatomy(self, anatomy: str) -> Aspin:
        """Insert a new ASPIN, which starts as plain normalisation (gamma 1, beta 0); the others are not touched.

        Raises
        ------
        UnimriError : when the network knows the anatomy already.
        """
        if anatomy in self.aspins:
            raise UnimriError(f"anatomy {anatomy!r}: the network has an ASPIN for it already; remove it first")
        aspin = Aspin(self.settings.cascades, *self.settings.normalised)
        aspin.to(next(self.parameters()).device)
        self.aspins[anatomy] = aspin
        return aspin

    def remove_anatomy(self, anatomy: str) -> None:
        """Take an anatomy's ASPIN out.

        Raises
        ------
        UnimriError : when the network does not know the anatomy.
        """
        self.aspin_of(anatomy)
        del self.aspins[anatomy]

    @property
    def anatomies(self) -> list[str]:
        """The anatomies that the network knows."""
        return list(self.aspins)

    def aspin_of(self, anatomy: str | None) -> Aspin:
        """The ASPIN of an anatomy.

        Raises
        ------
        UnimriError : when the network does not know the anatomy.
        """
        if anatomy is None or anatomy not in self.aspins:
            known = ", ".join(self.aspins) or "none"
            raise UnimriError(f"anatomy {anatomy!r}: the network has no ASPIN for it; known: {known}")
        aspin = self.aspins[anatomy]
        assert isinstance(aspin, Aspin)
        return aspin


def build_network(settings: BackboneSettings, normalisation: Normalisation, anatomies: Iterable[str] = ()) -> D5C5:
    """A new network.

    Parameters
    ----------
    anatomies : that a network with ASPIN knows at first; others have no parameters for one.

    Raises
    ------
    ValueError : when there is no such normalisation.
    """
    if normalisation == "aspin":
        return UniversalD5C5(settings, anatomies)
    if normalisation == "shared":
        return InstanceNormD5C5(settings)
    if normalisation == "none":
        return D5C5(settings)
    raise ValueError(f"normalisation {normalisation!r} is unknown; allowed: none, shared, aspin")
