"""What one scan measured: k-space, which lines of it, and what its file says of the truth. NumPy alone.

The one form in which readers give k-space, `unimri.load_kspace` gives it and a model takes it. Files and people have
k-space and masks in many shapes; `acquisition` and `line_mask` bring them to this one.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.physics.mask import PHASE_AXES, PhaseEncoding

T = TypeVar("T")


@dataclass(frozen=True)
class Acquisition:
    """One volume's measurements.

    Attributes
    ----------
    kspace : complex64 (slices, coils, rows, columns), finite, centred (DC at n // 2) and orthonormal as
        `unimri.physics.fourier.to_kspace` gives it. Lines that `mask` leaves out may hold anything, and
        are zero in what `measured` gives.
    mask : bool (slices, N) or (1, N), the phase-encoding lines that were sampled, DC at N // 2. Lines of zeros at the
        edges of a complete scan are padding, and count as sampled.
    axis : what the lines are: "columns" or "rows" of k-space.
    size : rows and columns of the image's centre that the file asks for; None keeps all.
    truth : float32 (slices, rows, columns), magnitude of the fully sampled scan, already of that size; None where it
        is not known.
    """

    kspace: NDArray[np.complex64]
    mask: NDArray[np.bool_]
    axis: PhaseEncoding
    size: tuple[int, int] | None = None
    truth: NDArray[np.float32] | None = None

    @property
    def complete(self) -> bool:
        """Whether the scan is fully sampled."""
        return bool(self.mask.all())

    @property
    def acceleration(self) -> float:
        """Lines over lines kept, mean over the slices."""
        return self.mask.shape[-1] / float(self.mask.sum(-1, dtype=np.float64).mean())

    def measured(self) -> NDArray[np.complex64]:
        """K-space, zero where it was not sampled; itself where all of it was."""
        if self.complete:
            return self.kspace
        lines = self.mask[:, None, None, :] if self.axis == "columns" else self.mask[:, None, :, None]
        return np.where(lines, self.kspace, np.complex64(0))

    def cropped(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The centre of images (..., rows, columns) that `size` asks for, pixel for pixel that of `truth`; a view."""
        return images if self.size is None else crop(images, self.size)

    def zero_filled(self) -> NDArray[np.float32]:
        """Images of what was measured, float32 (slices, rows, columns), >= 0; see `image_of`. Not cropped."""
        return np.stack([image_of(slice_) for slice_ in self.measured()])

    def with_truth(self) -> Self:
        """The same, with the truth that a complete scan tells by itself."""
        if self.truth is not None or not self.complete:
            return self
        return replace(self, truth=np.stack([image_of(slice_, self.size) for slice_ in self.kspace]))

    def undersampled(self, mask: NDArray[Any], axis: PhaseEncoding | None = None) -> Self:
        """The same with the lines of another mask instead; shapes and errors as `line_mask`.

        `axis` None: the mask tells it.
        """
        lines, found = line_mask(mask, self.kspace.shape, axis, self.axis)
        return replace(self, mask=lines, axis=found)


class MaskError(UnimriError):
    """A mask that cannot be used: of another shape than its k-space, of points that are no lines, or empty."""

    def __init__(self, fault: Literal["shape", "points", "empty"], message: str) -> None:
        super().__init__(message)
        self.fault = fault


def acquisition(
    kspace: NDArray[Any], mask: NDArray[Any] | None, axis: PhaseEncoding | None, usual: PhaseEncoding
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
            f"k-space has shape {samples.shape}; give (rows, columns), (slices, rows, columns) or "
            "(slices, coils, rows, columns)"
        )
    dimensions = samples.ndim
    if min(samples.shape) < 1:
        raise UnimriError(f"k-space has shape {samples.shape}: it holds no samples")
    if samples.ndim == 2:
        samples = samples[None]
    if samples.ndim == 3:
        samples = samples[:, None]
    if not all(np.isfinite(slice_).all() for slice_ in samples):
        raise UnimriError("k-space has NaN or infinite values; mend or remove the volume")
    if not samples.any():
        raise UnimriError("k-space is zero everywhere; nothing was measured")
    if mask is None:
        found = axis or usual
        lines = sampled_lines(samples, found)
        if lines.all():
            raise UnimriError(
                f"no line ({found}) of the k-space is zero, so that it tells of no mask: it is fully sampled, or phase "
                "encoding steps through the other axis; give the mask"
            )
        lines = _joined(lines)
    else:
        if not np.iscomplexobj(kspace) and mask.ndim > 1 and mask.shape[-1] == 1:
            # It has a last axis for the real and the imaginary part too, as fastMRI's masks do.
            mask = mask[..., 0]
        lines, found = line_mask(mask, samples.shape, axis, usual, dimensions)
    return Acquisition(samples, lines, found)


def line_mask(
    mask: NDArray[Any],
    shape: tuple[int, ...],
    axis: PhaseEncoding | None = None,
    usual: PhaseEncoding = "columns",
    dimensions: int = 4,
) -> tuple[NDArray[np.bool_], PhaseEncoding]:
    """Bring a mask of lines or points to lines.

    Parameters
    ----------
    mask : bool, or numbers that are not 0 where k-space was sampled: (N,), (slices, N), (rows, columns), or any shape
        that broadcasts against k-space, also with a last axis of one for real and imaginary part.
    shape : slices, coils, rows, columns of k-space.
    axis : which lines phase encoding steps through; None: told by the mask.
    usual : the axis where a length fits both.
    dimensions : axes of k-space as it was given: 2 without slices, 3 without coils.

    Returns
    -------
    bool (1, N) or (slices, N), at least one line in each, and what the lines are.

    Raises
    ------
    MaskError : when it has another shape, or keeps no line of a slice, or not whole lines.
    """
    slices, coils, rows, columns = shape
    sizes: dict[PhaseEncoding, int] = {"columns": columns, "rows": rows}
    choices: list[PhaseEncoding] = [axis] if axis else [usual, "rows" if usual == "columns" else "columns"]
    kept = np.atleast_1d(np.asarray(mask) != 0)
    if kept.ndim == dimensions + 1 and kept.shape[-1] == 1:
        # fastMRI's masks have a last axis for the real and the imaginary part.
        kept = kept[..., 0]
    if kept.ndim == 4 and kept.shape[1] == coils and (kept == kept[:, :1]).all():
        # The same for each coil.
        kept = kept[:, :1]
    if kept.ndim == 2 and kept.shape in ((rows, columns), (rows, 1)):
        # Of points, or of rows, and the same for each slice; unless it could be (slices, N) and is not of whole lines.
        lines = _of_points(kept[None], sizes, choices) if kept.shape[1] > 1 else None
        if len(kept) not in (1, slices) or lines is not None:
            kept = kept[None]
    if kept.ndim > 2 and kept.shape[0] in (1, slices) and all(length == 1 for length in kept.shape[1:-2]):
        # (slices or 1, ..., rows or 1, columns or 1)
        lines = _of_points(kept.reshape(kept.shape[0], *kept.shape[-2:]), sizes, choices)
        if lines is None:
            raise MaskError(
                "points", f"the mask {mask.shape} keeps no whole lines; only whole lines can be reconstructed"
            )
        kept, found = lines
    else:
        if kept.ndim == 1:
            kept = kept[None]
        if kept.ndim != 2 or len(kept) not in (1, slices):
            raise MaskError("shape", f"the mask has shape {mask.shape}; give (N,), or (slices, N) for {slices} slices")
        fitting = [name for name in choices if kept.shape[1] == sizes[name]]
        if not fitting:
            raise MaskError(
                "shape",
                f"the mask has {kept.shape[1]} lines, and the k-space {columns} columns and {rows} rows"
                + (f" (phase encoding steps through {axis})" if axis else ""),
            )
        found = fitting[0]
    if not kept.any(-1).all():
        raise MaskError("empty", "the mask keeps no line of a slice; give one that is True where a line was sampled")
    return kept, found


def sampled_lines(kspace: NDArray[np.complex64], axis: PhaseEncoding) -> NDArray[np.bool_]:
    """Lines that are not zero everywhere: bool (slices, N) of k-space (slices, coils, rows, columns)."""
    return np.stack([(slice_ != 0).any(axis=(0, -2 if axis == "columns" else -1)) for slice_ in kspace])


def find_lines(kspace: NDArray[np.complex64], padded: bool = False) -> tuple[NDArray[np.bool_], PhaseEncoding]:
    """Which lines of k-space were sampled, where its file does not say: those that are not zero everywhere.

    Parameters
    ----------
    kspace : (slices, coils, rows, columns), no slice empty.
    padded : whether lines of zeros at the edges are padding, and not missing.

    Returns
    -------
    bool (1, N) or (slices, N), and what the lines are; (1, columns), all True, where none is missing.
    """
    axes: tuple[PhaseEncoding, PhaseEncoding] = ("columns", "rows")
    for axis in axes:
        lines = sampled_lines(kspace, axis)
        if not all(of_slice.all() or (padded and _without_gap(of_slice)) for of_slice in lines):
            return _joined(lines), axis
    return np.ones((1, kspace.shape[-1]), np.bool_), "columns"


def crop(images: T, size: tuple[int, int]) -> T:
    """The centre of images (..., rows, columns), NumPy's or torch's; an axis that is shorter stays as it is. A view.

    As fastMRI crops, so that the pixels are those of its reconstructions: of an odd number that go, one more goes from
    the end.
    """
    rows, columns = (
        slice(max(0, length - kept) // 2, max(0, length - kept) // 2 + kept)
        for length, kept in zip(images.shape[-2:], size, strict=True)  # type: ignore[attr-defined]
    )
    return images[..., rows, columns]  # type: ignore[index]


def image_of(kspace: NDArray[np.complex64], size: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """The image of one slice, as fastMRI's own code computes it.

    Root sum of squares over the coils of the centred orthonormal inverse transform, cropped to its centre.

    Parameters
    ----------
    kspace : (coils, rows, columns), complex64, DC at n // 2. With one coil the result is its magnitude.
    size : see `crop`; None keeps all.

    Returns
    -------
    (rows, columns), float32, >= 0.
    """
    # Here, since torch takes seconds to import, and readers run in processes that need nothing else of it.
    import torch

    from unimri.physics.fourier import combine_coils, to_image

    images = to_image(torch.from_numpy(kspace))
    image: NDArray[np.float32] = combine_coils(images if size is None else crop(images, size)).numpy()
    return image


def _complex(kspace: NDArray[Any]) -> NDArray[np.complex64]:
    if np.iscomplexobj(kspace):
        return np.ascontiguousarray(kspace, np.complex64)
    if kspace.dtype.kind == "f" and kspace.ndim >= 3 and kspace.shape[-1] == 2:
        return np.ascontiguousarray(kspace, np.float32).view(np.complex64)[..., 0]
    raise UnimriError(
        "k-space is not complex; give complex numbers, or real and imaginary part on a last axis of two "
        "(a magnitude image is not k-space: undersample it with `Model.undersample`)"
    )


def _joined(lines: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One mask where all slices have the same."""
    return lines[:1] if (lines == lines[:1]).all() else lines


def _without_gap(lines: NDArray[np.bool_]) -> bool:
    """Whether the lines, of which there are some, are one run with DC in it."""
    kept = np.flatnonzero(lines)
    return bool(len(kept) == kept[-1] - kept[0] + 1 and kept[0] <= len(lines) // 2 <= kept[-1])


def _of_points(
    kept: NDArray[np.bool_], sizes: dict[PhaseEncoding, int], choices: list[PhaseEncoding]
) -> tuple[NDArray[np.bool_], PhaseEncoding] | None:
    """Lines of a mask of points, (slices or 1, rows or 1, columns or 1); None where it is not of whole lines."""
    for name in choices:
        across: Literal[-1, -2] = -2 if PHASE_AXES[name] == -1 else -1
        first = np.take(kept, [0], axis=across)
        other = sizes["rows" if name == "columns" else "columns"]
        if kept.shape[PHASE_AXES[name]] == sizes[name] and kept.shape[across] in (1, other) and (kept == first).all():
            return first.squeeze(across), name
    return None
