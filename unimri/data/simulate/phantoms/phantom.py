"""What every phantom is: one simulated patient of one anatomy, a function of place, contrast and time."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from unimri.data.simulate.phantoms.canvas import Canvas, Plane, Pose


def signals_by_contrast(
    contrasts: tuple[str, ...], tissues: dict[str, tuple[float, ...]]
) -> dict[str, dict[str, float]]:
    """Turn a table with a row for each tissue and a column for each contrast into signals by contrast."""
    return {
        contrast: {tissue: row[column] for tissue, row in tissues.items()} for column, contrast in enumerate(contrasts)
    }


class Phantom(ABC):
    """One simulated patient. Equal generators give equal patients.

    Attributes
    ----------
    layout : name of the file layout in which this anatomy's real data set comes; see `layouts`.
    tissues : relative signal of each tissue, by contrast: the contrasts this anatomy is scanned with, in
        order.
    field_of_view : width of the picture, mm.
    coverage : lowest and highest slice, mm.
    sagittal : whether slices stand sagittal (columns run from front to back) rather than axial.
    pose : how this patient is built and lies.
    """

    layout: ClassVar[str]
    tissues: ClassVar[dict[str, dict[str, float]]]
    field_of_view: ClassVar[float]
    coverage: ClassVar[tuple[float, float]]
    sagittal: ClassVar[bool] = False
    pose: Pose

    def __init__(self, rng: np.random.Generator) -> None:
        # Relaxation times differ between people, so a tissue is lighter or darker in all contrasts of a
        # patient.
        names = sorted({tissue for table in self.tissues.values() for tissue in table})
        self._tint = {name: float(np.clip(rng.normal(1, 0.06), 0.85, 1.15)) for name in names}

    def signals(self, contrast: str) -> dict[str, float]:
        """Give this patient's signal of each tissue in a contrast."""
        return {tissue: value * self._tint[tissue] for tissue, value in self.tissues[contrast].items()}

    @abstractmethod
    def draw(self, plane: Plane, contrast: str, phase: float = 0.0) -> Canvas:
        """Draw one noiseless slice.

        Parameters
        ----------
        plane : the grid and the height.
        contrast : one of `tissues`.
        phase : time in the cardiac cycle, 0 (end of diastole) to 1; anatomies that do not beat ignore it.
        """
