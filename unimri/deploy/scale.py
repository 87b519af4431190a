"""The intensity scale: networks see images in [0, 1], and what a scan's largest intensity is has to be estimated."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.physics.fourier import PHASE_AXES, lines, undersample
from unimri.physics.masks import Masks

if TYPE_CHECKING:
    # Whoever reconstructs needs no prepared data.
    from unimri.data.store import PreparedData

_BATCH = 16


def estimated_scale(zero_filled: Tensor, factor: float) -> Tensor:
    """Estimate the largest intensity of a volume that is not known fully sampled.

    Parameters
    ----------
    zero_filled : complex (slices, coils, rows, columns).
    factor : of the anatomy, from `scale_factor`.

    Returns
    -------
    (coils, 1, 1), > 0: the largest magnitude of the zero-filled volume of each coil, times the factor; 1 for a coil
    that measured nothing.
    """
    peak = zero_filled.abs().amax((0, 2, 3))
    return torch.where(peak > 0, peak * factor, torch.ones_like(peak))[:, None, None]


def scale_factor(data: "PreparedData", masks: Masks) -> float:
    """The median, over the volumes of a validation split, of largest intensity over that of the zero-filled volume.

    Raises
    ------
    UnimriError : when the split has no volume, or the mask is for another size.
    """
    masks.check_size(data.image_size)
    slices, axis, ratios = data.split("validation"), PHASE_AXES[masks.axis], []
    for _, _, numbers in slices.volumes():
        peak = 0.0
        for part in np.split(numbers, range(_BATCH, len(numbers), _BATCH)):
            sampled = lines(torch.from_numpy(masks.of_slices(part)), axis)
            zero_filled, _ = undersample(torch.from_numpy(slices.batch(part)), sampled, axis)
            peak = max(peak, float(zero_filled.abs().max()))
        # Prepared volumes are scaled to a largest intensity of 1.
        ratios.append(1 / peak)
    if not ratios:
        raise UnimriError(f"{data.folder}: its validation split has no volume; prepare it again with more patients")
    return float(np.median(ratios))
