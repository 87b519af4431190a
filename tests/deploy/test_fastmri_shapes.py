"""K-space and masks as fastMRI's own transforms hand them on: real numbers, a last axis of two, masks of many axes."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor

import unimri
from unimri.deploy.model import Model

SLICES, COILS, ROWS = 2, 3, 32
LINES = {32: np.arange(32) % 4 == 0, 25: np.arange(25) % 3 == 0}


@pytest.fixture(scope="module")
def model(shared_model: Path) -> Model:
    return unimri.load(shared_model)


def noise(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(len(shape))
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def to_tensor(kspace: np.ndarray) -> Tensor:
    """As fastMRI's `to_tensor`: (..., 2)."""
    return torch.from_numpy(np.stack((kspace.real, kspace.imag), axis=-1))


def apply_mask(data: Tensor, kept: np.ndarray) -> tuple[Tensor, Tensor]:
    """As fastMRI's `apply_mask`: the mask has all axes of the data, of one but for the columns: (1, ..., N, 1)."""
    shape = [1] * data.ndim
    shape[-2] = data.shape[-2]
    mask = torch.from_numpy(kept.astype(np.float32)).reshape(shape)
    return data * mask + 0.0, mask


# Square slices too, in which the columns' number tells nothing.
@pytest.mark.parametrize("columns", [32, 25])
@pytest.mark.parametrize("shape", [(ROWS,), (SLICES, ROWS), (SLICES, COILS, ROWS)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bool, torch.uint8])
def test_masked_tensors_give_what_complex_arrays_give(model: Model, columns: int, shape: tuple[int, ...], kind) -> None:
    kspace, kept = noise(*shape, columns), LINES[columns]
    expected = model.reconstruct(kspace * kept, kept, "knee", "columns")
    masked, mask = apply_mask(to_tensor(kspace), kept)
    assert mask.shape == (*[1] * len(shape), columns, 1)
    found = model.reconstruct(masked, mask.to(kind), "knee")
    assert isinstance(found, Tensor)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    complex_images = model.reconstruct(masked, mask, "knee", magnitude=False)
    assert complex_images.shape == masked.shape[:-1]


def test_one_slice_of_several_coils_is_a_volume_of_one_slice(model: Model) -> None:
    """A sample of fastMRI's multi-coil data: (coils, rows, columns, 2), with its mask."""
    kspace, kept = noise(COILS, ROWS, 32), LINES[32]
    masked, mask = apply_mask(to_tensor(kspace), kept)
    found = model.reconstruct(masked[None], mask[None], "knee")
    np.testing.assert_array_equal(found, model.reconstruct((kspace * kept)[None], kept, "knee", "columns"))
    # As a loader with batches of one gives them.
    (batch, masks), *_ = torch.utils.data.DataLoader([(masked, mask)], batch_size=1)
    np.testing.assert_array_equal(model.reconstruct(batch, masks, "knee"), found)


@pytest.mark.parametrize("coils", [None, COILS])
def test_a_file_of_the_challenge_is_reconstructed_as_its_arrays(model: Model, tmp_path: Path, coils) -> None:
    shape = (SLICES, ROWS, 25) if coils is None else (SLICES, coils, ROWS, 25)
    kspace, kept = noise(*shape), LINES[25]
    with h5py.File(tmp_path / "file1.h5", "w") as file:
        file["kspace"], file["mask"] = kspace * kept, kept
    scan = unimri.load_kspace(tmp_path / "file1.h5")
    assert isinstance(scan, unimri.Acquisition)
    found = model.reconstruct(scan.kspace, scan.mask, "knee", scan.axis)
    np.testing.assert_array_equal(found, model.reconstruct(kspace * kept, kept, "knee", "columns"))
    # Without a header half the readout is the image.
    assert scan.cropped(found).shape == (SLICES, ROWS // 2, 25)
