"""Which studies an experiment makes beside the paper's Table 1."""

from typing import Annotated

from pydantic import Field, field_validator

from unimri.core.settings import Settings
from unimri.physics.masks import MaskSettings
from unimri.training.methods import METHODS

Count = Annotated[int, Field(ge=1)]


def _of_kind(kind: str, keys: list[str]) -> list[str]:
    allowed = [method.key for method in METHODS if method.kind == kind]
    if unknown := [key for key in keys if key not in allowed]:
        raise ValueError(f"{', '.join(unknown)}: no such method; allowed: {', '.join(allowed)}")
    return keys


class Robustness(Settings):
    """Trained networks on samplings and noise that they were not trained for."""

    methods: list[str] = Field(
        ["undersampled", "independent", "shared", "proposed"], description="methods of Table 1 to try"
    )
    accelerations: list[Annotated[float, Field(gt=1)]] = Field([], description="others than the trained one")
    masks: list[MaskSettings] = Field([], description="others than the trained one, at the trained acceleration")
    noise: list[Annotated[float, Field(gt=0)]] = Field(
        [],
        description="standard deviations of complex Gaussian noise in k-space, each of real and imaginary part, on the "
        "scale of the prepared slices, whose volumes reach from 0 to 1 (the FFT is orthonormal)",
    )

    @field_validator("methods")
    @classmethod
    def _known(cls, methods: list[str]) -> list[str]:
        allowed = [method.key for method in METHODS]
        if unknown := [key for key in methods if key not in allowed]:
            raise ValueError(f"{', '.join(unknown)}: no such method; allowed: {', '.join(allowed)}")
        return methods


class Studies(Settings):
    """Each is left out by an empty list, or false."""

    controls: list[str] = Field([], description="rows of Table 1 that test what the paper's comparison leaves open")
    classical: list[str] = Field([], description="rows of Table 1 that no training stands behind")
    layers: list[Count] = Field([], description="layers to distil, for Table S2, beside distillation.layer")
    patients: list[Count] = Field(
        [],
        description="S4 against fine-tuning of the whole network and training from scratch, on so many training "
        "patients of each new anatomy, and on all of them",
    )
    masks: list[MaskSettings] = Field(
        [], description="other masks, with each of which all of Table 1 is trained and scored again"
    )
    robustness: Robustness = Field(default_factory=Robustness)
    slices: int | None = Field(
        None,
        ge=1,
        description="robustness and the matrix of ASPINs score at most so many slices of an anatomy, evenly spaced; "
        "null: all",
    )
    aspin_matrix: bool = Field(True, description="score each anatomy with every anatomy's ASPIN")

    @field_validator("controls")
    @classmethod
    def _controls(cls, keys: list[str]) -> list[str]:
        return _of_kind("control", keys)

    @field_validator("classical")
    @classmethod
    def _classical(cls, keys: list[str]) -> list[str]:
        return _of_kind("classical", keys)

    @property
    def methods(self) -> list[str]:
        """Keys of the rows of Table 1, in their order."""
        chosen = {*self.controls, *self.classical}
        return [method.key for method in METHODS if method.in_paper or method.key in chosen]
