"""Which phantoms there are, and what one simulated data set is made of.

To simulate another anatomy, write its module in `phantoms/` and add its line here. One that stays outside is an entry
point: docs/extending.md.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import Field, field_validator

from unimri.core.plugins import PHANTOM_GROUP, Extensible, load_plugins, package_of
from unimri.data.simulate.phantoms.abdomen import Abdomen
from unimri.data.simulate.phantoms.brain import Brain
from unimri.data.simulate.phantoms.cardiac import Cardiac
from unimri.data.simulate.phantoms.knee import Knee
from unimri.data.simulate.phantoms.phantom import Phantom
from unimri.data.simulate.phantoms.prostate import Prostate

PHANTOMS: dict[str, type[Phantom]] = {
    "brain": Brain,
    "knee": Knee,
    "cardiac": Cardiac,
    "abdomen": Abdomen,
    "prostate": Prostate,
}


@cache
def phantoms() -> dict[str, type[Phantom]]:
    """All phantoms by name: these, and those of installed packages."""
    # Not when this module is imported: a phantom of another package imports modules beside it.
    return PHANTOMS | load_plugins(PHANTOM_GROUP, Phantom, PHANTOMS)


class SimulationSettings(Extensible):
    """One simulated data set. Its file layout is that of the anatomy's real data set."""

    anatomy: str = Field(
        description=f"Which phantom is scanned: one of {', '.join(PHANTOMS)}, or of an installed package."
    )
    patients: int = Field(default=10, ge=1, le=999, description="Number of patients.")
    slices: int = Field(default=10, ge=1, le=200, description="Slices of each volume, spread over the anatomy.")
    series: int = Field(
        default=2,
        ge=1,
        le=20,
        description="fastmri-dicom only: series of each patient, each of another contrast until none is "
        "left; the other layouts hold all of an anatomy's contrasts.",
    )
    frames: int = Field(default=6, ge=1, le=100, description="acdc only: pictures of one heartbeat.")
    matrix_sizes: list[int] = Field(
        default=[320, 256, 384],
        min_length=1,
        description="Columns of the pictures, in pixels; patients, and their series, take them in turn.",
    )
    noise: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        description="Standard deviation of the noise in each of the real and imaginary parts, as a fraction "
        "of the volume's noiseless maximum, at 320 columns; in proportion to the columns, since smaller "
        "pixels hold less signal.",
    )

    @classmethod
    def _package(cls, content: Mapping[str, Any]) -> str:
        phantom = phantoms().get(str(content.get("anatomy")))
        return "" if phantom is None else package_of(phantom)

    @field_validator("anatomy")
    @classmethod
    def _anatomy_is_known(cls, anatomy: str) -> str:
        if anatomy not in phantoms():
            raise ValueError(f"no phantom is called '{anatomy}'; choose one of {', '.join(phantoms())}")
        return anatomy

    @field_validator("matrix_sizes")
    @classmethod
    def _matrices_are_usable(cls, sizes: list[int]) -> list[int]:
        if any(not 16 <= size <= 1024 for size in sizes):
            raise ValueError("each matrix size must be from 16 to 1024")
        return sizes
