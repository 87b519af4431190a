"""The trainings of the paper as data: which network, where it starts, which parameters learn, on which batches."""

from typing import Literal

from unimri.training.settings import Recipe

StageName = Literal[
    "independent", "shared", "shared_instance_norm", "pretrained", "distilled", "continued", "adapted", "finetuned"
]

_S4 = Recipe(conditioning="aspin", from_base=True, adds_anatomy=True)

STAGES: dict[StageName, Recipe] = {
    "independent": Recipe(),  # S1; also each new anatomy's own network
    "shared": Recipe(),
    # Control: Shared with instance normalisation that is not anatomy-specific.
    "shared_instance_norm": Recipe(conditioning="instance_norm"),
    "pretrained": Recipe(conditioning="aspin", in_turn=True),  # S2
    "distilled": Recipe(conditioning="aspin", from_base=True, in_turn=True),  # S3
    "continued": Recipe(conditioning="aspin", from_base=True, in_turn=True),  # control: S3's steps without its teachers
    "adapted": _S4.model_copy(update={"learns": "conditioning"}),
    "finetuned": _S4,  # control: S4, but the whole network learns
}


def recipe(stage: StageName) -> Recipe:
    """How the trainings of a stage learn."""
    return STAGES[stage]
