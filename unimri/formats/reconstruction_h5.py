"""Reconstructions as fastMRI's tools exchange them: one dataset, `reconstruction`, in an HDF5 file."""

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from unimri.core.artifacts import replacing
from unimri.formats.scan import Made


def write_reconstruction(images: NDArray[np.float32], target: Path, made: Made) -> list[Path]:
    """Write a file as fastMRI's own `save_reconstructions` does, with attributes that say how it was made.

    Nothing is taken over from the input, whose header names the patient, so that it is the same with and without
    `made.deidentify`.

    Parameters
    ----------
    images : (slices, rows, columns), float32.
    """
    with replacing(target) as temporary, h5py.File(temporary, "w") as file:
        file.create_dataset("reconstruction", data=images)
        file.attrs.update(
            {
                "made_by": f"unimri {made.version}",
                "model": made.model,
                "anatomy": made.anatomy,
                "acceleration": made.acceleration,
                "retrospective": made.retrospective,
            }
        )
    return [target]
