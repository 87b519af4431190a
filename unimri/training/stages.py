"""The trainings of the paper as data: which network, where it starts, which parameters learn, on which batches."""

from dataclasses import dataclass
from typing import Literal

from unimri.models.settings import Normalisation

StageName = Literal[
    "independent", "shared", "shared_instance_norm", "pretrained", "distilled", "continued", "adapted", "finetuned"
]


@dataclass(frozen=True)
class Stage:
    """One kind of training.

    Attributes
    ----------
    normalisation : of the network.
    from_base : starts from a trained universal network instead of from the initialisation.
    adds_anatomy : its one anatomy is new to that network.
    only_aspin : only the ASPIN of the new anatomy learns.
    in_turn : each batch is of one anatomy, in turn; else slices of all anatomies are mixed.
    distils : learns from frozen teachers by attention transfer.
    """

    normalisation: Normalisation = "none"
    from_base: bool = False
    adds_anatomy: bool = False
    only_aspin: bool = False
    in_turn: bool = False
    distils: bool = False


STAGES: dict[StageName, Stage] = {
    "independent": Stage(),  # S1; also each new anatomy's own network
    "shared": Stage(),
    "shared_instance_norm": Stage("shared"),  # control: Shared with instance normalisation that is not anatomy-specific
    "pretrained": Stage("aspin", in_turn=True),  # S2
    "distilled": Stage("aspin", from_base=True, in_turn=True, distils=True),  # S3
    "continued": Stage("aspin", from_base=True, in_turn=True),  # control: S3's steps without its teachers
    "adapted": Stage("aspin", from_base=True, adds_anatomy=True, only_aspin=True),  # S4
    "finetuned": Stage("aspin", from_base=True, adds_anatomy=True),  # control: S4, but the whole network learns
}
