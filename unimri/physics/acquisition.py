"""What one scan measured: k-space, which lines of it, and what its file says of the truth. NumPy alone.

The one form in which readers give k-space, `unimri.load_kspace` gives it and a model takes it. Files and people have
k-space and masks in many shapes; `acquisition` and `line_mask` bring them to this one.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from unimri.core.errors import UnimriError
from unimri.core.stacks import Mapped, Stack, in_memory
from unimri.physics.mask import PHASE_AXES, PhaseEncoding, Sampled

T = TypeVar("T")

# How many more lines may lie on one side of DC than on the other where both ends are padding: their number may be even.
_ASYMMETRY = 1

# K-space has most of its energy around DC: a sum over the other axes that is this many times the usual one is there.
_PEAK = 10


@dataclass(frozen=True)
class Acquisition:
    """One volume's measurements.

    Attributes
    ----------
    kspace : complex64 (slices, coils, rows, columns), finite, centred (DC at n // 2) and orthonormal as
        `unimri.physics.fourier.to_kspace` gives it. Lines that `mask` leaves out may hold anything, and
        are zero in what `measured` gives.
    mask : bool (slices, N) or (1, N), the phase-encoding lines that were sampled, DC at N // 2; of points (slices,
        rows, columns) or (1, rows, columns). Lines of zeros at the edges of a complete scan are padding, and count as
        sampled.
    axis : what the mask keeps: "columns", "rows" or "points" of k-space.
    size : rows and columns of the image's centre that the file asks for; None keeps all.
    truth : float32 (slices, rows, columns), magnitude of the fully sampled scan, already of that size; None where it
        is not known.

    Of an opened scan `kspace` and `truth` are a `Stack`, read when they are asked for; else they are arrays.
    """

    kspace: Any
    mask: NDArray[np.bool_]
    axis: Sampled
    size: tuple[int, int] | None = None
    truth: Any = None

    def __repr__(self) -> str:
        slices, coils, rows, columns = self.kspace.shape
        kept = self.axis if self.axis == "points" else f"lines are {self.axis}"
        lines = "complete" if self.complete else f"{self.acceleration:.2f}x, {kept}"
        truth = "" if self.truth is None else ", with truth"
        return f"Acquisition({slices} slices, {coils} coils, {rows} x {columns}, {lines}{truth})"

    @property
    def complete(self) -> bool:
        """Whether the scan is fully sampled."""
        return bool(self.mask.all())

    @property
    def acceleration(self) -> float:
        """Lines (or points) over those kept, mean over the slices; infinite where none is."""
        kept = float(self.mask.mean(dtype=np.float64))
        return 1 / kept if kept else np.inf

    def measured(self, part: slice = slice(None)) -> NDArray[np.complex64]:
        """K-space of some slices, zero where it was not sampled; itself where all of it was."""
        kspace: NDArray[np.complex64] = self.kspace[part]
        if self.complete:
            return kspace if part != slice(None) else self.kspace
        mask = self.mask if len(self.mask) == 1 else self.mask[part]
        return np.where(as_points(mask, self.axis)[:, None], kspace, np.complex64(0))

    def mask_of(self, number: int) -> NDArray[np.bool_]:
        """The mask of one slice, (N,) or (rows, columns)."""
        own: NDArray[np.bool_] = self.mask[number if len(self.mask) > 1 else 0]
        return own

    @property
    def image_size(self) -> tuple[int, int]:
        """Rows and columns of what `cropped` gives."""
        rows, columns = self.kspace.shape[-2:]
        return (rows, columns) if self.size is None else (min(rows, self.size[0]), min(columns, self.size[1]))

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
        truth: Stack = Mapped(self.kspace, lambda slice_: image_of(slice_, self.size), self.image_size)
        return replace(self, truth=in_memory(truth) if isinstance(self.kspace, np.ndarray) else truth)

    def undersampled(self, mask: NDArray[Any], axis: PhaseEncoding | None = None) -> Self:
        """The same with the lines, or points, of another mask instead; shapes and errors as `line_mask`.

        `axis` None: the mask tells it.
        """
        usual = "columns" if self.axis == "points" else self.axis
        lines, found = line_mask(mask, self.kspace.shape, axis, usual)
        return replace(self, mask=lines, axis=found)


def as_points(mask: NDArray[np.bool_], axis: Sampled) -> NDArray[np.bool_]:
    """A mask of lines, (K, N), or of points so that it broadcasts against (K, rows, columns)."""
    if axis == "points":
        return mask
    return mask[:, None, :] if axis == "columns" else mask[:, :, None]


MaskFault = Literal["shape", "axis", "points", "empty", "values"]


class MaskError(UnimriError):
    """A mask that cannot be used, or does not fit its k-space.

    Attributes
    ----------
    fault : of another shape than k-space; as long as the axis that phase encoding usually does not step through; of
        points where lines are asked for; empty; or of values that are no finite numbers.
    """

    def __init__(self, fault: MaskFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class AxesError(UnimriError):
    """K-space whose axes are not (slices, coils, rows, columns), or its DC not at n // 2: its energy is elsewhere."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"k-space {reason}; {mend}")
        self.reason, self.mend = reason, mend


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
    UnimriError : when shapes do not fit together, values are not finite, axes are in another order, points were
        measured where `axis` or the mask names lines, or no line, or no zero line, can be found.
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
    check_axes(samples)
    if mask is None:
        lines, found, _ = Sampling.of(samples).lines((axis or usual,))
        if axis is not None and found != axis:
            raise MaskError("points", f"points of k-space and not whole {axis} were measured; leave the axis out")
        if lines.all():
            raise UnimriError(
                f"no line ({found}) of the k-space is zero between others, so that it tells of no mask: it is fully "
                "sampled (zeros at both edges are padding), or phase encoding steps through the other axis; give the "
                "mask"
            )
    else:
        if not np.iscomplexobj(kspace) and mask.ndim > 1 and mask.shape[-1] == 1:
            # It has a last axis for the real and the imaginary part too, as fastMRI's masks do.
            mask = mask[..., 0]
        lines, found = line_mask(mask, samples.shape, axis, usual, dimensions)
        check_whole(samples, lines, found)
    return Acquisition(samples, lines, found)


def line_mask(
    mask: NDArray[Any],
    shape: tuple[int, ...],
    axis: PhaseEncoding | None = None,
    usual: PhaseEncoding = "columns",
    dimensions: int = 4,
) -> tuple[NDArray[np.bool_], Sampled]:
    """Bring a mask to lines, or to points where it keeps no whole lines.

    Parameters
    ----------
    mask : bool, or numbers that are not 0 where k-space was sampled: (N,), (slices, N), (rows, columns), or any shape
        that broadcasts against k-space, also with a last axis of one for real and imaginary part.
    shape : slices, coils, rows, columns of k-space.
    axis : which lines phase encoding steps through; None: told by the mask's shape.
    usual : the axis of a mask whose shape does not tell it.
    dimensions : axes of k-space as it was given: 2 without slices, 3 without coils.

    Returns
    -------
    bool (1, N) or (slices, N), at least one line in each, and what the lines are; of points (1, rows, columns) or
    (slices, rows, columns).

    Raises
    ------
    MaskError : when it has another shape, values that are no finite numbers, or keeps no line of a slice, or not whole
        lines where `axis` names them; and when it is as long as the axis that is not the usual one alone, which is more
        often a mask of another scan than one of the other axis.
    """
    slices, coils, rows, columns = shape
    sizes: dict[PhaseEncoding, int] = {"columns": columns, "rows": rows}
    choices: list[PhaseEncoding] = [axis] if axis else [usual, "rows" if usual == "columns" else "columns"]
    kept = np.atleast_1d(as_bool(np.asarray(mask)))
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
        points = kept.reshape(kept.shape[0], *kept.shape[-2:])
        if lines is None and axis is None and points.shape[1:] == (rows, columns):
            lines = points, "points"
        if lines is None:
            raise MaskError(
                "points" if points.shape[1:] == (rows, columns) else "shape",
                f"the mask {mask.shape} keeps no whole lines of k-space with {rows} rows and {columns} columns",
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
        if axis is None and found != usual:
            raise MaskError(
                "axis",
                f"the mask has {kept.shape[1]} lines, and the k-space {sizes[usual]} {usual}, which phase encoding "
                f"usually steps through; if the lines are its {sizes[found]} {found}, give the mask as (rows, columns)",
            )
    if not kept.reshape(len(kept), -1).any(-1).all():
        raise MaskError("empty", "the mask keeps no line of a slice; give one that is True where a line was sampled")
    return kept, found


def as_bool(mask: NDArray[Any]) -> NDArray[np.bool_]:
    """True where a mask's numbers are not 0.

    Raises
    ------
    MaskError : when it holds none, or some that are not finite.
    """
    if mask.dtype.kind not in "biuf" or not np.isfinite(mask).all():
        raise MaskError(
            "values", "the mask has values that are no finite numbers; give True or 1 where a line was sampled"
        )
    kept: NDArray[np.bool_] = mask != 0
    return kept


class Lines(NamedTuple):
    """Which lines of k-space were sampled, by its zeros.

    Attributes
    ----------
    kept : bool (1, N) or (slices, N); of points (1, rows, columns) or (slices, rows, columns).
    axis : what they are.
    word : what zeros at the edges were taken for, to be told; blank where there are none.
    """

    kept: NDArray[np.bool_]
    axis: Sampled
    word: str


class Sampling:
    """What the zeros of k-space say of its sampling, where its file does not: slice after slice, then `lines`."""

    def __init__(self) -> None:
        self._sampled: dict[PhaseEncoding, list[NDArray[np.bool_]]] = {"columns": [], "rows": []}
        self._holes = self._rounded = 0
        self._columns = 0
        # As bits, and those of many slices are one.
        self._points: list[NDArray[np.uint8]] = []

    @classmethod
    def of(cls, kspace: Stack) -> Self:
        """That of (slices, coils, rows, columns)."""
        sampling = cls()
        for slice_ in kspace:
            sampling.add(slice_)
        return sampling

    def add(self, slice_: NDArray[np.complex64]) -> None:
        """Look at one slice, (coils, rows, columns)."""
        measured = (slice_ != 0).any(0)
        self._sampled["columns"].append(measured.any(0))
        self._sampled["rows"].append(measured.any(1))
        self._columns, points = measured.shape[1], np.packbits(measured, 1)
        same = len(self._points) > 0 and np.array_equal(points, self._points[-1])
        self._points.append(self._points[-1] if same else points)
        if holes := _holes(measured):
            self._holes += holes
            self._rounded += _rounded(slice_)

    def lines(self, axes: tuple[PhaseEncoding, ...] = ("columns", "rows"), padded: bool = False) -> Lines:
        """The lines that are not zero everywhere.

        A line of zeros between others is missing. Lines of zeros at the edges are padding where as many lines lie on
        either side of DC: a scanner that interpolates puts what it has measured into the middle. At one edge they are
        missing (partial Fourier), and beside gaps, too, since many masks leave the edges out.

        Parameters
        ----------
        axes : that phase encoding may step through, the likelier first.
        padded : whether lines of zeros at an edge are padding in any case.

        Returns
        -------
        Lines that are padding are kept. All columns where none is missing. Points where no whole lines were measured:
        then what is zero was not.
        """
        sampled = {axis: np.stack(lines) for axis, lines in self._sampled.items()}
        gaps = {axis: any(_has_gap(of_slice) for of_slice in lines) for axis, lines in sampled.items()}
        if all(gaps.values()) or self._holes > self._rounded:
            same = all(own is self._points[0] for own in self._points)
            packed = np.stack(self._points[:1] if same else self._points)
            points = np.unpackbits(packed, 2, self._columns).astype(np.bool_)
            word = f"zeros tell its mask: points, {1 - points.mean():.1%} of them, are taken for left out"
            return Lines(points, "points", word)
        words = []
        for axis in sorted(axes, key=lambda axis: not gaps[axis]):
            lines = sampled[axis]
            missing = f"{int((~lines).sum(1).max())} of its {lines.shape[1]} {axis}"
            edges = bool(lines.any() and not (lines[:, 0] & lines[:, -1]).all())
            if gaps[axis]:
                word = f"zeros tell its mask: {missing} are taken for lines left out"
                edged = ", those at the edges, too: give a mask if they are padding" if edges else ""
                return Lines(_joined(lines), axis, word + edged)
            if edges and not (padded or all(_is_centred(of_slice) for of_slice in lines)):
                return Lines(_joined(lines), axis, f"{missing}, at one edge, are zeros: taken for lines left out")
            if edges:
                words.append(f"{missing}, at the edges, are zeros: taken for padding")
        return Lines(np.ones((1, sampled[axes[0]].shape[1]), np.bool_), axes[0], "; ".join(words))


def check_whole(kspace: Stack, lines: NDArray[np.bool_], axis: Sampled) -> None:
    """Raise MaskError when points are missing of lines that were measured, or most of a mask of points.

    Parameters as of `Acquisition`.
    """
    if axis == "points":
        masks = np.broadcast_to(lines, (len(kspace), *lines.shape[1:]))
        missing = sum(int((~(slice_[:, kept] != 0).any(0)).sum()) for slice_, kept in zip(kspace, masks, strict=True))
        if missing * 2 > masks.sum():
            raise MaskError(
                "points", "most points that the mask keeps were not measured; give a mask of those that were"
            )
        return
    holes = rounded = 0
    for slice_, kept in zip(kspace, np.broadcast_to(lines, (len(kspace), lines.shape[-1])), strict=True):
        own = slice_[:, :, kept] if axis == "columns" else slice_[:, kept]
        if found := _holes((own != 0).any(0)):
            holes += found
            rounded += _rounded(own)
    if holes > rounded:
        raise MaskError("points", "lines that the mask keeps were not measured whole; give a mask of points")


def check_partitions(measured: NDArray[np.bool_]) -> None:
    """Raise MaskError unless each line that was measured was so in all partitions; bool (partitions, lines).

    Partitions of zeros around the others are padding, and corners of the plane may be cut off. Partial Fourier along
    the partitions is told, since no line of an image can stand for it.
    """
    seen = np.any(measured, axis=1, keepdims=True)[:, 0]
    if _has_gap(seen) or not _is_centred(seen) or _holes(measured):
        raise MaskError("points", "partitions of a 3D scan were not measured whole; only whole ones can be used")


def check_axes(kspace: Stack) -> None:
    """Look for k-space's energy, which is around DC, at n // 2 of rows and columns.

    Parameters
    ----------
    kspace : (slices, coils, rows, columns), finite.

    Raises
    ------
    AxesError : when it is spread evenly over the columns and has a centre in the slices or coils, which are then rows;
        or when it is in the corners.
    """
    sums = [np.zeros(length) for length in kspace.shape]
    for number, slice_ in enumerate(kspace):
        for coil, own in enumerate(slice_):
            energy = np.square(own.real, dtype=np.float64) + np.square(own.imag, dtype=np.float64)
            sums[2] += energy.sum(1)
            sums[3] += energy.sum(0)
            sums[0][number] += energy.sum()
            sums[1][coil] += energy.sum()
    slices, coils, rows, columns = ((own / (own.max() or 1)) for own in sums)
    peaked = [len(own) > 3 and float(np.median(own)) * _PEAK < 1 for own in (slices, coils, rows, columns)]
    taken = "its axes are taken for (slices, coils, rows, columns) = ({}, {}, {}, {})".format(*kspace.shape)
    if not peaked[3] and any(_in_middle(own) for own, high in zip((slices, coils), peaked, strict=False) if high):
        raise AxesError(f"has its coils on the last axis: {taken}", "move the last axis in front of rows and columns")
    if peaked[2] and peaked[3] and all(np.argmax(own) in (0, len(own) - 1) for own in (rows, columns)):
        raise AxesError("has DC in its corner, and not at n // 2", "apply `numpy.fft.fftshift` to rows and columns")


def _in_middle(profile: NDArray[np.float64]) -> bool:
    return abs(int(np.argmax(profile)) - len(profile) // 2) <= max(1, len(profile) // 16)


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


def _has_gap(lines: NDArray[np.bool_]) -> bool:
    """Whether lines are missing between others, or DC is."""
    kept = np.flatnonzero(lines)
    # Of a slice without any there is nothing to say.
    return bool(len(kept) and not (len(kept) == np.ptp(kept) + 1 and kept[0] <= len(lines) // 2 <= kept[-1]))


def _is_centred(lines: NDArray[np.bool_]) -> bool:
    """Whether lines without a gap lie around DC."""
    kept = np.flatnonzero(lines)
    return not len(kept) or bool(abs(len(lines) // 2 * 2 - kept[0] - kept[-1]) <= _ASYMMETRY)


def _holes(measured: NDArray[np.bool_]) -> int:
    """How many points, bool (rows, columns), lie between measured ones and were not, without lines that are all so.

    Zeros at the ends of lines are none: scanners cut corners off, and pad.
    """
    inner = measured[measured.any(1)][:, measured.any(0)]
    if inner.all():
        return 0
    between = np.zeros_like(inner)
    for axis in (0, 1):
        after = np.logical_or.accumulate(inner, axis)
        between |= after & np.flip(np.logical_or.accumulate(np.flip(inner, axis), axis), axis)
    return int(np.count_nonzero(between & ~inner))


def _rounded(slice_: NDArray[np.complex64]) -> int:
    """How many points have some parts, real or imaginary, of some coils that are zero, and others that are not.

    Where a scanner's numbers were rounded to zero, far more points lost one part than all of them; a point that was not
    measured has lost all.
    """
    parts = [part for coil in slice_ for part in (coil.real, coil.imag) if part.any()]
    zeros = [part == 0 for part in parts]
    return int(np.count_nonzero(np.logical_or.reduce(zeros) & ~np.logical_and.reduce(zeros)))


def _of_points(
    kept: NDArray[np.bool_], sizes: dict[PhaseEncoding, int], choices: list[PhaseEncoding]
) -> tuple[NDArray[np.bool_], Sampled] | None:
    """Lines of a mask of points, (slices or 1, rows or 1, columns or 1); None where it is not of whole lines."""
    for name in choices:
        across: Literal[-1, -2] = -2 if PHASE_AXES[name] == -1 else -1
        first = np.take(kept, [0], axis=across)
        other = sizes["rows" if name == "columns" else "columns"]
        if kept.shape[PHASE_AXES[name]] == sizes[name] and kept.shape[across] in (1, other) and (kept == first).all():
            return first.squeeze(across), name
    return None
