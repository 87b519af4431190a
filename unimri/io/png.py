"""Slices as grey PNGs, for a look at them: the scale is lost."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unimri.core.artifacts import replacing


def write_png(images: NDArray[np.float32], folder: Path, bits: Literal[8, 16] = 16) -> list[Path]:
    """Write each slice as `slice-0001.png`, the folder whole or not at all.

    Parameters
    ----------
    images : (slices, rows, columns), float32, >= 0; 0 becomes black and the volume's maximum white.
    folder : is made, or replaced.
    bits : of a pixel.
    """
    kind = np.uint16 if bits == 16 else np.uint8
    scale = np.iinfo(kind).max / (float(images.max()) or 1.0)
    names = [f"slice-{number:04d}.png" for number in range(1, len(images) + 1)]
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, image in zip(names, images, strict=True):
            Image.fromarray(np.rint(image.astype(np.float64) * scale).astype(kind)).save(temporary / name)
    return [folder / name for name in names]
