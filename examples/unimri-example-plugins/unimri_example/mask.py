"""A mask that keeps the centre of k-space and nothing else: low resolution."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from unimri.physics.mask import Mask, line_budget


class CentreOnly(Mask):
    """The central size / acceleration lines, `offset` lines beside DC."""

    kind: Literal["centre-only"] = "centre-only"
    offset: int = Field(0, ge=0, le=4, description="lines by which the block lies beside DC")

    def draw(self, size: int, acceleration: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        count = line_budget(size, acceleration)
        start = size // 2 - count // 2 + self.offset
        mask = np.zeros(size, dtype=bool)
        mask[start : start + count] = True
        return mask
