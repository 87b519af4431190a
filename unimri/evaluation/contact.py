"""The contact sheet of an anatomy: what was prepared, at a glance."""

from pathlib import Path

import numpy as np

from unimri.data.store import PreparedData
from unimri.evaluation.figures import contact_sheet


def picture_data(data: Path, output: Path) -> None:
    """Draw the middle slice of up to 24 volumes of an anatomy, with the split that each is in."""
    prepared = PreparedData(data)
    pictures, titles = [], []
    for split in ("train", "validation", "test"):
        slices = prepared.split(split)
        middle: dict[str, list[int]] = {}
        for number in range(len(slices)):
            middle.setdefault(slices.volume_of(number)[0], []).append(number)
        for numbers in list(middle.values())[:8]:
            pictures.append(slices[numbers[len(numbers) // 2]])
            titles.append(split)
    contact_sheet(np.stack(pictures), titles, output)
