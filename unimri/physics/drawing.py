"""What is drawn for slices of which only the magnitude is known: its settings, and patches and masks. NumPy alone.

What is drawn for a slice follows from its key, so that a training can resume anywhere, processes that share a batch
draw what one would, and methods are compared on the same. Coils, phase and noise: `unimri.physics.coils`.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from unimri.core.settings import Settings
from unimri.physics.mask import Acceleration
from unimri.physics.masks import MaskSettings

# What a patch holds at least, in the mean, on the scale of [0, 1], and how often one is looked for.
_SIGNAL, _ATTEMPTS = 0.03, 8


class AcquisitionSettings(Settings):
    """What trainings draw for slices of which only the magnitude is known. None of it is the paper.

    With any of it, a slice's k-space is what coils would have measured of the slice with a phase, with noise.
    """

    coils: list[Annotated[int, Field(ge=1, le=64)]] = Field(
        [1],
        min_length=1,
        description="how many coils, of which one number is drawn for a batch; validation has the most",
    )
    phase: float = Field(
        0, ge=0, le=10, description="largest root mean square of a slice's smooth phase, in radians; drawn up to it"
    )
    tissues: float = Field(
        0,
        ge=0,
        le=3.2,
        description="largest phase between two kinds of tissue, in radians, that steps where they meet, as where fat "
        "is out of phase with water; drawn up to it",
    )
    noise: float = Field(
        0,
        ge=0,
        le=1,
        description="largest standard deviation of complex noise in k-space, of real and imaginary part each, on the "
        "slices' scale of [0, 1]; drawn up to it",
    )
    truth: Literal["noiseless", "measured"] = Field(
        "noiseless",
        description="what networks are to give, and are scored against: slices without that noise; or with it, as they "
        "would have been measured whole, which is all the truth that a scan has",
    )
    patch: int | None = Field(
        None,
        ge=8,
        description="train on patches of so many pixels, turned and mirrored at random, half of them of slices of half "
        "the size; null: whole slices",
    )
    masks: list[MaskSettings] = Field(
        [], description="train with masks of these kinds, drawn for each slice; none: with the experiment's own"
    )
    accelerations: tuple[Acceleration, Acceleration] = Field(
        (2, 8), description="smallest and largest acceleration of those `masks`"
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.accelerations[0] > self.accelerations[1]:
            raise ValueError(f"accelerations: {list(self.accelerations)} falls; give the smaller one first")
        if self.patch is not None and not self.masks:
            raise ValueError("masks: empty; patches need masks of their own size, so name their kinds")
        return self


def cut(
    settings: AcquisitionSettings, slices: NDArray[np.float32], keys: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Cut a patch out of each slice, turned and mirrored at random; whole slices without a size of patches.

    Half of them are cut out of a slice of half the size, where that is not smaller than a patch.

    Parameters
    ----------
    slices : float32 (B, n, n).
    keys : what each slice's draws follow from, whole numbers >= 0.

    Returns
    -------
    float32 (B, p, p).
    """
    size = settings.patch
    if size is None:
        return slices
    cut_out = np.empty((len(slices), size, size), np.float32)
    for place, slice_, key in zip(cut_out, slices, keys, strict=True):
        rng = np.random.default_rng([*key, 0])
        half = len(slice_) // 2
        if half >= size and rng.random() < 0.5:
            slice_ = slice_[: 2 * half, : 2 * half].reshape(half, 2, half, 2).mean((1, 3))
        for _ in range(_ATTEMPTS):
            row, column = rng.integers(0, len(slice_) - size + 1, 2)
            patch = slice_[row : row + size, column : column + size]
            if patch.mean() > _SIGNAL:
                break
        patch = np.rot90(patch, int(rng.integers(4)))
        place[...] = patch.T if rng.random() < 0.5 else patch
    return cut_out


def draw_masks(settings: AcquisitionSettings, size: int, keys: Sequence[Sequence[int]]) -> NDArray[np.bool_]:
    """Draw a mask for each slice: bool (B, size), DC at size // 2; parameters as of `cut`."""
    drawn = []
    for key in keys:
        rng = np.random.default_rng([*key, 1])
        kind = settings.masks[rng.integers(len(settings.masks))]
        drawn.append(kind.draw(size, rng.uniform(*settings.accelerations), rng))
    return np.stack(drawn)
