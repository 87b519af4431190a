"""Undersampling the slices of a split, and reconstructing them with any method."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unimri.core.errors import UnimriError
from unimri.core.settings import read_settings
from unimri.data.store import SliceSet
from unimri.models.cascade import D5C5
from unimri.models.folder import insert_aspin, load_model
from unimri.physics.fourier import PHASE_AXES, from_hybrid, lines, undersample
from unimri.physics.masks import Masks

_BATCH = 8

Reconstructor = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""Zero-filled image and measured hybrid k-space, complex64 (B, H, W) both, sampled lines (bool) and the phase-encoding
axis, as `unimri.physics.fourier.undersample` gives them, to the reconstruction, complex64 (B, H, W)."""


def zero_filling(zero_filled: Tensor, measured: Tensor, sampled: Tensor, axis: int) -> Tensor:
    """Leave the zero-filled image as it is."""
    return zero_filled


def network_reconstructor(network: D5C5, anatomy: str) -> Reconstructor:
    """A network with one anatomy's ASPIN, where it has ASPIN."""

    def reconstruct(zero_filled: Tensor, measured: Tensor, sampled: Tensor, axis: int) -> Tensor:
        image, _ = network(zero_filled, measured, sampled, axis, anatomy)
        return image

    return reconstruct


def load_reconstructor(model: Path | None, anatomy: str, aspin: Path | None = None) -> Reconstructor:
    """Load what reconstructs slices of one anatomy.

    Parameters
    ----------
    model : folder of a network; JSON file of a classical method, as `unimri.classical.tuning.tune` writes it; None for
        zero filling.
    anatomy : whose ASPIN to use.
    aspin : its file, when it lies elsewhere than in the model's folder.

    Raises
    ------
    UnimriError : when the model is missing or damaged.
    """
    if model is None:
        return zero_filling
    if model.suffix == ".json":
        # Here, because sigpy takes seconds to import.
        from unimri.classical.reconstruction import classical_reconstructor
        from unimri.classical.settings import Tuned

        tuned = read_settings(Tuned, model, "tune again to write it")
        return classical_reconstructor(tuned.settings, tuned.weight)
    network = load_model(model, [anatomy] if aspin is None else [])
    if aspin is not None:
        if not network.conditioning.adaptable:
            raise UnimriError(f"{model}: a plain network; the ASPIN {aspin} belongs to a universal one")
        insert_aspin(network, anatomy, aspin, model)
    return network_reconstructor(network, anatomy)


def batches(numbers: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Divide numbers of slices into batches that are reconstructed together."""
    return np.split(numbers, range(_BATCH, len(numbers), _BATCH))


@torch.no_grad()
def reconstruct_slices(
    reconstructor: Reconstructor, slices: SliceSet, numbers: NDArray[np.int64], masks: Masks, noise: float = 0.0
) -> NDArray[np.float32]:
    """Undersample slices of a split and reconstruct them, in float32.

    Parameters
    ----------
    numbers : which slices, int64 (B,).
    noise : standard deviation of complex Gaussian noise in k-space, of real and imaginary part each, on the slices'
        scale of [0, 1]. A slice's noise depends on its number alone, so that methods are compared on the same noise.

    Returns
    -------
    magnitude, float32 (B, n, n).
    """
    masks.check_size(slices.image_size)
    axis = PHASE_AXES[masks.axis]
    sampled = lines(torch.from_numpy(masks.of_slices(numbers)), axis)
    zero_filled, measured = undersample(torch.from_numpy(slices.batch(numbers)), sampled, axis)
    if noise:
        # White noise is white noise in hybrid k-space too: the transform is orthonormal.
        drawn = np.stack([_noise(int(number), slices.image_size) for number in numbers])
        measured = measured + noise * torch.from_numpy(drawn) * sampled
        zero_filled = from_hybrid(measured, axis)
    return reconstructor(zero_filled, measured, sampled, axis).abs().numpy()


def _noise(number: int, size: int) -> NDArray[np.complex64]:
    parts = np.random.default_rng(number).standard_normal((size, size, 2), dtype=np.float32)
    complex_: NDArray[np.complex64] = parts.view(np.complex64)[..., 0]
    return complex_
