"""Masks of 1D Cartesian undersampling: which phase-encoding lines are kept, and their artifact on disk."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field

from unimri.core.arrays import read_npy, read_npz
from unimri.core.artifacts import check_noted, noting
from unimri.core.errors import UnimriError
from unimri.core.plugins import MASK_GROUP, load_plugins, one_of
from unimri.core.settings import Settings
from unimri.physics.acquisition import as_bool
from unimri.physics.mask import MOST, PHASE_AXES, Mask, PhaseEncoding, line_budget


class Gaussian1D(Mask):
    """Lines drawn without replacement, with a Gaussian density over the distance from DC; the count is exact."""

    kind: Literal["gaussian1d"] = "gaussian1d"
    sigma: float = Field(0.09, gt=0, description="standard deviation of the density, as a fraction of the line count N")
    centre_lines: int = Field(
        0, ge=0, description="central lines that are always kept, inside the budget of N / acceleration"
    )
    floor: float = Field(
        0.0, ge=0, description="uniform floor added to the density (peak 1), in units of 1 / acceleration"
    )
    keep_dc: bool = Field(True, description="always keep the DC line, inside the budget")

    def draw(self, size: int, acceleration: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        budget = line_budget(size, acceleration)
        distance = np.arange(size) - size // 2
        density = np.exp(-0.5 * (distance / (self.sigma * size)) ** 2) + self.floor / acceleration
        mask = np.zeros(size, dtype=bool)
        start = size // 2 - self.centre_lines // 2
        mask[start : start + self.centre_lines] = True
        mask[size // 2] |= self.keep_dc
        if mask.sum() > budget:
            raise UnimriError(
                f"mask.centre_lines: {self.centre_lines} central lines do not fit into the {budget} lines that "
                f"acceleration {acceleration:g} leaves of {size}; allowed: at most {budget}"
            )
        # A density that has underflowed to zero far from DC still has to fill the budget.
        density = np.where(mask, 0.0, np.maximum(density, 1e-12))
        drawn = rng.choice(size, budget - int(mask.sum()), replace=False, p=density / density.sum())
        mask[drawn] = True
        return mask


class _FastMRI(Mask):
    """What both masks of fastMRI have."""

    centre_fraction: float = Field(0.08, gt=0, lt=1, description="fraction of lines in the full centre")
    centre_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="fraction of the lines that are kept in the full centre, instead of `centre_fraction`: fewer at a "
        "higher acceleration. fastMRI's own pairs, 8 % at 4x and 4 % at 8x, are 0.32",
    )
    centre_lines: int = Field(0, ge=0, description="lines that the full centre has at least")

    def centre(self, size: int, acceleration: float) -> NDArray[np.bool_]:
        """The full centre: bool (size,).

        Raises
        ------
        UnimriError : when it alone is more than the acceleration allows.
        """
        fraction = self.centre_fraction if self.centre_share is None else self.centre_share / acceleration
        count = max(round(size * fraction), self.centre_lines)
        if count >= size / acceleration:
            key = "centre_fraction" if count > self.centre_lines else "centre_lines"
            raise UnimriError(
                f"mask.{key}: {getattr(self, key):g} alone keeps {count} of {size} lines, more than acceleration "
                f"{acceleration:g} allows; allowed: below {1 / acceleration:.3f} of them"
            )
        start = (size - count + 1) // 2
        centre = np.zeros(size, dtype=bool)
        centre[start : start + count] = True
        return centre


class FastMRIRandom(_FastMRI):
    """fastMRI's `RandomMaskFunc`: a full centre, other lines kept with one probability; the count varies."""

    kind: Literal["fastmri-random"] = "fastmri-random"

    def draw(self, size: int, acceleration: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        centre = self.centre(size, acceleration)
        count = int(centre.sum())
        probability = (size / acceleration - count) / (size - count)
        return centre | (rng.uniform(size=size) < probability)


class FastMRIEquispaced(_FastMRI):
    """fastMRI's `EquispacedMaskFractionFunc`: a full centre and equispaced lines, N / acceleration in all."""

    kind: Literal["fastmri-equispaced"] = "fastmri-equispaced"

    def draw(self, size: int, acceleration: float, rng: np.random.Generator) -> NDArray[np.bool_]:
        mask = self.centre(size, acceleration)
        count = int(mask.sum())
        spacing = acceleration * (count - size) / (count * acceleration - size)
        offset = rng.integers(0, max(round(spacing), 1))
        mask[np.around(np.arange(offset, size - 1, spacing)).astype(int)] = True
        return mask


PRESETS: dict[str, dict[str, Any]] = {
    # Falls from 4x to 6x about as far as the paper's Undersampled row does.
    "paper-like": {"kind": "gaussian1d", "sigma": 0.09, "centre_lines": 0, "floor": 0.0, "keep_dc": True},
    # `cartesian_mask` of Schlemper et al. 2017, its sample_n = 8.
    "schlemper": {"kind": "gaussian1d", "sigma": 0.1, "centre_lines": 8, "floor": 0.5, "per_slice": True},
    "fastmri-random": {"kind": "fastmri-random"},
    "fastmri-equispaced": {"kind": "fastmri-equispaced"},
    # fastMRI's fractions for each acceleration, and lines enough for maps of sensitivities.
    "calibrated": {"kind": "fastmri-equispaced", "centre_share": 0.32, "centre_lines": 8},
}


def _apply_preset(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "preset" in value:
        rest = {key: entry for key, entry in value.items() if key != "preset"}
        if value["preset"] not in list(PRESETS):
            raise ValueError(f"preset {value['preset']!r} is unknown; allowed: {', '.join(PRESETS)}")
        return {"name": value["preset"]} | PRESETS[value["preset"]] | rest
    return {"name": value.get("kind", "")} | value


KINDS: dict[str, type[Mask]] = {
    "gaussian1d": Gaussian1D,
    "fastmri-random": FastMRIRandom,
    "fastmri-equispaced": FastMRIEquispaced,
}
KINDS |= load_plugins(MASK_GROUP, Mask, KINDS, "kind")

if TYPE_CHECKING:
    MaskSettings = Mask
else:
    MaskSettings = Annotated[one_of(KINDS.values(), "kind"), BeforeValidator(_apply_preset)]
"""Settings of any kind of mask: `{preset: NAME, ...changes}` or `{kind: NAME, ...}`."""


class MaskTask(Settings):
    """All that the masks of one acceleration are made from, apart from the acceleration."""

    mask: MaskSettings
    size: int = Field(ge=1, description="phase-encoding lines N, the side of the prepared slices")


@dataclass(frozen=True)
class Masks:
    """The masks of one acceleration.

    Attributes
    ----------
    masks : bool (K, N), DC at N // 2; K is 1 for a fixed mask, else the size of the bank.
    acceleration : the nominal acceleration.
    axis : 'columns' or 'rows'.
    name : what tables call the masks.
    """

    masks: NDArray[np.bool_]
    acceleration: float
    axis: PhaseEncoding
    name: str = ""

    def of_slices(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Masks of the slices with these running numbers: bool (B, N), or (1, N) when one mask serves all."""
        return self.masks if len(self.masks) == 1 else self.masks[numbers % len(self.masks)]

    def check_size(self, size: int) -> None:
        """Raise UnimriError unless the masks are for slices of `size` x `size` pixels."""
        if self.masks.shape[1] != size:
            raise UnimriError(
                f"the mask is for {self.masks.shape[1]} pixels and the slices have {size}; make one of the two again"
            )

    @property
    def achieved_acceleration(self) -> float:
        """N over the mean count of lines kept."""
        return float(self.masks.shape[1] / self.masks.sum(axis=1).mean())


def draw_masks(settings: MaskSettings, size: int, acceleration: float) -> Masks:
    """Draw the masks of one acceleration; the draw depends on the settings' seed, the size and the acceleration only.

    Raises
    ------
    UnimriError : when there is no such acceleration, or the settings do not fit it.
    """
    if not 1 <= acceleration <= MOST:
        raise UnimriError(f"acceleration is {acceleration:g}; allowed: at least 1, and at most {MOST}")
    if size < 2:
        raise UnimriError("one phase-encoding line cannot be undersampled; give images of more, or leave this one out")
    # Acceleration in thousandths: SeedSequence takes whole numbers, and 4 and 4.5 must differ.
    rng = np.random.default_rng([settings.seed, size, round(acceleration * 1000)])
    count = settings.bank if settings.per_slice else 1
    try:
        masks = np.stack([settings.draw(size, acceleration, rng) for _ in range(count)])
    except (ValueError, ArithmeticError) as fault:
        # Numbers that pass one by one, such as a sigma of 1e-320.
        raise UnimriError(
            f"mask {settings.name}: cannot be drawn of {size} lines at acceleration {acceleration:g} ({fault}); "
            "give other settings"
        ) from None
    return Masks(masks, acceleration, settings.axis, settings.name)


def save_masks(masks: Masks, path: Path) -> None:
    """Write masks as `.npz`: `masks` bool (K, N) and `about`, a JSON text."""
    about = json.dumps({"acceleration": masks.acceleration, "axis": masks.axis, "name": masks.name}, sort_keys=True)
    with noting(path) as temporary:
        np.savez(temporary, masks=masks.masks, about=np.array(about))


def load_masks(path: Path) -> Masks:
    """Read what `save_masks` wrote.

    Raises
    ------
    UnimriError : when the file is missing or is not a mask artifact.
    """
    check_noted(path, f"make it again: `unimri masks draw`, or `snakemake --force {path}` with your configuration")
    arrays = read_npz(path, ("masks", "about"))
    try:
        about = json.loads(str(arrays["about"]))
        masks, axis = as_bool(arrays["masks"]), about["axis"]
        if masks.ndim != 2 or not masks.any(-1).all() or axis not in PHASE_AXES:
            raise ValueError("its masks are of another shape, or empty")
        return Masks(masks, float(about["acceleration"]), axis, str(about["name"]))
    except (ValueError, KeyError, TypeError, RecursionError, UnimriError) as fault:
        raise UnimriError(
            f"{path}: not a mask that unimri wrote ({fault}); make it again with `unimri masks draw`"
        ) from None


def read_mask(path: Path) -> tuple[NDArray[np.bool_], PhaseEncoding | None]:
    """Read which lines are kept, from a file as its user has it: bool (N,) or (K, N), DC at N // 2; and what they are.

    Parameters
    ----------
    path : `.npy` of bools or of numbers (0: not sampled), with axes of one beside the lines' if need be, or `.npz` as
        `save_masks` writes it, which alone says whether lines are columns or rows.

    Raises
    ------
    UnimriError : when the file is missing or holds no mask.
    """
    if path.suffix.lower() == ".npz":
        masks = load_masks(path)
        return masks.masks, masks.axis
    stored = read_npy(path)
    try:
        kept = np.squeeze(as_bool(stored))
    except UnimriError as fault:
        raise UnimriError(f"{path}: {fault}") from None
    if kept.ndim not in (1, 2):
        raise UnimriError(f"{path}: holds {stored.dtype} of shape {stored.shape}; give bool (N,)")
    return kept, None
