"""The trainings of the paper as data: which network, where it starts, which parameters learn, on which batches."""

from dataclasses import dataclass
from typing import Literal

StageName = Literal["independent", "shared", "pretrained", "distilled", "continued", "adapted"]


@dataclass(frozen=True)
class Stage:
    """One kind of training.

    Attributes
    ----------
    universal : the network carries ASPIN.
    from_base : starts from a trained universal network instead of from the initialisation.
    only_aspin : only the ASPIN of the (one, new) anatomy learns.
    in_turn : each batch is of one anatomy, in turn; else slices of all anatomies are mixed.
    distils : learns from frozen teachers by attention transfer.
    """

    universal: bool = False
    from_base: bool = False
    only_aspin: bool = False
    in_turn: bool = False
    distils: bool = False


STAGES: dict[StageName, Stage] = {
    "independent": Stage(),  # S1; also each new anatomy's own network
    "shared": Stage(),
    "pretrained": Stage(universal=True, in_turn=True),  # S2
    "distilled": Stage(universal=True, from_base=True, in_turn=True, distils=True),  # S3
    "continued": Stage(universal=True, from_base=True, in_turn=True),  # control: S3's steps without its teachers
    "adapted": Stage(universal=True, from_base=True, only_aspin=True),  # S4
}
