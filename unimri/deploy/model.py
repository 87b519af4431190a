"""A model in use: k-space in, images out, in NumPy or PyTorch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.core.machine import choose_device
from unimri.deploy.estimates import Choice, Grid, choose, estimated_scale, features
from unimri.deploy.library import ModelDescription, opened
from unimri.models.cascade import D5C5
from unimri.models.folder import list_anatomies, load_model
from unimri.physics.acquisition import Acquisition, acquisition
from unimri.physics.fourier import combine_coils, from_hybrid, lines, to_hybrid, to_image, to_kspace
from unimri.physics.mask import HYBRID_AXES, PHASE_AXES, PhaseEncoding
from unimri.physics.masks import Masks, draw_masks
from unimri.physics.noise import deviation, from_edges
from unimri.physics.phase import constant_phase
from unimri.physics.sense import Encoding, Measurement
from unimri.physics.sensitivities import estimate, lacks_calibration

Array = TypeVar("Array", NDArray[Any], Tensor)

AUTO = "auto"
"""In place of an anatomy: the model chooses; see `unimri.deploy.estimates`."""

# Slices of a volume by which its anatomy is chosen.
_CHOOSING = 16

# Slices of a volume in which its noise is looked for.
_LISTENING = 4

# How much higher or lower an acceleration, and larger or smaller a slice, may be than those of training before it is
# told, and noise that nobody sees.
_NEAR, _SIZE, _NOISE = 1.25, 2, 0.003

UNKNOWN_NOISE = 0.001
"""Standard deviation of the noise that noise maps are of where k-space tells none, over the largest intensity."""

REPLICAS = 33
"""Of noise maps, unless another number is asked for: a deviation is told to 12 %."""

# Of a batch: eight slices of 320 x 320 take some 400 MB.
_PIXELS = 8 * 320 * 320


@dataclass(frozen=True)
class Reconstruction:
    """What `Model.reconstruct_volume` gives.

    Attributes
    ----------
    images : complex64 (slices, coils, rows, columns), on the input's own scale; with sensitivities one or two images,
        (slices, sets, rows, columns), in the place of the coils'. Their root sum of squares is the magnitude.
    zero_filled : of each coil, without the network.
    anatomy : whose ASPIN was used.
    choice : how it was chosen, where the model chose.
    acceleration : lines over lines kept.
    coil_by_coil : why each coil was reconstructed by itself, in words; blank where sensitivities were used, or there is
        one coil.
    """

    images: Tensor
    zero_filled: Tensor
    anatomy: str
    choice: Choice | None
    acceleration: float
    coil_by_coil: str = ""


@dataclass(frozen=True)
class Prepared:
    """What is known of a volume before it is reconstructed.

    Attributes
    ----------
    anatomy : whose ASPIN is used.
    choice : how it was chosen, where the model chose.
    scale : largest intensity of each coil, (coils, 1, 1); with sensitivities that of all together, (1, 1, 1).
    noise : standard deviation of k-space's noise, of real and imaginary part each, on its own scale: of each coil,
        (coils,); with sensitivities of all together, (1,). 0 where k-space does not tell it.
    coil_by_coil : as of `Reconstruction`.
    """

    anatomy: str
    choice: Choice | None
    scale: Tensor
    noise: Tensor
    coil_by_coil: str


class Model:
    """A universal network with its ASPINs, its mask and its conventions.

    Attributes
    ----------
    description : its conventions, scores and origin.
    network : in evaluation mode.
    """

    def __init__(self, description: ModelDescription, network: D5C5) -> None:
        self.description = description
        self.network = network

    def __repr__(self) -> str:
        own = self.description
        return f"Model({own.name}, {own.acceleration:g}x, {', '.join(own.anatomies)}, on {self.device})"

    @property
    def anatomies(self) -> list[str]:
        """The anatomies that it has an ASPIN for."""
        return list(self.description.anatomies)

    @property
    def acceleration(self) -> float:
        """What it was trained for: lines over lines kept."""
        return self.description.acceleration

    def to(self, device: str | torch.device) -> Self:
        """Move the network to a device."""
        self.network.to(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def add_aspin(self, path: Path) -> str:
        """Load an adapter, `*.aspin.safetensors`, into the network, in memory alone; give its anatomy.

        Raises
        ------
        UnimriError : when the file is damaged, or belongs to another base.
        """
        # Here, because most who reconstruct have no adapter.
        from unimri.deploy.adapters import load_adapter

        adapter = load_adapter(path)
        self.description = adapter.insert(self.network, self.description, path)
        return adapter.anatomy

    def masks(self, size: int, acceleration: float | None = None) -> Masks:
        """The model's masks for any number of lines: those of its training where `size` is its own.

        Parameters
        ----------
        size : phase-encoding lines N.
        acceleration : the model's own when None.

        Raises
        ------
        UnimriError : when the acceleration is below 1 or above `size`, or its centre leaves no lines to draw.
        """
        wanted = self.acceleration if acceleration is None else acceleration
        if size < 2:
            raise UnimriError(
                f"{size} phase-encoding line(s): cannot be undersampled; give images of two lines or more"
            )
        if not 1 <= wanted <= size:
            raise UnimriError(f"acceleration: {wanted:g}; allowed: 1 to {size}, the number of lines")
        return draw_masks(self.description.mask, size, wanted)

    def undersample(self, images: Array, acceleration: float | None = None) -> tuple[Array, NDArray[np.bool_]]:
        """Undersample magnitude images as the model's training did.

        Parameters
        ----------
        images : real (rows, columns) or (slices, rows, columns), NumPy or tensor.
        acceleration : the model's own when None.

        Returns
        -------
        kspace : complex64 of the same shape and kind, centred, zero where not sampled.
        mask : bool (1, N) or (slices, N).

        Raises
        ------
        UnimriError : when the images have another number of axes, or the acceleration leaves no line.
        """
        tensor = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
        if tensor.ndim not in (2, 3) or tensor.is_complex():
            raise UnimriError(f"images have shape {tuple(tensor.shape)}; give real (slices, rows, columns)")
        axis = PHASE_AXES[self.description.mask.axis]
        kept = self.masks(tensor.shape[axis], acceleration).of_slices(np.arange(len(tensor) if tensor.ndim == 3 else 1))
        shown = torch.from_numpy(kept).to(tensor.device)  # (B or 1, N)
        shown = shown[:, None, :] if axis == -1 else shown[:, :, None]
        kspace = to_kspace(tensor.float()) * (shown if tensor.ndim == 3 else shown[0])
        return (kspace if isinstance(images, Tensor) else kspace.numpy()), kept

    def zero_fill(self, kspace: Array) -> Array:
        """The magnitude image of undersampled k-space without the network; shapes as `reconstruct`."""
        samples = kspace if isinstance(kspace, Tensor) else torch.from_numpy(np.ascontiguousarray(kspace))
        images = to_image(samples.to(torch.complex64))
        magnitude = images.abs() if images.ndim < 4 else combine_coils(images)
        return magnitude if isinstance(kspace, Tensor) else magnitude.numpy()

    def reconstruct(
        self,
        kspace: Array,
        mask: NDArray[Any] | Tensor | None = None,
        anatomy: str | None = None,
        axis: PhaseEncoding | None = None,
        *,
        fallback: str | None = None,
        magnitude: bool = True,
        progress: Callable[[int], object] | None = None,
    ) -> Array:
        """Reconstruct a slice or a volume.

        Parameters
        ----------
        kspace : (rows, columns), (slices, rows, columns) or (slices, coils, rows, columns), any size; complex, or real
            with real and imaginary part on a last axis of two. DC at n // 2, as fastMRI's files have it. All slices are
            of one volume: they share one intensity scale.
        mask : (N,), (slices, N), or any shape that broadcasts against `kspace`: True or not 0 where a phase-encoding
            line was sampled. None: the lines that are not zero.
        anatomy : one of `anatomies`, or "auto"; may be left out where the model has one alone.
        axis : which lines phase encoding steps through, "columns" or "rows"; None: told by the mask, or as in training.
        fallback : the anatomy to use where "auto" finds that the input is like none; None: that is an error.
        magnitude : give the magnitude; else complex images: of several coils one or two images where sensitivities were
            found, (slices, sets, rows, columns), and one of each coil where they were not.
        progress : called with how many slices are done, after each batch.

        Returns
        -------
        float32 (rows, columns) or (slices, rows, columns), or complex64 with as many axes as `kspace`, on the input's
        own scale; NumPy for NumPy, a tensor on the input's device for a tensor.

        Raises
        ------
        UnimriError : when shapes do not fit, values are not finite, the anatomy is not known, or "auto" finds none.
        """
        samples = _array(kspace)
        dimensions = samples.ndim if np.iscomplexobj(samples) else samples.ndim - 1
        given = acquisition(samples, None if mask is None else _array(mask), axis, self.description.mask.axis)
        found = self.reconstruct_volume(given, anatomy, fallback=fallback, progress=progress)
        images = combine_coils(found.images) if magnitude else found.images  # (slices, [coils,] rows, columns)
        if not magnitude and dimensions < 4:
            images = images[:, 0]
        images = images[0] if dimensions == 2 else images
        if isinstance(kspace, Tensor):
            return images.to(kspace.device)
        return images.cpu().numpy()

    def noise_map(
        self,
        kspace: Array,
        mask: NDArray[Any] | Tensor | None = None,
        anatomy: str | None = None,
        axis: PhaseEncoding | None = None,
        *,
        fallback: str | None = None,
        replicas: int = REPLICAS,
        progress: Callable[[int], object] | None = None,
    ) -> Array:
        """How much the reconstruction amplifies noise, its g-factor: see `noise_maps`.

        Parameters and errors as `reconstruct`, which this does `replicas` times.

        Returns
        -------
        float32 (rows, columns) or (slices, rows, columns), >= 0.
        """
        if replicas < 2:
            raise UnimriError(f"replicas: {replicas}; allowed: 2 or more")
        samples = _array(kspace)
        dimensions = samples.ndim if np.iscomplexobj(samples) else samples.ndim - 1
        given = acquisition(samples, None if mask is None else _array(mask), axis, self.description.mask.axis)
        prepared = self.prepare_volume(given, anatomy, fallback=fallback)
        maps = np.stack(list(self.noise_maps(given, prepared, replicas, progress)))
        maps = maps[0] if dimensions == 2 else maps
        return torch.from_numpy(maps).to(kspace.device) if isinstance(kspace, Tensor) else maps

    def reconstruct_volume(
        self,
        given: Acquisition,
        anatomy: str | None = None,
        *,
        fallback: str | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Reconstruction:
        """Reconstruct one volume that has been brought into shape; parameters and errors as `reconstruct`."""
        prepared = self.prepare_volume(given, anatomy, fallback=fallback)
        parts = list(self.reconstruct_parts(given, prepared, progress=progress))
        images, zero_filled = (torch.cat(own) for own in zip(*(part[1:] for part in parts), strict=True))
        if images.shape[1] == 2 and not prepared.coil_by_coil and not images[:, 1].any():
            images = images[:, :1]
        return Reconstruction(
            images, zero_filled, prepared.anatomy, prepared.choice, given.acceleration, prepared.coil_by_coil
        )

    @torch.no_grad()
    def prepare_volume(self, given: Acquisition, anatomy: str | None = None, fallback: str | None = None) -> "Prepared":
        """Choose the anatomy of a volume and estimate its intensity scale, from a few slices at a time.

        Parameters and errors as `reconstruct`.
        """
        if fallback is not None:
            self.checked_anatomy(fallback)
        choice = None
        if anatomy == AUTO:
            choice = self.choose(given)
            if choice.unlike and fallback is None:
                raise UnimriError(f"anatomy: {choice.unlike}; name one of {', '.join(self.anatomies)}, or a fallback")
            anatomy = fallback if choice.unlike else choice.anatomy
        name = self.checked_anatomy(anatomy)
        coil_by_coil = lacks_calibration(given.mask)
        together = given.kspace.shape[1] > 1 and not coil_by_coil
        peaks = torch.zeros(1 if together else given.kspace.shape[1])
        # In place: small tensors between large ones, one a batch, would keep the memory of all from being used again.
        for _, before in _zero_filled(given):
            magnitudes = combine_coils(before).unsqueeze(1) if together else before.abs()
            torch.maximum(peaks, magnitudes.amax((0, 2, 3)), out=peaks)
        scale = estimated_scale(peaks, self.description.anatomies[name].scale_factor)
        noise = _noise(given)
        noise = noise.square().mean(0, keepdim=True).sqrt() if together else noise
        return Prepared(name, choice, scale, noise, coil_by_coil if given.kspace.shape[1] > 1 else "")

    @torch.no_grad()
    def reconstruct_parts(
        self, given: Acquisition, prepared: "Prepared", progress: Callable[[int], object] | None = None
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Reconstruct a volume a few slices at a time: memory does not grow with their number.

        Gives which slices they are, their images and their zero-filled images, of each coil: complex64 (b, coils, rows,
        columns), on the input's own scale. With sensitivities the images are two sets, (b, 2, rows, columns), the
        second zero where one explains the coils.
        """
        coils, rows, columns = given.kspace.shape[1:]
        if coils > 1 and not prepared.coil_by_coil:
            yield from self._with_sensitivities(given, prepared, progress)
            return
        step = max(1, _PIXELS // (rows * columns))
        for part, zero_filled in _zero_filled(given):
            images = torch.empty_like(zero_filled)
            # A coil is an image of its own: (slice, coil) pairs in one row.
            pairs = [(number, coil) for number in range(len(zero_filled)) for coil in range(coils)]
            for first in range(0, len(pairs), step):
                numbers, of_coils = (list(column) for column in zip(*pairs[first : first + step], strict=True))
                places = [part.start + number for number in numbers]
                known, back = self._alone(zero_filled[numbers, of_coils], places, of_coils, given, prepared)
                image, _ = self.network.reconstruct(known, prepared.anatomy)
                images[numbers, of_coils] = image.cpu() * back
                if progress is not None:
                    progress(part.start + numbers[-1] + (of_coils[-1] == coils - 1))
            yield part, images, zero_filled

    def _with_sensitivities(
        self, given: Acquisition, prepared: "Prepared", progress: Callable[[int], object] | None
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """`reconstruct_parts` of several coils whose calibration lines tell their sensitivities, slice by slice."""
        for part, zero_filled in _zero_filled(given):
            images = torch.zeros(len(zero_filled), 2, *zero_filled.shape[2:], dtype=torch.complex64)
            for number, filled in enumerate(zero_filled):  # (coils, rows, columns)
                measured, back = self._together(filled, part.start + number, given, prepared)
                image, _ = self.network.reconstruct(measured, prepared.anatomy)
                images[number, : image.shape[1]] = image[0].cpu() * back
                if progress is not None:
                    progress(part.start + number + 1)
            yield part, images, zero_filled

    def _alone(
        self, zero_filled: Tensor, slices: list[int], coils: list[int], given: Acquisition, prepared: "Prepared"
    ) -> tuple[Measurement, Tensor]:
        """What the network is given of images of single coils, and what its images are to be multiplied by.

        Parameters
        ----------
        zero_filled : complex64 (b, rows, columns).
        slices, coils : which they are.
        """
        axis, scale = HYBRID_AXES[given.axis], prepared.scale[coils]  # (b, 1, 1)
        mask = given.mask[slices] if len(given.mask) > 1 else given.mask
        sampled = lines(torch.from_numpy(mask), axis).to(self.device)
        filled = zero_filled / scale
        phase = constant_phase(filled)  # (b, 1, 1)
        kspace = to_hybrid((filled * phase.conj()).to(self.device), axis) * sampled
        noise = (prepared.noise[coils] / scale[:, 0, 0]).to(self.device)
        return Measurement(from_hybrid(kspace, axis), kspace, sampled, axis, noise=noise), phase * scale

    def _together(
        self, zero_filled: Tensor, number: int, given: Acquisition, prepared: "Prepared"
    ) -> tuple[Measurement, Tensor]:
        """As `_alone`, of all coils of one slice, complex64 (coils, rows, columns)."""
        axis, scale = HYBRID_AXES[given.axis], prepared.scale
        filled = zero_filled / scale
        mask = torch.from_numpy(given.mask_of(number))
        maps = estimate(to_kspace(filled), mask, given.axis).maps
        assert maps is not None
        encoding = Encoding(lines(mask[None], axis).to(self.device), axis, maps[None].to(self.device))
        kspace = to_hybrid(filled[None].to(self.device), axis) * encoding.sampled.unsqueeze(1)
        image = encoding.adjoint(kspace)  # (1, sets, rows, columns)
        # One for both sets, whose coils share their phase.
        phase = constant_phase(image[:, :1])
        noise = (prepared.noise / scale.flatten()).to(self.device)
        measured = Measurement(image * phase.conj(), kspace * phase.conj(), *encoding, noise)
        return measured, phase[0].cpu() * scale

    @torch.no_grad()
    def noise_maps(
        self,
        given: Acquisition,
        prepared: "Prepared",
        replicas: int,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        """How much the reconstruction of each slice amplifies noise: its g-factor, of which 1 is the whole scan's.

        Standard deviation of the magnitude, over that of a fully sampled scan and over the square root of the
        acceleration (Pruessmann et al. 1999), by pseudo replicas: see `unimri.physics.noise.deviation`. A network is
        not linear: this is of the noise's own level, `prepared.noise`, or where that is not known of `UNKNOWN_NOISE`
        of the largest intensity. Noise is taken to be white, and of one level in coils that are used together.

        Parameters
        ----------
        given, prepared : as of `reconstruct_parts`.
        replicas : how many, at least 2.
        progress : as there.

        Yields
        ------
        float32 (rows, columns) of each slice, >= 0.
        """
        together = given.kspace.shape[1] > 1 and not prepared.coil_by_coil
        scale = prepared.scale.flatten()
        level = torch.where(prepared.noise > 0, prepared.noise, UNKNOWN_NOISE * scale)
        for part, zero_filled in _zero_filled(given):
            for number, filled in enumerate(zero_filled, part.start):
                if together:
                    measured, back = self._together(filled, number, given, prepared)
                else:
                    coils = list(range(len(filled)))
                    measured, back = self._alone(filled, [number] * len(coils), coils, given, prepared)
                magnitude = partial(self._magnitude, prepared.anatomy, back)
                found = deviation(magnitude, measured, (level / scale).to(self.device), replicas, number)
                whole = float(level.square().mean().sqrt()) * given.mask_of(number).mean() ** -0.5
                yield (found / whole).float().numpy()
                if progress is not None:
                    progress(number + 1)

    def _magnitude(self, anatomy: str, back: Tensor, given: Measurement) -> Tensor:
        """Of one slice, real (rows, columns): `given` is all coils together, or a batch of its coils."""
        step = max(1, _PIXELS // prod(given.zero_filled.shape[-2:]))
        parts = [given.part(slice(first, first + step)) for first in range(0, len(given.zero_filled), step)]
        images = torch.cat([self.network.reconstruct(part, anatomy)[0] for part in parts]).cpu() * back
        return combine_coils(images if given.sensitivities is None else images[0])

    def outside(self, given: Acquisition, prepared: "Prepared") -> str:
        """How a scan differs from all that the network was trained on, in words; blank where it does not.

        Of such a scan it may invent what is not there.
        """
        own, (rows, columns) = self.description, given.kspace.shape[-2:]
        drawn = own.settings.get("acquisition") or {}
        low, high = drawn["accelerations"] if drawn.get("masks") else (own.acceleration, own.acceleration)
        most, noise = max(drawn.get("coils", [1])), float((prepared.noise / prepared.scale.flatten()).max())
        found = []
        if not low / _NEAR <= given.acceleration <= high * _NEAR:
            trained = f"{low:g}x" if low == high else f"{low:g}x to {high:g}x"
            found.append(f"acceleration {given.acceleration:.2f}x (trained: {trained})")
        if given.axis == "points":
            found.append("points of k-space (trained: whole lines)")
        if most == 1 < given.kspace.shape[1] and not prepared.coil_by_coil:
            found.append(f"{given.kspace.shape[1]} coils together (trained: one)")
        if noise > max(_NOISE, float(drawn.get("noise", 0))):
            found.append(f"noise of {noise:.1%} of the largest intensity (trained: up to {drawn.get('noise', 0):.1%})")
        if not own.image_size / _SIZE <= max(rows, columns) <= own.image_size * _SIZE:
            found.append(f"{rows} x {columns} pixels (trained: {own.image_size} x {own.image_size})")
        return f"unlike what the model was trained on: {', '.join(found)}" if found else ""

    def checked_anatomy(self, anatomy: str | None) -> str:
        """The anatomy itself, or the only one there is.

        Raises
        ------
        UnimriError : when the model has no ASPIN for it, or it is not given and there are several.
        """
        if anatomy is None and len(self.anatomies) == 1:
            return self.anatomies[0]
        if anatomy not in self.anatomies:
            said = "not given" if anatomy is None else f"{anatomy!r} is not known to the model"
            raise UnimriError(f"anatomy: {said}; allowed: {', '.join(self.anatomies)}, {AUTO}")
        return anatomy

    @cached_property
    def grid(self) -> Grid:
        """What its training slices lay on."""
        own = self.description
        return Grid(own.image_size, own.smoothing, self.masks(own.image_size))

    def choose(self, given: Acquisition) -> Choice:
        """Choose the anatomy of a volume of any size; see `unimri.deploy.estimates`."""
        return self.nearest(self.features(given))

    def nearest(self, slices: Mapping[str, NDArray[np.float64]]) -> Choice:
        """Choose among some anatomies, of which `features` has given what it found."""
        own = {name: self.description.anatomies[name] for name in slices}
        return choose(
            slices,
            {name: np.array(one.features) for name, one in own.items()},
            np.array(self.description.inverse_covariance),
            {name: one.largest_distance for name, one in own.items()},
        )

    @torch.no_grad()
    def features(self, given: Acquisition) -> dict[str, NDArray[np.float64]]:
        """Features of some slices of a volume on the model's grid, as each anatomy completes them: (B, FEATURES)."""
        numbers = np.linspace(0, len(given.kspace) - 1, min(len(given.kspace), _CHOOSING)).round().astype(int).tolist()
        kspace = torch.from_numpy(np.concatenate([given.measured(slice(number, number + 1)) for number in numbers]))
        mask, size = given.mask if len(given.mask) == 1 else given.mask[numbers], given.kspace.shape[-2:]
        wanted = self.grid.masks.of_slices(np.array(numbers))
        small: dict[int | None, tuple[Acquisition, bool]] = {}
        for crop in {own.crop for own in self.description.anatomies.values()}:
            reduced = self.grid.reduce(kspace, crop).contiguous().numpy()
            sides = reduced.shape[-2:] if given.axis == "points" else [reduced.shape[PHASE_AXES[given.axis]]]
            there = mask
            for axis, kept in enumerate(sides, 1):
                first = mask.shape[axis] // 2 - kept // 2
                there = there.take(range(first, first + kept), axis)
            # Of a whole slice, the lines of the model's mask are those of the scan, if they are of the same axis.
            same = crop is None and there.shape[1:] == (self.grid.size,) and given.axis == self.grid.masks.axis
            known = there | ~wanted if same else there
            small[crop] = Acquisition(reduced, there, given.axis), bool(known.all())
        found = {}
        for name, own in self.description.anatomies.items():
            part, known_all = small[own.crop]
            images = (
                to_image(torch.from_numpy(part.kspace)) if known_all else self.reconstruct_volume(part, name).images
            )
            found[name] = features(self.grid.bring(images, size, own.crop, numbers))
        return found


def _zero_filled(given: Acquisition) -> Iterator[tuple[slice, Tensor]]:
    """Zero-filled images of a batch of slices after the other: which they are, complex64 (b, coils, rows, columns)."""
    slices, coils, rows, columns = given.kspace.shape
    step = max(1, _PIXELS // (coils * rows * columns))
    for first in range(0, slices, step):
        part = slice(first, min(first + step, slices))
        yield part, to_image(torch.from_numpy(given.measured(part)))


def _noise(given: Acquisition) -> Tensor:
    """Standard deviation of each coil's noise, float32 (coils,), by the edges of some slices; 0 where unknown."""
    numbers = np.linspace(0, len(given.kspace) - 1, min(len(given.kspace), _LISTENING)).round().astype(int).tolist()
    some = np.concatenate([given.measured(slice(number, number + 1)) for number in numbers])
    covariance = from_edges(some, given.mask if len(given.mask) == 1 else given.mask[numbers], given.axis)
    if covariance is None:
        return torch.zeros(given.kspace.shape[1])
    return covariance.diagonal().real.sqrt().float()


def _array(values: NDArray[Any] | Tensor) -> NDArray[Any]:
    if not isinstance(values, Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    # NumPy has no 16-bit brain floats and no complex numbers of two halves.
    if values.is_complex():
        values = values.to(torch.complex64)
    return values.float().numpy() if values.dtype == torch.bfloat16 else values.resolve_conj().numpy()


def load(path: Path | str | None = None, device: str = "cpu", aspins: Sequence[Path | str] = ()) -> Model:
    """Load a model; the default one, which `make reproduce` trains, without a path.

    Parameters
    ----------
    path : of its folder or its one file, or its name; see `unimri.deploy.library`.
    device : "cpu", "cuda", or "auto" for a GPU if there is one.
    aspins : adapters to load beside the model's own ASPINs.

    Raises
    ------
    UnimriError : when there is none, its files are damaged or do not fit one another, or there is no such device.
    """
    with opened(path) as folder:
        description = ModelDescription.load(folder).check_files(folder)
        network = load_model(folder)
        if not network.conditioning.adaptable:
            raise UnimriError(f"{folder}: its network has no ASPIN; only a universal one can be used")
        if set(list_anatomies(folder)) != set(description.anatomies):
            raise UnimriError(
                f"{folder}: has ASPINs of {', '.join(list_anatomies(folder))}, and its description speaks of "
                f"{', '.join(description.anatomies)}; copy the model again"
            )
    model = Model(description, network)
    for aspin in aspins:
        model.add_aspin(Path(aspin))
    return model.to(choose_device(device))
