"""The methods that are compared, as data."""

from dataclasses import dataclass
from typing import Literal

from unimri.core.errors import UnimriError


@dataclass(frozen=True)
class Method:
    """One row of Table 1.

    Attributes
    ----------
    key : the method's name in files and paths.
    label : its name in tables and figures.
    kind : 'paper' when the paper has it (Liu et al., MICCAI 2021, Table 1), 'control' for a training of ours that tests
        what the paper's comparison leaves open, 'classical' for an iterative reconstruction without training.
    note : what it is, for those that the paper does not have.
    """

    key: str
    label: str
    kind: Literal["paper", "control", "classical"] = "paper"
    note: str = ""

    @property
    def in_paper(self) -> bool:
        """Whether the paper has it."""
        return self.kind == "paper"


METHODS = (
    Method("undersampled", "Undersampled"),
    Method(
        "total_variation",
        "Total variation",
        "classical",
        "compressed sensing with an isotropic total variation penalty, its weight tuned on validation",
    ),
    Method(
        "wavelet",
        "Wavelet",
        "classical",
        "compressed sensing with an L1 penalty on wavelet coefficients, its weight tuned on validation",
    ),
    Method("independent", "Independent"),
    Method("shared", "Shared"),
    Method(
        "shared_instance_norm",
        "Shared, IN",
        "control",
        "Shared with plain instance normalisation, one set of parameters for all anatomies",
    ),
    Method(
        "shared_all",
        "Shared, all",
        "control",
        "Shared trained on the slices of all anatomies, the new ones too",
    ),
    Method("proposed", "Proposed"),
    Method("without_distillation", "w/o MD"),
    Method(
        "without_distillation_longer",
        "w/o MD, trained on",
        "control",
        "w/o MD trained on for as many steps as Proposed has more, without the distillation term",
    ),
)
"""Every method, in the order of the rows of Table 1."""


def layer_of(key: str) -> int | None:
    """The layer that a method distils which is a row of Table S2 and not of Table 1; None for the others."""
    number = key.removeprefix("layer")
    return int(number) if number != key and number.isdecimal() else None


def place_of(key: str) -> int:
    """Where a method stands in tables: those of Table 1 in their order, then the layers in theirs.

    Raises
    ------
    UnimriError : as `method`.
    """
    layer = layer_of(method(key).key)
    return [known.key for known in METHODS].index(key) if layer is None else len(METHODS) + layer


def method(key: str) -> Method:
    """Give the method of this key; `layer2` is Proposed with layer 2 distilled (Table S2).

    Raises
    ------
    UnimriError : when there is none; the message lists the keys that are allowed.
    """
    for known in METHODS:
        if known.key == key:
            return known
    if (layer := layer_of(key)) is not None:
        return Method(key, f"layer {layer}")
    raise UnimriError(f"method {key!r} is unknown; allowed: {', '.join(known.key for known in METHODS)}, layer1, ...")
