"""What every conditioning is: what a network applies after its convolutions, and what of that belongs to an anatomy."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from unimri.core.errors import UnimriError
from unimri.models.convolution import convolve


class Backbone(Protocol):
    """What a conditioning asks of a backbone: `unimri.models.settings.BackboneSettings` says it."""

    @property
    def cascades(self) -> int: ...

    @property
    def conditioned(self) -> tuple[int, int]: ...


class Condition(nn.Module):
    """What follows the convolutions, with its numbers: of one anatomy, or of all.

    Attributes
    ----------
    adds_bias : whether a convolution before it adds its bias; one that takes the mean away would cancel it.
    """

    adds_bias: ClassVar[bool] = True

    def forward(self, features: Tensor, cascade: int, layer: int) -> Tensor:
        """The activation of a layer, its ReLU included.

        Parameters
        ----------
        features : (B, C, H, W), what a convolution gave; it may be overwritten.
        cascade, layer : which convolution, each from 0; a block has `Backbone.conditioned[0]` such layers.
        """
        raise NotImplementedError

    def of_cascade(self, cascade: int) -> "CascadeCondition":
        """What the block of one cascade, from 0, is given."""
        return CascadeCondition(self, cascade)


@dataclass(frozen=True)
class CascadeCondition:
    """A condition, as the block of one cascade sees it."""

    condition: Condition
    cascade: int

    def __call__(self, layer: int, convolution: nn.Conv2d, image: Tensor, overwrite: bool = False) -> Tensor:
        """Convolve, and apply what follows, the ReLU included.

        Parameters
        ----------
        layer : number of the convolution among the conditioned ones of its block, from 0.
        convolution : with zeros as padding.
        image : (B, C, H, W).
        overwrite : the result may take the image's memory; not where gradients are wanted.
        """
        bias = convolution.bias if self.condition.adds_bias else None
        activation: Tensor = self.condition(convolve(image, convolution, bias, overwrite), self.cascade, layer)
        return activation


class Conditioning(nn.Module):
    """How a network is told the anatomy: not at all, unless a subclass has numbers for each anatomy.

    A conditioning is a module of this package with one subclass, of the same name as this class. One that has numbers
    for each anatomy says `adaptable`, what they are `called`, and gives `new`. Another one gives `of`. Its further
    tensors, which all anatomies share, are the base's.

    Parameters
    ----------
    settings : of the backbone, whose `cascades` and `conditioned` say how many numbers are wanted.
    anatomies : that the network knows at first; none where it is not adaptable.

    Attributes
    ----------
    adaptable : an anatomy can be added to a trained network, by numbers of its own.
    called : one anatomy's numbers, as people say.
    starts_as_none : new numbers change nothing, so that it can be given to a trained network that has none.
    per_anatomy : the numbers of each anatomy, in the order in which they were added.
    """

    adaptable: ClassVar[bool] = False
    called: ClassVar[str] = "adapter"
    starts_as_none: ClassVar[bool] = False

    def __init__(self, settings: Backbone, anatomies: Iterable[str] = ()) -> None:
        super().__init__()
        self.settings = settings
        self.per_anatomy = nn.ModuleDict()
        # Says on which device the network is, also while there are no numbers.
        self.register_buffer("_place", torch.empty(0), persistent=False)
        for anatomy in anatomies if self.adaptable else ():
            self.add(anatomy)

    @property
    def name(self) -> str:
        """By which settings and models name it: that of its module."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def anatomies(self) -> list[str]:
        """The anatomies that it has numbers for."""
        return list(self.per_anatomy)

    @property
    def numbers(self) -> int:
        """How many numbers each anatomy adds to a network."""
        return sum(parameter.numel() for parameter in self.new().parameters()) if self.adaptable else 0

    def new(self) -> Condition:
        """The numbers that an anatomy starts with."""
        raise NotImplementedError

    def of(self, anatomy: str | None) -> Condition:
        """What follows the convolutions for an anatomy.

        Raises
        ------
        UnimriError : when there is nothing for it.
        """
        if anatomy is None or anatomy not in self.per_anatomy:
            known = ", ".join(self.per_anatomy) or "none"
            raise UnimriError(f"anatomy {anatomy!r}: the network has no {self.called} for it; known: {known}")
        condition = self.per_anatomy[anatomy]
        assert isinstance(condition, Condition)
        return condition

    @torch.no_grad()
    def add(self, anatomy: str, like: Sequence[str] = ()) -> Condition:
        """Add an anatomy; the others are not touched.

        Parameters
        ----------
        like : known anatomies whose mean it starts from; without any it starts as a new one.

        Raises
        ------
        UnimriError : when it is known already, or the conditioning is not adaptable.
        """
        if not self.adaptable:
            raise UnimriError(f"anatomy {anatomy!r}: cannot be added to a network whose conditioning is {self.name!r}")
        if anatomy in self.per_anatomy:
            raise UnimriError(f"anatomy {anatomy!r}: the network has an {self.called} for it already; remove it first")
        place: Tensor = self.get_buffer("_place")
        condition = self.new().to(place.device)
        others = [self.of(name) for name in like]
        for name, parameter in condition.named_parameters() if others else ():
            parameter.copy_(torch.stack([other.get_parameter(name) for other in others]).mean(0))
        self.per_anatomy[anatomy] = condition
        return condition

    def remove(self, anatomy: str) -> None:
        """Take an anatomy out.

        Raises
        ------
        UnimriError : when it is not known.
        """
        self.of(anatomy)
        del self.per_anatomy[anatomy]
