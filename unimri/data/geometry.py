"""The geometry of prepared slices: one size for all, by cropping or resizing."""

from typing import Literal

import numpy as np
import skimage
from numpy.typing import NDArray
from pydantic import Field

from unimri.core.settings import Settings

Geometry = Literal["crop", "resize"]
"""How slices come to one size: the setting `fit` of an anatomy."""


class SliceSettings(Settings):
    image_size: int = Field(320, ge=8, le=4096, description="Side of the prepared slices in pixels.")
    crop: int = Field(
        320,
        ge=8,
        le=4096,
        description="Side of the centre crop in the scanner's pixels, where an anatomy is cropped.",
    )
    smoothing: float | None = Field(
        None,
        ge=0,
        le=10,
        description="Standard deviation, in prepared pixels, of the Gaussian low-pass before slices are made smaller; "
        "null: scikit-image's rule, (factor - 1) / 2 of the scanner's pixels. The outer lines of a full-size scan hold "
        "little signal; of one that is made much smaller they hold a lot, unless it is smoothed.",
    )


def to_size(volume: NDArray[np.float32], geometry: Geometry, settings: SliceSettings) -> NDArray[np.float32]:
    """Bring the slices of a volume to the prepared size.

    Parameters
    ----------
    volume : (slices, rows, columns), float32, >= 0.
    geometry : see `prepare_shard`.
    settings : `image_size` and `crop` count.

    Returns
    -------
    (slices, image_size, image_size), float32, >= 0.
    """
    if geometry == "crop":
        volume = centre_crop(volume, settings.crop)
    size = (settings.image_size, settings.image_size)
    if volume.shape[1:] == size:
        return volume
    resized = np.empty((len(volume), *size), dtype=np.float32)
    sigma = None
    if settings.smoothing is not None:
        factors = (length / settings.image_size for length in volume.shape[1:])
        sigma = [settings.smoothing * factor if factor > 1 else 0.0 for factor in factors]
    for index, slice_ in enumerate(volume):
        resized[index] = skimage.transform.resize(
            slice_, size, order=1, anti_aliasing=True, anti_aliasing_sigma=sigma, preserve_range=True
        )
    return np.clip(resized, 0, None, out=resized)


def centre_crop(volume: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Centre `size` x `size` pixels of each slice, with zeros around where the slice is smaller.

    The pixel n // 2 of n, the centre of the Fourier transform, becomes pixel size // 2, also where an even length is
    cropped to an odd one; `unimri.physics.acquisition.crop` keeps the pixels that fastMRI's files have.
    """
    if volume.shape[1:] == (size, size):
        return volume
    result = np.zeros((len(volume), size, size), dtype=np.float32)
    to_rows, from_rows = _overlap(volume.shape[1], size)
    to_columns, from_columns = _overlap(volume.shape[2], size)
    result[:, to_rows, to_columns] = volume[:, from_rows, from_columns]
    return result


def _overlap(length: int, size: int) -> tuple[slice, slice]:
    """Where the overlap of two centred intervals lies in the new one and in the old one."""
    offset = length // 2 - size // 2
    new, old = max(0, -offset), max(0, offset)
    overlap = min(size - new, length - old)
    return slice(new, new + overlap), slice(old, old + overlap)
