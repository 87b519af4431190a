"""K-space and masks in the shapes that people have them in, brought to one."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.physics.fourier import PHASE_AXES

Axis = Literal["columns", "rows"]


@dataclass(frozen=True)
class Acquisition:
    """One volume's measurements.

    Attributes
    ----------
    kspace : complex64 (slices, coils, rows, columns), centred, zero where not sampled.
    mask : bool (slices, N) or (1, N), the phase-encoding lines that were sampled, DC at N // 2.
    axis : -1 or -2, along which `mask` runs.
    dimensions : of what was given: 2 (rows, columns), 3 with slices, 4 with slices and coils.
    """

    kspace: Tensor
    mask: Tensor
    axis: int
    dimensions: int

    @property
    def acceleration(self) -> float:
        """Lines over lines kept, mean over the slices."""
        return self.mask.shape[-1] / float(self.mask.sum(-1, dtype=torch.float64).mean())


def acquisition(
    kspace: NDArray[Any] | Tensor, mask: NDArray[Any] | Tensor | None, axis: Axis | None, usual: Axis
) -> Acquisition:
    """Bring k-space and mask to one shape.

    Parameters
    ----------
    kspace : (rows, columns), (slices, rows, columns) or (slices, coils, rows, columns), DC at n // 2; complex, or real
        with real and imaginary part on a last axis of two, as fastMRI's tensors have them.
    mask : (N,), (slices, N), or any shape that broadcasts against `kspace`, as fastMRI's (1, 1, N, 1) does; True or not
        0 where a line was sampled. None: the lines that are not zero everywhere.
    axis : which lines phase encoding steps through; None: told by the mask, else `usual`.
    usual : what the model was trained with.

    Raises
    ------
    UnimriError : when shapes do not fit together, values are not finite, or no line, or no zero line, can be found.
    """
    samples = _complex(kspace)
    if samples.ndim not in (2, 3, 4):
        raise UnimriError(
            f"k-space has shape {tuple(samples.shape)}; give (rows, columns), (slices, rows, columns) or "
            "(slices, coils, rows, columns)"
        )
    dimensions, shape = samples.ndim, tuple(samples.shape)
    if min(shape) < 1:
        raise UnimriError(f"k-space has shape {shape}: it holds no samples")
    if samples.ndim == 2:
        samples = samples[None]
    if samples.ndim == 3:
        samples = samples[:, None]
    if not torch.isfinite(torch.view_as_real(samples)).all():
        raise UnimriError("k-space has NaN or infinite values; mend or remove the volume")
    if not samples.any():
        raise UnimriError("k-space is zero everywhere; nothing was measured")
    if mask is None:
        lines, found = _found(samples, axis or usual)
    else:
        if not _is_complex(kspace) and mask.ndim > 1 and mask.shape[-1] == 1:
            # It has a last axis for the real and the imaginary part too, as fastMRI's masks do.
            mask = mask[..., 0]
        lines, found = _given(mask, samples, dimensions, axis, usual)
    if not lines.any(-1).all():
        raise UnimriError("the mask keeps no line of a slice; give one that is True where a line was sampled")
    place = PHASE_AXES[found]
    shown = lines[:, None, None, :] if place == -1 else lines[:, None, :, None]
    return Acquisition(samples * shown, lines, place, dimensions)


def _is_complex(kspace: NDArray[Any] | Tensor) -> bool:
    return kspace.is_complex() if isinstance(kspace, Tensor) else np.iscomplexobj(kspace)


def _complex(kspace: NDArray[Any] | Tensor) -> Tensor:
    samples = kspace if isinstance(kspace, Tensor) else torch.from_numpy(np.ascontiguousarray(kspace))
    if samples.is_complex():
        return samples.to(torch.complex64)
    if samples.is_floating_point() and samples.ndim >= 3 and samples.shape[-1] == 2:
        return torch.view_as_complex(samples.float().contiguous())
    raise UnimriError(
        "k-space is not complex; give complex numbers, or real and imaginary part on a last axis of two "
        "(a magnitude image is not k-space: undersample it with `Model.undersample`)"
    )


def _found(samples: Tensor, axis: Axis) -> tuple[Tensor, Axis]:
    """The lines of each slice that are not zero: one mask where all slices have the same."""
    place = PHASE_AXES[axis]
    lines = (samples != 0).any(1).any(-2 if place == -1 else -1)  # (slices, N)
    if lines.all():
        raise UnimriError(
            f"no line ({axis}) of the k-space is zero, so that it tells of no mask: it is fully sampled, or phase "
            "encoding steps through the other axis; give the mask"
        )
    return (lines[:1] if bool((lines == lines[:1]).all()) else lines), axis


def _given(
    mask: NDArray[Any] | Tensor, samples: Tensor, dimensions: int, axis: Axis | None, usual: Axis
) -> tuple[Tensor, Axis]:
    lines = (mask if isinstance(mask, Tensor) else torch.from_numpy(np.ascontiguousarray(mask))) != 0
    lines = lines.to(samples.device)
    slices, coils, rows, columns = samples.shape
    sizes: dict[Axis, int] = {"columns": columns, "rows": rows}
    if lines.ndim == dimensions + 1 and lines.shape[-1] == 1:
        # fastMRI's masks have a last axis for the real and the imaginary part.
        lines = lines[..., 0]
    if lines.ndim == 4 and lines.shape[1] == coils and bool((lines == lines[:, :1]).all()):
        # The same for each coil.
        lines = lines[:, :1]
    if lines.ndim > 2 and lines.shape[0] in (1, slices) and all(length == 1 for length in lines.shape[1:-2]):
        # (slices or 1, ..., rows or 1, columns or 1)
        lines = lines.reshape(lines.shape[0], *lines.shape[-2:])
        choices: list[Axis] = [axis] if axis else [usual, "rows" if usual == "columns" else "columns"]
        for name in choices:
            other = -2 if name == "columns" else -1
            first = lines.narrow(other, 0, 1)
            if lines.shape[PHASE_AXES[name]] == sizes[name] and bool((lines == first).all()):
                return first.squeeze(other), name
        raise UnimriError(f"the mask {tuple(mask.shape)} keeps no whole lines; only whole lines can be reconstructed")
    if lines.ndim == 2 and len(lines) not in (1, slices) and tuple(lines.shape) in ((rows, columns), (rows, 1)):
        # Of points, or of rows, and the same for each slice.
        return _given(lines[None], samples, dimensions, axis, usual)
    if lines.ndim == 1:
        lines = lines[None]
    if lines.ndim != 2 or lines.shape[0] not in (1, slices):
        raise UnimriError(f"the mask has shape {tuple(mask.shape)}; give (N,), or (slices, N) for {slices} slices")
    fitting = [name for name in sizes if lines.shape[1] == sizes[name] and axis in (None, name)]
    if not fitting:
        raise UnimriError(
            f"the mask has {lines.shape[1]} lines, and the k-space {columns} columns and {rows} rows"
            + (f" (phase encoding steps through {axis})" if axis else "")
        )
    return lines, usual if usual in fitting else fitting[0]
