"""What every kind of mask is; a kind from outside the package is written with this module."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.plugins import Extensible

PhaseEncoding = Literal["columns", "rows"]
"""Which lines of k-space phase encoding steps through: a mask keeps or drops whole columns, or whole rows."""

Sampled = Literal["columns", "rows", "points"]
"""What of k-space a scan keeps or drops: its lines, or as 3D scans in both phase-encoding directions, its points."""

PHASE_AXES: dict[PhaseEncoding, Literal[-1, -2]] = {"columns": -1, "rows": -2}
"""The axis of k-space, (..., rows, columns), that steps from line to line."""

HYBRID_AXES: dict[Sampled, int | tuple[int, int]] = {"columns": -1, "rows": -2, "points": (-2, -1)}
"""Axes along which hybrid k-space is transformed: see `unimri.physics.fourier`."""

MOST = 1000
"""The largest acceleration: there are not as many lines."""

Acceleration = Annotated[float, Field(gt=1, le=MOST)]
"""How many times fewer lines are kept."""


class Mask(Extensible):
    """One kind of mask: its settings, and how it is drawn.

    A kind adds `kind: Literal["its-name"] = "its-name"`, settings of its own, and `draw`.
    """

    name: str = Field(
        "",
        pattern=r"^[a-z0-9-]*$",
        description="what tables and folders call it; by default its preset's name, or its kind's",
    )
    axis: PhaseEncoding = Field("columns", description="which lines of k-space phase encoding steps through")
    per_slice: bool = Field(False, description="draw a mask for each slice, instead of one for all")
    bank: int = Field(
        256, ge=2, le=10_000, description="how many masks are drawn when per_slice is true; slices take them in turn"
    )
    seed: int = Field(0, ge=0, description="seed of the draw")

    def draw(self, size: int, acceleration: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Draw one mask.

        Parameters
        ----------
        size : phase-encoding lines N.
        acceleration : about how many times fewer lines to keep; more than 1.
        rng : the only source of chance.

        Returns
        -------
        bool (size,), DC at size // 2, True where a line is kept.

        Raises
        ------
        UnimriError : when the settings do not fit the acceleration.
        """
        raise NotImplementedError


def line_budget(size: int, acceleration: float) -> int:
    """How many of `size` lines an acceleration keeps: size / acceleration, rounded, at least one."""
    return max(1, round(size / acceleration))
